#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/pipeline/blocking_driver.hpp>
#include <breakwater/pipeline/callable.hpp>
#include <breakwater/pipeline/passage.hpp>
#include <breakwater/pipeline/queue_turn.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/start.hpp>

#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace breakwater {

/// Runs a call on the calling thread through policies some of which may have to ask their store: those that do so at
/// the same time ask it once (see `Round`), as in the coroutine driver.
template <class AnyCall, class T, class F, class... P>
class AskingDriver {
    using Path = Passage<AnyCall, T, 0, sizeof...(P), P...>;

public:
    AskingDriver(const std::tuple<P...>& policies, AnyCall& call, F& function) noexcept
        : passage_{policies, call, result_}, call_{call}, function_{function} {}

    [[gnu::always_inline]] Result<T> run() {
        Next next = passage_.begin();
        if (next == Next::attempt) [[likely]]
            next = attempt();
        if (next != Next::over) [[unlikely]]
            go_on(next);
        return std::move(*result_);
    }

private:
    using Next = typename Path::Next;

    [[gnu::always_inline]] Next attempt() {
        result_.emplace(detail::result_of<T>(function_, call_));
        return passage_.attempted();
    }
    /// To the end, however long the way is.
    [[gnu::noinline]] void go_on(Next next) {
        while (next != Next::over) {
            switch (next) {
                case Next::attempt: next = attempt(); break;
                case Next::wait:
                    wait(stop());
                    next = passage_.waited();
                    break;
                case Next::queue:
                    passage_.with_waiter([&](auto& waiter) { wait(QueueTurn{waiter, stop()}.token()); });
                    next = passage_.queued();
                    break;
                case Next::ask: next = ask(); break;
                case Next::race:  // no callable that blocks is raced
                case Next::over: break;
            }
        }
    }
    std::stop_token stop() const { return call_.stop != nullptr ? *call_.stop : std::stop_token{}; }
    void wait(const std::stop_token& until) { call_.now.clock().wait_until(passage_.wake_at(), until); }
    Next ask() {
        auto& question = *passage_.question();
        if (auto* const asked = std::get_if<Task<typename Path::Answers>>(&question))
            return passage_.answered(run_here(std::move(*asked)));
        return passage_.answered(run_here(std::get<Task<After>>(std::move(question))));
    }

    detail::TaskRoom<Result<T>> result_;
    Path passage_;
    AnyCall& call_;
    F& function_;
};

/// What runs a call on the calling thread through these policies.
template <class AnyCall, class T, class F, class... P>
using DriverHere = std::conditional_t<Passage<AnyCall, T, 0, sizeof...(P), P...>::asks,
                                      AskingDriver<AnyCall, T, F, P...>, BlockingDriver<AnyCall, T, F, P...>>;

}  // namespace breakwater
