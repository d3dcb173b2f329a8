#pragma once

#include <breakwater/backoff.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry/rules.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace breakwater {

template <class JitterKind = Jitter>
struct RetryOptions {
    /// How many times a failed attempt is made again. 0 to 1,000,000; default 3, so at most four attempts.
    std::uint32_t max_retries = 3;

    /// The delay before each retry. Default: exponential from 200 ms to 30 s, full jitter.
    Backoff<JitterKind> backoff{};

    /// Which failures are retried. Default: those that may pass, see `retry_by_default`. Refusals, cancelled calls and
    /// mistakes in options or request are never retried, whatever the rule says.
    RetryRule on{};

    /// The answer's Retry-After counts up to this, and comes on top of the delay. 0 s to 24 h; default 5 min.
    Duration max_retry_after = std::chrono::minutes{5};

    /// Seed of the jitter, for repeatable tests. Default: different in each process.
    std::optional<std::uint64_t> seed{};
};

/// The first mistake, as "path.field: legal range, value".
template <class JitterKind>
Result<void> validate(const RetryOptions<JitterKind>& options, const std::string& path = "retry") {
    if (options.max_retries > 1'000'000) {
        return fail(Errc::invalid_options,
                    path + ".max_retries: must be 0 to 1000000, got " + std::to_string(options.max_retries));
    }
    if (options.max_retry_after < Duration{0} || options.max_retry_after > std::chrono::hours{24}) {
        return fail(Errc::invalid_options, path + ".max_retry_after: must be 0 s to 24 h, got " +
                                               std::to_string(options.max_retry_after.count()) + " us");
    }
    return validate(options.backoff, path + ".backoff");
}

}  // namespace breakwater
