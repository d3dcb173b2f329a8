#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>

namespace breakwater::redis {

/// The server's time as far as it is known here: this process's steady clock and an offset, which is learned from what
/// the server says in its answers. Before the first one it is the wall clock's.
///
/// Copies are one clock. It may step, back too, by as much as was uncertain before: half of a round trip.
class ServerClock {
public:
    ServerClock() : shared_{std::make_shared<Shared>()} {}

    Instant now() const noexcept {
        return SteadyClock{}.now() + Duration{shared_->offset.load(std::memory_order_relaxed)};
    }

    Wait wait_until(Instant t, const std::stop_token& stop) const {
        for (;;) {
            const Instant steady = t - Duration{shared_->offset.load(std::memory_order_relaxed)};
            if (SteadyClock{}.wait_until(steady, stop) == Wait::stopped) return Wait::stopped;
            if (now() >= t) return Wait::elapsed;
        }
    }

    /// The server read its clock between two readings of the steady clock here.
    void learn(Instant server, Instant sent, Instant received) const noexcept {
        const std::scoped_lock lock{shared_->mutex};
        const Duration doubt = std::max((received - sent) / 2, Duration{1});
        // What was known grows less certain: clocks drift apart, by 200 µs in a second at the worst.
        const Duration before = shared_->doubt + (received - shared_->learned) / 5'000;
        if (shared_->is_known && doubt > before) return;
        shared_->is_known = true;
        shared_->doubt = doubt;
        shared_->learned = received;
        shared_->offset.store((server - (sent + doubt)).count(), std::memory_order_relaxed);
    }

    /// This process's steady clock at an instant of the server's.
    Instant steady(Instant server) const noexcept {
        return server - Duration{shared_->offset.load(std::memory_order_relaxed)};
    }

    friend bool operator==(const ServerClock&, const ServerClock&) = default;

private:
    struct Shared {
        std::atomic<std::int64_t> offset{wall_clock_now_us().time_since_epoch().count() -
                                         SteadyClock{}.now().time_since_epoch().count()};
        std::mutex mutex;
        bool is_known = false;
        Duration doubt{};
        Instant learned{};
    };
    std::shared_ptr<Shared> shared_;
};

}  // namespace breakwater::redis
