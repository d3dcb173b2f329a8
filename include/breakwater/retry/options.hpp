#pragma once

#include <breakwater/backoff.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry/rules.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

/// Checks the options; messages begin with `path`.
template <class JitterKind>
Result<void> validate(const RetryOptions<JitterKind>& options, std::string_view path = "retry") {
    if (options.max_retries > 1'000'000)
        return detail::invalid_option(path, "max_retries", "0 to 1000000", options.max_retries);
    if (options.max_retry_after < Duration{0} || options.max_retry_after > std::chrono::hours{24})
        return detail::invalid_option(path, "max_retry_after", "0s to 24h", options.max_retry_after);
    return validate(options.backoff, path.empty() ? "backoff" : std::string{path} + ".backoff");
}

}  // namespace breakwater
