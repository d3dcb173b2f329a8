#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/frame_cache.hpp>

#include <coroutine>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

namespace breakwater::detail {

/// A coroutine that begins at once and that nobody awaits. Its first parameter is the context of what it awaits, by
/// value to own it or by reference to share it. An exception that leaves it ends the program.
class Detached {
public:
    class promise_type : public CachedFrame {
    public:
        explicit promise_type(const TaskContext& context, auto&...) noexcept : context_{&context} {}
        static Detached get_return_object() noexcept { return {}; }
        static std::suspend_never initial_suspend() noexcept { return {}; }
        static std::suspend_never final_suspend() noexcept { return {}; }
        static void return_void() noexcept {}
        [[noreturn]] static void unhandled_exception() noexcept { std::terminate(); }

        const TaskContext& context() const noexcept { return *context_; }
        void use(const TaskContext& context) noexcept { context_ = &context; }

    private:
        const TaskContext* context_;
    };
};

/// Where a task's value or exception is kept for another coroutine or thread.
template <class T>
class TaskOutcome {
public:
    using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

    /// Awaits the task and keeps what comes of it.
    template <class Arrive>
    static Detached fill(const TaskContext&, Task<T> task, TaskOutcome& own, Arrive arrive) {
        BREAKWATER_TRY {
            if constexpr (std::is_void_v<T>) {
                co_await task;
                own.outcome_.template emplace<1>();
            } else {
                own.outcome_.template emplace<1>(co_await task);
            }
        }
        BREAKWATER_CATCH_ALL { own.outcome_.template emplace<2>(std::current_exception()); }
        arrive();
    }

    Value take() {
        if (outcome_.index() == 2) std::rethrow_exception(std::get<2>(outcome_));
        return std::get<1>(std::move(outcome_));
    }

private:
    std::variant<std::monostate, Value, std::exception_ptr> outcome_;
};

}  // namespace breakwater::detail
