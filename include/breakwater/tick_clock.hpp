#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/tick_clock/counter.hpp>
#include <breakwater/tick_clock/meter.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <stop_token>

namespace breakwater {

/// `std::chrono::steady_clock`, read off the processor's own counter. Saves what the kernel's conversion costs: a tenth
/// of the price where ordering the reading (a fence) is most of it, more where the kernel reads another counter.
///
///     bw::ResilientClient client{options, bw::CurlTransport{}, bw::MemoryStore{bw::TickClock{}}};
///
/// The counter (x86-64: the TSC, Arm: `cntvct_el0`) is measured against the steady clock for the first 100 ms of use
/// and set by it once a second, by the reading that finds a second over. Seen: the two differ by a few microseconds.
/// Promised: by at most 1 ms, for a counter whose rate changes by more than 0.1 % from second to second is given up, as
/// is one that has stepped. From then on, and on processors whose counter is not invariant, this is the steady clock.
///
/// A reading on any thread that comes after another is not smaller, as long as the counter itself does not step back.
/// All copies are one clock. Lock-free.
class TickClock {
public:
    [[gnu::always_inline]] Instant now() const noexcept { return meter_.now(); }

    Wait wait_until(Instant t, const std::stop_token& stop) const {
        constexpr Duration longest = std::chrono::hours{1};
        const SteadyClock steady;
        for (;;) {
            if (stop.stop_requested()) return Wait::stopped;
            const Instant seen = now();
            if (seen >= t) return Wait::elapsed;
            const Duration wait = seen + longest < t ? longest : t - seen;
            if (steady.wait_until(steady.now() + wait, stop) == Wait::stopped) return Wait::stopped;
            if (now() < seen + wait) meter_.verify();
        }
    }

    /// True while readings come from the counter: after the first 100 ms of use, unless it has been given up.
    static bool uses_counter() noexcept { return meter_.uses_counter(); }

    friend bool operator==(TickClock, TickClock) noexcept { return true; }

private:
    struct Reference {
        std::int64_t operator()() const noexcept {
            return std::chrono::nanoseconds{std::chrono::steady_clock::now().time_since_epoch()}.count();
        }
    };

    static inline constinit TickMeter<ProcessorCounter, Reference> meter_{};
};

}  // namespace breakwater
