#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/descriptor.hpp>

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace breakwater::redis {

/// Makes a descriptor readable at a time of `SteadyClock`. Unlike the time limit of `poll` it can be brought forward
/// while a thread waits.
class Timer {
public:
    /// Throws `std::system_error` where no descriptor is left.
    Timer() : descriptor_{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create"} {}

    int fd() const noexcept { return descriptor_.get(); }

    /// Goes off at that time, or at an earlier one it was set to: who wakes too early sets it again.
    void set(Instant time) noexcept {
        if (time >= set_to_) return;
        set_to_ = time;
        const std::int64_t us = std::max<std::int64_t>(time.time_since_epoch().count(), 1);  // 0 switches it off
        itimerspec when{};
        when.it_value.tv_sec = static_cast<time_t>(us / 1'000'000);
        when.it_value.tv_nsec = static_cast<long>(us % 1'000'000) * 1'000;
        ::timerfd_settime(fd(), TFD_TIMER_ABSTIME, &when, nullptr);
    }
    /// It has gone off.
    void silence() noexcept {
        set_to_ = Instant::max();
        std::uint64_t count = 0;
        [[maybe_unused]] const auto size = ::read(fd(), &count, sizeof count);
    }

private:
    breakwater::detail::Descriptor descriptor_;
    Instant set_to_ = Instant::max();
};

}  // namespace breakwater::redis
