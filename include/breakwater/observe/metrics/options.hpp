#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

namespace breakwater {

/// Three buckets a decade, from 100 us to 100 s.
inline std::vector<Duration> default_duration_buckets() {
    std::vector<Duration> bounds;
    for (Duration decade{100}; decade < std::chrono::seconds{100}; decade *= 10) {
        bounds.push_back(decade);
        bounds.push_back(decade * 5 / 2);
        bounds.push_back(decade * 5);
    }
    bounds.push_back(std::chrono::seconds{100});
    return bounds;
}

struct MetricsOptions {
    /// How many clients are told apart, and how many policies and stores. Those that come later are counted under the
    /// name "other": their circuits' states are then not shown. 1 to 10,000; default 1,000. It bounds each family's
    /// series: the names, times the values of its other labels, which are fixed.
    std::size_t max_names = 1'000;

    /// The upper bounds of every histogram's buckets, ascending; what takes longer is in one more. 1 to 100 bounds
    /// above 0 s. Default: 100 us, 250 us, 500 us, 1 ms and so on to 50 s, and 100 s.
    std::vector<Duration> buckets = default_duration_buckets();
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const MetricsOptions& options, std::string_view path = "metrics") {
    if (options.max_names < 1 || options.max_names > 10'000)
        return detail::invalid_option(path, "max_names", "1 to 10000", options.max_names);
    if (options.buckets.empty() || options.buckets.size() > 100)
        return detail::invalid_option(path, "buckets", "1 to 100 bounds", options.buckets.size());
    Duration below{0};
    for (const Duration bound : options.buckets) {
        if (bound <= below) return detail::invalid_option(path, "buckets", "ascending, from above 0s", bound);
        below = bound;
    }
    return {};
}

}  // namespace breakwater
