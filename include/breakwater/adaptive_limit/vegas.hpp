#pragma once

#include <breakwater/adaptive_limit/algorithm.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace breakwater {

/// Estimates how many calls queue in the service and keeps that between two bounds, as TCP Vegas (Brakmo, Peterson,
/// 1995) does with packets:
///
///     queue = ⌈limit × (1 − shortest / latest)⌉
///
/// With s, the whole digits of log10 of the limit (at least 1): a queue of at most s raises the limit by `beta` × s,
/// one below `alpha` × s by s; one above `beta` × s lowers it by s, and so does a window of drops. A limit of which
/// less than half was used does not grow. After Netflix's concurrency-limits, `VegasLimit`, with three differences:
///
/// - As published, every 30 × limit windows the shortest time is replaced by the latest, whatever queues then; so it
///   grows, and the limit with it, as long as the overload lasts. Here half as many calls are let through for two
///   windows first, and what the second one shows is taken.
/// - A window that is shorter than the shortest pulls that a tenth of the way. The shortest of many means is too short
/// by
///   chance, and a limit that is built on one stays too low until the next probe.
/// - Its defaults are `alpha` 2 and `beta` 4; the published ones, 3 and 6, are more than a tenth too many for fewer
/// than
///   30 servers.
struct Vegas {
    /// With fewer queueing the limit grows. 1 to 1,000; default 2.
    std::uint32_t alpha = 2;
    /// With more queueing it shrinks. At least `alpha`, at most 1,000; default 4.
    std::uint32_t beta = 4;

    /// How much of a new limit is taken over at once. In (0, 1]; default 1.
    double smoothing = 1.0;

    /// After so many windows at the limit, times the limit, the shortest time is measured again. 1 to 1,000; default
    /// 30.
    std::uint32_t probe_multiplier = 30;

    using State = LimitBaseline;

    constexpr double next(State& state, double limit, const LimitSample& sample) const noexcept {
        const auto step = static_cast<double>(step_of(limit));
        if (sample.dropped) return limit - smoothing * step;
        if (sample.rtt <= 0) return limit;
        if (state.rtt <= 0)
            state.rtt = sample.rtt;
        else if (sample.rtt < state.rtt)
            state.rtt += (sample.rtt - state.rtt) / 10;
        if (sample.in_flight * 2.0 < limit) return limit;
        const double queue = limit * (1 - state.rtt / sample.rtt);  // below whole numbers as its ceiling is
        if (queue <= step) return limit + smoothing * beta * step;
        if (queue <= alpha * step - 1) return limit + smoothing * step;
        if (queue > beta * step) return limit - smoothing * step;
        return limit;
    }
    static constexpr double baseline(const State& state) noexcept { return state.rtt; }
    constexpr std::optional<std::uint32_t> probe_after(double limit) const noexcept {
        return static_cast<std::uint32_t>(probe_multiplier * limit);
    }
    static constexpr void rebase(State& state, double rtt) noexcept { state.rebase(rtt); }

    friend bool operator==(const Vegas&, const Vegas&) = default;

private:
    static constexpr std::uint32_t step_of(double limit) noexcept {
        std::uint32_t step = 1;
        for (auto rest = static_cast<std::uint32_t>(limit); rest >= 100; rest /= 10) ++step;
        return step;
    }
};

/// Checks the algorithm; messages begin with `path`.
inline Result<void> validate(const Vegas& rule, std::string_view path) {
    if (rule.alpha < 1 || rule.alpha > 1'000) return detail::invalid_option(path, "alpha", "1 to 1000", rule.alpha);
    if (rule.beta < rule.alpha || rule.beta > 1'000) {
        return detail::invalid_option(
            path, "beta", "at least alpha, which is " + detail::option_text(rule.alpha) + ", and at most 1000",
            rule.beta);
    }
    if (!(rule.smoothing > 0.0 && rule.smoothing <= 1.0))
        return detail::invalid_option(path, "smoothing", "> 0 and <= 1", rule.smoothing);
    if (rule.probe_multiplier < 1 || rule.probe_multiplier > 1'000)
        return detail::invalid_option(path, "probe_multiplier", "1 to 1000", rule.probe_multiplier);
    return {};
}

}  // namespace breakwater
