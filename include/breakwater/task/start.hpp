#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/detached.hpp>
#include <breakwater/task/hand_on.hpp>
#include <breakwater/task/now_or_later.hpp>

#include <exception>
#include <future>
#include <semaphore>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace breakwater {

/// Runs a task and blocks the calling thread until it is over; gives its value or throws its exception. Not on the
/// thread that the task has to go on by: that would wait for itself.
template <class T>
T sync_wait(Task<T> task, const TaskContext& context = {}) {
    std::binary_semaphore over{0};
    detail::TaskOutcome<T> outcome;
    detail::TaskOutcome<T>::fill(context, std::move(task), outcome, [&over] { over.release(); });
    over.acquire();
    if constexpr (std::is_void_v<T>)
        (void)outcome.take();
    else
        return outcome.take();
}

/// Runs a task on the calling thread, which waits where the task sleeps, so that it is over when this returns; gives
/// its value or throws its exception. For tasks that wait for nothing but sleeps (which a stop request may end).
template <class T>
T run_here(Task<T> task) {
    TaskContext context;
    context.blocks = true;
    return sync_wait(std::move(task), context);
}

/// The value; the calling thread waits for it if it comes later.
template <class T>
T run_here(NowOrLater<T> either) {
    if (T* const value = either.value()) return std::move(*value);
    return run_here(std::move(either).task());
}

namespace detail {

template <class T, class F>
Detached call_back(TaskContext, Task<T> task, F on_done) {
    if constexpr (std::is_void_v<T>) {
        co_await task;
        on_done();
    } else {
        HandOn handing{[&] { return task.operator co_await(); }, [&](T&& value) { on_done(std::move(value)); }};
        co_await handing;
    }
}

template <class T>
Detached fulfil(TaskContext, Task<T> task, std::promise<T> promise) {
    BREAKWATER_TRY {
        if constexpr (std::is_void_v<T>) {
            co_await task;
            promise.set_value();
        } else {
            promise.set_value(co_await task);
        }
    }
    BREAKWATER_CATCH_ALL { promise.set_exception(std::current_exception()); }
}

}  // namespace detail

/// Begins a task now, on the calling thread, and calls `on_done(value)` where it ends. Neither the task (tasks of
/// `Result`s do not) nor `on_done` may throw: that ends the program.
template <class T, class F>
void start(Task<T> task, F on_done, TaskContext context = {}) {
    detail::call_back(std::move(context), std::move(task), std::move(on_done));
}

/// Begins a task now, on the calling thread; the future has its value or exception. The task goes on if the future
/// goes.
template <class T>
std::future<T> as_future(Task<T> task, TaskContext context = {}) {
    std::promise<T> promise;
    auto future = promise.get_future();
    detail::fulfil(std::move(context), std::move(task), std::move(promise));
    return future;
}

}  // namespace breakwater
