#pragma once

#include <breakwater/timeline.hpp>

#include <chrono>
#include <concepts>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>

#include <time.h>

namespace breakwater {

/// The epoch of the clock a store keeps its state by. Instants of different clocks are never compared.
struct MachineEpoch {
    using duration = Duration;
};

/// A reading of a store's clock: whole microseconds, always below 2^53.
using Instant = std::chrono::time_point<MachineEpoch, Duration>;

/// A span of any chrono unit as whole microseconds, rounded up so that no wait ends early.
template <class Rep, class Period>
constexpr Duration to_duration(std::chrono::duration<Rep, Period> span) {
    return std::chrono::ceil<Duration>(span);
}

/// How far a clock may step back, or two threads' readings of it lie apart, before a policy starts again from its own
/// reading. Up to here no credit is ever given twice and no wait is cut short.
inline constexpr Duration clock_tolerance = std::chrono::minutes{1};

/// `end`, which was set at most `span` ahead: if the clock has been set back since, `span` from `now`.
constexpr Instant not_beyond(Duration span, Instant end, Instant now) noexcept {
    return end > now + span + clock_tolerance ? now + span : end;
}

/// How a wait ended.
enum class Wait : std::uint8_t { elapsed, stopped };

/// Tells the time and owns waiting. Copies are handles to one clock and compare equal; all members are thread-safe.
///
/// `now()` never goes backwards by itself. `wait_until(t, stop)` blocks until `now() >= t` or a stop is requested,
/// whichever is first; a stop already requested returns at once.
template <class C>
concept Clock = std::copyable<C> && std::equality_comparable<C> &&
                requires(const C& clock, Instant t, const std::stop_token& stop) {
                    { clock.now() } noexcept -> std::same_as<Instant>;
                    { clock.wait_until(t, stop) } -> std::same_as<Wait>;
                };

/// `std::chrono::steady_clock`: the default clock.
class SteadyClock {
public:
    Instant now() const noexcept {
        timespec t;  // as libstdc++'s and libc++'s steady clock read it, without the turn by nanoseconds
        ::clock_gettime(CLOCK_MONOTONIC, &t);
        return Instant{Duration{t.tv_sec * 1'000'000 + static_cast<std::uint32_t>(t.tv_nsec) / 1'000}};
    }

    Wait wait_until(Instant t, const std::stop_token& stop) const {
        std::mutex mutex;
        std::condition_variable_any wake;
        std::unique_lock lock{mutex};
        const std::chrono::steady_clock::time_point until{t.time_since_epoch()};
        wake.wait_until(lock, stop, until, [&] { return now() >= t; });
        return stop.stop_requested() ? Wait::stopped : Wait::elapsed;
    }

    friend bool operator==(SteadyClock, SteadyClock) noexcept { return true; }
};

/// The wall clock, to read HTTP-dates by where an answer has no `Date`. No policy decides by it.
inline std::chrono::sys_seconds wall_clock_now() noexcept {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

/// The same in microseconds, to measure by how long a process was away.
inline std::chrono::sys_time<Duration> wall_clock_now_us() noexcept {
    return std::chrono::floor<Duration>(std::chrono::system_clock::now());
}

/// One reading of a clock, taken when first needed and kept for one step of a call.
template <Clock C>
class LazyNow {
public:
    explicit LazyNow(const C& clock) noexcept : clock_{clock} {}
    [[gnu::always_inline]] Instant operator()() noexcept {
        if (!was_read()) now_ = clock_.now();
        return now_;
    }
    const C& clock() const noexcept { return clock_; }
    bool was_read() const noexcept { return now_ != unread; }
    /// The reading, or `Instant::max()` if nobody has asked for the time.
    Instant if_read() const noexcept { return now_; }
    /// Forgets the reading: time may have passed.
    void forget() noexcept { now_ = unread; }

private:
    static constexpr Instant unread = Instant::max();  // no clock reads so: see `Instant`

    Instant now_ = unread;
    [[no_unique_address]] C clock_;
};

}  // namespace breakwater
