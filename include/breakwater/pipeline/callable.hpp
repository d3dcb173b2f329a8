#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace breakwater {

// What a pipeline can guard, and what comes of calling it.

namespace detail {

template <class F, class AnyCall>
decltype(auto) invoke_with(F& function, AnyCall& call) {
    if constexpr (std::invocable<F&>)
        return std::invoke(function);
    else if constexpr (std::invocable<F&, AnyCall&> || !std::invocable<F&, std::stop_token>)
        return std::invoke(function, call);
    else
        return std::invoke(function, call.stop_token());
}

template <class R>
struct Unwrapped {
    using type = R;
};
template <class T>
struct Unwrapped<std::expected<T, Error>> {
    using type = T;
};

template <class R>
struct Awaited {
    using type = R;
};
template <IsTask R>
struct Awaited<R> {
    using type = typename R::Value;
};

/// What an exception in flight says. Call in a handler.
[[gnu::noinline, gnu::cold]] inline Error error_in_flight() {
#ifdef __cpp_exceptions
    try {
        throw;
    } catch (const Exception& own) {
        return own.error();
    } catch (const std::exception& other) {
        return std::move(Error{Errc::exception, other.what()}.set_exception(std::current_exception()));
    } catch (...) {
        return std::move(Error{Errc::exception}.set_exception(std::current_exception()));
    }
#else
    return Error{Errc::exception};
#endif
}

/// What comes of calling it; `T` is its `GuardedValue`.
template <class T, class F, class AnyCall>
[[gnu::always_inline]] inline Result<T> result_of(F& function, AnyCall& call) {
    BREAKWATER_TRY {
        if constexpr (is_result<std::remove_cvref_t<decltype(invoke_with(function, call))>>) {
            return invoke_with(function, call);
        } else if constexpr (std::is_void_v<T>) {
            invoke_with(function, call);
            return {};
        } else {
            return Result<T>{std::in_place, invoke_with(function, call)};
        }
    }
    BREAKWATER_CATCH_ALL { return fail(error_in_flight()); }
}

}  // namespace detail

/// The `T` of the `Result<T>` that guarding `F` gives: `F` may return `T`, `void` or `Result<T>`, and take nothing, the
/// call or a `std::stop_token`.
template <class F, class AnyCall = Call<SteadyClock>>
using GuardedValue = typename detail::Unwrapped<
    std::remove_cvref_t<decltype(detail::invoke_with(std::declval<F&>(), std::declval<AnyCall&>()))>>::type;

/// Whether calling `F` gives a task: then it is guarded by `run_async`.
template <class F, class AnyCall = Call<SteadyClock>>
inline constexpr bool gives_task =
    IsTask<std::remove_cvref_t<decltype(detail::invoke_with(std::declval<F&>(), std::declval<AnyCall&>()))>>;

/// As `GuardedValue`, also where `F` gives a task of that.
template <class F, class AnyCall = Call<SteadyClock>>
using AwaitedValue = typename detail::Unwrapped<typename detail::Awaited<
    std::remove_cvref_t<decltype(detail::invoke_with(std::declval<F&>(), std::declval<AnyCall&>()))>>::type>::type;

}  // namespace breakwater
