#pragma once

#include <breakwater/asio/namespace.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/event_loop/process_loop.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/event_loop/timer_wheel.hpp>
#include <breakwater/event_loop/work_queue.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

namespace breakwater {

/// Has tasks go on by an `io_context`: their work and timers run where `run` is called, one after the other (in a
/// strand) if several threads call it. That is "its thread".
///
/// Timers that are set, and work that is posted, keep `run` from returning; a task that waits for something else does
/// not, unless `async_start` has begun it.
///
/// The end of the `io_context` is a stop request to all that `async_start` has begun; what was posted or set on this by
/// then, and what is later, runs on the process's loop in the background, so that every task can end.
class AsioScheduler final : public Scheduler, public std::enable_shared_from_this<AsioScheduler> {
public:
    /// Something that ends, unheard, when the `io_context` does.
    class Pending {
    public:
        /// Where the `io_context` is destroyed.
        virtual void abandon() noexcept = 0;

    protected:
        Pending() = default;
        Pending(const Pending&) = delete;
        Pending& operator=(const Pending&) = delete;
        ~Pending() = default;

    private:
        friend class AsioScheduler;
        Pending** link_ = nullptr;
        Pending* next_ = nullptr;
    };

    /// The one of this `io_context`. Any thread. To be kept as long as a task goes by it.
    static std::shared_ptr<AsioScheduler> of(asio_library::io_context& context) {
        return asio_library::use_service<Service>(context).scheduler;
    }

    asio_library::io_context& context() const noexcept { return context_; }

    /// Is stopped when the `io_context` ends.
    std::stop_token closing() const noexcept { return closing_.get_token(); }

    void post(Work& work) noexcept override {
        if (posted_.push(work)) wake();
    }
    bool is_here() const noexcept override {
        return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }
    void set(Timer& timer, Instant due) noexcept override { timers_.insert(timer, due); }
    void cancel(Timer& timer) noexcept override { timers_.remove(timer); }

    /// Any thread, as `remove`.
    void add(Pending& pending) noexcept {
        const std::scoped_lock lock{mutex_};
        pending.link_ = &pending_;
        pending.next_ = std::exchange(pending_, &pending);
        if (pending.next_ != nullptr) pending.next_->link_ = &pending.next_;
    }
    /// Also of one that is no longer pending.
    void remove(Pending& pending) noexcept {
        const std::scoped_lock lock{mutex_};
        unlink(pending);
    }

private:
    using IoContext = asio_library::io_context;
    using Strand = asio_library::strand<IoContext::executor_type>;

    /// How the `io_context` knows of it, and tells of its own end.
    class Service final : public asio_library::execution_context::service {
    public:
        inline static asio_library::execution_context::id id{};
        using key_type = Service;

        explicit Service(IoContext& context)
            : asio_library::execution_context::service{context}, scheduler{new AsioScheduler{context}} {}
        const std::shared_ptr<AsioScheduler> scheduler;

    private:
        void shutdown() noexcept override { scheduler->close(); }
    };

    // What stands for the strand and its timer when the `io_context` is gone.
    struct LateTurn final : Work {
        explicit LateTurn(AsioScheduler& own) noexcept : scheduler{own} {}
        void run() noexcept override { scheduler.take_posted_turn(); }
        AsioScheduler& scheduler;
    };
    struct LateAlarm final : Timer {
        explicit LateAlarm(AsioScheduler& own) noexcept : scheduler{own} {}
        void on_time() noexcept override { scheduler.take_timed_turn(); }
        AsioScheduler& scheduler;
    };

    explicit AsioScheduler(IoContext& context)
        : context_{context}, strand_{context.get_executor()}, alarm_{std::in_place, context} {
        (void)posted_.may_sleep();
    }

    /// Sees to it that a turn comes.
    void wake() noexcept {
        const std::scoped_lock lock{mutex_};  // of the strand, which `close` takes away
        if (std::exchange(is_turn_posted_, true)) return;
        if (strand_) return asio_library::post(*strand_, [this] { take_posted_turn(); });
        kept_ = shared_from_this();
        process_loop().post(late_turn_);
    }

    void take_posted_turn() noexcept {
        std::shared_ptr<AsioScheduler> self;
        {
            const std::scoped_lock lock{mutex_};
            is_turn_posted_ = false;
            self = std::move(kept_);
        }
        take_turn();
    }
    void take_timed_turn() noexcept {
        const std::shared_ptr<AsioScheduler> self = shared_from_this();
        alarm_due_.reset();
        take_turn();
    }

    void take_turn() noexcept {
        thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        if (const auto next = timers_.next()) {  // else nobody needs to know what time it is
            if (const Instant now = SteadyClock{}.now(); *next <= now) timers_.advance(now);
        }
        posted_.run_all();
        set_alarm();
        thread_.store({}, std::memory_order_relaxed);
        // What has come meanwhile waits for another turn, after what else the `io_context` has to do.
        if (!posted_.may_sleep()) wake();
    }

    /// An alarm that comes too early does no harm, so one is not put off.
    void set_alarm() noexcept {
        const auto next = timers_.next();
        if (!next) {
            if (alarm_due_) silence();
            return;
        }
        if (alarm_due_ && *alarm_due_ <= *next) return;
        if (alarm_) {
            const auto in_a_day = std::chrono::steady_clock::time_point{
                std::min(*next, SteadyClock{}.now() + std::chrono::hours{24}).time_since_epoch()};
            alarm_->expires_at(in_a_day);
            alarm_->async_wait(asio_library::bind_executor(*strand_, [this](const AsioErrorCode& error) {
                if (!error) take_timed_turn();
            }));
        } else {
            if (alarm_due_) silence();
            process_loop().set(late_alarm_, *next);
        }
        alarm_due_ = next;
    }
    void silence() noexcept {
        alarm_due_.reset();
        if (alarm_)
            alarm_->cancel();
        else
            process_loop().cancel(late_alarm_);
    }

    /// While the `io_context` is being destroyed: nobody runs it any more, and it can still be posted to.
    void close() noexcept {
        closing_.request_stop();
        while (Pending* pending = take_pending()) pending->abandon();
        {
            const std::scoped_lock lock{mutex_};
            strand_.reset();
            is_turn_posted_ = false;  // it never comes
        }
        alarm_.reset();
        alarm_due_.reset();
        posted_.wake();
        if (timers_.next() || !posted_.may_sleep()) wake();
    }

    Pending* take_pending() noexcept {
        const std::scoped_lock lock{mutex_};
        Pending* const first = pending_;
        if (first != nullptr) unlink(*first);
        return first;
    }
    static void unlink(Pending& pending) noexcept {
        if (pending.link_ == nullptr) return;
        *pending.link_ = pending.next_;
        if (pending.next_ != nullptr) pending.next_->link_ = pending.link_;
        pending.link_ = nullptr;
    }

    IoContext& context_;
    std::stop_source closing_;
    WorkQueue posted_;
    std::mutex mutex_;  // of the next five
    std::optional<Strand> strand_;
    bool is_turn_posted_ = false;
    std::shared_ptr<AsioScheduler> kept_;  // while a late turn is posted
    Pending* pending_ = nullptr;
    LateTurn late_turn_{*this};

    // Of the thread.
    std::optional<asio_library::steady_timer> alarm_;
    std::optional<Instant> alarm_due_;
    LateAlarm late_alarm_{*this};
    TimerWheel timers_{SteadyClock{}.now()};
    std::atomic<std::thread::id> thread_{};
};

}  // namespace breakwater
