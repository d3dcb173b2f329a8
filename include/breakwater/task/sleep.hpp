#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop/process_loop.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/context.hpp>

#include <algorithm>
#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <utility>

namespace breakwater {

namespace detail {

/// A clock with an awaitable wait of its own, as `ManualClock` has.
template <class C>
concept HasOwnSleep = requires(const C& clock, Instant t, const std::stop_token& stop) { clock.sleep_until(t, stop); };

/// One wait on a scheduler's timers. All of it happens on the scheduler's thread, but for the beginning and the stop
/// request, which post what is to be done there.
template <Clock C>
class Sleep final : Timer {
public:
    Sleep(const C& clock, Instant until, std::stop_token stop) noexcept
        : clock_{clock}, until_{until}, stop_{std::move(stop)} {}

    bool await_ready() noexcept {
        is_stopped_ = stop_.stop_requested();
        return is_stopped_ || clock_.now() >= until_;
    }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> caller) {
        if constexpr (HasTaskContext<P>) {
            const TaskContext& context = caller.promise().context();
            if (context.blocks) {
                is_stopped_ = clock_.wait_until(until_, stop_) == Wait::stopped;
                return false;
            }
            scheduler_ = context.scheduler;
        }
        caller_ = caller;
        if (scheduler_ == nullptr) scheduler_ = &process_loop();
        // A stop request from now on is heeded there, so not before this is done.
        if (stop_.stop_possible()) on_stop_.emplace(stop_, Ask{this});
        if (scheduler_->is_here())
            begin();
        else
            scheduler_->post(begin_work_);
        return true;
    }
    Wait await_resume() const noexcept { return is_stopped_ ? Wait::stopped : Wait::elapsed; }

private:
    struct Ask {
        Sleep* sleep;
        void operator()() noexcept {
            sleep->is_asked_.store(true, std::memory_order_relaxed);
            sleep->scheduler_->post(sleep->stop_work_);
        }
    };
    class Begin final : public Work {
    public:
        explicit Begin(Sleep& sleep) noexcept : sleep_{sleep} {}
        void run() noexcept override { sleep_.begin(); }

    private:
        Sleep& sleep_;
    };
    class Stop final : public Work {
    public:
        explicit Stop(Sleep& sleep) noexcept : sleep_{sleep} {}
        void run() noexcept override { sleep_.end_early(); }

    private:
        Sleep& sleep_;
    };
    enum class Phase : std::uint8_t { new_, set, over };

    void begin() noexcept {
        if (is_stopped_) return resume();  // `end_early` came first
        phase_ = Phase::set;
        set();
    }
    void set() noexcept {
        if constexpr (std::same_as<C, SteadyClock>)
            scheduler_->set(*this, until_);
        else
            scheduler_->set(*this, SteadyClock{}.now() + std::max(until_ - clock_.now(), Duration{0}));
    }
    void on_time() noexcept override {
        if constexpr (!std::same_as<C, SteadyClock>) {
            if (clock_.now() < until_) return set();  // another clock may run slower
        }
        phase_ = Phase::over;
        on_stop_.reset();  // waits for a request under way
        // What that has posted is still to come and goes on then.
        if (!is_asked_.load(std::memory_order_relaxed)) resume();
    }
    void end_early() noexcept {
        if (phase_ == Phase::over) return resume();
        is_stopped_ = true;
        if (phase_ == Phase::new_) return;  // `begin` goes on
        scheduler_->cancel(*this);
        resume();
    }
    void resume() noexcept {
        on_stop_.reset();
        caller_.resume();
    }

    const C clock_;
    const Instant until_;
    const std::stop_token stop_;
    Scheduler* scheduler_ = nullptr;
    std::coroutine_handle<> caller_;
    Begin begin_work_{*this};
    Stop stop_work_{*this};
    std::atomic<bool> is_asked_{false};
    bool is_stopped_ = false;
    Phase phase_ = Phase::new_;
    std::optional<std::stop_callback<Ask>> on_stop_;
};

}  // namespace detail

/// `co_await sleep_until(clock, t, stop)`: suspends until the clock reads `t` or a stop is requested; says which. Goes
/// on on the thread of the context's scheduler, if it has to wait at all.
template <Clock C>
auto sleep_until(const C& clock, Instant t, const std::stop_token& stop) {
    if constexpr (detail::HasOwnSleep<C>)
        return clock.sleep_until(t, stop);
    else
        return detail::Sleep<C>{clock, t, stop};
}

/// `co_await sleep_for(20ms)`: suspends for so long, or until a stop is requested of the task around it; says which.
inline Task<Wait> sleep_for(Duration span) {
    const std::stop_token stop = co_await current_stop_token();
    const SteadyClock clock;
    auto sleep = sleep_until(clock, clock.now() + span, stop);
    co_return co_await sleep;
}

}  // namespace breakwater
