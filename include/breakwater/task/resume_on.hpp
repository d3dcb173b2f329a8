#pragma once

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

}  // namespace detail

/// `co_await resume_on(pool)`: the coroutine goes on there. The executor outlives that.
template <Executor E>
detail::ResumeOn<E> resume_on(E& executor) noexcept {
    return detail::ResumeOn<E>{executor};
}

}  // namespace breakwater
