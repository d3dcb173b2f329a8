#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace breakwater::testing {

/// A number in (0, 1], from 64 random bits.
constexpr double unit_share(std::uint64_t random) noexcept { return (static_cast<double>(random >> 11) + 1) * 0x1p-53; }

/// How long something takes that does not always take as long: the work of a simulated service, a way through the
/// network. A double's arithmetic: the same on every run of one build.
struct RandomDuration {
    enum class Kind : std::uint8_t {
        constant,
        exponential,  ///< As the time between events that know nothing of each other.
        log_normal,   ///< Mostly near the median, now and then far above: as answers of most services.
    };
    Kind kind = Kind::constant;
    Duration typical{};      ///< Constant: the duration. Exponential: the mean. Log-normal: the median.
    double sigma = 0.5;      ///< Log-normal: of the logarithm.
    double stall_share = 0;  ///< How many of all, 0 to 1, stall: the machine was doing something else.
    Duration stall{};        ///< The mean of what a stall, which is exponential, adds.

    Duration draw(Random& random) const noexcept {
        auto us = static_cast<double>(typical.count());
        if (kind == Kind::exponential) us *= exponential_share(random);
        if (kind == Kind::log_normal) us *= std::exp(sigma * normal(random));
        if (stall_share > 0 && unit_share(random()) <= stall_share)
            us += static_cast<double>(stall.count()) * exponential_share(random);
        return Duration{static_cast<std::int64_t>(std::min(us, 1e15))};
    }

private:
    static double exponential_share(Random& random) noexcept { return -std::log(unit_share(random())); }
    static double normal(Random& random) noexcept {  // Box and Muller, 1958
        constexpr double two_pi = 6.283185307179586;
        const double length = std::sqrt(2 * exponential_share(random));
        return length * std::cos(two_pi * unit_share(random()));
    }
};

constexpr RandomDuration constantly(Duration duration) noexcept { return {.typical = duration}; }
constexpr RandomDuration exponential(Duration mean) noexcept {
    return {.kind = RandomDuration::Kind::exponential, .typical = mean};
}
constexpr RandomDuration log_normal(Duration median, double sigma = 0.5) noexcept {
    return {.kind = RandomDuration::Kind::log_normal, .typical = median, .sigma = sigma};
}

}  // namespace breakwater::testing
