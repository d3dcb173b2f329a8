#pragma once

#include <breakwater/detail/rare.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task/context.hpp>
#include <breakwater/task/frame_cache.hpp>

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>

namespace breakwater {

template <class T>
class Task;

namespace detail {

/// What all tasks' promises have in common: who goes on when the task is over, and what it goes by.
class TaskPromiseBase : public CachedFrame {
public:
    class AtEnd {
    public:
        static bool await_ready() noexcept { return false; }
        template <class P>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<P> task) const noexcept {
            return task.promise().finish(task);
        }
        static void await_resume() noexcept {}
    };

    static std::suspend_always initial_suspend() noexcept { return {}; }
    static AtEnd final_suspend() noexcept { return {}; }

    const TaskContext& context() const noexcept { return *context_; }
    void use(const TaskContext& context) noexcept { context_ = &context; }

    /// The awaiting coroutine goes on when this task is over.
    template <class P>
    void be_awaited_by(std::coroutine_handle<P> caller) {
        if (state_.load(std::memory_order_relaxed) != State::lazy)
            throw_error(Error{Errc::failure, "a task was awaited twice"});
        continuation_ = caller;
        if constexpr (HasTaskContext<P>) {
            context_ = &caller.promise().context();
        } else {
            // Not a task, so it may be destroyed while this one is under way.
            own_ = std::make_unique<Own>();
            context_ = &own_->context;
        }
    }

    /// Runs the task until it suspends for the first time or is over; true if the caller has to wait for it.
    ///
    /// A task that is over at once comes back here and not to its caller, which would be one frame deeper with each:
    /// g++ makes a call, not a jump, from one coroutine to the next unless it optimizes.
    bool start(std::coroutine_handle<> self) {
        starter_ = std::this_thread::get_id();
        state_.store(State::starting, std::memory_order_relaxed);
        self.resume();
        if (state_.load(std::memory_order_relaxed) == State::over) return false;  // as `finish` has said on this thread
        State seen = State::starting;
        return state_.compare_exchange_strong(seen, State::awaited, std::memory_order_acq_rel);
    }
    /// The same where a jump is one: the caller waits in any case.
    void start_by_jump() noexcept { state_.store(State::awaited, std::memory_order_relaxed); }

    /// The task's owner goes. One that is under way is asked to stop and goes on by itself.
    void abandon(std::coroutine_handle<> self) noexcept {
        const State seen = state_.load(std::memory_order_acquire);
        if (seen == State::lazy || seen == State::over) return self.destroy();
        std::stop_source stop{std::nostopstate};
        if (own_) stop = own_->stop;
        if (state_.exchange(State::abandoned, std::memory_order_acq_rel) == State::over) return self.destroy();
        stop.request_stop();
    }

private:
    enum class State : std::uint8_t { lazy, starting, awaited, over, abandoned };
    struct Own {
        std::stop_source stop;
        TaskContext context{stop.get_token()};
    };

    std::coroutine_handle<> finish(std::coroutine_handle<> self) noexcept {
        // What the task waited for came before its starter was done suspending it. The starter is about to be, and must
        // not go on in place of this thread.
        while (state_.load(std::memory_order_acquire) == State::starting) {
            if (starter_ == std::this_thread::get_id()) {  // over at once: `start` goes on
                state_.store(State::over, std::memory_order_relaxed);
                return std::noop_coroutine();
            }
            std::this_thread::yield();
        }
        switch (state_.exchange(State::over, std::memory_order_acq_rel)) {
            case State::awaited: return continuation_;
            case State::abandoned: self.destroy(); break;
            default: break;
        }
        return std::noop_coroutine();
    }

    std::coroutine_handle<> continuation_;
    const TaskContext* context_ = nullptr;
    std::unique_ptr<Own> own_;
    std::thread::id starter_;
    std::atomic<State> state_{State::lazy};
};

template <class T>
class TaskPromise;

/// Where a task's value is until it is fetched. For a large one, such as an answer, room is made when it is there, and
/// not for as long as the task takes.
template <class T>
using TaskRoom = std::conditional_t<(sizeof(T) > 128), Rare<T>, std::optional<T>>;

/// `co_await OwnPromise<T>{}`: the promise of the task itself, a `Task<T>`. Puts its value into the `room()` before it
/// is over, so that this need not lie anywhere else, and says `co_return in_its_room`; changes the context that it
/// hands on.
template <class T>
class OwnPromise {
public:
    static bool await_ready() noexcept { return false; }
    bool await_suspend(std::coroutine_handle<TaskPromise<T>> task) noexcept {
        promise_ = &task.promise();
        return false;
    }
    TaskPromise<T>& await_resume() const noexcept { return *promise_; }

private:
    TaskPromise<T>* promise_ = nullptr;
};
struct InItsRoom {};
inline constexpr InItsRoom in_its_room{};

template <class T>
class TaskPromise : public TaskPromiseBase {
public:
    Task<T> get_return_object() noexcept;
    void unhandled_exception() noexcept { thrown_ = std::current_exception(); }
    template <class U = T>
        requires std::convertible_to<U, T>
    void return_value(U&& value) {
        room_.emplace(std::forward<U>(value));
    }
    static void return_value(InItsRoom) noexcept {}
    TaskRoom<T>& room() noexcept { return room_; }
    T take() {
        if (thrown_) std::rethrow_exception(thrown_);
        return std::move(*room_);
    }

private:
    TaskRoom<T> room_;
    std::exception_ptr thrown_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
public:
    Task<void> get_return_object() noexcept;
    void unhandled_exception() noexcept { thrown_ = std::current_exception(); }
    static void return_void() noexcept {}
    void take() const {
        if (thrown_) std::rethrow_exception(thrown_);
    }

private:
    std::exception_ptr thrown_;
};

template <class P>
class TaskAwaiter {
public:
    explicit TaskAwaiter(std::coroutine_handle<P> task) noexcept : task_{task} {}
    static bool await_ready() noexcept { return false; }
#ifdef __clang__
    template <class Caller>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Caller> caller) {
        task_.promise().be_awaited_by(caller);
        task_.promise().start_by_jump();
        return task_;
    }
#else
    template <class Caller>
    bool await_suspend(std::coroutine_handle<Caller> caller) {
        task_.promise().be_awaited_by(caller);
        return task_.promise().start(task_);
    }
#endif
    decltype(auto) await_resume() { return task_.promise().take(); }

private:
    std::coroutine_handle<P> task_;
};

}  // namespace detail

/// Work that begins when it is awaited, and gives a `T` (or throws).
///
///     bw::Task<int> answer() { co_return 42; }
///     bw::Task<> ask() { int a = co_await answer(); … }
///
/// Lazy; awaited once, by one coroutine, which goes on where the task has ended: on the thread of whatever the task
/// waited for last. A loop over tasks that are over at once, however long, does not deepen the stack. A task hands its
/// `TaskContext` on to what it awaits, so that a stop request reaches the innermost wait. Move-only; destroyed
/// before it was awaited it never runs; destroyed while under way (its awaiting coroutine was destroyed) it is asked
/// to stop and ends by itself. Outside coroutines see `sync_wait`, `as_future` and `start`.
///
/// Parameters of a coroutine are its own: take them by value. g++ 12 destroys an aggregate given by value within a
/// `co_await` expression twice (fixed in 13); functions here that take one return a `NamedTask`.
template <class T = void>
class [[nodiscard("a task does nothing until it is awaited")]] Task {
    static_assert(std::is_void_v<T> || std::is_object_v<T>,
                  "breakwater: a Task gives a value or nothing, no reference");

public:
    using promise_type = detail::TaskPromise<T>;
    using Value = T;

    Task(Task&& other) noexcept : task_{std::exchange(other.task_, nullptr)} {}
    Task& operator=(Task&& other) noexcept {
        Task moved{std::move(other)};
        std::swap(task_, moved.task_);
        return *this;
    }
    ~Task() {
        if (task_) task_.promise().abandon(task_);
    }

    auto operator co_await() & noexcept { return detail::TaskAwaiter{task_}; }
    auto operator co_await() && noexcept { return detail::TaskAwaiter{task_}; }

private:
    friend promise_type;
    explicit Task(std::coroutine_handle<promise_type> task) noexcept : task_{task} {}

    std::coroutine_handle<promise_type> task_;
};

template <class T>
Task<T> detail::TaskPromise<T>::get_return_object() noexcept {
    return Task<T>{std::coroutine_handle<TaskPromise>::from_promise(*this)};
}
inline Task<void> detail::TaskPromise<void>::get_return_object() noexcept {
    return Task<void>{std::coroutine_handle<TaskPromise>::from_promise(*this)};
}

/// A task whose making took an aggregate or a callable. With g++ 12 it can only be awaited by name, since that compiler
/// destroys such arguments twice if they stand in the `co_await` expression:
///
///     auto call = client.async_get("/users/42", {.timeout = 200ms});
///     auto user = co_await call;
template <class T = void>
class [[nodiscard("a task does nothing until it is awaited")]] NamedTask : public Task<T> {
public:
    NamedTask(Task<T>&& task) noexcept : Task<T>{std::move(task)} {}

    auto operator co_await() & noexcept { return Task<T>::operator co_await(); }
#if defined(__clang__) || __GNUC__ >= 13
    auto operator co_await() && noexcept { return std::move(*this).Task<T>::operator co_await(); }
#else
    template <class U = T>
    auto operator co_await() && noexcept {
        static_assert(!std::is_same_v<U, T>,
                      "breakwater: g++ 12 destroys the arguments of this call twice if it is awaited where it is made. "
                      "Give the task a name first: `auto task = …; co_await task;`");
        return std::suspend_never{};
    }
#endif
};

/// A task, of whatever value.
template <class R>
concept IsTask = requires { typename R::Value; } && std::derived_from<R, Task<typename R::Value>>;

}  // namespace breakwater
