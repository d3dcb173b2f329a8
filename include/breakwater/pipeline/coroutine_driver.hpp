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
/// - `stop() → std::stop_token`: the caller's own; the task's context has another one;
/// - `scheduler()`: a pointer to what the call goes by where the context names none, or null;
/// - `begin(const std::stop_token*) → call`: a reference to the `Call`, made in place, which heeds the token if it is
///   not null;
/// - `policies()`: a reference to the tuple of them;
/// - `attempt(call)`: makes one; gives a `T`, nothing or a `Result<T>`, or a task of that, or throws;
/// - `end(call, result)`: the last word.
///
/// Under a `Hedge` the call is copied for each attempt, and `attempt` called again while one is under way.
template <class Flight>
class CoroutineDriver {
    using T = typename Flight::Value;
    using AnyCall = std::remove_cvref_t<decltype(std::declval<Flight&>().begin(nullptr))>;
    using Attempt = std::remove_cvref_t<decltype(std::declval<Flight&>().attempt(std::declval<AnyCall&>()))>;

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
        const TaskContext& context = *(co_await detail::ReadContext{});
        const detail::EitherStop stop{flight.stop(), context.stop};
        AnyCall& call = flight.begin(stop.token().stop_possible() ? &stop.token() : nullptr);
        const std::stop_token none;
        Scheduler* const scheduler = context.scheduler != nullptr ? context.scheduler : flight.scheduler();
        std::optional<TaskContext> own;  // what is awaited here goes by, if not by the task's context
        if (scheduler != context.scheduler) co_await detail::UseContext{own.emplace(stop.token(), scheduler)};
        Path passage{flight.policies(), call};

        for (Next next = passage.begin(); next != Next::over;) {
            const std::stop_token& token = call.stop != nullptr ? *call.stop : none;
            switch (next) {
                case Next::attempt:
                    if (token != (own ? *own : context).stop) [[unlikely]]
                        co_await detail::UseContext{own.emplace(token, scheduler)};
                    BREAKWATER_TRY {
                        if constexpr (IsTask<Attempt>) {
                            Attempt attempt = flight.attempt(call);
                            if constexpr (std::is_void_v<typename Attempt::Value>) {
                                co_await attempt;
                                passage.result().emplace();
                            } else {
                                passage.result().emplace(co_await attempt);
                            }
                        } else if constexpr (std::is_void_v<Attempt>) {
                            flight.attempt(call);
                            passage.result().emplace();
                        } else {
                            passage.result().emplace(flight.attempt(call));
                        }
                    }
                    BREAKWATER_CATCH_ALL { passage.result().emplace(fail(detail::error_in_flight())); }
                    next = passage.attempted();
                    break;
                case Next::race:
                    if constexpr (requires { passage.raced(); }) {
                        using Race = HedgeRace<Flight, std::remove_cvref_t<decltype(passage.hedge())>,
                                               PassageOf<Policies>::hedge + 1>;
                        auto race = Race::run(flight, call, passage.hedge(), scheduler);
                        passage.result().emplace(co_await race);
                        call.now.forget();
                        next = passage.raced();
                    }
                    break;
                case Next::wait:
                case Next::queue: {
                    std::optional<QueueTurn> turn;
                    if (next == Next::queue) passage.with_waiter([&](auto& waiter) { turn.emplace(waiter, token); });
                    auto sleep = sleep_until(call.now.clock(), passage.wake_at(), turn ? turn->token() : token);
                    co_await sleep;
                    next = next == Next::queue ? passage.queued() : passage.waited();
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
        flight.end(call, *passage.result());
        co_return *std::move(passage.result());
    }
};

}  // namespace breakwater
