#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/error.hpp>

#include <cstdint>
#include <functional>
#include <optional>

namespace breakwater {

/// What an attempt says about the service. Neutral says nothing: it is counted nowhere.
enum class Outcome : std::uint8_t { success, failure, neutral };

/// Outcomes in bulk, so that one outcome and a batch from another process mean the same everywhere.
struct Tally {
    std::uint32_t successes = 0;
    std::uint32_t failures = 0;
    std::uint32_t slow = 0;  ///< Of all these, how many were slow calls: the successes first, see `slow_of`.
    std::uint32_t tail = 0;  ///< Failures after the last success.

    friend bool operator==(const Tally&, const Tally&) = default;
};

/// Which calls of a tally were slow. A batch does not say: its slow calls are taken for successes as far as it has any,
/// so that no bad call counts as two.
struct SlowCalls {
    std::uint32_t successes = 0;
    std::uint32_t failures = 0;
};
constexpr SlowCalls slow_of(const Tally& tally) noexcept {
    const std::uint32_t successes = tally.slow < tally.successes ? tally.slow : tally.successes;
    const std::uint32_t rest = tally.slow - successes;
    return {successes, rest < tally.failures ? rest : tally.failures};
}

/// A tally of one.
constexpr Tally tally_of(Outcome outcome) noexcept {
    if (outcome == Outcome::success) return {.successes = 1};
    if (outcome == Outcome::failure) return {.failures = 1, .tail = 1};
    return {};
}

/// A rule of the user's that decides what an error says about the service; nullopt leaves it to `default_outcome`.
/// Called from any thread that makes a call, with nothing held. If it throws, the default holds.
using Classifier = std::function<std::optional<Outcome>(const Error&)>;

/// What an HTTP status says about the service: 5xx, 408 and 429 are failures; any other answer shows that it works.
constexpr Outcome outcome_of_status(int status) noexcept {
    return status >= 500 || status == 408 || status == 429 ? Outcome::failure : Outcome::success;
}

/// The statuses that may pass by themselves: 408, 429, 500, 502, 503, 504.
constexpr bool is_retryable_status(int status) noexcept {
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/// What an error says about the service. Refusals, stop requests and the caller's own mistakes are neutral; an answer
/// counts by its status, and a 429 that names a Retry-After is neutral (it pauses the limiter instead). A passed
/// deadline is a failure here; the driver makes it neutral if the attempt hardly ran.
inline Outcome default_outcome(const Error& error) noexcept {
    if (is_refusal(error.code())) return Outcome::neutral;
    switch (error.code()) {
        case Errc::cancelled:
        case Errc::invalid_options:
        case Errc::invalid_request:
        case Errc::not_replayable:
        case Errc::body_failed:
        case Errc::sink_failed: return Outcome::neutral;
        case Errc::digest_mismatch:  // a whole answer
        case Errc::redirect_refused:
        case Errc::too_many_redirects: return Outcome::success;
        default: break;
    }
    if (const auto status = error.status()) {
        if (*status == 429 && error.retry_after()) return Outcome::neutral;
        return outcome_of_status(*status);
    }
    return Outcome::failure;
}

/// What `rule` decides, if it does.
inline std::optional<Outcome> decided_by(const Classifier& rule, const Error& error) noexcept {
    BREAKWATER_TRY {
        if (rule) return rule(error);
    }
    BREAKWATER_CATCH_ALL {  // a broken rule must not break the call
    }
    return std::nullopt;
}

/// `rule` if it decides, else `default_outcome`.
inline Outcome classify(const Classifier& rule, const Error& error) noexcept {
    const auto decided = decided_by(rule, error);
    return decided ? *decided : default_outcome(error);
}

}  // namespace breakwater
