#pragma once

#include <breakwater/task.hpp>
#include <breakwater/task/detached.hpp>
#include <breakwater/task/when_all.hpp>

#include <atomic>
#include <cstddef>
#include <limits>
#include <stop_token>
#include <utility>
#include <vector>

namespace breakwater {

namespace detail {

template <class T>
Task<std::pair<std::size_t, typename TaskOutcome<T>::Value>> race(std::vector<Task<T>> tasks) {
    constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
    if (tasks.empty()) throw_error(Error{Errc::failure, "when_any needs a task"});
    const TaskContext* const outer = co_await ReadContext{};
    std::stop_source decided;
    const std::stop_callback relay{outer->stop, [&decided] { decided.request_stop(); }};
    const TaskContext context{decided.get_token(), outer->scheduler};
    std::vector<TaskOutcome<T>> outcomes(tasks.size());
    std::atomic<std::size_t> first{none};
    Join join{tasks.size()};
    auto begin = [&] {
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            TaskOutcome<T>::fill(context, std::move(tasks[i]), outcomes[i], [&, i] {
                std::size_t seen = none;
                if (first.compare_exchange_strong(seen, i)) decided.request_stop();
                join.arrive();
            });
        }
    };
    co_await join.after(begin);
    co_return std::pair<std::size_t, typename TaskOutcome<T>::Value>{first.load(), outcomes[first.load()].take()};
}

}  // namespace detail

/// Runs tasks side by side: gives the index and the value of the one that is over first, or throws its exception. The
/// others are asked to stop and awaited; what comes of them is dropped.
template <class T>
Task<std::pair<std::size_t, typename detail::TaskOutcome<T>::Value>> when_any(std::vector<Task<T>> tasks) {
    return detail::race<T>(std::move(tasks));
}
template <IsTask First, IsTask... Others>
    requires(std::same_as<typename First::Value, typename Others::Value> && ...)
auto when_any(First first, Others... others)
    -> detail::TaskLike<std::pair<std::size_t, typename detail::TaskOutcome<typename First::Value>::Value>, First,
                        Others...> {
    std::vector<Task<typename First::Value>> tasks;
    tasks.reserve(1 + sizeof...(others));
    tasks.push_back(std::move(first));
    (tasks.push_back(std::move(others)), ...);
    return detail::race<typename First::Value>(std::move(tasks));
}

}  // namespace breakwater
