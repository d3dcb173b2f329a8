#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace breakwater {

struct AttemptForecastOptions {
    /// Within one store, forecasts with the same name are the same forecast. Empty: a forecast of its own.
    std::string name{};

    /// Which quantile of the attempts' times is what one is expected to take. 0.001 to 0.999; default 0.5: an attempt
    /// is refused when it would more likely than not come too late. A higher one refuses attempts that would mostly be
    /// in time. (Hedging asks for the 95th percentile, as in "The Tail at Scale" (Dean, Barroso, 2013), but of requests
    /// that are made in addition: a wrong guess costs load there, and the call here.)
    double quantile = 0.5;

    /// Nothing is refused before so many attempts were timed. 1 to 30,000; default 20, with which a median is most
    /// likely between the true 30th and 70th percentile.
    std::uint32_t minimum_samples = 20;

    /// How many of the newest attempts count: when so many do, every second one is dropped. At least twice
    /// `minimum_samples`, at most 60,000; default 256, which follows a change within some 250 attempts.
    std::uint32_t max_samples = 256;

    /// When no attempt was timed for so long, one that would be refused is let through: else a forecast that refuses
    /// every call would never learn that the service is fast again. 1 ms to 1 h; default 1 s.
    Duration trial_interval = std::chrono::seconds{1};

    friend bool operator==(const AttemptForecastOptions&, const AttemptForecastOptions&) = default;
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const AttemptForecastOptions& options, std::string_view path = "forecast") {
    if (!(options.quantile >= 0.001 && options.quantile <= 0.999))
        return detail::invalid_option(path, "quantile", "0.001 to 0.999", options.quantile);
    if (options.minimum_samples < 1 || options.minimum_samples > 30'000)
        return detail::invalid_option(path, "minimum_samples", "1 to 30000", options.minimum_samples);
    if (options.max_samples < 2 * options.minimum_samples || options.max_samples > 60'000) {
        return detail::invalid_option(path, "max_samples",
                                      "at least twice minimum_samples, which is " +
                                          detail::option_text(options.minimum_samples) + ", and at most 60000",
                                      options.max_samples);
    }
    if (options.trial_interval < std::chrono::milliseconds{1} || options.trial_interval > std::chrono::hours{1})
        return detail::invalid_option(path, "trial_interval", "1ms to 1h", options.trial_interval);
    return {};
}

/// A forecast at one moment. Reading it changes nothing.
struct AttemptForecastSnapshot {
    std::string name{};
    Duration expected{};        ///< What an attempt is expected to take; 0 while too few samples tell.
    std::uint32_t samples = 0;  ///< How many attempts the estimate is made of.
};

}  // namespace breakwater
