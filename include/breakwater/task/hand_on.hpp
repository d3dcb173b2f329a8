#pragma once

#include <coroutine>
#include <type_traits>
#include <utility>

namespace breakwater::detail {

/// `co_await` of one awaits what `make()` gives and calls `use(its value)`. Other than in `use(co_await …)` the value
/// has no room in the coroutine's frame, where it would be set aside from the beginning.
template <class Awaiter, class F>
class HandOn {
public:
    template <class Make>
    HandOn(Make make, F use) : awaiter_{make()}, use_{std::move(use)} {}
    HandOn(const HandOn&) = delete;
    HandOn& operator=(const HandOn&) = delete;

    bool await_ready() { return awaiter_.await_ready(); }
    template <class P>
    decltype(auto) await_suspend(std::coroutine_handle<P> caller) {
        return awaiter_.await_suspend(caller);
    }
    void await_resume() { use_(awaiter_.await_resume()); }

private:
    Awaiter awaiter_;
    F use_;
};
template <class Make, class F>
HandOn(Make, F) -> HandOn<std::invoke_result_t<Make&>, F>;

}  // namespace breakwater::detail
