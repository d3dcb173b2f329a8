#pragma once

#include <breakwater/http/response.hpp>
#include <breakwater/http/retry_after.hpp>
#include <breakwater/outcome.hpp>

#include <chrono>

namespace breakwater {

/// An answer of this status is an `Error` to the caller: neither 2xx nor 3xx.
constexpr bool is_error_status(int status) noexcept { return status < 200 || status >= 400; }

/// A redirect that names where to go next; the rest of 3xx answers the request.
constexpr bool is_redirect_status(int status) noexcept {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// An answer by which the service asks all its callers for a pause, if it comes with a Retry-After.
constexpr bool is_throttling_status(int status) noexcept { return status == 429 || status == 503; }

/// What an answer says about the service: as its status does, but a 429 that says when to come back is neutral, for
/// the pause it asks for handles it.
inline Outcome outcome_of(const Response& response, std::chrono::sys_seconds local_now) noexcept {
    if (response.status == 429 && parse_retry_after(response.headers, local_now)) return Outcome::neutral;
    return outcome_of_status(response.status);
}

}  // namespace breakwater
