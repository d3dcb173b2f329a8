#pragma once

#include <breakwater/timeline.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

namespace breakwater {

/// How many durations were how long.
struct DurationHistogram {
    std::vector<Duration> bounds{};       ///< Each bucket's longest, ascending.
    std::vector<std::uint64_t> counts{};  ///< Of each bucket; one more than `bounds`: the last of all that was longer.
    Duration sum{};

    std::uint64_t count() const noexcept { return std::reduce(counts.begin(), counts.end()); }

    /// What the share `q` (0 to 1) of them did not exceed, as near as the buckets tell: between two bounds it is taken
    /// to grow evenly, and beyond the last one it is that bound, as `histogram_quantile` of Prometheus does. Empty if
    /// there are none.
    std::optional<Duration> quantile(double q) const noexcept {
        const std::uint64_t all = count();
        if (all == 0) return std::nullopt;
        const double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(all);
        double below = 0;
        Duration from{0};
        for (std::size_t i = 0; i < bounds.size(); ++i) {
            const auto here = static_cast<double>(counts[i]);
            if (here > 0 && below + here >= rank) {
                const double share = std::max(0.0, rank - below) / here;
                return from +
                       Duration{static_cast<Duration::rep>(static_cast<double>((bounds[i] - from).count()) * share)};
            }
            below += here;
            from = bounds[i];
        }
        return from;
    }

    /// Adds those of another of the same bounds.
    DurationHistogram& operator+=(const DurationHistogram& other) {
        if (counts.empty()) return *this = other;
        for (std::size_t i = 0; i < counts.size() && i < other.counts.size(); ++i) counts[i] += other.counts[i];
        sum += other.sum;
        return *this;
    }

    friend bool operator==(const DurationHistogram&, const DurationHistogram&) = default;
};

}  // namespace breakwater
