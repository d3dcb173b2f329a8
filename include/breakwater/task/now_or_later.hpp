#pragma once

#include <breakwater/task.hpp>
#include <breakwater/task/round.hpp>

#include <mutex>
#include <type_traits>
#include <utility>
#include <variant>

namespace breakwater {

/// A value, or a task that gives it: what may have to be waited for and mostly need not be.
template <class T>
class [[nodiscard]] NowOrLater {
public:
    NowOrLater(T value) : either_{std::move(value)} {}
    NowOrLater(Task<T> task) : either_{std::move(task)} {}

    /// The value, or null if it comes later.
    T* value() noexcept { return std::get_if<T>(&either_); }
    /// If it comes later.
    Task<T>&& task() && { return std::get<Task<T>>(std::move(either_)); }

private:
    std::variant<T, Task<T>> either_;
};

namespace detail {

template <class T>
Task<T> already(T value) {
    co_return std::move(value);
}
template <class T, class F>
Task<std::invoke_result_t<F&, T>> use_later(Task<T> task, F use) {
    Round* const round = co_await current_round();
    T value = co_await task;
    std::unique_lock<std::mutex> lock;
    if (round != nullptr) lock = std::unique_lock{round->mutex()};
    co_return use(std::move(value));
}

}  // namespace detail

/// What `use(value)` gives, now or later. In a round no two are used at the same time.
template <class T, class F>
[[gnu::always_inline]] inline NowOrLater<std::invoke_result_t<F&, T>> then(NowOrLater<T> first, F use) {
    if (T* const value = first.value()) return use(std::move(*value));
    return detail::use_later(std::move(first).task(), std::move(use));
}

/// A task that gives it in any case.
template <class T>
Task<T> later(NowOrLater<T> either) {
    if (T* const value = either.value()) return detail::already(std::move(*value));
    return std::move(either).task();
}

}  // namespace breakwater
