#pragma once

#include <pthread.h>
#include <signal.h>

#include <array>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <thread>
#include <utility>

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
        pthread_kill(waiting_.native_handle(), SIGTERM);
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

/// "3s", "15min", "4h", "250ms": a positive time, or nothing.
inline std::optional<std::chrono::milliseconds> parse_interval(std::string_view text) {
    using namespace std::chrono;
    constexpr std::array<std::pair<std::string_view, milliseconds>, 4> units{
        {{"ms", milliseconds{1}}, {"s", seconds{1}}, {"min", minutes{1}}, {"h", hours{1}}}};
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || number <= 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    for (const auto& [name, unit] : units) {
        if (text == name) return number * unit;
    }
    return std::nullopt;
}

}  // namespace supplier_sync
