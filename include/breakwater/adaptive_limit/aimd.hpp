#pragma once

#include <breakwater/adaptive_limit/algorithm.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <string_view>

namespace breakwater {

/// Additive increase, multiplicative decrease: a window of drops multiplies the limit by `backoff_ratio` (and takes at
/// least one), any other adds one if half of the limit was used. It looks at no times, so it needs to be told of
/// overload: by a service that refuses what it cannot take, or by `AdaptiveLimitOptions::slow_after`. It swings between
/// the first limit that is too much and `backoff_ratio` of that. After Chiu, Jain (1989) and Netflix's
/// concurrency-limits, `AIMDLimit`, with one step for each window in place of each call.
struct Aimd {
    /// In (0, 1); default 0.9.
    double backoff_ratio = 0.9;

    using State = LimitBaseline;

    constexpr double next(State&, double limit, const LimitSample& sample) const noexcept {
        if (sample.dropped) return std::min(limit - 1, limit * backoff_ratio);
        return sample.in_flight * 2.0 >= limit ? limit + 1 : limit;
    }
    static constexpr double baseline(const State&) noexcept { return 0; }

    friend bool operator==(const Aimd&, const Aimd&) = default;
};

/// Checks the algorithm; messages begin with `path`.
inline Result<void> validate(const Aimd& rule, std::string_view path) {
    if (rule.backoff_ratio > 0.0 && rule.backoff_ratio < 1.0) return {};
    return detail::invalid_option(path, "backoff_ratio", "> 0 and < 1", rule.backoff_ratio);
}

}  // namespace breakwater
