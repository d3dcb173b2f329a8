#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

namespace breakwater {

/// A clock that only tests move. It starts at one hour, so that code may look back.
///
/// In the default mode a wait does not block: it moves the clock to its end and is noted in `waits()`, so a test of
/// retries takes no time and checks the delays as a list. In blocking mode a wait really blocks its thread until
/// another one moves the clock far enough or requests a stop.
class ManualClock {
public:
    enum class Mode : std::uint8_t { advancing, blocking };

    explicit ManualClock(Mode mode = Mode::advancing, Instant start = Instant{std::chrono::hours{1}})
        : shared_{std::make_shared<Shared>(mode, start)} {}

    /// Lock-free.
    Instant now() const noexcept { return shared_->now.load(std::memory_order_acquire); }

    Wait wait_until(Instant t, const std::stop_token& stop) const {
        Shared& shared = *shared_;
        std::unique_lock lock{shared.mutex};
        if (stop.stop_requested()) return Wait::stopped;
        shared.waits.push_back(std::max(t - now(), Duration{0}));
        if (shared.mode == Mode::advancing) {
            if (t > now()) shared.now.store(t, std::memory_order_release);
            return Wait::elapsed;
        }
        ++shared.blocked;
        shared.changed.notify_all();
        const bool elapsed = shared.changed.wait(lock, stop, [&] { return now() >= t; });
        --shared.blocked;
        return elapsed ? Wait::elapsed : Wait::stopped;
    }

    void advance(Duration by) const {
        const std::scoped_lock lock{shared_->mutex};
        shared_->now.store(now() + by, std::memory_order_release);
        shared_->changed.notify_all();
    }

    /// Moves the clock to `t`, back too, as no real clock should but some do.
    void set(Instant t) const {
        const std::scoped_lock lock{shared_->mutex};
        shared_->now.store(t, std::memory_order_release);
        shared_->changed.notify_all();
    }

    /// How long each wait so far was to last when it began, in order; 0 if its end had passed already. A wait whose
    /// stop was requested beforehand is none.
    std::vector<Duration> waits() const {
        const std::scoped_lock lock{shared_->mutex};
        return shared_->waits;
    }

    /// Blocks until `threads` threads are blocked in `wait_until`: the moment to advance a blocking clock.
    void await_blocked(std::size_t threads = 1) const {
        std::unique_lock lock{shared_->mutex};
        shared_->changed.wait(lock, [&] { return shared_->blocked >= threads; });
    }

    friend bool operator==(const ManualClock&, const ManualClock&) = default;

private:
    struct Shared {
        Shared(Mode mode_of_waits, Instant start) : mode{mode_of_waits}, now{start} {}

        const Mode mode;
        std::atomic<Instant> now;
        std::mutex mutex;
        std::condition_variable_any changed;
        std::size_t blocked = 0;
        std::vector<Duration> waits;
    };

    std::shared_ptr<Shared> shared_;
};

}  // namespace breakwater
