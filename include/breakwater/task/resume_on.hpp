#pragma once

#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/task/context.hpp>

#include <coroutine>

namespace breakwater {

/// A pool or loop of the user's: anything with `post(f)`, which calls the copyable `f()` once, soon, on a thread of its
/// own.
template <class E>
concept Executor = requires(E& executor, void (*f)()) { executor.post(f); };

namespace detail {

/// `co_await` goes on where the executor says.
template <Executor E>
class ResumeOn {
public:
    explicit ResumeOn(E& executor) noexcept : executor_{executor} {}
    static bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> caller) {
        executor_.post([caller] { caller.resume(); });
    }
    static void await_resume() noexcept {}

private:
    E& executor_;
};

/// `co_await` goes on where the context's scheduler runs.
class ResumeOnScheduler final : Work {
public:
    static bool await_ready() noexcept { return false; }
    template <HasTaskContext P>
    bool await_suspend(std::coroutine_handle<P> caller) noexcept {
        Scheduler* const scheduler = caller.promise().context().scheduler;
        if (scheduler == nullptr || scheduler->is_here()) return false;
        caller_ = caller;
        scheduler->post(*this);
        return true;
    }
    static void await_resume() noexcept {}

private:
    void run() noexcept override { caller_.resume(); }

    std::coroutine_handle<> caller_;
};

}  // namespace detail

/// `co_await resume_on(pool)`: the coroutine goes on there. The executor outlives that.
template <Executor E>
detail::ResumeOn<E> resume_on(E& executor) noexcept {
    return detail::ResumeOn<E>{executor};
}

/// `co_await resume_on_scheduler()`: the task goes on on the thread of its context's scheduler; where it is if that is
/// there, or if the context names none.
inline detail::ResumeOnScheduler resume_on_scheduler() noexcept { return {}; }

}  // namespace breakwater
