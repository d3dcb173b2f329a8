#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater {

namespace detail {

template <class F, class AnyCall>
decltype(auto) invoke_with(F& function, AnyCall& call) {
    if constexpr (std::invocable<F&>)
        return std::invoke(function);
    else
        return std::invoke(function, call);
}

template <class R>
struct Unwrapped {
    using type = R;
};
template <class T>
struct Unwrapped<std::expected<T, Error>> {
    using type = T;
};

/// What an exception in flight says. Call in a handler.
[[gnu::noinline, gnu::cold]] inline Error error_in_flight() {
    try {
        throw;
    } catch (const Exception& own) {
        return own.error();
    } catch (const std::exception& other) {
        return std::move(Error{Errc::exception, other.what()}.set_exception(std::current_exception()));
    } catch (...) {
        return std::move(Error{Errc::exception}.set_exception(std::current_exception()));
    }
}

}  // namespace detail

/// The `T` of the `Result<T>` that guarding `F` gives: `F` may return `T`, `void` or `Result<T>`, and take nothing or
/// the call.
template <class F, class AnyCall = Call<SteadyClock>>
using GuardedValue = typename detail::Unwrapped<
    std::remove_cvref_t<decltype(detail::invoke_with(std::declval<F&>(), std::declval<AnyCall&>()))>>::type;

/// Runs a call through policies on the calling thread. All waiting of blocking calls is here.
template <class AnyCall, class T, class F, class... P>
class BlockingDriver {
public:
    BlockingDriver(const std::tuple<P...>& policies, AnyCall& call, F& function) noexcept
        : policies_{policies}, call_{call}, function_{function} {}

    [[gnu::always_inline]] Result<T> run() {
        if (is_over()) [[unlikely]]
            return fail(why_over());
        Outside outside;
        Result<T> result = enter<0>(outside);
        if (!result) [[unlikely]]
            result.error().set_attempts(call_.attempt);
        return result;
    }

private:
    /// Stands for the error that `make()` gives, so that it is made where it is kept.
    template <class Make>
    struct InPlace {
        Make make;
        operator Error() && { return make(); }
    };
    template <class Make>
    InPlace(Make) -> InPlace<Make>;

    /// The end of the chain of frames.
    struct Outside {
        std::optional<Error> reask(AnyCall&) noexcept { return {}; }
    };

    /// One policy's passage, linked to the ones outside it.
    template <class Q, class Outer>
    struct Frame {
        const Q& policy;
        Outer& outer;
        typename Q::Lane lane{};

        /// Asks the policies from the outermost to this one whether what they admitted still stands.
        std::optional<Error> reask(AnyCall& call) {
            if (auto refused = outer.reask(call)) return refused;
            if constexpr (requires { policy.reask(lane, call); }) {
                const Before before = policy.reask(lane, call);
                if (before.kind != Before::Kind::proceed) return refusal(before, call);
            }
            return {};
        }
        Error refusal(const Before& before, AnyCall& call) {
            Error error = [&] {
                if constexpr (requires { policy.refusal(lane, call, before); }) {
                    return policy.refusal(lane, call, before);
                } else {
                    return Error::refusal(before.code, name_of(policy),
                                          before.delay < Duration{0} ? std::nullopt : std::optional{before.delay});
                }
            }();
            if (call.is_observed()) {
                call.emit({.kind = EventKind::permit_refused,
                           .policy = name_of(policy),
                           .code = error.code(),
                           .delay = error.retry_after()});
            }
            return error;
        }
    };

    // Everything on the way of a call that succeeds is inlined and returns its result in place, so that the compiler
    // sees one straight path through all policies; what happens otherwise is kept out of line, and takes the driver's
    // parts one by one, so that no address of a driver escapes and the path keeps it in registers.

    template <std::size_t I, class Outer>
    [[gnu::always_inline]] Result<T> enter(Outer& outer) {
        if constexpr (I == sizeof...(P)) {
            return attempt();
        } else {
            using Q = std::tuple_element_t<I, std::tuple<P...>>;
            Frame<Q, Outer> frame{std::get<I>(policies_), outer};
            const Before before = std::get<I>(policies_).before(frame.lane, call_);
            if (before.kind != Before::Kind::proceed) [[unlikely]] {
                return enter_late<I>(policies_, call_, function_, frame, before);
            }
            return pass<I>(frame);
        }
    }

    template <std::size_t I, class ThisFrame>
    [[gnu::noinline]] static Result<T> enter_late(const std::tuple<P...>& policies, AnyCall& call, F& function,
                                                  ThisFrame& frame, Before before) {
        if constexpr (requires { frame.policy.answer(frame.lane, call); }) {
            if (before.kind == Before::Kind::answer) return frame.policy.answer(frame.lane, call);
        }
        if (before.kind == Before::Kind::reject)
            return Result<T>{std::unexpect, InPlace{[&] { return frame.refusal(before, call); }}};
        BlockingDriver driver{policies, call, function};
        if (auto refused = driver.until_admitted(frame, before)) return fail(*std::move(refused));
        return driver.template pass<I>(frame);
    }

    template <std::size_t I, class ThisFrame>
    [[gnu::always_inline]] Result<T> pass(ThisFrame& frame) {
        Result<T> result = enter<I + 1>(frame);
        for (After after = std::get<I>(policies_).after(frame.lane, call_, result); after.again;) [[unlikely]]
            after = once_more<I>(policies_, call_, function_, frame, after.delay, result);
        return result;
    }

    template <std::size_t I, class ThisFrame>
    [[gnu::noinline]] static After once_more(const std::tuple<P...>& policies, AnyCall& call, F& function,
                                             ThisFrame& frame, Duration delay, Result<T>& result) {
        BlockingDriver driver{policies, call, function};
        if (const auto ended = driver.wait(delay)) {
            result = fail(stopped(*ended, result));
            return done;
        }
        call.attempt_began = Instant::max();
        result = driver.template enter<I + 1>(frame);
        return frame.policy.after(frame.lane, call, result);
    }

    /// Waits as often as the policy asks for; after each wait, everything outside is asked again.
    template <class ThisFrame>
    std::optional<Error> until_admitted(ThisFrame& frame, Before before) {
        while (before.kind == Before::Kind::wait) {
            if (call_.probing || call_.remaining() <= before.delay) return frame.refusal(before, call_);
            if (auto ended = wait(before.delay)) return ended;
            call_.emit({.kind = EventKind::limiter_waited, .policy = name_of(frame.policy), .delay = before.delay});
            if (auto refused = frame.outer.reask(call_)) return refused;
            before = frame.policy.before(frame.lane, call_);
        }
        if (before.kind == Before::Kind::proceed) return {};
        return frame.refusal(before, call_);
    }

    [[gnu::always_inline]] Result<T> attempt() {
        if (is_over()) [[unlikely]]
            return fail(why_over());
        ++call_.attempt;
        call_.attempt_began = call_.now.if_read();
        if (call_.is_observed()) [[unlikely]]
            return observed_attempt(policies_, call_, function_);
        return invoke();
    }

    [[gnu::noinline]] static Result<T> observed_attempt(const std::tuple<P...>& policies, AnyCall& call, F& function) {
        BlockingDriver driver{policies, call, function};
        const Instant began = call.attempt_began = call.now();
        call.emit({.kind = EventKind::attempt_started});
        Result<T> result = driver.invoke();
        const Duration took = call.attempt_took = call.now() - began;
        if (result) {
            call.emit({.kind = EventKind::attempt_ended, .took = took});
        } else {
            call.emit({.kind = EventKind::attempt_ended,
                       .code = result.error().code(),
                       .status = result.error().status(),
                       .took = took});
        }
        return result;
    }

    [[gnu::always_inline]] Result<T> invoke() {
        const Forget forget{call_};
        try {
            if constexpr (is_result<std::remove_cvref_t<decltype(detail::invoke_with(function_, call_))>>) {
                return detail::invoke_with(function_, call_);
            } else if constexpr (std::is_void_v<T>) {
                detail::invoke_with(function_, call_);
                return {};
            } else {
                return Result<T>{std::in_place, detail::invoke_with(function_, call_)};
            }
        } catch (...) {
            return fail(detail::error_in_flight());
        }
    }

    /// Time has passed when the callable returns.
    struct Forget {
        AnyCall& call;
        ~Forget() { call.now.forget(); }
    };

    bool is_over() noexcept { return call_.stop_requested() || call_.out_of_time(); }
    Error why_over() noexcept { return why_over(call_); }
    [[gnu::noinline]] static Error why_over(AnyCall& call) noexcept {
        return Error{call.stop_requested() ? Errc::cancelled : Errc::deadline_exceeded};
    }

    /// Waits; says why the call is over if it is.
    std::optional<Error> wait(Duration delay) {
        if (delay > Duration{0}) {
            const std::stop_token none;
            call_.now.clock().wait_until(call_.now() + delay, call_.stop != nullptr ? *call_.stop : none);
            call_.now.forget();
        }
        if (is_over()) return why_over();
        return {};
    }

    /// The last real error, cut short. A cancelled call is cancelled, whatever failed before.
    static Error stopped(const Error& by, const Result<T>& result) {
        if (result) return by;
        if (by.code() != Errc::cancelled) return std::move(Error{result.error()}.set_stopped_by(by.code()));
        return std::move(Error{Errc::cancelled, "the last error was: " + result.error().message()}
                             .set_attempts(result.error().attempts())
                             .set_sent(result.error().sent()));
    }

    const std::tuple<P...>& policies_;
    AnyCall& call_;
    F& function_;
};

}  // namespace breakwater
