#pragma once

#include <breakwater/timeline.hpp>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace breakwater {

/// "250ms", "1.5s", "2min", "4h", "90us", "1d": a number and its unit, also negative; nullopt for anything else, for
/// parts of a microsecond and for more than 10,000 days.
inline std::optional<Duration> parse_duration(std::string_view text) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || !std::isfinite(number)) return std::nullopt;
    std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    while (unit.starts_with(' ')) unit.remove_prefix(1);
    constexpr std::pair<std::string_view, double> units[] = {{"us", 1.0},   {"ms", 1e3},    {"s", 1e6},
                                                             {"min", 60e6}, {"h", 3'600e6}, {"d", 86'400e6}};
    for (const auto& [name, micros] : units) {
        if (unit != name) continue;
        const double us = number * micros;
        const double rounding = 1e-6 + std::abs(us) * 1e-15;  // of a decimal fraction and of the product
        if (std::abs(us) > 864e12 || std::abs(us - std::round(us)) > rounding) return std::nullopt;
        return Duration{static_cast<std::int64_t>(std::llround(us))};
    }
    return std::nullopt;
}

}  // namespace breakwater
