#pragma once

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <stop_token>
#include <thread>

namespace supplier_sync {

/// Turns SIGINT and SIGTERM into a stop request, even where they were to be ignored. Make it before any other thread:
/// they inherit the blocked signals.
class StopOnSignal {
public:
    StopOnSignal() {
        sigemptyset(&signals_);
        sigaddset(&signals_, SIGINT);
        sigaddset(&signals_, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
        waiting_ = std::thread{[this] {
            int signal = 0;
            sigwait(&signals_, &signal);
            stop_.request_stop();
        }};
    }
    StopOnSignal(const StopOnSignal&) = delete;
    StopOnSignal& operator=(const StopOnSignal&) = delete;
    ~StopOnSignal() {
        pthread_kill(waiting_.native_handle(), SIGINT);
        waiting_.join();
    }

    std::stop_token token() const { return stop_.get_token(); }

private:
    sigset_t signals_{};
    std::stop_source stop_;
    std::thread waiting_;
};

/// Starts of runs at even intervals from now on. A run that takes longer than its interval skips the starts it missed.
class Schedule {
public:
    using Clock = std::chrono::steady_clock;

    explicit Schedule(Clock::duration every) : every_{every} {}

    /// Waits for the next start; false if a stop was requested.
    bool wait(const std::stop_token& stop) {
        const auto now = Clock::now();
        next_ += every_ * ((now - next_) / every_ + 1);
        std::mutex mutex;
        std::condition_variable_any wake;
        std::unique_lock lock{mutex};
        wake.wait_until(lock, stop, next_, [] { return false; });
        return !stop.stop_requested();
    }

private:
    Clock::duration every_;
    Clock::time_point next_ = Clock::now();
};

}  // namespace supplier_sync
