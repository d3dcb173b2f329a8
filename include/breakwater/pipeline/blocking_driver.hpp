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

    Result<T> run() {
        Outside outside;
        return ended(is_over() ? over() : enter<0>(outside));
    }

    /// Goes on with a call that has been let through at a glance by the policies before `I`, as `noted`, and not by
    /// that one.
    template <std::size_t I, class Noted>
    Result<T> go_on(const Noted& noted) {
        Outside outside;
        return ended(through<0, I>(outside, noted, [this]<class Outer>(Outer& outer) {
            Frame<I, Outer> frame{outer};
            return this->ask(frame);
        }));
    }
    /// Goes on after such a call's attempt, of which `result` has come. The policies from `I` on are done with it.
    template <std::size_t I, class Noted>
    Result<T> come_back(const Noted& noted, Result<T>&& result) {
        Outside outside;
        return ended(through<0, I>(outside, noted, [&](auto&) { return std::move(result); }));
    }

private:
    template <std::size_t I>
    using PolicyAt = std::tuple_element_t<I, std::tuple<P...>>;

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

    /// The call goes through the policies from `I` to the one before `End` as `noted` there; `inside` is what it does
    /// then.
    template <std::size_t I, std::size_t End, class Outer, class Noted, class Inside>
    Result<T> through(Outer& outer, const Noted& noted, const Inside& inside) {
        if constexpr (I == End) {
            return inside(outer);
        } else {
            Frame<I, Outer> frame{outer};
            static_cast<typename PolicyAt<I>::Glimpse&>(frame.lane) = std::get<I>(noted);
            Result<T> result = through<I + 1, End>(inner_end(frame), noted, inside);
            leave(frame, result);
            return result;
        }
    }

    /// The call comes to policy `I`.
    template <std::size_t I, class Outer>
    Result<T> enter(Outer& outer) {
        if constexpr (I == sizeof...(P)) {
            return attempt();
        } else {
            Frame<I, Outer> frame{outer};
            if constexpr (requires { policy<I>().glance(frame.lane, call_); }) {
                if (policy<I>().glance(frame.lane, call_)) return pass(frame);
            }
            return ask(frame);
        }
    }
    template <std::size_t I, class Outer>
    Result<T> ask(Frame<I, Outer>& frame) {
        Before before = policy<I>().before(frame.lane, call_);
        if (before.kind == Before::Kind::reject) return fail(refusal(frame, before));
        if (before.kind == Before::Kind::wait) {
            if (auto refused = until_admitted(frame, before)) return fail(*std::move(refused));
        }
        if constexpr (requires { typename PolicyAt<I>::Waiter; }) {
            if (before.kind == Before::Kind::queue) {
                if (auto refused = until_turn(frame, before)) return fail(*std::move(refused));
            }
        }
        if constexpr (requires { policy<I>().answer(frame.lane, call_); }) {
            if (before.kind == Before::Kind::answer) return policy<I>().answer(frame.lane, call_);
        }
        return pass(frame);
    }
    template <std::size_t I, class Outer>
    Result<T> pass(Frame<I, Outer>& frame) {
        Result<T> result = enter<I + 1>(inner_end(frame));
        leave(frame, result);
        return result;
    }
    /// The end of the chain for the policies inside: without those that are not asked again after a wait.
    template <std::size_t I, class Outer>
    auto& inner_end(Frame<I, Outer>& frame) {
        if constexpr (requires { policy<I>().reask(frame.lane, call_); })
            return frame;
        else
            return frame.outer;
    }

    /// The call has come back to the policy, which may say that it is made anew.
    template <std::size_t I, class Outer>
    void leave(Frame<I, Outer>& frame, Result<T>& result) {
        for (;;) {
            if constexpr (requires { policy<I>().glance_back(frame.lane, result); }) {
                if (policy<I>().glance_back(frame.lane, result)) return;
            }
            const After after = policy<I>().after(frame.lane, call_, result);
            if (!after.again) return;
            if (const auto ended = wait(after.delay)) {
                result = fail(detail::cut_short(*ended, result));
                return;
            }
            call_.attempt_began = Instant::max();
            result = enter<I + 1>(inner_end(frame));
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
    Error refusal(Frame<I, Outer>& frame, const Before& before) {
        return detail::refusal_of(policy<I>(), frame.lane, call_, before);
    }

    Result<T> attempt() {
        if (is_over()) return over();
        ++call_.attempt;
        call_.attempt_began = call_.now.if_read();
        if (call_.is_observed()) detail::report_beginning(call_);
        Result<T> result = invoke();
        if (call_.is_observed()) detail::report_end(call_, result);
        return result;
    }
    Result<T> invoke() {
        const Forget forget{call_};
        return detail::result_of<T>(function_, call_);
    }

    /// Time has passed when the callable returns.
    struct Forget {
        AnyCall& call;
        ~Forget() { call.now.forget(); }
    };

    Result<T> ended(Result<T> result) {
        if (!result) result.error().set_attempts(call_.attempt);
        return result;
    }

    bool is_over() noexcept { return call_.stop_requested() || call_.out_of_time(); }
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
