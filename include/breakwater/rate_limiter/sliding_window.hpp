#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/rate_limiter/algorithm.hpp>
#include <breakwater/rate_limiter/window_index.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace breakwater {

/// About `permits` in any interval as long as `window`, without the edge of `FixedWindow`. The limiter counts two
/// aligned windows, this one and the previous, and grants n permits if
///
///     current + previous × (share of the previous window that is less than one window ago) + n ≤ permits
///
/// in exact integers, so nothing is ever rounded in a caller's favour. (Two counters as an estimate of a log of all
/// grants: Cloudflare, "How we built rate limiting capable of scaling to millions of domains", 2017.)
///
/// The bound: between two instants x apart, both included, at most permits + floor(permits × x / window) are granted,
/// for any x, as by a `TokenBucket` with burst = permits; so fewer than 2 × permits in any interval [t, t + window),
/// and at most permits in each aligned window. Against a log the estimate errs by less than `permits` either way: by
/// less than one permit if the previous window's grants were spread evenly; it is too strict if they came early, too
/// lax if they came late.
///
/// The word holds the windows' index, both counts and whether a reservation entered the window ahead of time. The fewer
/// bits the counts need, the longer until the index repeats: at least 203 days. A limiter left alone for half of that
/// may be found used up.
struct SlidingWindow {
    std::int64_t permits = 100;  ///< At least 1; at most 16,383 if `window` is 1 ms, 524,287 if it is 1 s.
    Duration window = std::chrono::seconds{1};  ///< 1 ms to 366 days.

    using State = LimiterState;

    struct Prepared {
        std::uint64_t permits;
        detail::WindowIndex windows;
        std::uint64_t furthest;    ///< A state more windows ahead than this is not one of ours.
        std::uint64_t index_mask;  ///< How much of the index is kept.
        int count_bits;            ///< How much each count takes of the word.
    };

    /// Needs options that `validate` accepts.
    constexpr Prepared prepare(Duration max_ahead = default_max_pause) const noexcept {
        const int bits = count_bits();
        return {.permits = static_cast<std::uint64_t>(permits),
                .windows = detail::WindowIndex{window},
                .furthest = static_cast<std::uint64_t>((max_ahead + clock_tolerance) / window) + 1,
                .index_mask = (std::uint64_t{1} << (63 - 2 * bits)) - 1,
                .count_bits = bits};
    }

    static constexpr Grant take(State& state, const Prepared& limit, std::int64_t n, Instant now) noexcept {
        const auto wanted = static_cast<std::uint64_t>(n);  // a negative n is more than any limit
        if (wanted > limit.permits) return {.never = true};
        Counts seen = read(state, limit, now);
        if (seen.is_held || !fits(seen, limit, wanted)) {
            if (!seen.is_ours) write(state, limit, seen);
            return {.retry_after = begin(place(seen, limit, wanted), limit) - now};
        }
        seen.current += wanted;
        write(state, limit, seen);
        return {.granted = true};
    }

    static constexpr Grant reserve(State& state, const Prepared& limit, std::int64_t n, Instant now,
                                   Duration max_wait) noexcept {
        const Grant grant = take(state, limit, n, now);
        if (grant.granted || grant.never || grant.retry_after > max_wait) return grant;
        const auto wanted = static_cast<std::uint64_t>(n);
        Counts ahead = place(read(state, limit, now), limit, wanted);
        ahead.current += wanted;
        ahead.is_held = true;  // believed only until the window begins
        write(state, limit, ahead);
        return {.granted = true, .retry_after = grant.retry_after};
    }

    static constexpr Grant peek(const State& state, const Prepared& limit, std::int64_t n, Instant now) noexcept {
        State copy = state;
        return take(copy, limit, n, now);
    }

    /// What counts at `from` counts at `until` as taken in that window: it begins to fade when the window ends.
    static constexpr void pause(State& state, const Prepared& limit, Instant from, Instant until) noexcept {
        if (until <= from) return;
        const Counts seen = read(state, limit, from);
        const std::uint64_t last = limit.windows.of(until - Duration{1});
        if (seen.index > last) return write(state, limit, seen);
        write(state, limit, {.index = last, .current = std::min(limit.permits, estimate(seen, limit))});
    }

    /// Taken from the current window's count first. While a reservation holds a coming window only the permits of the
    /// window before that still count; others lapse.
    static constexpr void give_back(State& state, const Prepared& limit, std::int64_t n, Instant now) noexcept {
        Counts seen = read(state, limit, now);
        auto returned = static_cast<std::uint64_t>(std::max<std::int64_t>(n, 0));
        if (returned == 0 || seen.current + seen.previous == 0) return;
        if (!seen.is_held) {
            const std::uint64_t from_current = std::min(seen.current, returned);
            seen.current -= from_current;
            returned -= from_current;
        } else if (seen.index != limit.windows.of(now) + 1) {
            return;
        }
        seen.previous -= std::min(seen.previous, returned);
        write(state, limit, seen);
    }

    static constexpr std::int64_t available(const State& state, const Prepared& limit, Instant now) noexcept {
        const Counts seen = read(state, limit, now);
        if (seen.is_held) return 0;
        return static_cast<std::int64_t>(limit.permits - std::min(limit.permits, estimate(seen, limit)));
    }

    /// With their window.
    static constexpr Instant lease_end(const Prepared& limit, std::int64_t, Instant now) noexcept {
        return limit.windows.end(now);
    }

    static constexpr bool is_fresh(const State& state, const Prepared& limit, Instant now) noexcept {
        const Counts seen = read(state, limit, now);
        return seen.current == 0 && seen.previous == 0 && seen.index == limit.windows.of(now);
    }

    /// How many bits of the word a count of up to `permits` takes.
    constexpr int count_bits() const noexcept {
        return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(permits)));
    }

    friend bool operator==(const SlidingWindow&, const SlidingWindow&) = default;

private:
    __extension__ using Wide = unsigned __int128;

    struct Counts {
        std::uint64_t index;       ///< Never before the current window.
        std::uint64_t offset = 0;  ///< µs since that window began; 0 if it has not.
        std::uint64_t previous = 0;
        std::uint64_t current = 0;
        bool is_held = false;  ///< By a reservation: the window has not begun, and nobody is served before it does.
        bool is_ours = true;   ///< Else the state was not believed.
    };

    static constexpr bool fits(const Counts& seen, const Prepared& limit, std::uint64_t wanted) noexcept {
        return seen.current + wanted <= limit.permits &&
               Wide{seen.previous} * (limit.windows.length - seen.offset) <=
                   Wide{limit.permits - seen.current - wanted} * limit.windows.length;
    }

    /// The estimate, rounded up.
    static constexpr std::uint64_t estimate(const Counts& seen, const Prepared& limit) noexcept {
        const Wide part = Wide{seen.previous} * (limit.windows.length - seen.offset);
        return seen.current + static_cast<std::uint64_t>((part + limit.windows.length - 1) / limit.windows.length);
    }

    /// The first instant, from `seen` on, at which `wanted` fit, and the counts as they are then.
    static constexpr Counts place(Counts seen, const Prepared& limit, std::uint64_t wanted) noexcept {
        const std::uint64_t length = limit.windows.length;
        while (!fits(seen, limit, wanted)) {
            std::uint64_t offset = length;
            if (seen.current + wanted <= limit.permits) {  // once enough of the previous window is out of sight
                offset -=
                    static_cast<std::uint64_t>(Wide{limit.permits - seen.current - wanted} * length / seen.previous);
            }
            if (offset < length) {
                seen.offset = offset;
            } else {
                seen = {.index = seen.index + 1, .previous = seen.current};
            }
        }
        return seen;
    }
    static constexpr Instant begin(const Counts& counts, const Prepared& limit) noexcept {
        return Instant{Duration{static_cast<std::int64_t>(counts.index * limit.windows.length + counts.offset)}};
    }

    /// One window on, the current count is the previous one. A window of the near future (the clock has stepped back,
    /// or there was a pause or a reservation) goes on counting as at its beginning, or its permits would be granted
    /// twice; one further ahead is not ours, and the current window counts as used up.
    static constexpr Counts read(const State& state, const Prepared& limit, Instant now) noexcept {
        const std::uint64_t us = limit.windows.microseconds(now);
        const std::uint64_t index = limit.windows.of(us);
        const std::uint64_t offset = us - index * limit.windows.length;
        if (state.word == 0) return {.index = index, .offset = offset};
        const std::uint64_t count_mask = (std::uint64_t{1} << limit.count_bits) - 1;
        const std::uint64_t current = state.word & count_mask;
        const std::uint64_t previous = (state.word >> limit.count_bits) & count_mask;
        const std::uint64_t ahead = ((state.word >> (2 * limit.count_bits)) - index) & limit.index_mask;
        if (ahead == 0) return {.index = index, .offset = offset, .previous = previous, .current = current};
        if (ahead == limit.index_mask) return {.index = index, .offset = offset, .previous = current};
        if (ahead > limit.index_mask / 2) return {.index = index, .offset = offset};
        if (ahead > limit.furthest)
            return {.index = index, .offset = offset, .current = limit.permits, .is_ours = false};
        return {.index = index + ahead, .previous = previous, .current = current, .is_held = state.word >> 63 != 0};
    }

    static constexpr void write(State& state, const Prepared& limit, const Counts& counts) noexcept {
        state.word = (std::uint64_t{counts.is_held} << 63) |
                     ((counts.index & limit.index_mask) << (2 * limit.count_bits)) |
                     (counts.previous << limit.count_bits) | counts.current;
    }
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const SlidingWindow& limit, std::string_view path) {
    if (limit.window < std::chrono::milliseconds{1} || limit.window > std::chrono::days{366})
        return detail::invalid_option(path, "window", "1ms to 366 days", limit.window);
    // The index keeps at least 8 bits, and as many as 203 days (2^44 µs) of windows need.
    const auto window_bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(limit.window.count())));
    const int index_bits = std::max(8, 45 - window_bits);
    const std::int64_t most = (std::int64_t{1} << ((63 - index_bits) / 2)) - 1;
    if (limit.permits < 1 || limit.permits > most) {
        return detail::invalid_option(path, "permits", "1 to " + std::to_string(most) + " at this window",
                                      limit.permits);
    }
    return {};
}

}  // namespace breakwater
