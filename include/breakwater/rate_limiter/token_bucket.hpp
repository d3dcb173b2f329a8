#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/rate_limiter/algorithm.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

/// `permits` per `period`, credited evenly; up to `burst` at once. In any interval of length t at most
/// burst + floor(t × permits / period) permits are granted, exactly, at any rate and for any t. Starts full.
///
/// This is the generic cell rate algorithm (ITU-T I.371, annex A) on one integer, the theoretical arrival time: the
/// instant at which the bucket is full again. Its unit is the tick of 1/p µs, where p/q is permits/period in lowest
/// terms, so a permit costs exactly q ticks and no remainder is ever dropped. Ticks count modulo 2^64 and only
/// differences are compared, so the life of the store has no limit. A bucket left alone for more than 2^63 ticks (101
/// days at the largest p, 290,000 years at p = 1) may be found empty instead of full.
struct TokenBucket {
    std::int64_t permits = 100;                 ///< At least 1; permits/period in lowest terms at most 2^20 per q µs.
    Duration period = std::chrono::seconds{1};  ///< More than 0.
    std::optional<std::int64_t> burst{};        ///< At least 1; `permits` if empty. burst × q < 2^53.

    using State = LimiterState;

    struct Prepared {
        std::uint64_t ticks_per_us;  ///< p
        std::uint64_t cost;          ///< q, in ticks
        std::uint64_t burst;         ///< in permits
        std::uint64_t capacity;      ///< burst, in ticks
        std::uint64_t furthest;      ///< A state further ahead than this is not one of ours.
    };

    /// Needs options that `validate` accepts.
    constexpr Prepared prepare(Duration max_ahead = default_max_pause) const noexcept {
        const std::int64_t divisor = std::gcd(permits, period.count());
        const auto p = static_cast<std::uint64_t>(permits / divisor);
        const auto q = static_cast<std::uint64_t>(period.count() / divisor);
        const auto most = static_cast<std::uint64_t>(burst.value_or(permits));
        const auto tolerated = static_cast<std::uint64_t>((max_ahead + clock_tolerance).count());
        return {
            .ticks_per_us = p, .cost = q, .burst = most, .capacity = most * q, .furthest = most * q + tolerated * p};
    }

    static constexpr Grant take(State& state, const Prepared& rate, std::int64_t n, Instant now) noexcept {
        if (grants(state, rate, n, now)) return {.granted = true};
        const auto wanted = static_cast<std::uint64_t>(n);
        if (wanted > rate.burst) return {.never = true};
        const std::uint64_t at = ticks(rate, now);
        return refuse(state, rate, at, debt(state, at) + wanted * rate.cost);
    }
    [[gnu::always_inline]] static constexpr bool grants(State& state, const Prepared& rate, std::int64_t n,
                                                        Instant now) noexcept {
        const auto wanted = static_cast<std::uint64_t>(n);  // a negative n is more than any burst
        if (wanted > rate.burst) [[unlikely]]
            return false;
        const std::uint64_t at = ticks(rate, now);
        const std::uint64_t after = debt(state, at) + wanted * rate.cost;
        if (after > rate.capacity) [[unlikely]]
            return false;
        set(state, at + after);
        return true;
    }

    /// A bucket in debt beyond its burst: whoever comes later waits until that is paid.
    static constexpr Grant reserve(State& state, const Prepared& rate, std::int64_t n, Instant now,
                                   Duration max_wait) noexcept {
        const Grant grant = take(state, rate, n, now);
        if (grant.granted || grant.never || grant.retry_after > max_wait) return grant;
        // As a `take` when the wait is over: in the part of a microsecond that it is rounded up by nothing accrues.
        const std::uint64_t at = ticks(rate, now + grant.retry_after);
        set(state, at + debt(state, at) + static_cast<std::uint64_t>(n) * rate.cost);
        return {.granted = true, .retry_after = grant.retry_after};
    }

    static constexpr Grant peek(const State& state, const Prepared& rate, std::int64_t n, Instant now) noexcept {
        State copy = state;
        return take(copy, rate, n, now);
    }

    static constexpr void pause(State& state, const Prepared& rate, Instant from, Instant until) noexcept {
        if (until <= from) return;
        const std::uint64_t at = ticks(rate, from);
        const std::uint64_t owed = debt(state, at);
        set(state, ticks(rate, until) + (owed > rate.furthest ? rate.capacity : owed));
    }

    static constexpr void give_back(State& state, const Prepared& rate, std::int64_t n, Instant now) noexcept {
        const std::uint64_t at = ticks(rate, now);
        const std::uint64_t owed = debt(state, at);
        const std::uint64_t returned = std::min(static_cast<std::uint64_t>(n), rate.burst) * rate.cost;
        if (owed > 0 && n > 0) set(state, at + (owed > returned ? owed - returned : 0));
    }

    static constexpr std::int64_t available(const State& state, const Prepared& rate, Instant now) noexcept {
        const std::uint64_t owed = debt(state, ticks(rate, now));
        return owed < rate.capacity ? static_cast<std::int64_t>((rate.capacity - owed) / rate.cost) : 0;
    }

    /// As long as they take to come back: 1 ms to 1 s.
    static constexpr Instant lease_end(const Prepared& rate, std::int64_t n, Instant now) noexcept {
        const auto wanted = static_cast<std::uint64_t>(n);
        const std::uint64_t us = (wanted * rate.cost + rate.ticks_per_us - 1) / rate.ticks_per_us;
        return now + Duration{static_cast<std::int64_t>(std::clamp<std::uint64_t>(us, 1'000, 1'000'000))};
    }

    static constexpr bool is_fresh(const State& state, const Prepared& rate, Instant now) noexcept {
        return debt(state, ticks(rate, now)) == 0;
    }

    friend bool operator==(const TokenBucket&, const TokenBucket&) = default;

private:
    static constexpr std::uint64_t ticks(const Prepared& rate, Instant now) noexcept {
        return static_cast<std::uint64_t>(now.time_since_epoch().count()) * rate.ticks_per_us;
    }

    /// How many ticks the bucket is short of full. A clock that steps back finds it shorter, never fuller.
    static constexpr std::uint64_t debt(const State& state, std::uint64_t at) noexcept {
        if (state.word == 0) return 0;
        return static_cast<std::uint64_t>(std::max<std::int64_t>(static_cast<std::int64_t>(state.word - at), 0));
    }

    /// The word 0 means fresh, so the one instant in 2^64 that would read so becomes the next tick.
    static constexpr void set(State& state, std::uint64_t full_at) noexcept {
        if (full_at == 0) [[unlikely]]
            full_at = 1;
        state.word = full_at;
    }

    static constexpr Grant refuse(State& state, const Prepared& rate, std::uint64_t at, std::uint64_t after) noexcept {
        const std::uint64_t owed = debt(state, at);
        if (owed > rate.furthest) {
            after = after - owed + rate.capacity;
            set(state, at + rate.capacity);
        }
        const std::uint64_t missing = after - rate.capacity;
        return {.retry_after =
                    Duration{static_cast<std::int64_t>((missing + rate.ticks_per_us - 1) / rate.ticks_per_us)}};
    }
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const TokenBucket& bucket, std::string_view path) {
    constexpr std::int64_t most_ticks = std::int64_t{1} << 53;
    constexpr std::int64_t most_per_us = std::int64_t{1} << 20;
    if (bucket.permits < 1) return detail::invalid_option(path, "permits", ">= 1", bucket.permits);
    if (bucket.period <= Duration{0}) return detail::invalid_option(path, "period", "> 0s", bucket.period);
    if (bucket.burst && *bucket.burst < 1) return detail::invalid_option(path, "burst", ">= 1", *bucket.burst);
    const std::int64_t divisor = std::gcd(bucket.permits, bucket.period.count());
    const std::int64_t p = bucket.permits / divisor;
    const std::int64_t q = bucket.period.count() / divisor;
    if (p > most_per_us) {
        return detail::invalid_option(path, "permits", "<= 1048576 once permits/period (in us) is in lowest terms", p);
    }
    if (q >= most_ticks) return detail::invalid_option(path, "period", "< 2^53 microseconds per permit", bucket.period);
    const std::int64_t burst = bucket.burst.value_or(bucket.permits);
    const std::int64_t most_burst = (most_ticks - 1) / q;
    if (burst > most_burst) {
        return detail::invalid_option(path, "burst", "<= " + std::to_string(most_burst) + " at this rate", burst);
    }
    return {};
}

}  // namespace breakwater
