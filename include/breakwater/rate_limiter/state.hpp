#pragma once

#include <breakwater/clock.hpp>

#include <cstdint>
#include <string>

namespace breakwater {

/// A limiter as seen from outside. Reading it changes nothing.
struct RateLimiterSnapshot {
    std::string name{};
    std::int64_t available = 0;  ///< Permits that could be taken now.
    Duration paused_for{};       ///< Zero if there is no pause.
    Duration retry_after{};      ///< When one permit is free; zero if one is.
};

/// What of a limiter outlives its process.
struct SavedLimiter {
    std::int64_t spent = 0;  ///< Permits taken and not refilled yet.
    Duration paused_for{};
    friend bool operator==(const SavedLimiter&, const SavedLimiter&) = default;
};

}  // namespace breakwater
