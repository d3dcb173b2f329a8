#pragma once

#include <breakwater/timeline.hpp>

#include <cstdint>
#include <string>

namespace breakwater {

/// Why an attempt was not begun: it was expected to take longer than was left until the deadline.
struct TimeShortage {
    Duration expected{};         ///< What an attempt takes; more than 0.
    Duration left{};             ///< Until the deadline.
    std::uint32_t samples = 0;   ///< How many attempts tell.
    std::uint16_t quantile = 0;  ///< Which quantile of their times is expected, in ten-thousandths.

    friend bool operator==(const TimeShortage&, const TimeShortage&) = default;
};

namespace detail {

/// "p50", "p99.9".
inline std::string percentile_text(std::uint32_t ten_thousandths) {
    std::string text{'p'};
    text += std::to_string(ten_thousandths / 100);
    const std::uint32_t rest = ten_thousandths % 100;
    if (rest == 0) return text;
    text.append(rest < 10 ? ".0" : ".").append(std::to_string(rest));
    if (rest % 10 == 0) text.pop_back();
    return text;
}

}  // namespace detail

}  // namespace breakwater
