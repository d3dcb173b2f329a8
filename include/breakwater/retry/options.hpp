#pragma once

#include <breakwater/backoff.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry/rules.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
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

    /// Gives the delay in place of `backoff`, from the number of the retry (1 is the first) and the delay before it.
    /// Less than 0 s counts as 0 s, more than 24 h as 24 h; if it throws, `backoff` gives the delay. Called on the
    /// thread that makes the call, with nothing held. Default: none.
    std::function<Duration(std::uint32_t retry, Duration previous)> delay{};

    /// Which failures are retried. Default: those that may pass, see `retry_by_default`. Refusals, cancelled calls and
    /// mistakes in options or request are never retried, whatever the rule says.
    RetryRule on{};

    /// The answer's Retry-After counts up to this, and comes on top of the delay. 0 s to 24 h; default 5 min.
    Duration max_retry_after = std::chrono::minutes{5};

    /// No retry begins later than this after the call has begun. 1 ms to 24 h; default: no limit but the deadline.
    std::optional<Duration> max_elapsed{};

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
    constexpr Duration least = std::chrono::milliseconds{1};
    if (options.max_elapsed && (*options.max_elapsed < least || *options.max_elapsed > std::chrono::hours{24}))
        return detail::invalid_option(path, "max_elapsed", "1ms to 24h", *options.max_elapsed);
    return validate(options.backoff, path.empty() ? "backoff" : std::string{path} + ".backoff");
}

}  // namespace breakwater
