#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>

namespace breakwater {

/// Requests stops when their time has come: one thread for the whole process, started with the first alarm.
/// Thread-safe.
///
/// Setting and cancelling an alarm costs a lock each and allocates nothing. The thread wakes when an alarm is due and
/// at most once for each span that alarms are set ahead. Time by another clock than the steady one (a `ManualClock`,
/// say) has no alarms of its own: while such an alarm is set, the thread looks at its clock every millisecond.
///
/// The stop is requested on that thread, with nothing held: what a `std::stop_callback` does there should be quick, as
/// the next alarm waits for it.
class Alarms {
public:
    /// One alarm, kept by whoever sets it. Cancel it before it is destroyed.
    class Alarm {
    public:
        Alarm() noexcept = default;
        Alarm(Alarm&&) = delete;

    private:
        friend Alarms;
        Alarm* previous_ = nullptr;
        Alarm* next_ = nullptr;
        bool is_set_ = false;
        Instant due_{};
        const void* clock_ = nullptr;                            // null: the steady clock
        Instant (*read_)(const void* clock) noexcept = nullptr;  // reads it
        std::stop_source stop_{std::nostopstate};
    };

    /// The process's.
    static Alarms& shared() {
        // Never destroyed: a call that ends on the thread of its alarm may outlive `main`.
        static auto& alarms = *new Alarms;
        return alarms;
    }

    Alarms() = default;
    Alarms(Alarms&&) = delete;
    ~Alarms() {
        {
            const std::scoped_lock lock{mutex_};
            over_ = true;
        }
        changed_.notify_one();
        if (thread_.joinable()) thread_.join();
    }

    /// Requests `stop` once `clock` reads `due` or later. `clock` has to live as long as the alarm is set. Throws
    /// `std::system_error` if the thread cannot be started.
    template <Clock C>
    void set(Alarm& alarm, const C& clock, Instant due, std::stop_source stop) {
        alarm.due_ = due;
        alarm.stop_ = std::move(stop);
        if constexpr (!std::is_same_v<C, SteadyClock>) {
            alarm.clock_ = &clock;
            alarm.read_ = [](const void* own) noexcept { return static_cast<const C*>(own)->now(); };
        }
        const std::scoped_lock lock{mutex_};
        if (!thread_.joinable()) thread_ = std::thread{[this] { run(); }};
        insert(alarm);
        if (alarm.clock_ != nullptr || due < asleep_until_) changed_.notify_one();
    }

    /// After this the alarm's stop is not requested any more, unless that is under way.
    void cancel(Alarm& alarm) noexcept {
        const std::scoped_lock lock{mutex_};
        if (alarm.is_set_) remove(alarm);
    }

    /// How many are set.
    std::size_t count() const {
        const std::scoped_lock lock{mutex_};
        std::size_t count = 0;
        for (const List* list : {&steady_, &watched_})
            for (const Alarm* alarm = list->first; alarm != nullptr; alarm = alarm->next_) ++count;
        return count;
    }

private:
    struct List {
        Alarm* first = nullptr;
        Alarm* last = nullptr;
    };
    static constexpr Duration look_interval = std::chrono::milliseconds{1};

    void run() {
        std::unique_lock lock{mutex_};
        while (!over_) {
            const Instant now = SteadyClock{}.now();
            if (Alarm* const due = first_due(now)) {
                remove(*due);
                std::stop_source stop = std::exchange(due->stop_, std::stop_source{std::nostopstate});
                lock.unlock();
                stop.request_stop();
                stop = std::stop_source{std::nostopstate};
                lock.lock();
                continue;
            }
            asleep_until_ = steady_.first != nullptr ? steady_.first->due_ : Instant::max();
            if (watched_.first != nullptr) asleep_until_ = std::min(asleep_until_, now + look_interval);
            if (asleep_until_ == Instant::max())
                changed_.wait(lock);
            else
                changed_.wait_until(lock, std::chrono::steady_clock::time_point{asleep_until_.time_since_epoch()});
        }
    }

    Alarm* first_due(Instant now) const noexcept {
        if (steady_.first != nullptr && steady_.first->due_ <= now) return steady_.first;
        Alarm* alarm = watched_.first;
        while (alarm != nullptr && alarm->read_(alarm->clock_) < alarm->due_) alarm = alarm->next_;
        return alarm;
    }

    List& list_of(const Alarm& alarm) noexcept { return alarm.clock_ == nullptr ? steady_ : watched_; }

    /// Keeps the list in order. Begins at the end: the spans are mostly the same, so the latest alarm is mostly last.
    void insert(Alarm& alarm) noexcept {
        List& list = list_of(alarm);
        Alarm* before = list.last;
        while (before != nullptr && before->due_ > alarm.due_) before = before->previous_;
        alarm.previous_ = before;
        alarm.next_ = before != nullptr ? before->next_ : list.first;
        (before != nullptr ? before->next_ : list.first) = &alarm;
        (alarm.next_ != nullptr ? alarm.next_->previous_ : list.last) = &alarm;
        alarm.is_set_ = true;
    }
    void remove(Alarm& alarm) noexcept {
        List& list = list_of(alarm);
        (alarm.previous_ != nullptr ? alarm.previous_->next_ : list.first) = alarm.next_;
        (alarm.next_ != nullptr ? alarm.next_->previous_ : list.last) = alarm.previous_;
        alarm.is_set_ = false;
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    List steady_;   // by the steady clock, in order
    List watched_;  // by any other
    Instant asleep_until_ = Instant::max();
    bool over_ = false;
    std::thread thread_;
};

}  // namespace breakwater
