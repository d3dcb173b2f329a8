#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/rate_limiter/algorithm.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

namespace breakwater {

/// `permits` in each window; unused permits lapse. Windows lie side by side from the epoch of the store's clock, so
/// all who share the store share them. In any interval as long as a window at most 2 × permits are granted (the end of
/// one window and the beginning of the next); `TokenBucket` has no such edge.
///
/// The word is the window's index modulo 2^32 and the count of permits taken in it.
struct FixedWindow {
    std::int64_t permits = 100;                 ///< 1 to 2^31.
    Duration window = std::chrono::seconds{1};  ///< 1 ms to 366 days.

    using State = LimiterState;

    struct Prepared {
        std::uint64_t permits;
        std::uint64_t window;      ///< µs
        std::uint64_t reciprocal;  ///< 2^64 / window, rounded down
        std::uint64_t furthest;    ///< A state more windows ahead than this is not one of ours.
    };

    /// Needs options that `validate` accepts.
    constexpr Prepared prepare(Duration max_pause = default_max_pause) const noexcept {
        const auto length = static_cast<std::uint64_t>(window.count());
        return {.permits = static_cast<std::uint64_t>(permits),
                .window = length,
                .reciprocal = std::numeric_limits<std::uint64_t>::max() / length,
                .furthest = static_cast<std::uint64_t>((max_pause + clock_tolerance) / window) + 1};
    }

    static constexpr Grant take(State& state, const Prepared& limit, std::int64_t n, Instant now) noexcept {
        const auto wanted = static_cast<std::uint64_t>(n);  // a negative n is more than any limit
        if (wanted > limit.permits) return {.never = true};
        const Count seen = read(state, limit, index_of(limit, now));
        if (seen.taken + wanted > limit.permits) {
            write(state, seen);  // a change only if `read` did not believe the state
            return {.retry_after =
                        Duration{static_cast<std::int64_t>((seen.index + 1) * limit.window - microseconds(now))}};
        }
        write(state, {seen.index, seen.taken + wanted});
        return {.granted = true};
    }

    static constexpr Grant peek(const State& state, const Prepared& limit, std::int64_t n, Instant now) noexcept {
        State copy = state;
        return take(copy, limit, n, now);
    }

    static constexpr void pause(State& state, const Prepared& limit, Instant from, Instant until) noexcept {
        if (until <= from) return;
        const Count seen = read(state, limit, index_of(limit, from));
        // A window that begins exactly at `until` lies after the pause: it is full.
        write(state, {std::max(seen.index, index_of(limit, until - Duration{1})), seen.taken});
    }

    static constexpr void give_back(State& state, const Prepared& limit, std::int64_t n, Instant now) noexcept {
        const Count seen = read(state, limit, index_of(limit, now));
        const auto returned = static_cast<std::uint64_t>(std::max<std::int64_t>(n, 0));
        if (seen.taken > 0) write(state, {seen.index, seen.taken - std::min(seen.taken, returned)});
    }

    static constexpr std::int64_t available(const State& state, const Prepared& limit, Instant now) noexcept {
        const Count seen = read(state, limit, index_of(limit, now));
        return static_cast<std::int64_t>(limit.permits - std::min(limit.permits, seen.taken));
    }

    friend bool operator==(const FixedWindow&, const FixedWindow&) = default;

private:
    struct Count {
        std::uint64_t index;  ///< Never before the current window.
        std::uint64_t taken;
    };

    /// `now / window` by multiplying, which is cheaper than dividing. The rounded reciprocal finds the index or, as
    /// instants stay below 2^53, the one before it.
    static constexpr std::uint64_t index_of(const Prepared& limit, Instant now) noexcept {
        __extension__ using wide = unsigned __int128;
        const std::uint64_t us = microseconds(now);
        const auto index = static_cast<std::uint64_t>((static_cast<wide>(us) * limit.reciprocal) >> 64);
        return index + (us - index * limit.window >= limit.window);
    }

    static constexpr std::uint64_t microseconds(Instant now) noexcept {
        return static_cast<std::uint64_t>(std::max<std::int64_t>(now.time_since_epoch().count(), 0));
    }

    /// A window of the past counts nothing any more. One of the near future (the clock has stepped back, or there was
    /// a pause) goes on counting, or its permits would be granted twice; one further ahead is not ours, and the current
    /// window counts as used up.
    static constexpr Count read(const State& state, const Prepared& limit, std::uint64_t index) noexcept {
        const auto ahead = static_cast<std::uint32_t>((state.word >> 32) - index);
        if (state.word == 0 || static_cast<std::int32_t>(ahead) < 0) return {index, 0};
        if (ahead > limit.furthest) return {index, limit.permits};
        return {index + ahead, state.word & 0xffff'ffffU};
    }

    static constexpr void write(State& state, Count count) noexcept { state.word = (count.index << 32) | count.taken; }
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const FixedWindow& limit, std::string_view path) {
    constexpr std::int64_t most = std::int64_t{1} << 31;
    if (limit.permits < 1 || limit.permits > most)
        return detail::invalid_option(path, "permits", "1 to 2147483648", limit.permits);
    if (limit.window < std::chrono::milliseconds{1} || limit.window > std::chrono::days{366})
        return detail::invalid_option(path, "window", "1ms to 366 days", limit.window);
    return {};
}

}  // namespace breakwater
