#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace breakwater::fleet {

/// Permits taken from the server in advance, good until an instant: one word, lock-free.
class LeasedPermits {
public:
    static constexpr std::int64_t most = (1 << 13) - 1;

    /// Takes one; says whether there was one.
    bool take(Instant now) noexcept {
        std::uint64_t word = word_.load(std::memory_order_relaxed);
        while ((word & mask) != 0 && now < until(word)) {
            if (word_.compare_exchange_weak(word, word - 1, std::memory_order_acq_rel, std::memory_order_relaxed))
                return true;
        }
        return false;
    }
    /// Puts one back that was not used, if the lease it came from may still hold.
    bool put_back(Instant now) noexcept {
        std::uint64_t word = word_.load(std::memory_order_relaxed);
        while (word != 0 && now < until(word) && (word & mask) < mask) {
            if (word_.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel, std::memory_order_relaxed))
                return true;
        }
        return false;
    }
    /// What there was is replaced.
    void set(std::int64_t permits, Instant until) noexcept {
        const auto end = static_cast<std::uint64_t>(std::max<std::int64_t>(until.time_since_epoch().count(), 0));
        word_.store(end / tick << bits | static_cast<std::uint64_t>(std::clamp<std::int64_t>(permits, 0, most)),
                    std::memory_order_release);
    }
    struct Left {
        std::int64_t permits = 0;
        Instant until{};
    };
    /// What there is.
    Left left() const noexcept { return left(word_.load(std::memory_order_relaxed)); }
    /// Ends the lease; what is left of it.
    Left end() noexcept { return left(word_.exchange(0, std::memory_order_acq_rel)); }
    /// The same if its time is over, else nothing.
    Left end_if_over(Instant now) noexcept {
        std::uint64_t word = word_.load(std::memory_order_relaxed);
        while (word != 0 && now >= until(word))
            if (word_.compare_exchange_weak(word, 0, std::memory_order_acq_rel, std::memory_order_relaxed))
                return left(word);
        return {};
    }

private:
    static constexpr int bits = 13;
    static constexpr std::uint64_t tick = 128;  // µs; so 51 bits are enough
    static constexpr std::uint64_t mask = (std::uint64_t{1} << bits) - 1;

    static Left left(std::uint64_t word) noexcept { return {static_cast<std::int64_t>(word & mask), until(word)}; }
    static Instant until(std::uint64_t word) noexcept {
        return Instant{Duration{static_cast<std::int64_t>((word >> bits) * tick)}};
    }

    std::atomic<std::uint64_t> word_{0};
};

}  // namespace breakwater::fleet
