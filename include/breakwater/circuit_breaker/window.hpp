#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace breakwater {

/// The last `size` outcomes. Range of `size`: 1 to 65,536.
struct CountWindow {
    std::uint32_t size = 100;
    friend bool operator==(const CountWindow&, const CountWindow&) = default;
};

/// The outcomes of the last `duration`, kept in `buckets` equal slices: the current, partly filled slice and the
/// `buckets` − 1 whole ones before it. Range: `duration` at least 1 ms and at most 24 h, `buckets` 1 to 1,024.
struct TimeWindow {
    Duration duration = std::chrono::seconds{10};
    std::uint32_t buckets = 10;
    friend bool operator==(const TimeWindow&, const TimeWindow&) = default;
};

/// How many outcomes a window holds.
struct WindowCounts {
    std::uint64_t calls = 0;
    std::uint64_t failures = 0;
    friend bool operator==(const WindowCounts&, const WindowCounts&) = default;
};

/// A ring of the last outcomes, one bit each. Adding one outcome is O(1); memory is taken once, at construction.
class CountRing {
public:
    constexpr explicit CountRing(CountWindow window) : size_{window.size}, bits_((window.size + 63U) / 64U) {}

    /// Adds the successes, then the failures. A tally larger than the window costs no more than the window.
    constexpr void add(const Tally& tally) noexcept {
        push(tally.successes, false);
        push(tally.failures, true);
    }
    constexpr WindowCounts counts() const noexcept { return {filled_, failures_}; }
    /// Full of successes: one success more changes nothing.
    constexpr bool is_settled() const noexcept { return filled_ == size_ && failures_ == 0; }

    constexpr void clear() noexcept {
        std::fill(bits_.begin(), bits_.end(), 0U);
        next_ = filled_ = failures_ = 0;
    }

private:
    constexpr void push(std::uint32_t times, bool failed) noexcept {
        for (std::uint32_t n = std::min(times, size_); n > 0; --n) {
            std::uint64_t& word = bits_[next_ / 64U];
            const std::uint64_t bit = std::uint64_t{1} << (next_ % 64U);
            if (filled_ < size_)
                ++filled_;
            else if ((word & bit) != 0)
                --failures_;
            if (failed) {
                word |= bit;
                ++failures_;
            } else {
                word &= ~bit;
            }
            if (++next_ == size_) next_ = 0;
        }
    }

    std::uint32_t size_;
    std::uint32_t next_ = 0;
    std::uint32_t filled_ = 0;
    std::uint32_t failures_ = 0;
    std::vector<std::uint64_t> bits_;
};

/// Counts in time slices. Adding is O(1) within a slice and O(buckets) after a pause; memory is taken once, at
/// construction. A clock that steps back adds to the current slice and forgets nothing; set back by more than the
/// window, it goes on from where it is.
class TimeRing {
public:
    constexpr explicit TimeRing(TimeWindow window)
        : slice_{std::max(Duration{1}, window.duration / window.buckets)}, slots_(window.buckets) {}

    constexpr void add(const Tally& tally, Instant now) noexcept {
        if (now >= end_ || end_ - now > slice_) [[unlikely]]
            advance(now);
        for (WindowCounts* counts : {&slots_[current_], &sum_}) {
            counts->calls += std::uint64_t{tally.successes} + tally.failures;
            counts->failures += tally.failures;
        }
    }
    /// What the window holds at `now`, without changing it.
    constexpr WindowCounts counts(Instant now) const noexcept {
        WindowCounts sum = sum_;
        std::size_t slot = current_;
        for (std::int64_t n = std::min(slices_until(now), std::ssize(slots_)); n > 0; --n) {
            slot = slot + 1 == slots_.size() ? 0 : slot + 1;
            sum.calls -= slots_[slot].calls;
            sum.failures -= slots_[slot].failures;
        }
        return sum;
    }
    constexpr void clear() noexcept {
        std::fill(slots_.begin(), slots_.end(), WindowCounts{});
        sum_ = {};
    }

private:
    constexpr std::int64_t slices_until(Instant now) const noexcept {
        return now < end_ ? 0 : (now - end_) / slice_ + 1;
    }
    [[gnu::noinline]] constexpr void advance(Instant now) noexcept {
        // Set back by more than the window, a clock would keep what it holds for as long as it takes to catch up.
        if (end_ - now > slice_ * (std::ssize(slots_) + 1)) end_ = now - now.time_since_epoch() % slice_ + slice_;
        const std::int64_t steps = slices_until(now);
        if (steps == 0) return;
        if (steps >= std::ssize(slots_)) {
            clear();
        } else {
            for (std::int64_t n = steps; n > 0; --n) {
                current_ = current_ + 1 == slots_.size() ? 0 : current_ + 1;
                sum_.calls -= slots_[current_].calls;
                sum_.failures -= slots_[current_].failures;
                slots_[current_] = {};
            }
        }
        end_ += steps * slice_;
    }

    Duration slice_;
    Instant end_{};  ///< End of the current slice; slices are aligned to the epoch.
    std::size_t current_ = 0;
    WindowCounts sum_;
    std::vector<WindowCounts> slots_;
};

}  // namespace breakwater
