#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace breakwater {

/// A number for each thread that counts: below `own`, and then no other living thread has it, or `shared` for those
/// beyond. A thread that ends leaves its number to another, which sees what that one has written. Takes neither lock
/// nor memory.
class ThreadSlot {
public:
    static constexpr unsigned own = 64;
    static constexpr unsigned shared = own;
    static constexpr unsigned count = own + 1;

    static unsigned of_this_thread() noexcept {
        if (number_ == unknown) [[unlikely]]
            take();
        return number_;
    }

    ThreadSlot(const ThreadSlot&) = delete;
    ThreadSlot& operator=(const ThreadSlot&) = delete;

private:
    static constexpr unsigned unknown = count;

    ThreadSlot() noexcept {
        std::uint64_t taken = taken_.load(std::memory_order_relaxed);
        do {
            bit_ = ~taken & (taken + 1);  // the lowest that is free
        } while (bit_ != 0 && !taken_.compare_exchange_weak(taken, taken | bit_, std::memory_order_acquire,
                                                            std::memory_order_relaxed));
        number_ = bit_ != 0 ? static_cast<unsigned>(std::countr_zero(bit_)) : shared;
    }
    ~ThreadSlot() {
        number_ = shared;  // other destructors of this thread may still count
        taken_.fetch_and(~bit_, std::memory_order_release);
    }

    [[gnu::noinline]] static void take() noexcept { static thread_local const ThreadSlot slot; }

    static constinit inline std::atomic<std::uint64_t> taken_{0};
    static constinit inline thread_local unsigned number_ = unknown;

    std::uint64_t bit_;  // of `taken_`, or 0
};

}  // namespace breakwater
