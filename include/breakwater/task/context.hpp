#pragma once

#include <breakwater/event_loop/scheduler.hpp>

#include <concepts>
#include <coroutine>
#include <stop_token>

namespace breakwater {

class Round;

/// What a task and all that it awaits go by. Whoever starts a task gives it; tasks hand it on inwards by reference.
class TaskContext {
public:
    TaskContext() = default;
    TaskContext(std::stop_token stop_requests, Scheduler* timers = nullptr) noexcept
        : stop{std::move(stop_requests)}, scheduler{timers} {}

    std::stop_token stop{};          ///< Asks the task to end soon.
    Scheduler* scheduler = nullptr;  ///< Whose timers and thread it goes on by; null: the process's event loop.
    bool blocks = false;             ///< Sleeping in the task blocks its thread instead: see `run_here`.
    Round* round = nullptr;          ///< What the task asks a store joins this, while it is open.
};

/// The promise of a coroutine that has a context.
template <class P>
concept HasTaskContext = requires(P& promise, const TaskContext& context) {
    { promise.context() } -> std::same_as<const TaskContext&>;
    promise.use(context);
};

namespace detail {

/// `co_await` reads the awaiting coroutine's context; null if that is no task.
class ReadContext {
public:
    static bool await_ready() noexcept { return false; }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> caller) noexcept {
        if constexpr (HasTaskContext<P>) context_ = &caller.promise().context();
        return false;
    }
    const TaskContext* await_resume() const noexcept { return context_; }

private:
    const TaskContext* context_ = nullptr;
};

/// `co_await` gives the stop token of the awaiting coroutine's context; one that never stops if that is no task.
class ReadStopToken {
public:
    static bool await_ready() noexcept { return false; }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> caller) {
        if constexpr (HasTaskContext<P>) stop_ = caller.promise().context().stop;
        return false;
    }
    std::stop_token await_resume() noexcept { return std::move(stop_); }

private:
    std::stop_token stop_;
};

/// `co_await` gives the round of the awaiting coroutine's context, or null.
class ReadRound {
public:
    static bool await_ready() noexcept { return false; }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> caller) noexcept {
        if constexpr (HasTaskContext<P>) round_ = caller.promise().context().round;
        return false;
    }
    Round* await_resume() const noexcept { return round_; }

private:
    Round* round_ = nullptr;
};

}  // namespace detail

/// `co_await current_stop_token()`: what asks the task around it to end.
inline detail::ReadStopToken current_stop_token() noexcept { return {}; }

/// `co_await current_round()`: what its questions to a store may join; null if they may not.
inline detail::ReadRound current_round() noexcept { return {}; }

}  // namespace breakwater
