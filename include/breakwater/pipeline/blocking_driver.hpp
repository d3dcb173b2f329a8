#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/callable.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/pipeline/queue_turn.hpp>
#include <breakwater/pipeline/reports.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater {

/// Runs a call through policies on the calling thread. All waiting of blocking calls is here.
template <class AnyCall, class T, class F, class... P>
class BlockingDriver {
public:
    BlockingDriver(const std::tuple<P...>& policies, AnyCall& call, F& function) noexcept
        : policies_{policies}, call_{call}, function_{function} {}

    [[gnu::always_inline]] Result<T> run() {
        Outside outside;
        Result<T> result = is_over() ? over() : enter<0>(outside);  // made in place
        if (!result) [[unlikely]]
            result.error().set_attempts(call_.attempt);
        return result;
    }

private:
    template <std::size_t I>
    using PolicyAt = std::tuple_element_t<I, std::tuple<P...>>;

    /// Stands for the error that `make()` gives, so that it is made where it is kept.
    template <class Make>
    struct InPlace {
        Make make;
        operator Error() && { return make(); }
    };
    template <class Make>
    InPlace(Make) -> InPlace<Make>;

    /// The end of the chain of frames.
    struct Outside {};
    /// One policy's passage, linked to the next one outside it that has to be asked again after a wait.
    template <std::size_t I, class Outer>
    struct Frame {
        Outer& outer;
        typename PolicyAt<I>::Lane lane{};
    };
    template <std::size_t I>
    struct Frame<I, Outside> {
        Outside outer;
        typename PolicyAt<I>::Lane lane{};
    };

    // Everything on the way of a call that succeeds at once is inlined and returns its result in place, so that the
    // compiler sees one straight path through all policies; what happens otherwise is kept out of line, and takes the
    // driver's parts one by one, so that no address of a driver escapes and the path keeps it in registers. `enter` and
    // `pass` are that path, `enter_late` and `pass_late` the same after anything else.

    template <std::size_t I, class Outer>
    [[gnu::always_inline]] Result<T> enter(Outer& outer) {
        if constexpr (I == sizeof...(P)) {
            return attempt();
        } else {
            Frame<I, Outer> frame{outer};
            if constexpr (requires { policy<I>().glance(frame.lane, call_); }) {
                if (!policy<I>().glance(frame.lane, call_)) [[unlikely]]
                    return ask(policies_, call_, function_, frame);
            } else {
                const Before before = policy<I>().before(frame.lane, call_);
                if (before.kind != Before::Kind::proceed) [[unlikely]]
                    return stopped_by(policies_, call_, function_, frame, before);
            }
            return pass(frame);
        }
    }
    template <std::size_t I, class Outer>
    [[gnu::noinline]] static Result<T> enter_late(const std::tuple<P...>& policies, AnyCall& call, F& function,
                                                  Outer& outer) {
        BlockingDriver driver{policies, call, function};
        if constexpr (I == sizeof...(P)) {
            return driver.attempt();
        } else {
            Frame<I, Outer> frame{outer};
            if constexpr (requires { driver.template policy<I>().glance(frame.lane, call); }) {
                if (driver.template policy<I>().glance(frame.lane, call)) return driver.pass_late(frame);
            }
            return ask(policies, call, function, frame);
        }
    }

    template <std::size_t I, class Outer>
    [[gnu::noinline]] static Result<T> ask(const std::tuple<P...>& policies, AnyCall& call, F& function,
                                           Frame<I, Outer>& frame) {
        const Before before = std::get<I>(policies).before(frame.lane, call);
        if (before.kind == Before::Kind::reject) [[likely]]
            return rejected(policies, call, frame, before);
        return stopped_by(policies, call, function, frame, before);
    }

    template <std::size_t I, class Outer>
    [[gnu::noinline]] static Result<T> stopped_by(const std::tuple<P...>& policies, AnyCall& call, F& function,
                                                  Frame<I, Outer>& frame, Before before) {
        BlockingDriver driver{policies, call, function};
        if (before.kind == Before::Kind::reject) return rejected(policies, call, frame, before);
        if (before.kind == Before::Kind::wait) {
            if (auto refused = driver.until_admitted(frame, before)) return fail(*std::move(refused));
        }
        if constexpr (requires { typename PolicyAt<I>::Waiter; }) {
            if (before.kind == Before::Kind::queue) {
                if (auto refused = driver.until_turn(frame, before)) return fail(*std::move(refused));
            }
        }
        if constexpr (requires { std::get<I>(policies).answer(frame.lane, call); }) {
            if (before.kind == Before::Kind::answer) return std::get<I>(policies).answer(frame.lane, call);
        }
        return driver.pass_late(frame);
    }

    template <std::size_t I, class Outer>
    Result<T> pass_late(Frame<I, Outer>& frame) {
        Result<T> result = enter_inner_late(frame);
        leave(frame, result);
        return result;
    }
    template <std::size_t I, class Outer>
    Result<T> enter_inner_late(Frame<I, Outer>& frame) {
        if constexpr (requires { policy<I>().reask(frame.lane, call_); })
            return enter_late<I + 1>(policies_, call_, function_, frame);
        else
            return enter_late<I + 1>(policies_, call_, function_, frame.outer);
    }

    template <std::size_t I, class Outer>
    [[gnu::always_inline]] Result<T> pass(Frame<I, Outer>& frame) {
        Result<T> result = enter_inner(frame);
        leave(frame, result);
        return result;
    }

    template <std::size_t I, class Outer>
    [[gnu::always_inline]] Result<T> enter_inner(Frame<I, Outer>& frame) {
        if constexpr (requires { policy<I>().reask(frame.lane, call_); })
            return enter<I + 1>(frame);
        else
            return enter<I + 1>(frame.outer);
    }

    /// The call has come back to the policy, which may say that it is made anew.
    template <std::size_t I, class Outer>
    [[gnu::always_inline]] void leave(Frame<I, Outer>& frame, Result<T>& result) {
        if constexpr (requires { policy<I>().glance_back(frame.lane, result); }) {
            if (!policy<I>().glance_back(frame.lane, result)) [[unlikely]]
                leave_late(policies_, call_, function_, frame, result);
        } else {
            if (const After after = policy<I>().after(frame.lane, call_, result); after.again) [[unlikely]]
                repeat(policies_, call_, function_, frame, result, after.delay);
        }
    }
    template <std::size_t I, class Outer>
    [[gnu::noinline]] static void leave_late(const std::tuple<P...>& policies, AnyCall& call, F& function,
                                             Frame<I, Outer>& frame, Result<T>& result) {
        const After after = std::get<I>(policies).after(frame.lane, call, result);
        if (after.again) repeat(policies, call, function, frame, result, after.delay);
    }

    template <std::size_t I, class Outer>
    [[gnu::noinline]] static void repeat(const std::tuple<P...>& policies, AnyCall& call, F& function,
                                         Frame<I, Outer>& frame, Result<T>& result, Duration delay) {
        BlockingDriver driver{policies, call, function};
        for (;;) {
            if (const auto ended = driver.wait(delay)) {
                result = fail(detail::cut_short(*ended, result));
                return;
            }
            call.attempt_began = Instant::max();
            result = driver.enter_inner_late(frame);
            if constexpr (requires { std::get<I>(policies).glance_back(frame.lane, result); }) {
                if (std::get<I>(policies).glance_back(frame.lane, result)) return;
            }
            const After after = std::get<I>(policies).after(frame.lane, call, result);
            if (!after.again) return;
            delay = after.delay;
        }
    }

    /// Waits as often as the policy asks for; after each wait, what was admitted outside is asked whether it still
    /// stands. Leaves in `before` what the policy said at last: proceed or answer.
    template <std::size_t I, class Outer>
    std::optional<Error> until_admitted(Frame<I, Outer>& frame, Before& before) {
        while (before.kind == Before::Kind::wait) {
            if (!call_.may_wait() || call_.remaining() <= before.delay) return refusal(frame, before);
            if (auto ended = wait(before.delay)) return ended;
            detail::report_wait(call_, policy<I>(), frame.lane, before.delay);
            if (auto refused = reask(frame.outer)) return refused;
            before = policy<I>().before(frame.lane, call_);
        }
        if (before.kind == Before::Kind::proceed || before.kind == Before::Kind::answer) return {};
        return refusal(frame, before);
    }

    /// Queues until it is this call's turn; then what was admitted outside is asked whether it still stands. A call
    /// that is handed its permit as its time ends has it. Leaves in `before` what the policy said: proceed or answer.
    template <std::size_t I, class Outer>
    std::optional<Error> until_turn(Frame<I, Outer>& frame, Before& before) {
        const Before refused = reject(before.code);
        if (!call_.may_wait()) return refusal(frame, refused);
        const Instant began = call_.now();
        {
            typename PolicyAt<I>::Waiter waiter;
            if (!policy<I>().enqueue(frame.lane, waiter)) return refusal(frame, refused);
            const QueueTurn turn{waiter, call_.stop_token()};
            call_.now.clock().wait_until(std::min(began + before.delay, call_.deadline), turn.token());
            call_.now.forget();
            before = policy<I>().settle(frame.lane, waiter);
        }
        if (before.kind == Before::Kind::answer) return {};
        if (before.kind == Before::Kind::reject) return is_over() ? detail::why_over(call_) : refusal(frame, before);
        if (call_.is_observed()) detail::report_wait(call_, policy<I>(), frame.lane, call_.now() - began);
        call_.now();  // so that the attempt's beginning is as well known as that of one that did not wait
        return reask(frame.outer);
    }

    /// Asks the policies from the outermost to this one.
    template <std::size_t I, class Outer>
    std::optional<Error> reask(Frame<I, Outer>& frame) {
        if (auto refused = reask(frame.outer)) return refused;
        const Before before = policy<I>().reask(frame.lane, call_);
        if (before.kind == Before::Kind::proceed) return {};
        return refusal(frame, before);
    }
    static std::optional<Error> reask(Outside&) noexcept { return {}; }

    template <std::size_t I, class Outer>
    static Result<T> rejected(const std::tuple<P...>& policies, AnyCall& call, Frame<I, Outer>& frame,
                              const Before& before) {
        return Result<T>{std::unexpect, InPlace{[&] { return refusal(policies, call, frame, before); }}};
    }

    template <std::size_t I, class Outer>
    static Error refusal(const std::tuple<P...>& policies, AnyCall& call, Frame<I, Outer>& frame,
                         const Before& before) {
        return detail::refusal_of(std::get<I>(policies), frame.lane, call, before);
    }
    template <class AnyFrame>
    Error refusal(AnyFrame& frame, const Before& before) {
        return refusal(policies_, call_, frame, before);
    }

    [[gnu::always_inline]] Result<T> attempt() {
        if (is_over()) [[unlikely]]
            return over();
        ++call_.attempt;
        call_.attempt_began = call_.now.if_read();
        if (call_.is_observed()) [[unlikely]]
            return observed_attempt(policies_, call_, function_);
        return invoke();
    }

    [[gnu::noinline]] static Result<T> observed_attempt(const std::tuple<P...>& policies, AnyCall& call, F& function) {
        BlockingDriver driver{policies, call, function};
        detail::report_beginning(call);
        Result<T> result = driver.invoke();
        detail::report_end(call, result);
        return result;
    }

    [[gnu::always_inline]] Result<T> invoke() {
        const Forget forget{call_};
        return detail::result_of<T>(function_, call_);
    }

    /// Time has passed when the callable returns.
    struct Forget {
        AnyCall& call;
        ~Forget() { call.now.forget(); }
    };

    [[gnu::always_inline]] bool is_over() noexcept { return call_.stop_requested() || call_.out_of_time(); }
    Result<T> over() noexcept { return fail(detail::why_over(call_)); }

    /// Waits; says why the call is over if it is.
    std::optional<Error> wait(Duration delay) {
        if (delay > Duration{0}) {
            const std::stop_token none;
            call_.now.clock().wait_until(call_.now() + delay, call_.stop != nullptr ? *call_.stop : none);
            call_.now.forget();
        }
        if (is_over()) return detail::why_over(call_);
        return {};
    }

    template <std::size_t I>
    const PolicyAt<I>& policy() const noexcept {
        return std::get<I>(policies_);
    }

    const std::tuple<P...>& policies_;
    AnyCall& call_;
    F& function_;
};

}  // namespace breakwater
