#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry/budget.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

struct HedgeOptions {
    /// Within one store, hedges with the same name learn together and have one budget. Empty: on its own.
    std::string name{};

    /// How many attempts may be made beside the first. 0 to 10; default 1. 0: none.
    std::uint32_t max_hedges = 1;

    /// How long after the attempt before it each is sent. 0 s to 24 h; 0 s sends them at once. Empty (the default):
    /// the quantile below.
    std::optional<Duration> after{};

    /// Of the times that answers have taken: the share that need no hedge. 0.5 to 0.999; default 0.95, as in "The Tail
    /// at Scale" (Dean, Barroso, 2013).
    double quantile = 0.95;

    /// No hedge is sent before so many answers were timed; the newest ten times as many count. 1 to 6,000; default 100.
    std::uint32_t minimum_samples = 100;

    /// How many hedges the calls allow. Default: one for 20 calls, 1/s whatever the calls, 30 saved up. A call under
    /// way keeps its hedges when the budget is empty.
    RetryBudgetOptions budget{.ratio = 0.05, .floor_per_second = 1};

    friend bool operator==(const HedgeOptions&, const HedgeOptions&) = default;
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const HedgeOptions& options, std::string_view path = "hedge") {
    if (options.max_hedges > 10) return detail::invalid_option(path, "max_hedges", "0 to 10", options.max_hedges);
    if (options.after && (*options.after < Duration{0} || *options.after > std::chrono::hours{24}))
        return detail::invalid_option(path, "after", "0s to 24h", *options.after);
    if (!(options.quantile >= 0.5 && options.quantile <= 0.999))
        return detail::invalid_option(path, "quantile", "0.5 to 0.999", options.quantile);
    if (options.minimum_samples < 1 || options.minimum_samples > 6'000)
        return detail::invalid_option(path, "minimum_samples", "1 to 6000", options.minimum_samples);
    return validate(options.budget, std::string{path} + ".budget");
}

/// A hedge at one moment. Reading it changes nothing.
struct HedgeSnapshot {
    std::string name{};
    std::optional<Duration> after{};          ///< When the next call's hedge is sent; empty while too few answers tell.
    std::optional<std::int64_t> available{};  ///< Hedges that the budget allows now; empty if nothing limits them.
};

}  // namespace breakwater
