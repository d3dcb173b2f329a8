#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <stop_token>

namespace breakwater {

/// The permits of a bulkhead, and the queue of those who wait for one. Thread-safe.
///
/// One word holds how many permits are out and how many callers queue; the lock is taken only while somebody queues.
/// As long as somebody does, all permits are out: one that comes back goes straight to the first in the queue, who
/// alone is woken, and nobody can get in between.
class BulkheadPermits {
public:
    BulkheadPermits(std::uint32_t max_concurrent, std::uint32_t max_queue) noexcept
        : max_concurrent_{max_concurrent}, max_queue_{max_queue} {}

    /// One caller's place in the queue, on its own stack. Destroyed before `settle` it leaves the queue, and gives back
    /// the permit it may have been handed.
    class Waiter {
    public:
        Waiter() = default;
        Waiter(Waiter&&) = delete;
        ~Waiter() {
            BulkheadPermits* const permits = permits_;
            if (permits != nullptr && permits->settle(*this)) permits->give_back();
        }

        /// Is stopped when it is this caller's turn; whoever wants to end the wait may stop it, too. `settle` tells
        /// which.
        std::stop_source turn() const noexcept { return wake_; }

    private:
        friend BulkheadPermits;
        BulkheadPermits* permits_ = nullptr;  // null: neither queued nor granted
        Waiter* previous_ = nullptr;
        Waiter* next_ = nullptr;
        bool granted_ = false;
        std::stop_source wake_;  // what ends the wait, by whatever clock it is
    };

    /// Takes a permit if one is free, which none is while somebody queues.
    [[gnu::always_inline]] bool take() noexcept {
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        while (seen < max_concurrent_.load(std::memory_order_relaxed)) {
            if (word_.compare_exchange_weak(seen, seen + one_permit, std::memory_order_acquire,
                                            std::memory_order_relaxed)) [[likely]]
                return true;
        }
        return false;
    }

    [[gnu::always_inline]] void give_back() noexcept {
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        while (seen < one_waiter) {
            if (word_.compare_exchange_weak(seen, seen - one_permit, std::memory_order_release,
                                            std::memory_order_relaxed)) [[likely]]
                return;
        }
        hand_over();
    }

    /// Puts `waiter` at the end of the queue, or grants it the permit that has become free since. False: the queue is
    /// full.
    bool enqueue(Waiter& waiter) {
        const std::scoped_lock lock{mutex_};
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        bool free = false;
        do {
            free = seen < max_concurrent_.load(std::memory_order_relaxed);
            if (!free && seen / one_waiter >= max_queue_) return false;
        } while (!word_.compare_exchange_weak(seen, seen + (free ? one_permit : one_waiter), std::memory_order_acquire,
                                              std::memory_order_relaxed));
        waiter.permits_ = this;
        if (free) {
            waiter.granted_ = true;
            waiter.wake_.request_stop();
            return true;
        }
        waiter.previous_ = last_;
        (last_ != nullptr ? last_->next_ : first_) = &waiter;
        last_ = &waiter;
        return true;
    }

    /// Ends the waiting: true if the waiter was handed a permit, which is the caller's now; false if not, and it never
    /// will be.
    bool settle(Waiter& waiter) noexcept {
        const std::scoped_lock lock{mutex_};
        waiter.permits_ = nullptr;
        if (waiter.granted_) return true;
        remove(waiter);
        return false;
    }

    /// Goes on with other numbers. Those who hold a permit or a place in the queue keep it; more permits go to the
    /// first in the queue, and with fewer none is handed on until so many have come back.
    void resize(std::uint32_t max_concurrent, std::uint32_t max_queue) noexcept {
        {
            const std::scoped_lock lock{mutex_};
            max_concurrent_.store(max_concurrent, std::memory_order_relaxed);
            max_queue_ = max_queue;
        }
        while (grant_another()) {
        }
    }

    struct Counts {
        std::uint32_t in_flight = 0;
        std::uint32_t queued = 0;
    };
    Counts counts() const noexcept {
        const std::uint64_t seen = word_.load(std::memory_order_relaxed);
        return {static_cast<std::uint32_t>(seen % one_waiter), static_cast<std::uint32_t>(seen / one_waiter)};
    }

private:
    static constexpr std::uint64_t one_permit = 1;
    static constexpr std::uint64_t one_waiter = std::uint64_t{1} << 32;

    [[gnu::noinline]] void hand_over() noexcept {
        std::stop_source wake{std::nostopstate};
        {
            const std::scoped_lock lock{mutex_};
            // The queue has just been left, or there are fewer permits than before.
            if (first_ == nullptr || counts().in_flight > max_concurrent_.load(std::memory_order_relaxed)) {
                word_.fetch_sub(one_permit, std::memory_order_release);
                return;
            }
            wake = grant_first();
        }
        wake.request_stop();
    }

    /// Gives a free permit to the first in the queue.
    bool grant_another() noexcept {
        std::stop_source wake{std::nostopstate};
        {
            const std::scoped_lock lock{mutex_};
            if (first_ == nullptr || counts().in_flight >= max_concurrent_.load(std::memory_order_relaxed))
                return false;
            word_.fetch_add(one_permit, std::memory_order_relaxed);
            wake = grant_first();
        }
        wake.request_stop();
        return true;
    }

    /// Call with the lock. Returns what wakes the waiter: shared, as the waiter may be gone as soon as the lock is.
    std::stop_source grant_first() noexcept {
        Waiter& first = *first_;
        remove(first);
        first.granted_ = true;
        return first.wake_;
    }
    /// Call with the lock.
    void remove(Waiter& waiter) noexcept {
        (waiter.previous_ != nullptr ? waiter.previous_->next_ : first_) = waiter.next_;
        (waiter.next_ != nullptr ? waiter.next_->previous_ : last_) = waiter.previous_;
        word_.fetch_sub(one_waiter, std::memory_order_relaxed);
    }

    std::atomic<std::uint64_t> word_{0};
    std::atomic<std::uint64_t> max_concurrent_;
    std::mutex mutex_;
    std::uint64_t max_queue_;
    Waiter* first_ = nullptr;
    Waiter* last_ = nullptr;
};

}  // namespace breakwater
