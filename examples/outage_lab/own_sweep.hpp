#pragma once

#include "own_file.hpp"
#include "settings.hpp"
#include "table.hpp"

#include <breakwater/client/duration.hpp>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace outage_lab {

/// A value of the option, and the file with it.
struct Point {
    double value = 0;  // seconds, if it is a duration
    bool is_time = false;
    std::string text{};
    Json file{};
};

/// Sets the option that `path` names: of the client, unless it begins with another part of the file.
inline void set_option(Json& file, const std::string& path, Json value) {
    Json* place = &file;
    const std::string first = path.substr(0, path.find('.'));
    if (first != "client" && first != "service" && first != "duration" && first != "processes" &&
        first != "calls_per_second" && first != "targets")
        place = &file["client"];
    std::string_view rest = path;
    for (;;) {
        const auto dot = rest.find('.');
        if (!place->is_null() && !place->is_object())
            throw Misuse{"--sweep: " + path + ": what is before \"" + std::string{rest} +
                         "\" is no object in the file"};
        place = &(*place)[std::string{rest.substr(0, dot)}];
        if (dot == rest.npos) break;
        rest.remove_prefix(dot + 1);
    }
    *place = std::move(value);
}

/// From `from` to `to` in equal steps, or in equal ratios where they are far apart.
inline std::vector<Point> points_of(const Sweep& sweep, const Json& file, std::size_t count) {
    struct End {
        double value = 0;
        bool is_time = false;
        bool is_whole = false;
    };
    const auto end_of = [](const std::string& text) -> End {
        if (const auto duration = bw::parse_duration(text))
            return {std::chrono::duration<double>(*duration).count(), true};
        double number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(number))
            throw Misuse{"--sweep: must go from and to a number or a duration such as 1s, got \"" + text + "\""};
        return {number, false, text.find_first_of(".e") == text.npos};
    };
    const End from = end_of(sweep.from);
    const End to = end_of(sweep.to);
    if (from.is_time != to.is_time || from.value >= to.value)
        throw Misuse{"--sweep: must go from less to more of the same, got " + sweep.from + ".." + sweep.to};
    const bool is_geometric = from.value > 0 && to.value > 10 * from.value;
    std::vector<Point> points;
    for (std::size_t i = 0; i < count; ++i) {
        const double share = static_cast<double>(i) / static_cast<double>(count - 1);
        double value = is_geometric ? from.value * std::pow(to.value / from.value, share)
                                    : from.value + (to.value - from.value) * share;
        Point point{.is_time = from.is_time, .file = file};
        if (from.is_time) {
            value = std::round(value * 1'000) / 1'000;
            point.text = figure(value * 1'000) + "ms";
            set_option(point.file, sweep.path, point.text);
        } else if (from.is_whole && to.is_whole) {
            value = std::round(value);
            point.text = figure(value);
            set_option(point.file, sweep.path, static_cast<std::int64_t>(value));
        } else {
            point.text = figure(value, 4);
            set_option(point.file, sweep.path, value);
        }
        point.value = value;
        if (points.empty() || points.back().value < value) points.push_back(std::move(point));
    }
    return points;
}

}  // namespace outage_lab
