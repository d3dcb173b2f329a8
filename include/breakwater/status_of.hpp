#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/retry/rules.hpp>

#include <concepts>

namespace breakwater {

/// The HTTP status an exception of the user's stands for. Write `int status_of(const MyError&)` beside `MyError`, then
/// put `StatusOf<MyError>` into the pipeline.
template <class E>
concept HasStatus = requires(const E& exception) {
    { status_of(exception) } -> std::convertible_to<int>;
};

/// Gives thrown exceptions of the types `E` their HTTP status, so that the rules of retry and circuit breaker see it.
/// Stands inside both: `Pipeline{Retry{…}, CircuitBreaker{…}, StatusOf<SupplierError>{}}`.
template <class... E>
class StatusOf {
    static_assert((HasStatus<E> && ...),
                  "breakwater: StatusOf<E> needs a function `int status_of(const E&)`, declared beside E.");

public:
    struct Lane {};
    Before before(Lane&, auto&) const noexcept { return proceed; }

    template <class T>
    After after(Lane&, auto&, Result<T>& result) const noexcept {
        if (result || result.error().status() || !result.error().exception()) return done;
        Error& error = result.error();
        (detail::with_exception<E>(error,
                                   [&](const E& exception) {
                                       BREAKWATER_TRY {
                                           const int status = static_cast<int>(status_of(exception));
                                           if (status >= 100 && status <= 599) error.set_status(status);
                                       }
                                       BREAKWATER_CATCH_ALL {  // an exception without a status, then
                                       }
                                       return true;
                                   }) ||
         ...);
        return done;
    }
};

}  // namespace breakwater
