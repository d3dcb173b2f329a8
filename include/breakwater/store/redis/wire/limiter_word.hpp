#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/algorithm.hpp>
#include <breakwater/rate_limiter/any_algorithm.hpp>
#include <breakwater/rate_limiter/fixed_window.hpp>
#include <breakwater/rate_limiter/sliding_window.hpp>
#include <breakwater/rate_limiter/token_bucket.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/wire.hpp>
#include <breakwater/store/redis/words.hpp>

#include <cstdint>
#include <string_view>

namespace breakwater::redis {

/// The word of a limiter's state as the numbers that a script keeps, and back. A word counts modulo a power of two, the
/// script does not: an instant that the state is near tells the whole number.
template <class Prepared>
struct LimiterWord;
template <class Prepared>
LimiterWord(const Prepared&) -> LimiterWord<Prepared>;

/// `value`'s lower bits as the number nearest to `near` that has them.
constexpr std::int64_t nearest(std::uint64_t value, std::uint64_t near, int bits) noexcept {
    const auto difference = static_cast<std::int64_t>((value - near) << (64 - bits)) >> (64 - bits);
    return static_cast<std::int64_t>(near) + difference;
}

template <>
struct LimiterWord<NoLimit::Prepared> {
    const NoLimit::Prepared& options;
    static constexpr std::string_view name = "no_limit";

    void add_options(Words&) const noexcept {}
    void add(Words&, const LimiterState&, Instant) const noexcept {}
    LimiterState state(Numbers&) const noexcept { return {}; }
};

template <>
struct LimiterWord<TokenBucket::Prepared> {
    const TokenBucket::Prepared& options;
    static constexpr std::string_view name = "token_bucket";

    void add_options(Words& words) const {
        words.add(options.ticks_per_us).add(options.cost).add(options.burst);
        words.add((options.furthest - options.capacity) / options.ticks_per_us);
    }
    void add(Words& words, const LimiterState& state, Instant near) const {
        const auto p = static_cast<std::int64_t>(options.ticks_per_us);
        const std::int64_t at = near.time_since_epoch().count();
        if (state.word == 0) {
            words.add(0).add(0);
            return;
        }
        const auto ahead =
            static_cast<std::int64_t>(state.word - static_cast<std::uint64_t>(at) * options.ticks_per_us);
        const std::int64_t remainder = (ahead % p + p) % p;
        words.add(at + (ahead - remainder) / p).add(remainder);
    }
    LimiterState state(Numbers& numbers) const noexcept {
        const auto full_at = static_cast<std::uint64_t>(numbers.next());
        return {full_at * options.ticks_per_us + static_cast<std::uint64_t>(numbers.next())};
    }
};

template <>
struct LimiterWord<FixedWindow::Prepared> {
    const FixedWindow::Prepared& options;
    static constexpr std::string_view name = "fixed_window";

    void add_options(Words& words) const {
        words.add(options.permits).add(options.windows.length).add(options.furthest);
        words.add(options.furthest * options.windows.length);
    }
    void add(Words& words, const LimiterState& state, Instant near) const {
        const bool is_fresh = state.word == 0;
        words.add(is_fresh ? 0 : nearest(state.word >> 32, options.windows.of(near), 31));
        words.add(state.word & 0xffff'ffffU).add(state.word >> 63);
    }
    LimiterState state(Numbers& numbers) const noexcept {
        const auto window = static_cast<std::uint64_t>(numbers.next()) & 0x7fff'ffffU;
        const auto taken = static_cast<std::uint64_t>(numbers.next()) & 0xffff'ffffU;
        return {static_cast<std::uint64_t>(numbers.next()) << 63 | window << 32 | taken};
    }
};

template <>
struct LimiterWord<SlidingWindow::Prepared> {
    const SlidingWindow::Prepared& options;
    static constexpr std::string_view name = "sliding_window";

    void add_options(Words& words) const {
        words.add(options.permits).add(options.windows.length).add(options.furthest);
        words.add(options.furthest * options.windows.length);
    }
    void add(Words& words, const LimiterState& state, Instant near) const {
        const int bits = options.count_bits;
        const bool is_fresh = state.word == 0;
        words.add(is_fresh ? 0 : nearest(state.word >> (2 * bits), options.windows.of(near), 63 - 2 * bits));
        words.add((state.word >> bits) & count_mask()).add(state.word & count_mask()).add(state.word >> 63);
    }
    LimiterState state(Numbers& numbers) const noexcept {
        const int bits = options.count_bits;
        const auto window = static_cast<std::uint64_t>(numbers.next()) & options.index_mask;
        const auto previous = static_cast<std::uint64_t>(numbers.next()) & count_mask();
        const auto taken = static_cast<std::uint64_t>(numbers.next()) & count_mask();
        return {static_cast<std::uint64_t>(numbers.next()) << 63 | window << (2 * bits) | previous << bits | taken};
    }

private:
    std::uint64_t count_mask() const noexcept { return (std::uint64_t{1} << options.count_bits) - 1; }
};

}  // namespace breakwater::redis
