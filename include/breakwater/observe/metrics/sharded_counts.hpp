#pragma once

#include <breakwater/observe/metrics/thread_slot.hpp>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace breakwater {

/// Counts, by number, to which each thread adds in memory of its own; reading sums. Thread-safe; takes no lock. However
/// many threads come and go, the memory is that of those which counted at the same time, and of at most
/// `ThreadSlot::count`: threads beyond share.
class ShardedCounts {
public:
    ShardedCounts() = default;
    ShardedCounts(const ShardedCounts&) = delete;
    ShardedCounts& operator=(const ShardedCounts&) = delete;
    ~ShardedCounts() {
        for (auto& shard : shards_)
            for (auto& chunk : shard) delete[] chunk.load(std::memory_order_relaxed);
    }

    /// Allocates if the thread's slot has not come so far yet: once for each power of two.
    void add(std::uint32_t number, std::uint64_t by) {
        const Place place{number};
        const unsigned slot = ThreadSlot::of_this_thread();
        std::atomic<Line*>& chunk = shards_[slot][place.chunk];
        Line* lines = chunk.load(std::memory_order_acquire);
        if (lines == nullptr) [[unlikely]]
            lines = make(chunk, place.chunk);
        std::atomic<std::uint64_t>& count = lines[place.line].counts[place.count];
        if (slot != ThreadSlot::shared) [[likely]]
            count.store(count.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);  // nobody else writes
        else
            count.fetch_add(by, std::memory_order_relaxed);
    }

    /// What has been added so far, modulo 2^64.
    std::uint64_t sum(std::uint32_t number) const noexcept {
        const Place place{number};
        std::uint64_t sum = 0;
        for (const auto& shard : shards_) {
            if (const Line* lines = shard[place.chunk].load(std::memory_order_acquire))
                sum += lines[place.line].counts[place.count].load(std::memory_order_relaxed);
        }
        return sum;
    }

private:
    static constexpr std::size_t per_line = 8;
    static constexpr std::size_t first_lines = 16;  // of the first chunk; each has twice as many as the one before
    static constexpr std::size_t chunks = 24;       // 2^31 counts

    struct alignas(64) Line {
        std::array<std::atomic<std::uint64_t>, per_line> counts;
    };

    struct Place {
        explicit Place(std::uint32_t number) noexcept {
            const std::size_t at = number / per_line + first_lines;
            chunk = static_cast<std::size_t>(std::bit_width(at / first_lines) - 1);
            line = at - std::bit_floor(at);
            count = number % per_line;
        }
        std::size_t chunk;
        std::size_t line;
        std::size_t count;
    };

    [[gnu::noinline]] static Line* make(std::atomic<Line*>& chunk, std::size_t number) {
        auto made = std::make_unique<Line[]>(first_lines << number);
        Line* there = nullptr;
        if (chunk.compare_exchange_strong(there, made.get(), std::memory_order_acq_rel)) return made.release();
        return there;
    }

    std::array<std::array<std::atomic<Line*>, chunks>, ThreadSlot::count> shards_{};
};

}  // namespace breakwater
