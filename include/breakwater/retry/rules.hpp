#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/detail/search.hpp>
#include <breakwater/error.hpp>
#include <breakwater/outcome.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <initializer_list>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater {

/// Errors that no rule can make worth a retry: nothing was tried, nobody wants it, or it would fail again.
constexpr bool is_final(Errc code) noexcept {
    return is_refusal(code) || code == Errc::cancelled || code == Errc::deadline_exceeded ||
           code == Errc::invalid_options || code == Errc::invalid_request || code == Errc::not_replayable ||
           code == Errc::body_failed || code == Errc::sink_failed;
}

/// By default a failure is retried if it may pass by itself: a retryable status, a broken or refused connection, a
/// timeout, an exception. Not: other statuses, an untrusted certificate, an answer that is too large or cannot be
/// decoded, a refused redirect.
inline bool retry_by_default(const Error& error) noexcept {
    if (const auto status = error.status()) return is_retryable_status(*status);
    switch (error.code()) {
        case Errc::tls_untrusted:
        case Errc::too_large:
        case Errc::bad_encoding:
        case Errc::redirect_refused:
        case Errc::too_many_redirects:
        case Errc::decode_failed: return false;
        default: return true;
    }
}

/// Which errors are retried. Rules join with `||`; an empty rule is `retry_by_default`. Called on the thread that makes
/// the call, with nothing held; a rule that throws means no retry.
class RetryRule {
public:
    RetryRule() = default;
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, RetryRule> && std::predicate<F&, const Error&>)
    RetryRule(F rule) : rule_{std::move(rule)} {}

    bool operator()(const Error& error) const noexcept {
        if (is_final(error.code())) return false;
        BREAKWATER_TRY { return rule_ ? rule_(error) : retry_by_default(error); }
        BREAKWATER_CATCH_ALL { return false; }
    }

    friend RetryRule operator||(RetryRule a, RetryRule b) {
        return [a = std::move(a), b = std::move(b)](const Error& error) { return a(error) || b(error); };
    }

private:
    std::function<bool(const Error&)> rule_;
};

/// Retries exactly these codes.
inline RetryRule on_codes(std::initializer_list<Errc> codes) {
    return [codes = std::vector<Errc>(codes)](const Error& error) { return detail::contains(codes, error.code()); };
}

/// Retries exactly these HTTP statuses, of an answer or of an exception with a `status_of`.
inline RetryRule on_statuses(std::initializer_list<int> statuses) {
    return [statuses = std::vector<int>(statuses)](const Error& error) {
        const auto status = error.status();
        return status && detail::contains(statuses, *status);
    };
}

namespace detail {

/// Calls `use(const E&)` if the error holds an exception of type `E` or derived from it.
template <class E, class F>
bool with_exception(const Error& error, [[maybe_unused]] F use) {
    const std::exception_ptr thrown = error.exception();
    if (!thrown) return false;
#ifdef __cpp_exceptions
    try {
        std::rethrow_exception(thrown);
    } catch (const E& exception) {
        return use(exception);
    } catch (...) {
    }
#endif
    return false;
}

}  // namespace detail

/// Retries exactly exceptions of these types, and of types derived from them.
template <class... E>
RetryRule on_exceptions() {
    return [](const Error& error) { return (detail::with_exception<E>(error, [](const E&) { return true; }) || ...); };
}

/// Retries exceptions of type `E` for which `when(exception)` is true.
template <class E, std::predicate<const E&> F>
RetryRule on_exception(F when) {
    return [when = std::move(when)](const Error& error) { return detail::with_exception<E>(error, when); };
}

}  // namespace breakwater
