#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/event_loop/work_queue.hpp>
#include <breakwater/random.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/simulation/calendar.hpp>

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace breakwater::testing {

class Simulation;

/// The clock of a simulation, which must outlive it. Its waits take no real time.
class SimulatedClock {
public:
    explicit SimulatedClock(Simulation& simulation) noexcept : simulation_{&simulation} {}

    inline Instant now() const noexcept;

    /// For code that blocks: lets the simulation go on until then. Throws `Exception` (`would_deadlock`) where the
    /// simulation is already running: there, wait by `co_await`.
    inline Wait wait_until(Instant t, const std::stop_token& stop) const;

    class Sleep;
    /// `co_await clock.sleep_until(t, stop)`; the same is `sleep_until(clock, t, stop)`.
    inline Sleep sleep_until(Instant t, const std::stop_token& stop = {}) const;
    inline Sleep sleep_for(Duration span) const;

    Simulation& simulation() const noexcept { return *simulation_; }
    friend bool operator==(const SimulatedClock&, const SimulatedClock&) = default;

private:
    Simulation* simulation_;
};

/// Virtual time for coroutines: policies, drivers, stores and clients of this library, and code around them, go through
/// hours in seconds.
///
///     bw::testing::Simulation world{7};
///     bw::ResilientClient client{options, transport, bw::MemoryStore{world.clock()}};
///     bw::Pipeline guard{bw::UseClock{world.clock()}, bw::Retry{{.seed = world.seed()}}, …};
///     for (int i = 0; i < 100'000; ++i) world.start(live(guard, world.clock()));
///     world.run_until(world.clock().now() + 1h);
///
/// A loop over events on the calling thread: what is posted runs at once and in order, then time leaps to the next
/// timer, exact to the microsecond; timers of one instant run in the order in which they were set. Nothing is allocated
/// for an event. All that goes by one simulation belongs to one thread; several may run on several threads.
///
/// The same program with the same seed does the same, event for event, if all chance comes from `seed()`: policies take
/// it as `.seed`. What goes by real time, or by threads of its own, does not belong here: `AttemptTimeout` (let what
/// is called end by `call.attempt_remaining()`, as transports do) and `bw::sleep_for`.
///
/// Let tasks end before it is destroyed: what is suspended then never goes on, and is not freed.
class Simulation final : public Scheduler {
public:
    /// The clock begins at one hour, so that code may look back.
    explicit Simulation(std::uint64_t seed = 1, Instant start = Instant{std::chrono::hours{1}})
        : now_{start}, timers_{start}, seeds_{seed} {}
    Simulation(const Simulation&) = delete;
    Simulation& operator=(const Simulation&) = delete;

    SimulatedClock clock() noexcept { return SimulatedClock{*this}; }
    Instant now() const noexcept { return now_; }

    /// A seed for a policy or a `Random`: the next of those that follow from the simulation's own.
    std::uint64_t seed() noexcept { return seeds_(); }

    /// Begins a task now. It must not throw: that ends the program.
    void start(Task<> task, std::stop_token stop = {}) {
        breakwater::start(after_this(*this, std::move(task)), [] {}, TaskContext{std::move(stop), this});
    }

    /// Begins a task and lets the simulation go on until it is over; gives its value or throws its exception. Throws
    /// `Exception` (`would_deadlock`) where the simulation is running, or if nothing is left to come and the task still
    /// waits.
    template <class T>
    T run(Task<T> task) {
        refuse_if_running();
        struct Running {
            detail::TaskOutcome<T> outcome{};
            TaskContext context;
            bool is_over = false;
        };
        const auto running = std::make_shared<Running>(Running{.context = {{}, this}});
        detail::TaskOutcome<T>::fill(running->context, std::move(task), running->outcome,
                                     [running] { running->is_over = true; });
        while (!running->is_over && step(Instant::max())) {
        }
        if (!running->is_over) throw_error(Error{Errc::would_deadlock, "the task waits for what never comes"});
        if constexpr (std::is_void_v<T>)
            (void)running->outcome.take();
        else
            return running->outcome.take();
    }

    /// Runs what comes until then, that instant included; the clock reads `t` afterwards. Not where the simulation is
    /// running: throws `Exception` (`would_deadlock`).
    void run_until(Instant t) {
        refuse_if_running();
        while (step(t)) {
        }
        now_ = std::max(now_, t);
    }

    /// Runs until nothing is left to come. Not where the simulation is running: throws `Exception` (`would_deadlock`).
    void run() {
        refuse_if_running();
        while (step(Instant::max())) {
        }
    }

    /// How many timers have come so far.
    std::uint64_t events() const noexcept { return events_; }

    // The scheduler, of virtual time.

    void post(Work& work) noexcept override {
        (void)posted_.push(work);
        has_posted_ = true;
    }
    bool is_here() const noexcept override { return true; }
    void set(Timer& timer, Instant due) noexcept override { timers_.insert(timer, std::max(due, now_)); }
    void cancel(Timer& timer) noexcept override { timers_.remove(timer); }

private:
    friend SimulatedClock;

    /// A task begins as an event, not inside of what starts it.
    static Task<> after_this(Simulation& world, Task<> task) {
        co_await Turn{world};
        co_await task;
    }
    class Turn final : Work {
    public:
        explicit Turn(Simulation& world) noexcept : world_{world} {}
        static bool await_ready() noexcept { return false; }
        void await_suspend(std::coroutine_handle<> caller) noexcept {
            caller_ = caller;
            world_.post(*this);
        }
        static void await_resume() noexcept {}

    private:
        void run() noexcept override { caller_.resume(); }
        Simulation& world_;
        std::coroutine_handle<> caller_;
    };

    void refuse_if_running() const {
        if (is_running_) throw_error(Error{Errc::would_deadlock, "the simulation is running: wait by co_await"});
    }

    /// What is posted, or else the timers of the next instant; false if there is neither until `end`.
    bool step(Instant end) noexcept {
        is_running_ = true;
        bool is_done = std::exchange(has_posted_, false);
        if (is_done) {
            posted_.run_all();
        } else if (const auto next = timers_.next(); next && *next <= end) {
            now_ = *next;
            ++events_;
            timers_.take().on_time();
            is_done = true;
        }
        is_running_ = false;
        return is_done;
    }

    Instant now_;
    TimerCalendar timers_;
    WorkQueue posted_;
    Random seeds_;
    std::uint64_t events_ = 0;
    bool has_posted_ = false;
    bool is_running_ = false;
};

/// One suspended coroutine's wait.
class SimulatedClock::Sleep final : Timer, Work {
public:
    Sleep(Simulation& simulation, Instant until, const std::stop_token& stop) noexcept
        : simulation_{simulation}, until_{until}, stop_{stop} {}

    bool await_ready() noexcept {
        is_stopped_ = stop_.stop_requested();
        return is_stopped_ || simulation_.now() >= until_;
    }
    void await_suspend(std::coroutine_handle<> caller) {
        caller_ = caller;
        if (until_ != Instant::max()) simulation_.set(*this, until_);
        if (stop_.stop_possible()) on_stop_.emplace(stop_, Stop{this});
    }
    Wait await_resume() const noexcept { return is_stopped_ ? Wait::stopped : Wait::elapsed; }

private:
    struct Stop {
        Sleep* sleep;
        void operator()() const noexcept { sleep->stop(); }
    };
    void on_time() noexcept override {
        on_stop_.reset();
        caller_.resume();
    }
    /// Who asks for the stop goes on first.
    void stop() noexcept {
        is_stopped_ = true;
        if (until_ != Instant::max()) simulation_.cancel(*this);
        simulation_.post(*this);
    }
    void run() noexcept override { caller_.resume(); }

    Simulation& simulation_;
    const Instant until_;
    const std::stop_token stop_;
    std::coroutine_handle<> caller_;
    bool is_stopped_ = false;
    std::optional<std::stop_callback<Stop>> on_stop_;
};

inline Instant SimulatedClock::now() const noexcept { return simulation_->now(); }

inline SimulatedClock::Sleep SimulatedClock::sleep_until(Instant t, const std::stop_token& stop) const {
    return {*simulation_, t, stop};
}
inline SimulatedClock::Sleep SimulatedClock::sleep_for(Duration span) const {
    return {*simulation_, now() + span, std::stop_token{}};
}

inline Wait SimulatedClock::wait_until(Instant t, const std::stop_token& stop) const {
    simulation_->refuse_if_running();
    while (!stop.stop_requested() && now() < t && simulation_->step(t)) {
    }
    if (stop.stop_requested()) return Wait::stopped;
    simulation_->now_ = std::max(simulation_->now_, t);
    return Wait::elapsed;
}

}  // namespace breakwater::testing
