#pragma once

#include <breakwater/event_loop/scheduler.hpp>

#include <atomic>

namespace breakwater {

/// Work for one thread, posted by any. Lock-free, and nothing is allocated: the nodes are the work itself (a stack that
/// is taken whole and turned round).
class WorkQueue {
public:
    WorkQueue() = default;
    WorkQueue(const WorkQueue&) = delete;
    WorkQueue& operator=(const WorkQueue&) = delete;

    /// Of any thread: true if the taker sleeps, and it is for the caller to wake it. Of all that is posted during one
    /// sleep only the first is told so.
    [[nodiscard]] bool push(Work& work) noexcept {
        Work* top = top_.load(std::memory_order_relaxed);
        do work.next_ = top == asleep() ? nullptr : top;
        while (!top_.compare_exchange_weak(top, &work, std::memory_order_release, std::memory_order_relaxed));
        return top == asleep();
    }

    /// Of the taker: runs what has been posted so far, in that order, and says whether there was any. What is posted
    /// meanwhile is left for the next time.
    bool run_all() noexcept {
        Work* first = reversed(top_.exchange(nullptr, std::memory_order_acquire));
        if (first == nullptr) return false;
        while (first != nullptr) {
            Work& work = *first;
            first = work.next_;  // before it runs: it may be posted again, or be gone
            work.run();
        }
        return true;
    }

    /// Of the taker: whether nothing has been posted. If so, the next `push` asks to be woken; if not, stay awake.
    [[nodiscard]] bool may_sleep() noexcept {
        Work* top = nullptr;  // relaxed: nothing is handed over
        return top_.compare_exchange_strong(top, asleep(), std::memory_order_relaxed);
    }
    /// Of the taker: it no longer sleeps.
    void wake() noexcept {
        Work* top = asleep();
        top_.compare_exchange_strong(top, nullptr, std::memory_order_relaxed);
    }

private:
    /// Stands for an empty queue whose taker sleeps. Never called: only its address is of use.
    static Work* asleep() noexcept {
        struct Nothing final : Work {
            void run() noexcept override {}
        };
        static Nothing nothing;
        return &nothing;
    }

    static Work* reversed(Work* top) noexcept {
        Work* first = nullptr;
        if (top == asleep()) return first;
        while (top != nullptr) {
            Work* below = top->next_;
            top->next_ = first;
            first = top;
            top = below;
        }
        return first;
    }

    std::atomic<Work*> top_{nullptr};
};

}  // namespace breakwater
