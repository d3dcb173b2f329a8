#pragma once

#include <breakwater/adaptive_limit/algorithm.hpp>
#include <breakwater/adaptive_limit/any_algorithm.hpp>
#include <breakwater/bulkhead/options.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

template <LimitAlgorithm Algorithm = AnyLimitAlgorithm>
struct AdaptiveLimitOptions {
    std::string name{};  ///< Names the limit in events and errors.

    /// How the limit follows what calls show. Default: `Gradient2{}`; `Vegas{}`; `Aimd{}`.
    Algorithm algorithm{};

    /// How many calls may be in flight at first, at least and at most. 1 to 1,000,000, in order; default 20, from 1 to
    /// 200.
    std::uint32_t initial_limit = 20;
    std::uint32_t min_limit = 1;
    std::uint32_t max_limit = 200;

    /// After so long, or twice as long as answers take if that is longer, and so many calls the limit is looked at
    /// anew. 10 ms to 1 min, default 1 s; 10 to 100,000, default 100. With fewer calls chance decides: of exponentially
    /// distributed times the mean of n is off by 1 / √n. Calls from longer ago than 30 windows count no more.
    Duration window = std::chrono::seconds{1};
    std::uint32_t minimum_samples = 100;

    /// A larger share of a window's calls has to be dropped for the limit to shrink by that. 0 to < 1; default 0.1, so
    /// that single failures mean nothing. A failure and a timeout is a drop (`classify`); refusals, cancelled calls and
    /// other neutral ones are not looked at.
    double drop_ratio = 0.1;

    /// A call that takes longer is a drop, too, whatever comes of it. 1 ms to 24 h; default: none. It is what tells
    /// `Aimd` of a service that gets slow, and it bounds what the others take for normal.
    std::optional<Duration> slow_after{};

    /// How many more calls may queue for their turn, and for how long, as in `BulkheadOptions`. 0 (default: refuse at
    /// once) to 1,000,000; 0s to 24h, default 30s.
    std::uint32_t max_queue = 0;
    Duration max_wait = std::chrono::seconds{30};

    /// An attempt cut off by the caller's deadline is a failure if it ran at least this long, else neutral. Default 1
    /// s.
    Duration deadline_counts_after = std::chrono::seconds{1};

    /// Decides what an error says about the service; default `default_outcome`.
    Classifier classify{};
};

/// Checks the options; messages begin with `path`.
template <LimitAlgorithm Algorithm>
Result<void> validate(const AdaptiveLimitOptions<Algorithm>& options, std::string_view path = "adaptive_limit") {
    constexpr Duration day = std::chrono::hours{24};
    if (auto ok = validate(options.algorithm, path.empty() ? "algorithm" : std::string{path} + ".algorithm"); !ok)
        return ok;
    if (options.max_limit < 1 || options.max_limit > max_bulkhead_calls)
        return detail::invalid_option(path, "max_limit", "1 to 1000000", options.max_limit);
    const std::string most = detail::option_text(options.max_limit);
    if (options.min_limit < 1 || options.min_limit > options.max_limit)
        return detail::invalid_option(path, "min_limit", "1 to max_limit, which is " + most, options.min_limit);
    if (options.initial_limit < options.min_limit || options.initial_limit > options.max_limit) {
        return detail::invalid_option(
            path, "initial_limit",
            "min_limit to max_limit, which are " + detail::option_text(options.min_limit) + " and " + most,
            options.initial_limit);
    }
    if (options.window < std::chrono::milliseconds{10} || options.window > std::chrono::minutes{1})
        return detail::invalid_option(path, "window", "10ms to 1min", options.window);
    if (options.minimum_samples < 10 || options.minimum_samples > 100'000)
        return detail::invalid_option(path, "minimum_samples", "10 to 100000", options.minimum_samples);
    if (!(options.drop_ratio >= 0.0 && options.drop_ratio < 1.0))
        return detail::invalid_option(path, "drop_ratio", "0 to < 1", options.drop_ratio);
    if (options.slow_after && (*options.slow_after < std::chrono::milliseconds{1} || *options.slow_after > day))
        return detail::invalid_option(path, "slow_after", "1ms to 24h", *options.slow_after);
    if (options.max_queue > max_bulkhead_calls)
        return detail::invalid_option(path, "max_queue", "0 to 1000000", options.max_queue);
    if (options.max_wait < Duration{0} || options.max_wait > day)
        return detail::invalid_option(path, "max_wait", "0s to 24h", options.max_wait);
    if (options.deadline_counts_after < Duration{0} || options.deadline_counts_after > day)
        return detail::invalid_option(path, "deadline_counts_after", "0s to 24h", options.deadline_counts_after);
    return {};
}

/// An adaptive limit at one moment. Reading it changes nothing.
struct AdaptiveLimitSnapshot {
    std::string name{};
    std::uint32_t limit = 0;
    std::uint32_t in_flight = 0;
    std::uint32_t queued = 0;
    std::uint32_t max_queue = 0;
    Duration long_rtt{};      ///< What an answer takes without a queue, as far as is known; 0 if it is not.
    Duration short_rtt{};     ///< What answers took in the last window; 0 before the first.
    double gradient = 1;      ///< The one divided by the other, at most 1: how much of the time is no queueing.
    bool is_probing = false;  ///< The limit is half as much for a moment, to measure `long_rtt`.
};

}  // namespace breakwater
