#pragma once

#include <catch_shim.hpp>

#include <breakwater/pipeline.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/start.hpp>

#include <type_traits>
#include <utility>

namespace breakwater::test {

inline bool is_asynchronous = false;

/// Stands first in a test case: it is run through the blocking driver, and once more through the coroutine driver.
inline void through_both_drivers() { is_asynchronous = GENERATE(false, true); }

/// `guard.run(function, options...)` through the driver whose turn it is; the coroutine driver is given a function that
/// makes a task.
template <class Guard, class F, class... Options>
auto run(const Guard& guard, F&& function, Options&&... options) {
    using AnyCall = typename Guard::CallType;
    if (!is_asynchronous) return guard.run(std::forward<F>(function), std::forward<Options>(options)...);
    using Value = std::remove_cvref_t<decltype(detail::invoke_with(function, std::declval<AnyCall&>()))>;
    auto later = [&function](AnyCall& call) -> Task<Value> { co_return detail::invoke_with(function, call); };
    return sync_wait<Result<GuardedValue<F, AnyCall>>>(guard.run_async(later, std::forward<Options>(options)...));
}
/// The same where the options are a braced list.
template <class Guard, class F>
auto run(const Guard& guard, F&& function, const CallOptions<GuardedValue<F, typename Guard::CallType>>& options) {
    return run<Guard, F, const CallOptions<GuardedValue<F, typename Guard::CallType>>&>(
        guard, std::forward<F>(function), options);
}

}  // namespace breakwater::test
