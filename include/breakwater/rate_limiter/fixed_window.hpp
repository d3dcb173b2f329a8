#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/rate_limiter/algorithm.hpp>
#include <breakwater/rate_limiter/window_index.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace breakwater {

/// `permits` in each window; unused permits lapse. Windows lie side by side from the epoch of the store's clock, so
/// all who share the store share them. In any interval as long as a window at most 2 × permits are granted (the end of
/// one window and the beginning of the next); `TokenBucket` and `SlidingWindow` have no such edge.
///
/// The word is the window's index modulo 2^31, the count of permits taken in it, and one bit that says whether the
/// window was entered ahead of time, by a reservation: nobody else is served before it begins.
struct FixedWindow {
    std::int64_t permits = 100;                 ///< 1 to 2^31.
    Duration window = std::chrono::seconds{1};  ///< 1 ms to 366 days.

    using State = LimiterState;

    struct Prepared {
        std::uint64_t permits;
        detail::WindowIndex windows;
        std::uint64_t furthest;  ///< A state more windows ahead than this is not one of ours.
    };

    /// Needs options that `validate` accepts.
    constexpr Prepared prepare(Duration max_ahead = default_max_pause) const noexcept {
        return {.permits = static_cast<std::uint64_t>(permits),
                .windows = detail::WindowIndex{window},
                .furthest = static_cast<std::uint64_t>((max_ahead + clock_tolerance) / window) + 1};
    }

    static constexpr Grant take(State& state, const Prepared& limit, std::int64_t n, Instant now) noexcept {
        const auto wanted = static_cast<std::uint64_t>(n);  // a negative n is more than any limit
        if (wanted > limit.permits) return {.never = true};
        const Count seen = read(state, limit, limit.windows.of(now));
        const bool fits = seen.taken + wanted <= limit.permits;
        if (!fits || seen.is_held) {
            if (!seen.is_ours) write(state, seen);
            const std::uint64_t begin = (seen.index + (fits ? 0 : 1)) * limit.windows.length;
            return {.retry_after = Duration{static_cast<std::int64_t>(begin - limit.windows.microseconds(now))}};
        }
        write(state, {seen.index, seen.taken + wanted});
        return {.granted = true};
    }

    /// What is left of the windows before the reservation's own lapses.
    static constexpr Grant reserve(State& state, const Prepared& limit, std::int64_t n, Instant now,
                                   Duration max_wait) noexcept {
        const Grant grant = take(state, limit, n, now);
        if (grant.granted || grant.never || grant.retry_after > max_wait) return grant;
        const auto wanted = static_cast<std::uint64_t>(n);
        const Count seen = read(state, limit, limit.windows.of(now));
        const bool fits = seen.taken + wanted <= limit.permits;
        write(state,
              {.index = seen.index + (fits ? 0 : 1), .taken = wanted + (fits ? seen.taken : 0), .is_held = true});
        return {.granted = true, .retry_after = grant.retry_after};
    }

    static constexpr Grant peek(const State& state, const Prepared& limit, std::int64_t n, Instant now) noexcept {
        State copy = state;
        return take(copy, limit, n, now);
    }

    static constexpr void pause(State& state, const Prepared& limit, Instant from, Instant until) noexcept {
        if (until <= from) return;
        Count seen = read(state, limit, limit.windows.of(from));
        // A window that begins exactly at `until` lies after the pause: it is full.
        seen.index = std::max(seen.index, limit.windows.of(until - Duration{1}));
        write(state, seen);
    }

    /// Permits of a window that has ended lapse, and so do those of one before a reservation's.
    static constexpr void give_back(State& state, const Prepared& limit, std::int64_t n, Instant now) noexcept {
        const Count seen = read(state, limit, limit.windows.of(now));
        const auto returned = static_cast<std::uint64_t>(std::max<std::int64_t>(n, 0));
        if (seen.taken > 0 && !seen.is_held) write(state, {seen.index, seen.taken - std::min(seen.taken, returned)});
    }

    static constexpr std::int64_t available(const State& state, const Prepared& limit, Instant now) noexcept {
        const Count seen = read(state, limit, limit.windows.of(now));
        return seen.is_held ? 0 : static_cast<std::int64_t>(limit.permits - std::min(limit.permits, seen.taken));
    }

    /// With their window.
    static constexpr Instant lease_end(const Prepared& limit, std::int64_t, Instant now) noexcept {
        return limit.windows.end(now);
    }

    static constexpr bool is_fresh(const State& state, const Prepared& limit, Instant now) noexcept {
        const Count seen = read(state, limit, limit.windows.of(now));
        return seen.taken == 0 && seen.index == limit.windows.of(now);
    }

    friend bool operator==(const FixedWindow&, const FixedWindow&) = default;

private:
    static constexpr std::uint64_t index_bits = 31;
    static constexpr std::uint64_t index_mask = (std::uint64_t{1} << index_bits) - 1;

    struct Count {
        std::uint64_t index;  ///< Never before the current window.
        std::uint64_t taken;
        bool is_held = false;  ///< By a reservation: the window has not begun, and nobody is served before it does.
        bool is_ours = true;   ///< Else the state was not believed.
    };

    /// A window of the past counts nothing any more. One of the near future (the clock has stepped back, or there was
    /// a pause or a reservation) goes on counting, or its permits would be granted twice; one further ahead is not
    /// ours, and the current window counts as used up.
    static constexpr Count read(const State& state, const Prepared& limit, std::uint64_t index) noexcept {
        const std::uint64_t ahead = ((state.word >> 32) - index) & index_mask;
        if (state.word == 0 || ahead > index_mask / 2) return {index, 0};
        if (ahead > limit.furthest) return {.index = index, .taken = limit.permits, .is_ours = false};
        return {.index = index + ahead, .taken = state.word & 0xffff'ffffU, .is_held = ahead > 0 && state.word >> 63};
    }

    static constexpr void write(State& state, const Count& count) noexcept {
        state.word = (std::uint64_t{count.is_held} << 63) | ((count.index & index_mask) << 32) | count.taken;
    }
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
