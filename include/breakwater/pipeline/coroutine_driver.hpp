#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/detail/stop_link.hpp>
#include <breakwater/pipeline/callable.hpp>
#include <breakwater/pipeline/hedge_race.hpp>
#include <breakwater/pipeline/hedged_passage.hpp>
#include <breakwater/pipeline/passage.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/pipeline/queue_turn.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/context.hpp>
#include <breakwater/task/resume_on.hpp>
#include <breakwater/task/sleep.hpp>

#include <cstddef>
#include <optional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace breakwater {

/// Runs a call through policies as a task: one coroutine, whatever the number of policies. All waiting of asynchronous
/// calls is here; no thread waits.
///
/// A `Flight` owns what the call needs as long as it takes:
/// - `Value`: the `T` of the `Result<T>`;
/// - `stop(std::stop_token) → EitherStop`: that of the task, which it is given, and the caller's own;
/// - `scheduler()`: a pointer to what the call goes by where the context names none, or null;
/// - `begin(const std::stop_token*) → call`: a reference to the `Call`, made in place, which heeds the token if it is
///   not null;
/// - `policies()`: a reference to the tuple of them;
/// - `attempt(call)`: makes one; gives a `T`, nothing or a `Result<T>`, or a task of that, or throws; or, in its place,
///   `attempt_in_steps(call, room)`: what makes one without a coroutine of its own. As long as it `sends()`, what
///   `send()` gives is awaited, then the task `ask()` if it `asks()`; `finish()` has the result in the room;
/// - `end(call, result)`: the last word.
///
/// Under a `Hedge` the call is copied for each attempt, and `attempt` called again while one is under way.
template <class Flight>
class CoroutineDriver {
    using T = typename Flight::Value;
    using AnyCall = std::remove_cvref_t<decltype(std::declval<Flight&>().begin(nullptr))>;
    /// Of a flight that begins further in.
    static constexpr std::size_t first_policy = [] {
        if constexpr (requires { Flight::first_policy; })
            return Flight::first_policy;
        else
            return std::size_t{0};
    }();
    template <class Tuple>
    struct PassageOf;
    template <class... P>
    struct PassageOf<std::tuple<P...>> {
        using type = typename detail::PassageThrough<AnyCall, T, first_policy, P...>::type;
        static constexpr std::size_t hedge = detail::hedge_from<first_policy, P...>();
    };
    using Policies = std::remove_cvref_t<decltype(std::declval<Flight&>().policies())>;
    using Path = typename PassageOf<Policies>::type;
    using Next = typename Path::Next;

public:
    static Task<Result<T>> run(Flight flight) {
        // What is alive while an attempt waits for its answer is what a call in flight costs.
        auto& self = co_await detail::OwnPromise<Result<T>>{};
        const detail::EitherStop stop = flight.stop(self.context().stop);
        AnyCall& call = flight.begin(stop.token().stop_possible() ? &stop.token() : nullptr);
        std::optional<TaskContext> own;  // what is awaited here goes by, if not by the task's context
        if (self.context().scheduler == nullptr)
            if (Scheduler* const scheduler = flight.scheduler()) self.use(own.emplace(stop.token(), scheduler));
        Path passage{flight.policies(), call, self.room()};

        for (Next next = passage.begin(); next != Next::over;) {
            switch (next) {
                case Next::attempt:
                    heed_stop_of(call, self, own);
                    BREAKWATER_TRY {
                        if constexpr (requires { flight.attempt_in_steps(call, self.room()); }) {
                            auto attempt = flight.attempt_in_steps(call, self.room());
                            while (attempt.sends()) {
                                auto sending = attempt.send();
                                co_await sending;
                                co_await resume_on_scheduler();  // of the transport, unless the caller has another
                                if (!attempt.asks()) continue;
                                Task<> asking = attempt.ask();
                                co_await asking;
                            }
                            attempt.finish();
                        } else if constexpr (using Made = decltype(flight.attempt(call)); IsTask<Made>) {
                            Made attempt = flight.attempt(call);
                            if constexpr (std::is_void_v<typename Made::Value>) {
                                co_await attempt;
                                self.room().emplace();
                            } else {
                                self.room().emplace(co_await attempt);
                            }
                        } else if constexpr (std::is_void_v<Made>) {
                            flight.attempt(call);
                            self.room().emplace();
                        } else {
                            self.room().emplace(flight.attempt(call));
                        }
                    }
                    BREAKWATER_CATCH_ALL { self.room().emplace(fail(detail::error_in_flight())); }
                    next = passage.attempted();
                    break;
                case Next::race:
                case Next::wait:
                case Next::queue: {
                    Task<> other = wait_otherwise(flight, passage, call, next);
                    co_await other;
                    next = after_wait(passage, call, next);
                    break;
                }
                case Next::ask:
                    if constexpr (Path::asks) {
                        auto& question = *passage.question();
                        if (auto* const asked = std::get_if<Task<typename Path::Answers>>(&question)) {
                            const auto answers = co_await *asked;
                            next = passage.answered(answers);
                        } else {
                            const After after = co_await std::get<Task<After>>(question);
                            next = passage.answered(after);
                        }
                    }
                    break;
                case Next::over: break;
            }
        }
        flight.end(call, *self.room());
        co_return detail::in_its_room;
    }

private:
    /// What is awaited from here on is stopped when the attempt is.
    static void heed_stop_of(const AnyCall& call, auto& self, std::optional<TaskContext>& own) {
        const std::stop_token& heeded = self.context().stop;
        if (call.stop != nullptr ? *call.stop != heeded : heeded.stop_possible()) [[unlikely]]
            self.use(own.emplace(call.stop_token(), self.context().scheduler));
    }

    // What is awaited beside an answer, by tasks of their own: g++ sets room aside for it all, side by side.

    static Task<> wait_otherwise(Flight& flight, Path& passage, AnyCall& call, Next why) {
        if constexpr (requires { passage.raced(); }) {
            using Race =
                HedgeRace<Flight, std::remove_cvref_t<decltype(passage.hedge())>, PassageOf<Policies>::hedge + 1>;
            if (why == Next::race) return Race::run(flight, call, passage.hedge(), passage.result());
        }
        return sleep_in(passage, call, why);
    }
    static Task<> sleep_in(Path& passage, AnyCall& call, Next why) {
        std::optional<QueueTurn> turn;
        std::stop_token stop = call.stop_token();
        if (why == Next::queue) passage.with_waiter([&](auto& waiter) { stop = turn.emplace(waiter, stop).token(); });
        auto sleep = sleep_until(call.now.clock(), passage.wake_at(), stop);
        co_await sleep;
    }
    static Next after_wait(Path& passage, AnyCall& call, Next why) {
        if constexpr (requires { passage.raced(); }) {
            if (why == Next::race) {
                call.now.forget();
                return passage.raced();
            }
        }
        return why == Next::queue ? passage.queued() : passage.waited();
    }
};

}  // namespace breakwater
