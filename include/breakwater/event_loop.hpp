#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/alarm_bell.hpp>
#include <breakwater/event_loop/poller.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/event_loop/timer_wheel.hpp>
#include <breakwater/event_loop/watcher.hpp>
#include <breakwater/event_loop/work_queue.hpp>

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>

namespace breakwater {

/// A thread's work, timers and descriptors, in turns: what is due, then what was posted, then what is ready. Sleeps
/// while there is nothing of the three.
///
/// Runs on the thread that calls `run`; see `LoopThread` for one of its own. While it does not run, what is said to be
/// for "its thread only" is for its owner. Timers still set and work still posted when it is destroyed never run.
class EventLoop final : public Scheduler {
public:
    /// Throws `std::system_error` where no descriptor is left.
    EventLoop() { poller_.watch(bell_.fd(), Interest::read, listener_); }
    ~EventLoop() = default;
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    /// Until `stop` is called, which may be before: then at once, after what has been posted by now.
    void run() {
        run_until([] { return false; });
    }

    /// Also until `is_done()`, which is asked on this thread after every turn.
    template <class P>
    void run_until(P&& is_done) {
        const auto before = thread_.exchange(std::this_thread::get_id(), std::memory_order_relaxed);
        for (;;) {
            take_turn();
            if (is_stopping_.exchange(false, std::memory_order_acquire) || is_done()) break;
            sleep();
        }
        thread_.store(before, std::memory_order_relaxed);
    }

    /// Runs what has been posted until nothing is left, without waiting for anything. Where it does not run otherwise.
    void finish() noexcept {
        const auto before = thread_.exchange(std::this_thread::get_id(), std::memory_order_relaxed);
        while (posted_.run_all()) {
        }
        thread_.store(before, std::memory_order_relaxed);
    }

    /// Has `run` return after its turn. Any thread.
    void stop() noexcept {
        is_stopping_.store(true, std::memory_order_release);
        bell_.ring();
    }

    void post(Work& work) noexcept override {
        if (posted_.push(work)) bell_.ring();
    }
    bool is_here() const noexcept override {
        return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }
    void set(Timer& timer, Instant due) noexcept override { timers_.insert(timer, due); }
    void cancel(Timer& timer) noexcept override { timers_.remove(timer); }

    /// Tells `watcher` whenever the descriptor is ready for that, until something else is said. Its thread only.
    void watch(int descriptor, Interest interest, Watcher& watcher) { poller_.watch(descriptor, interest, watcher); }
    /// Has to come before the descriptor is closed. Its thread only.
    void forget(int descriptor) noexcept { poller_.forget(descriptor); }

    /// How often another thread had to wake this one, and how often the kernel was told of a descriptor. Its thread
    /// only.
    std::uint64_t wake_ups() const noexcept { return listener_.heard; }
    std::uint64_t controls() const noexcept { return poller_.controls(); }

private:
    struct Listener final : Watcher {
        explicit Listener(const detail::AlarmBell& own) noexcept : bell{own} {}
        void on_ready(int, Ready) noexcept override {
            bell.silence();
            ++heard;
        }
        const detail::AlarmBell& bell;
        std::uint64_t heard = 0;
    };

    void take_turn() noexcept {
        if (const auto next = timers_.next()) {  // else nobody needs to know what time it is
            if (const Instant now = SteadyClock{}.now(); *next <= now) timers_.advance(now);
        }
        // Work makes work: an answer's continuation sends the next request. In rounds, so that it is done before the
        // kernel is asked; not for ever, so that the kernel is asked at all.
        for (int round = 0; round < 16 && posted_.run_all(); ++round) {
        }
    }

    void sleep() {
        const bool has_nothing_to_do = posted_.may_sleep();
        poller_.wait(has_nothing_to_do ? timers_.next() : Instant{});
        posted_.wake();  // who posts from now on, a watcher above all, need not ring
        poller_.dispatch();
    }

    detail::AlarmBell bell_;
    Listener listener_{bell_};
    Poller poller_;
    TimerWheel timers_{SteadyClock{}.now()};
    WorkQueue posted_;
    std::atomic<bool> is_stopping_{false};
    std::atomic<std::thread::id> thread_{};
};

}  // namespace breakwater
