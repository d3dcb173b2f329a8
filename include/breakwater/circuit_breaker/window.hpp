#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
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
    std::uint64_t slow = 0;            ///< Slow calls, failed or not.
    std::uint64_t slow_successes = 0;  ///< Those that did not fail.

    constexpr WindowCounts& operator+=(const WindowCounts& other) noexcept {
        calls += other.calls;
        failures += other.failures;
        slow += other.slow;
        slow_successes += other.slow_successes;
        return *this;
    }
    constexpr WindowCounts& operator-=(const WindowCounts& other) noexcept {
        calls -= other.calls;
        failures -= other.failures;
        slow -= other.slow;
        slow_successes -= other.slow_successes;
        return *this;
    }
    friend bool operator==(const WindowCounts&, const WindowCounts&) = default;
};

/// Whether a `CountRing` also remembers which calls were slow.
enum class Remember : std::uint8_t { failures, failures_and_slow };

/// A ring of the last outcomes, one bit each, and one more if slow calls are remembered. Adding one outcome is O(1);
/// memory is taken once, at construction.
class CountRing {
public:
    constexpr explicit CountRing(CountWindow window = {}, Remember what = Remember::failures)
        : size_{window.size},
          failed_((window.size + 63U) / 64U),
          slow_(what == Remember::failures ? 0 : failed_.size()) {}

    /// Adds the successes, then the failures; of each the slow ones last. A tally larger than the window fills it in
    /// proportion, since nobody knows which of its calls were the last: all its failures are not.
    constexpr void add(const Tally& given) noexcept {
        const bool fits = std::uint64_t{given.successes} + given.failures <= size_;
        const Tally tally = fits ? given : in_proportion(given);
        if (slow_.empty()) [[likely]] {
            push(tally.successes, false);
            push(tally.failures, true);
        } else {
            const auto [successes, failures] = slow_of(tally);
            push_timed(tally.successes - successes, false, false);
            push_timed(successes, false, true);
            push_timed(tally.failures - failures, true, false);
            push_timed(failures, true, true);
        }
    }
    constexpr WindowCounts counts() const noexcept { return {filled_, failures_, slow_count_, slow_successes_}; }
    /// Full of successes: one success more changes nothing.
    constexpr bool is_settled() const noexcept { return filled_ == size_ && failures_ == 0 && slow_.empty(); }

    /// Adds what another ring holds, as far as it fits: its latest outcomes.
    constexpr void add(const CountRing& other) noexcept {
        for (std::uint32_t n = std::min(other.filled_, size_); n > 0; --n) {
            const std::uint32_t at = (other.next_ + other.size_ - n) % other.size_;
            const auto is_set = [at](const auto& bits) {
                return !bits.empty() && (bits[at / 64U] >> (at % 64U) & 1U) != 0;
            };
            const std::uint32_t failed = is_set(other.failed_) ? 1 : 0;
            add({.successes = 1 - failed, .failures = failed, .slow = is_set(other.slow_) ? 1U : 0U, .tail = failed});
        }
    }

    constexpr void clear() noexcept {
        std::fill(failed_.begin(), failed_.end(), 0U);
        std::fill(slow_.begin(), slow_.end(), 0U);
        next_ = filled_ = failures_ = slow_count_ = slow_successes_ = 0;
    }

    /// For stores that keep states as bytes.
    static constexpr auto parts(auto& ring) noexcept {
        return std::tie(ring.size_, ring.next_, ring.filled_, ring.failures_, ring.slow_count_, ring.slow_successes_,
                        ring.failed_, ring.slow_);
    }

private:
    /// A tally of the window's size.
    constexpr Tally in_proportion(const Tally& tally) const noexcept {
        const std::uint64_t whole = std::uint64_t{tally.successes} + tally.failures;
        const auto part = [&](std::uint64_t count) {  // rounded half up
            return static_cast<std::uint32_t>((2 * std::min(count, whole) * size_ + whole) / (2 * whole));
        };
        return {.successes = size_ - part(tally.failures), .failures = part(tally.failures), .slow = part(tally.slow)};
    }
    constexpr void push(std::uint32_t times, bool failed) noexcept {
        for (std::uint32_t n = std::min(times, size_); n > 0; --n) {
            std::uint64_t& word = failed_[next_ / 64U];
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
    constexpr void push_timed(std::uint32_t times, bool failed, bool slow) noexcept {
        for (std::uint32_t n = std::min(times, size_); n > 0; --n) {
            std::uint64_t& word = slow_[next_ / 64U];
            const std::uint64_t bit = std::uint64_t{1} << (next_ % 64U);
            if ((word & bit) != 0) {  // never of a place not yet filled
                --slow_count_;
                slow_successes_ -= (failed_[next_ / 64U] & bit) == 0;
            }
            word = slow ? word | bit : word & ~bit;
            slow_count_ += slow;
            slow_successes_ += slow && !failed;
            push(1, failed);
        }
    }

    std::uint32_t size_;
    std::uint32_t next_ = 0;
    std::uint32_t filled_ = 0;
    std::uint32_t failures_ = 0;
    std::uint32_t slow_count_ = 0;
    std::uint32_t slow_successes_ = 0;
    std::vector<std::uint64_t> failed_;
    std::vector<std::uint64_t> slow_;  // empty if nobody asks
};

/// Counts in time slices. Adding is O(1) within a slice and O(buckets) after a pause; memory is taken once, at
/// construction. A clock that steps back adds to the current slice and forgets nothing; set back by more than the
/// window, it goes on from where it is.
class TimeRing {
public:
    constexpr explicit TimeRing(TimeWindow window = {})
        : slice_{std::max(Duration{1}, window.duration / window.buckets)}, slots_(window.buckets) {}

    constexpr void add(const Tally& tally, Instant now) noexcept {
        turn(now);
        for (WindowCounts* counts : {&slots_[current_], &sum_}) {
            counts->calls += std::uint64_t{tally.successes} + tally.failures;
            counts->failures += tally.failures;
        }
        if (tally.slow > 0) [[unlikely]]
            add_slow(slow_of(tally));
    }
    /// Adds what another ring holds, each of its slices as of the slice's beginning.
    constexpr void add(const TimeRing& other) noexcept {
        for (std::size_t age = other.slots_.size(); age > 0; --age) {
            const WindowCounts& held =
                other.slots_[(other.current_ + other.slots_.size() - (age - 1)) % other.slots_.size()];
            const Instant began = other.end_ - static_cast<std::int64_t>(age) * other.slice_;
            if (held.calls > 0 || age == 1) add(held, std::max(began, Instant{}));
        }
    }
    /// What the window holds at `now`, without changing it.
    constexpr WindowCounts counts(Instant now) const noexcept {
        WindowCounts sum = sum_;
        std::size_t slot = current_;
        for (std::int64_t n = std::min(slices_until(now), std::ssize(slots_)); n > 0; --n) {
            slot = slot + 1 == slots_.size() ? 0 : slot + 1;
            sum -= slots_[slot];
        }
        return sum;
    }
    constexpr void clear() noexcept {
        std::fill(slots_.begin(), slots_.end(), WindowCounts{});
        sum_ = {};
    }

    /// For stores that keep states as bytes.
    static constexpr auto parts(auto& ring) noexcept {
        return std::tie(ring.slice_, ring.end_, ring.current_, ring.sum_, ring.slots_);
    }

private:
    constexpr void add(const WindowCounts& held, Instant at) noexcept {
        turn(at);
        slots_[current_] += held;
        sum_ += held;
    }
    [[gnu::noinline]] constexpr void add_slow(const SlowCalls& slow) noexcept {
        for (WindowCounts* counts : {&slots_[current_], &sum_}) {
            counts->slow += slow.successes + slow.failures;
            counts->slow_successes += slow.successes;
        }
    }
    constexpr std::int64_t slices_until(Instant now) const noexcept {
        return now < end_ ? 0 : (now - end_) / slice_ + 1;
    }
    constexpr void turn(Instant now) noexcept {
        if (now >= end_ || end_ - now > slice_) [[unlikely]]
            advance(now);
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
                sum_ -= slots_[current_];
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
