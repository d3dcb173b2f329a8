#pragma once

#include <breakwater/task.hpp>
#include <breakwater/task/detached.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater {

namespace detail {

/// A coroutine waits here until a number of others have arrived.
class Join {
public:
    explicit Join(std::size_t others) noexcept : left_{others + 1} {}

    void arrive() noexcept {
        if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) waiting_.resume();
    }

    /// `co_await join.after(begin)`: begins the others, and goes on when all have arrived.
    template <class F>
    class After {
    public:
        After(Join& join, F& begin) noexcept : join_{join}, begin_{begin} {}
        static bool await_ready() noexcept { return false; }
        bool await_suspend(std::coroutine_handle<> waiting) {
            join_.waiting_ = waiting;
            begin_();
            return join_.left_.fetch_sub(1, std::memory_order_acq_rel) != 1;
        }
        static void await_resume() noexcept {}

    private:
        Join& join_;
        F& begin_;
    };
    template <class F>
    After<F> after(F& begin) noexcept {
        return After<F>{*this, begin};
    }

private:
    std::atomic<std::size_t> left_;
    std::coroutine_handle<> waiting_;
};

template <class... T>
Task<std::tuple<typename TaskOutcome<T>::Value...>> join_all(Task<T>... tasks) {
    const TaskContext* const context = co_await ReadContext{};
    std::tuple<TaskOutcome<T>...> outcomes;
    Join join{sizeof...(T)};
    auto arrive = [&join] { join.arrive(); };
    auto begin = [&] {
        std::apply([&](auto&... own) { (TaskOutcome<T>::fill(*context, std::move(tasks), own, arrive), ...); },
                   outcomes);
    };
    co_await join.after(begin);
    co_return std::apply([](auto&... own) { return std::tuple{own.take()...}; }, outcomes);
}

template <class T>
Task<std::vector<typename TaskOutcome<T>::Value>> join_each(std::vector<Task<T>> tasks) {
    const TaskContext* const context = co_await ReadContext{};
    std::vector<TaskOutcome<T>> outcomes(tasks.size());
    Join join{tasks.size()};
    auto arrive = [&join] { join.arrive(); };
    auto begin = [&] {
        for (std::size_t i = 0; i < tasks.size(); ++i)
            TaskOutcome<T>::fill(*context, std::move(tasks[i]), outcomes[i], arrive);
    };
    co_await join.after(begin);
    std::vector<typename TaskOutcome<T>::Value> values;
    values.reserve(outcomes.size());
    for (TaskOutcome<T>& own : outcomes) values.push_back(own.take());
    co_return values;
}

/// A `NamedTask` if one of several tasks is.
template <class T, class... Tasks>
using TaskLike = std::conditional_t<(std::is_same_v<Tasks, Task<typename Tasks::Value>> && ...), Task<T>, NamedTask<T>>;

}  // namespace detail

/// Runs tasks side by side and gives the tuple of their values (`std::monostate` for nothing) when all are over. If
/// some throw, the first of them in order does. They begin in order, on the awaiting thread.
///
///     auto [profile, place] = co_await bw::when_all(client.async_get("/profile"), client.async_get("/place"));
template <class... Tasks>
    requires(IsTask<Tasks> && ...)
auto when_all(Tasks... tasks)
    -> detail::TaskLike<std::tuple<typename detail::TaskOutcome<typename Tasks::Value>::Value...>, Tasks...> {
    return detail::join_all<typename Tasks::Value...>(std::move(tasks)...);
}

/// The same for any number of tasks of one type: a vector of their values.
template <class T>
Task<std::vector<typename detail::TaskOutcome<T>::Value>> when_all(std::vector<Task<T>> tasks) {
    return detail::join_each<T>(std::move(tasks));
}

}  // namespace breakwater
