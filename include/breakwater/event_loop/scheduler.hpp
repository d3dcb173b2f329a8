#pragma once

#include <breakwater/clock.hpp>

#include <cstdint>

namespace breakwater {

namespace testing {
class TimerCalendar;
}

/// Something to run once on a scheduler's thread. It belongs to whoever posts it, who keeps it until it has run; it
/// may be destroyed, or posted again, in `run`.
class Work {
public:
    virtual void run() noexcept = 0;

protected:
    Work() = default;
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;
    ~Work() = default;

private:
    friend class WorkQueue;
    Work* next_ = nullptr;
};

/// Something to run once at an instant of the steady clock, on a scheduler's thread. It belongs to whoever sets it, who
/// keeps it until it has run or was cancelled; it may be destroyed, or set again, in `on_time`.
class Timer {
public:
    virtual void on_time() noexcept = 0;

protected:
    Timer() = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() = default;

private:
    friend class TimerWheel;
    friend class testing::TimerCalendar;
    Timer** link_ = nullptr;  // what points at this one, if it is set
    Timer* next_ = nullptr;
    std::uint64_t tick_ = 0;
};

/// One thread's work and timers: what suspended coroutines go on by. Nothing here allocates for a `Work` or `Timer`.
class Scheduler {
public:
    /// Has `work` run soon on the scheduler's thread, after what was posted before. Any thread; never runs it at once.
    virtual void post(Work& work) noexcept = 0;

    /// Whether the caller runs on the scheduler's thread.
    virtual bool is_here() const noexcept = 0;

    /// Has `timer` run once the steady clock reads `due`, not before and up to 1 ms later. On the scheduler's thread
    /// only. A timer that is set must not be set again.
    virtual void set(Timer& timer, Instant due) noexcept = 0;

    /// Takes back a timer that is set. On the scheduler's thread only.
    virtual void cancel(Timer& timer) noexcept = 0;

protected:
    ~Scheduler() = default;
};

}  // namespace breakwater
