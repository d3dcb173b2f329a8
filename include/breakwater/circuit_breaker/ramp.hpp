#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace breakwater {

/// After the probes, a closed circuit lets only a share of the calls through, which grows to all of them. By default it
/// lets them all through at once.
struct RampedClose {
    /// How long it takes to grow. 1 ms to 24 h; empty (the default) switches the ramp off.
    std::optional<Duration> duration{};

    /// The share of calls let through at first. In (0, 1]; default 0.1.
    double first_share = 0.1;

    friend bool operator==(const RampedClose&, const RampedClose&) = default;
};

/// A ramp on its way: which calls it lets through. One of every n, evenly, not by chance.
class Ramp {
public:
    constexpr Ramp() noexcept = default;
    /// A ramp that begins. It lets its first call through.
    static constexpr Ramp begun() noexcept {
        Ramp ramp;
        ramp.is_on_ = true;
        ramp.credit_ = whole_permit - 1;
        return ramp;
    }

    constexpr bool is_on() const noexcept { return is_on_; }

    /// How long a ramp that began at `began` still lasts; zero if it is over.
    static constexpr Duration left(const RampedClose& ramp, Instant began, Instant now) noexcept {
        const Duration whole = ramp.duration.value_or(Duration{0});
        return std::clamp(began + whole - now, Duration{0}, whole);
    }
    /// The share of calls let through with so much time left: in (0, 1].
    static constexpr double share(const RampedClose& ramp, Duration left) noexcept {
        return static_cast<double>(millionths(ramp, left)) / whole_permit;
    }

    /// Asks for one call, with so much time left.
    constexpr bool admits(const RampedClose& ramp, Duration left) noexcept {
        credit_ += millionths(ramp, left);
        if (credit_ < whole_permit) return false;
        credit_ -= whole_permit;
        return true;
    }

    friend constexpr bool operator==(const Ramp&, const Ramp&) = default;

private:
    static constexpr std::uint32_t whole_permit = 1'000'000;

    static constexpr std::uint32_t millionths(const RampedClose& ramp, Duration left) noexcept {
        if (left <= Duration{0}) return whole_permit;
        const double grown = 1.0 - static_cast<double>(left.count()) / static_cast<double>(ramp.duration->count());
        return static_cast<std::uint32_t>((ramp.first_share + (1.0 - ramp.first_share) * grown) * whole_permit);
    }

    bool is_on_ = false;
    std::uint32_t credit_ = 0;  // what refused calls have saved up, in millionths of a permit
};

}  // namespace breakwater
