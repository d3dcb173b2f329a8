#pragma once

#include <breakwater/rate_limiter/algorithm.hpp>

#include <chrono>
#include <cstdint>

namespace test {

inline constexpr breakwater::Grant granted{.granted = true};
inline constexpr breakwater::Grant never{.never = true};
constexpr breakwater::Grant refused(breakwater::Duration retry_after) { return {.retry_after = retry_after}; }
constexpr breakwater::Instant at(breakwater::Duration since_epoch) { return breakwater::Instant{since_epoch}; }

/// An algorithm with its state, so that a test reads as a story.
template <class Algorithm>
struct Story {
    using Instant = breakwater::Instant;

    typename Algorithm::Prepared rate;
    breakwater::LimiterState state{};

    constexpr explicit Story(const Algorithm& algorithm, breakwater::Duration max_pause = std::chrono::minutes{5})
        : rate{algorithm.prepare(max_pause)} {}
    constexpr breakwater::Grant take(std::int64_t n, Instant now) { return Algorithm::take(state, rate, n, now); }
    constexpr breakwater::Grant peek(std::int64_t n, Instant now) const { return Algorithm::peek(state, rate, n, now); }
    constexpr std::int64_t available(Instant now) const { return Algorithm::available(state, rate, now); }
    constexpr void pause(Instant from, Instant until) { Algorithm::pause(state, rate, from, until); }
    constexpr void give_back(std::int64_t n, Instant now) { Algorithm::give_back(state, rate, n, now); }
    constexpr int take_all(Instant now) {
        int taken = 0;
        while (take(1, now).granted) ++taken;
        return taken;
    }
};

}  // namespace test
