#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <cstdint>
#include <span>

namespace breakwater::testing {

/// A trouble of a simulated service, from `at` (since the simulation began) on, for as long as it lasts. Those that
/// overlap add up.
struct Outage {
    enum class Reach : std::uint8_t {
        answers,
        refuses,  ///< Every call is refused at once: nobody listens.
        hangs,    ///< No call is answered: packets are lost. Work under way goes on.
    };
    Duration at{};
    Duration lasts = Duration::max();
    Reach reach = Reach::answers;
    double slowdown = 1;    ///< Work that begins meanwhile takes this many times as long. > 0.
    double capacity = 1;    ///< This share of the workers is there, 0 to 1, rounded up; those at work end it first.
    double error_rate = 0;  ///< This share of the work, 0 to 1, ends in an error.

    constexpr Duration end() const noexcept { return lasts > Duration::max() - at ? Duration::max() : at + lasts; }

    /// All that go on at `since_start`, as one.
    static constexpr Outage at_once(std::span<const Outage> script, Duration since_start) noexcept {
        Outage all;
        for (const Outage& one : script) {
            if (since_start < one.at || since_start >= one.end()) continue;
            all.reach = std::max(all.reach, one.reach);
            all.slowdown *= one.slowdown;
            all.capacity *= one.capacity;
            all.error_rate = 1 - (1 - all.error_rate) * (1 - one.error_rate);
        }
        return all;
    }
    /// When anything changes next; `Duration::max()` if nothing does.
    static constexpr Duration next_change(std::span<const Outage> script, Duration since_start) noexcept {
        Duration next = Duration::max();
        for (const Outage& one : script)
            for (const Duration edge : {one.at, one.end()})
                if (edge > since_start) next = std::min(next, edge);
        return next;
    }
};

}  // namespace breakwater::testing
