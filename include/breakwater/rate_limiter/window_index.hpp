#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace breakwater::detail {

/// Windows of one length, side by side from the epoch of a clock.
struct WindowIndex {
    std::uint64_t length;      ///< µs
    std::uint64_t reciprocal;  ///< 2^64 / length, rounded down

    constexpr explicit WindowIndex(Duration window) noexcept
        : length{static_cast<std::uint64_t>(window.count())},
          reciprocal{std::numeric_limits<std::uint64_t>::max() / length} {}

    /// The window that `us` lies in, by multiplying, which is cheaper than dividing. The rounded reciprocal finds the
    /// index or, as instants stay below 2^53, the one before it.
    constexpr std::uint64_t of(std::uint64_t us) const noexcept {
        __extension__ using wide = unsigned __int128;
        const auto index = static_cast<std::uint64_t>((static_cast<wide>(us) * reciprocal) >> 64);
        return index + (us - index * length >= length);
    }
    constexpr std::uint64_t of(Instant now) const noexcept { return of(microseconds(now)); }
    /// The end of the window that `now` lies in.
    constexpr Instant end(Instant now) const noexcept {
        return Instant{Duration{static_cast<std::int64_t>((of(now) + 1) * length)}};
    }

    static constexpr std::uint64_t microseconds(Instant now) noexcept {
        return static_cast<std::uint64_t>(std::max<std::int64_t>(now.time_since_epoch().count(), 0));
    }
};

}  // namespace breakwater::detail
