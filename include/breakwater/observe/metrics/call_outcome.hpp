#pragma once

#include <breakwater/errc.hpp>
#include <breakwater/outcome.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace breakwater {

/// How a call or an attempt ended, as metrics tell it.
enum class CallOutcome : std::uint8_t {
    success,
    failure,       ///< The service's, or on the way to it.
    refused,       ///< breakwater refused to make the first attempt.
    cancelled,     ///< The caller asked to stop.
    caller_error,  ///< The caller's mistake: a 4xx other than 408 and 429, or a request that could not be sent.
};

constexpr std::string_view to_string(CallOutcome outcome) noexcept {
    switch (outcome) {
        case CallOutcome::success: return "success";
        case CallOutcome::failure: return "failure";
        case CallOutcome::refused: return "refused";
        case CallOutcome::cancelled: return "cancelled";
        case CallOutcome::caller_error: return "caller_error";
    }
    return "unknown";
}

/// Of what ended with `code`, if it failed, and `status`, if an answer arrived.
inline CallOutcome call_outcome(std::optional<Errc> code, std::optional<int> status) noexcept {
    if (!code) return CallOutcome::success;
    if (is_refusal(*code)) return CallOutcome::refused;
    if (*code == Errc::cancelled) return CallOutcome::cancelled;
    Error error{*code};
    if (status) error.set_status(*status);
    const Outcome says = default_outcome(error);
    const bool of_the_caller = says == Outcome::neutral || (says == Outcome::success && status && *status / 100 == 4);
    return of_the_caller ? CallOutcome::caller_error : CallOutcome::failure;
}

}  // namespace breakwater
