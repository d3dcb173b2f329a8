#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/random.hpp>
#include <breakwater/testing/simulation.hpp>
#include <breakwater/testing/simulation/outage.hpp>
#include <breakwater/testing/simulation/random_duration.hpp>

#include <algorithm>
#include <cmath>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

namespace breakwater::testing {

struct SimulatedServiceOptions {
    std::uint32_t workers = 1;                            ///< How many calls are worked at at once. At least 1.
    RandomDuration work = exponential(Duration{10'000});  ///< How long a call takes a worker.
    /// How many calls wait for a worker; those beyond are refused at once. Default: no limit.
    std::size_t max_queue = std::numeric_limits<std::size_t>::max();
    RandomDuration round_trip{};  ///< Of the network, besides. Spent on the way back.
    /// What becomes of a call in the queue whose caller has left.
    enum class Abandoned : std::uint8_t {
        worked,   ///< The service does not know, and does work for nobody: as most do.
        dropped,  ///< It leaves the queue with its caller.
    };
    Abandoned abandoned = Abandoned::worked;
    std::vector<Outage> script{};
};

/// A service in virtual time: some workers and a queue before them (first come, first served), with troubles by a
/// script. Belongs to its simulation's thread; must outlive what calls it, the simulation must outlive it.
///
///     SimulatedService service{world, {.workers = 8, .work = exponential(20ms)}};
///     auto answer = co_await service.call(1s, stop);
class SimulatedService {
    struct Job;

public:
    using Options = SimulatedServiceOptions;

    /// How a call ended.
    enum class Answer : std::uint8_t {
        good,
        failed,     ///< The service answered that it cannot.
        refused,    ///< Its queue was full, or nobody listened.
        timed_out,  ///< The caller has left, whatever the service does about that.
        stopped,    ///< The same, by a stop request.
    };

    /// What happened so far.
    struct Counts {
        std::uint64_t calls = 0;    ///< All that came, refused ones included.
        std::uint64_t refused = 0;  ///< Of these.
        std::uint64_t worked = 0;   ///< That took a worker's time to the end.
        std::uint64_t in_vain = 0;  ///< Of these, for callers who had left.
        std::uint64_t good = 0;     ///< Good answers that came in time.
    };

    explicit SimulatedService(Simulation& world, Options options)
        : world_{world}, options_{std::move(options)}, random_{world.seed()}, start_{world.now()}, change_{*this} {
        heed_script();
    }
    SimulatedService(const SimulatedService&) = delete;
    SimulatedService& operator=(const SimulatedService&) = delete;
    ~SimulatedService() { forget_change(); }

    class Call;
    /// `co_await` makes a call, which gives an `Answer`, after `timeout` at the latest.
    inline Call call(Duration timeout, const std::stop_token& stop = {});

    const Counts& counts() const noexcept { return counts_; }
    std::size_t waiting() const noexcept { return waiting_; }
    std::uint32_t working() const noexcept { return working_; }
    /// By all workers together, what is under way included.
    Duration worked_for() const noexcept { return worked_for_; }
    Simulation& simulation() const noexcept { return world_; }

private:
    /// What a worker does, or will do, for a caller, who may leave.
    struct Job final : Timer {
        explicit Job(SimulatedService& of) noexcept : service{of} {}
        void on_time() noexcept override { service.end(*this); }
        SimulatedService& service;
        Call* call = nullptr;
        Job* previous = nullptr;  // in the queue
        Job* next = nullptr;      // in the queue, or of those that are free
        bool is_begun = false;
        bool is_good = true;
    };
    struct Change final : Timer {
        explicit Change(SimulatedService& of) noexcept : service{of} {}
        void on_time() noexcept override {
            service.is_change_set_ = false;
            service.heed_script();
        }
        SimulatedService& service;
    };

    void heed_script() noexcept {
        const Duration since = world_.now() - start_;
        now_ = Outage::at_once(options_.script, since);
        present_ = static_cast<std::uint32_t>(std::ceil(now_.capacity * options_.workers));
        forget_change();
        const Duration next = Outage::next_change(options_.script, since);
        change_at_ = next == Duration::max() ? Instant::max() : start_ + next;
        is_change_set_ = change_at_ != Instant::max();
        if (is_change_set_) world_.set(change_, change_at_);
        begin_waiting();
    }
    void forget_change() noexcept {
        if (is_change_set_) world_.cancel(change_);
        is_change_set_ = false;
    }

    inline void arrive(Call& call);
    inline void begin(Job& job) noexcept;
    inline void end(Job& job) noexcept;
    inline void leave(Job& job) noexcept;
    void begin_waiting() noexcept {
        while (first_ != nullptr && working_ < present_) {
            Job& job = *first_;
            unqueue(job);
            begin(job);
        }
    }

    void enqueue(Job& job) noexcept {
        job.previous = last_;
        job.next = nullptr;
        (last_ != nullptr ? last_->next : first_) = &job;
        last_ = &job;
        ++waiting_;
    }
    void unqueue(Job& job) noexcept {
        (job.previous != nullptr ? job.previous->next : first_) = job.next;
        (job.next != nullptr ? job.next->previous : last_) = job.previous;
        --waiting_;
    }
    Job& new_job() {
        if (free_ == nullptr) return jobs_.emplace_back(*this);
        Job& job = *free_;
        free_ = job.next;
        job.is_begun = false;
        return job;
    }
    void give_back(Job& job) noexcept {
        job.next = free_;
        free_ = &job;
    }

    Simulation& world_;
    const Options options_;
    Random random_;
    const Instant start_;
    Change change_;  // of the script, when it comes
    Instant change_at_ = Instant::max();
    bool is_change_set_ = false;
    Outage now_{};
    std::uint32_t present_ = 0;  // workers
    std::uint32_t working_ = 0;
    std::size_t waiting_ = 0;
    Job* first_ = nullptr;
    Job* last_ = nullptr;
    Job* free_ = nullptr;
    std::deque<Job> jobs_;
    Counts counts_{};
    Duration worked_for_{};
};

/// One caller's wait for the answer. Its timer is for whatever comes next to the caller: the answer or the timeout.
class SimulatedService::Call final : Timer, Work {
public:
    Call(SimulatedService& service, Duration timeout, const std::stop_token& stop) noexcept
        : service_{service},
          until_{timeout < Instant::max() - service.world_.now() ? service.world_.now() + timeout : Instant::max()},
          stop_{stop} {}

    bool await_ready() noexcept {
        if (stop_.stop_requested())
            answer_ = Answer::stopped;
        else if (until_ <= service_.world_.now())
            answer_ = Answer::timed_out;
        else
            return false;
        return true;
    }
    void await_suspend(std::coroutine_handle<> caller) {
        caller_ = caller;
        if (stop_.stop_possible()) on_stop_.emplace(stop_, Stop{this});
        service_.arrive(*this);
    }
    Answer await_resume() const noexcept { return answer_; }

private:
    friend SimulatedService;
    struct Stop {
        Call* call;
        void operator()() const noexcept { call->stop(); }
    };

    /// The answer leaves the service; it may come too late.
    void answer(Answer answer) noexcept {
        job_ = nullptr;
        answer_ = answer;
        const Instant there = service_.world_.now() + service_.options_.round_trip.draw(service_.random_);
        if (there > until_) {
            answer_ = Answer::timed_out;
            return await_timeout();
        }
        forget_timeout();
        set(there);
    }
    void await_timeout() noexcept {
        if (!is_set_ && until_ != Instant::max()) set(until_);
    }
    void forget_timeout() noexcept {
        if (is_set_) service_.world_.cancel(*this);
        is_set_ = false;
    }
    void set(Instant due) noexcept {
        service_.world_.set(*this, due);
        is_set_ = true;
    }
    void on_time() noexcept override {
        is_set_ = false;
        if (job_ != nullptr) {
            answer_ = Answer::timed_out;
            service_.leave(*job_);
        }
        if (answer_ == Answer::good) ++service_.counts_.good;
        on_stop_.reset();
        caller_.resume();
    }
    void stop() noexcept {
        forget_timeout();
        answer_ = Answer::stopped;
        if (job_ != nullptr) service_.leave(*job_);
        service_.world_.post(*this);
    }
    void run() noexcept override { caller_.resume(); }

    SimulatedService& service_;
    const Instant until_;
    const std::stop_token stop_;
    std::coroutine_handle<> caller_;
    Job* job_ = nullptr;
    Answer answer_ = Answer::timed_out;
    bool is_set_ = false;
    std::optional<std::stop_callback<Stop>> on_stop_;
};

inline SimulatedService::Call SimulatedService::call(Duration timeout, const std::stop_token& stop) {
    return {*this, timeout, stop};
}

inline void SimulatedService::arrive(Call& call) {
    if (world_.now() >= change_at_) heed_script();  // what comes at this very instant meets the change
    ++counts_.calls;
    if (now_.reach == Outage::Reach::hangs) return call.await_timeout();
    const bool must_wait = working_ >= present_;
    if (now_.reach == Outage::Reach::refuses || (must_wait && waiting_ >= options_.max_queue)) {
        ++counts_.refused;
        return call.answer(Answer::refused);
    }
    Job& job = new_job();
    job.call = &call;
    call.job_ = &job;
    if (!must_wait) return begin(job);
    enqueue(job);
    call.await_timeout();
}

inline void SimulatedService::begin(Job& job) noexcept {
    ++working_;
    job.is_begun = true;
    const Duration work{
        static_cast<std::int64_t>(static_cast<double>(options_.work.draw(random_).count()) * now_.slowdown)};
    worked_for_ += work;
    job.is_good = now_.error_rate <= 0 || unit_share(random_()) > now_.error_rate;
    const Instant done = world_.now() + work;
    world_.set(job, done);
    if (job.call != nullptr && done >= job.call->until_) job.call->await_timeout();
}

inline void SimulatedService::end(Job& job) noexcept {
    --working_;
    ++counts_.worked;
    Call* const call = job.call;
    const Answer answer = job.is_good ? Answer::good : Answer::failed;
    give_back(job);
    begin_waiting();
    if (call == nullptr)
        ++counts_.in_vain;
    else
        call->answer(answer);
}

inline void SimulatedService::leave(Job& job) noexcept {
    job.call->job_ = nullptr;
    job.call = nullptr;
    if (job.is_begun || options_.abandoned == Options::Abandoned::worked) return;
    unqueue(job);
    give_back(job);
}

}  // namespace breakwater::testing
