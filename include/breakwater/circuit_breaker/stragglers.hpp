#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace breakwater {

/// How many calls under way have taken longer than a limit, in fixed memory: they are counted by the slice of time they
/// began in, 16 to the limit. A call counts as overdue at its limit at the earliest, and an eighth of it later at the
/// latest. Every member takes O(1) time, or O(slices) after a pause.
///
/// The limit is at least 1 ms, and the same in every call.
class Stragglers {
public:
    /// A call begins. Returns when, to be told again when it ends.
    constexpr Instant begin(Duration limit, Instant now) noexcept {
        turn(limit, now);
        ++begun_[slot(newest_)];
        return std::max(now, Instant{newest_ * slice(limit)});  // after a clock was set back: in the newest slice
    }
    constexpr void end(Duration limit, Instant began) noexcept {
        const std::int64_t in = began.time_since_epoch() / slice(limit);
        if (in > newest_) return;  // from before a clock was set far back
        std::uint32_t& count = in + slices > newest_ ? begun_[slot(in)] : overdue_;
        if (count > 0) --count;
    }
    constexpr std::uint32_t overdue(Duration limit, Instant now) noexcept {
        turn(limit, now);
        return overdue_;
    }

private:
    // Between a slice that may hold a call within its limit and now: the limit's 16 slices, one for the rest of the
    // division, and the slice itself.
    static constexpr std::int64_t slices = 18;

    static constexpr Duration slice(Duration limit) noexcept { return std::max(limit / 16, Duration{1}); }
    static constexpr std::size_t slot(std::int64_t n) noexcept { return static_cast<std::size_t>(n % slices); }

    constexpr void turn(Duration limit, Instant now) noexcept {
        const std::int64_t current = std::max(now.time_since_epoch(), Duration{0}) / slice(limit);
        if (current + slices < newest_) *this = {};  // set far back, a clock would leave nothing overdue for as long
        for (std::int64_t n = std::max(newest_ + 1, current - slices + 1); n <= current; ++n) {
            overdue_ += begun_[slot(n)];
            begun_[slot(n)] = 0;
        }
        newest_ = std::max(newest_, current);
    }

    std::int64_t newest_ = 0;  ///< Number of the newest slice, from the epoch.
    std::uint32_t overdue_ = 0;
    std::array<std::uint32_t, slices> begun_{};
};

}  // namespace breakwater
