#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/task/context.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

namespace breakwater {

/// A clock that only tests move. It starts at one hour, so that code may look back.
///
/// In the default mode a wait does not block: it moves the clock to its end and is noted in `waits()`, so a test of
/// retries takes no time and checks the delays as a list. In blocking mode a wait really blocks its thread until
/// another one moves the clock far enough or requests a stop; a coroutine that waits is suspended, and goes on on that
/// thread.
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

    class Sleep;
    /// As `wait_until`, for a coroutine: `co_await clock.sleep_until(t, stop)`.
    Sleep sleep_until(Instant t, const std::stop_token& stop) const;

    void advance(Duration by) const {
        move([by](Instant from) { return from + by; });
    }

    /// Moves the clock to `t`, back too, as no real clock should but some do.
    void set(Instant t) const {
        move([t](Instant) { return t; });
    }

    /// How long each wait so far was to last when it began, in order; 0 if its end had passed already. A wait whose
    /// stop was requested beforehand is none.
    std::vector<Duration> waits() const {
        const std::scoped_lock lock{shared_->mutex};
        return shared_->waits;
    }

    /// Blocks until so many threads are blocked in `wait_until`, or coroutines suspended: the moment to advance a
    /// blocking clock.
    void await_blocked(std::size_t waits = 1) const {
        std::unique_lock lock{shared_->mutex};
        shared_->changed.wait(lock, [&] { return shared_->blocked >= waits; });
    }

    friend bool operator==(const ManualClock&, const ManualClock&) = default;

private:
    struct Shared {
        Shared(Mode mode_of_waits, Instant start) : mode{mode_of_waits}, now{start} {}

        // Call with the lock.
        bool put_to_sleep(Sleep& sleep);
        void wake(Sleep& sleep);
        Sleep* first_due(Instant t) const;

        const Mode mode;
        std::atomic<Instant> now;
        std::mutex mutex;
        std::condition_variable_any changed;
        std::size_t blocked = 0;
        std::vector<Duration> waits;
        std::vector<Sleep*> sleeping;  // in the order in which they began
    };

    /// To `to(where it is)`.
    template <class To>
    void move(To to) const;

    std::shared_ptr<Shared> shared_;
};

/// One suspended coroutine's wait.
class ManualClock::Sleep {
public:
    Sleep(const ManualClock& clock, Instant until, std::stop_token stop) noexcept
        : clock_{clock}, until_{until}, stop_{std::move(stop)} {}
    Sleep(const Sleep&) = delete;
    Sleep& operator=(const Sleep&) = delete;

    bool await_ready() {
        if (clock_.shared_->mode == Mode::blocking && !stop_.stop_requested()) return false;
        is_stopped_ = clock_.wait_until(until_, stop_) == Wait::stopped;
        return true;
    }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> caller) {
        if constexpr (HasTaskContext<P>) {
            if (caller.promise().context().blocks) {
                is_stopped_ = clock_.wait_until(until_, stop_) == Wait::stopped;
                return false;
            }
        }
        caller_ = caller;
        on_stop_.emplace(stop_, Wake{this});
        const std::scoped_lock lock{clock_.shared_->mutex};
        return !is_stopped_ && clock_.shared_->put_to_sleep(*this);
    }
    Wait await_resume() const noexcept { return is_stopped_ ? Wait::stopped : Wait::elapsed; }

private:
    friend ManualClock;
    struct Wake {
        Sleep* sleep;
        void operator()() const { sleep->stop(); }
    };
    void stop() {
        {
            const std::scoped_lock lock{clock_.shared_->mutex};
            if (!is_asleep_) {  // not yet, or not any more
                is_stopped_ = is_stopped_ || !was_asleep_;
                return;
            }
            is_stopped_ = true;
            clock_.shared_->wake(*this);
        }
        caller_.resume();
    }

    const ManualClock clock_;
    const Instant until_;
    const std::stop_token stop_;
    std::coroutine_handle<> caller_;
    bool is_asleep_ = false;
    bool was_asleep_ = false;
    bool is_stopped_ = false;
    std::optional<std::stop_callback<Wake>> on_stop_;
};

inline ManualClock::Sleep ManualClock::sleep_until(Instant t, const std::stop_token& stop) const {
    return {*this, t, stop};
}

template <class To>
void ManualClock::move(To to) const {
    const auto shared = shared_;
    std::unique_lock lock{shared->mutex};
    const Instant t = to(now());
    shared->now.store(t, std::memory_order_release);
    shared->changed.notify_all();
    while (Sleep* const due = shared->first_due(t)) {
        shared->wake(*due);
        lock.unlock();
        due->caller_.resume();
        lock.lock();
    }
}

inline bool ManualClock::Shared::put_to_sleep(Sleep& sleep) {
    const Instant seen = now.load(std::memory_order_relaxed);
    waits.push_back(std::max(sleep.until_ - seen, Duration{0}));
    if (sleep.until_ <= seen) return false;
    sleeping.push_back(&sleep);
    sleep.is_asleep_ = sleep.was_asleep_ = true;
    ++blocked;
    changed.notify_all();
    return true;
}

inline void ManualClock::Shared::wake(Sleep& sleep) {
    std::erase(sleeping, &sleep);
    sleep.is_asleep_ = false;
    --blocked;
}

inline ManualClock::Sleep* ManualClock::Shared::first_due(Instant t) const {
    const auto first = std::ranges::min_element(sleeping, {}, [](const Sleep* sleep) { return sleep->until_; });
    return first != sleeping.end() && (*first)->until_ <= t ? *first : nullptr;
}

}  // namespace breakwater
