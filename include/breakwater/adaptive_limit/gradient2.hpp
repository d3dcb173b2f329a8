#pragma once

#include <breakwater/adaptive_limit/algorithm.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

namespace breakwater {

/// Follows the gradient of latency: the long-term mean of answers' times divided by the latest window's. While that is
/// 1 the limit grows; when answers take longer it shrinks.
///
///     gradient  = max(0.5, min(1, tolerance × long / short))
///     new limit = limit × (1 − smoothing) + (limit × gradient + queue_size) × smoothing
///
/// The long-term mean is an exponential one of `long_windows` windows (of the first ten the plain mean); found to be
/// more than twice the latest, it is cut by a tenth in each window, so that a time of overload is soon forgotten. A
/// limit of which less than half was used stays. After Netflix's concurrency-limits, `Gradient2Limit`, with three
/// differences:
///
/// - A window of drops counts as a gradient of 0.5 without the queue, and no drop's time is learned. As published the
///   limit of a service that lets every call time out grows to its maximum: a constant time has no gradient.
/// - As published the long-term mean learns the queue that the limit itself allows, so that under unbroken overload the
///   limit creeps up for ever. Here, while half of the limit or more is used, only shorter times are learned; and after
///   `probe_multiplier` × limit such windows half as many calls are let through for two windows, and what the second
///   one shows becomes the long-term mean.
/// - Its defaults keep the limit near what the service does at once: c servers get about c + `queue_size` calls. With
///   the published ones (`tolerance` 1.5, `queue_size` 4) they get 1.5 × c + 4.
struct Gradient2 {
    /// How much longer than the long-term mean answers may take before the limit shrinks. 1 to 10; default 1. Raise it
    /// where the means of windows differ much by chance: noise of 10 % makes the limit 4 % less, and where the
    /// long-term mean was measured 10 % too short, the limit is at most 10 × `queue_size`.
    double tolerance = 1.0;

    /// How many calls may queue in the service. 1 to 1,000; default 3.
    std::uint32_t queue_size = 3;

    /// How much of a new limit is taken over at once. In (0, 1]; default 0.2.
    double smoothing = 0.2;

    /// How many windows the long-term mean is made of. 10 to 100,000; default 600.
    std::uint32_t long_windows = 600;

    /// See above. 1 to 1,000; default 8.
    std::uint32_t probe_multiplier = 8;

    using State = LimitBaseline;

    constexpr double next(State& state, double limit, const LimitSample& sample) const noexcept {
        if (sample.dropped) return limit * (1 - smoothing / 2);
        if (sample.rtt <= 0) return limit;
        const bool is_used = sample.in_flight * 2.0 >= limit;
        if (!is_used || sample.rtt < state.rtt || state.windows < warm_up) learn(state, sample.rtt);
        const double known = state.rtt;
        if (known / sample.rtt > 2) state.rtt *= 0.9;
        if (!is_used) return limit;
        const double gradient = std::clamp(tolerance * known / sample.rtt, 0.5, 1.0);
        return limit * (1 - smoothing) + (limit * gradient + queue_size) * smoothing;
    }
    static constexpr double baseline(const State& state) noexcept { return state.rtt; }
    constexpr std::optional<std::uint32_t> probe_after(double limit) const noexcept {
        return static_cast<std::uint32_t>(probe_multiplier * limit);
    }
    static constexpr void rebase(State& state, double rtt) noexcept {
        state.rebase(rtt);
        state.windows = warm_up;
    }

    friend bool operator==(const Gradient2&, const Gradient2&) = default;

private:
    static constexpr std::uint32_t warm_up = 10;

    constexpr void learn(State& state, double rtt) const noexcept {
        const double share = state.windows < warm_up ? 1.0 / ++state.windows : 2.0 / (long_windows + 1.0);
        state.rtt += (rtt - state.rtt) * share;
    }
};

/// Checks the algorithm; messages begin with `path`.
inline Result<void> validate(const Gradient2& rule, std::string_view path) {
    if (!(rule.tolerance >= 1.0 && rule.tolerance <= 10.0))
        return detail::invalid_option(path, "tolerance", "1 to 10", rule.tolerance);
    if (rule.queue_size < 1 || rule.queue_size > 1'000)
        return detail::invalid_option(path, "queue_size", "1 to 1000", rule.queue_size);
    if (!(rule.smoothing > 0.0 && rule.smoothing <= 1.0))
        return detail::invalid_option(path, "smoothing", "> 0 and <= 1", rule.smoothing);
    if (rule.long_windows < 10 || rule.long_windows > 100'000)
        return detail::invalid_option(path, "long_windows", "10 to 100000", rule.long_windows);
    if (rule.probe_multiplier < 1 || rule.probe_multiplier > 1'000)
        return detail::invalid_option(path, "probe_multiplier", "1 to 1000", rule.probe_multiplier);
    return {};
}

}  // namespace breakwater
