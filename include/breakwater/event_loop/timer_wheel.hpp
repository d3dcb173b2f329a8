#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop/scheduler.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace breakwater {

/// Timers in ticks of 1 ms: setting, taking back and firing one take constant time, however many there are.
///
/// A hierarchical wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987, scheme 7): level n has 256
/// slots of 256^n ticks each, and a timer stands on the level of the highest base-256 digit in which its tick differs
/// from the present one. When the present reaches a slot above level 0, its timers move down: a timer of a minute moves
/// once. Six levels span 2^48 ms, more than an `Instant` can. Not thread-safe.
class TimerWheel {
public:
    explicit TimerWheel(Instant now = {}) noexcept : present_{down(now)} {}
    TimerWheel(const TimerWheel&) = delete;
    TimerWheel& operator=(const TimerWheel&) = delete;

    /// Sets a timer that is not set: it fires at the first `advance` to `due` rounded up to the tick, or beyond. One
    /// whose time is over, even if it is only just so, fires at the next `advance`.
    void insert(Timer& timer, Instant due) noexcept {
        timer.tick_ = up(due);
        place(timer);
    }

    /// Takes back a timer that is set. Of any, also one that is due in the `advance` under way.
    void remove(Timer& timer) noexcept {
        *timer.link_ = timer.next_;
        if (timer.next_ != nullptr) {
            timer.next_->link_ = timer.link_;
            return;
        }
        const std::size_t at = timer.tick_ < present_ ? overdue : slot_of(timer.tick_);
        List& list = lists_[at];
        if (list.end != &timer.next_) return;  // it is about to fire
        list.end = timer.link_;
        if (list.first == nullptr && at != overdue) clear(at);
    }

    /// When `advance` is to be called next; nullopt if no timer is set. Never later than the next timer is due; earlier
    /// at most once for each level, and then at least a tick further than before.
    std::optional<Instant> next() const noexcept {
        if (lists_[overdue].first != nullptr) return Instant{};
        const auto tick = next_slot();
        if (!tick) return std::nullopt;
        return Instant{std::chrono::milliseconds{*tick}};
    }

    /// Fires all that is due at `now`, tick after tick, and what is due at the same tick in the order it was set. A
    /// timer that one of these sets to an instant that is over waits for the next call.
    void advance(Instant now) noexcept {
        fire(overdue);
        const std::uint64_t end = down(now) + 1;
        for (auto tick = next_slot(); tick && *tick < end; tick = next_slot()) {
            move_to(*tick);
            const std::size_t at = *tick % width;
            const bool is_due = lists_[at].first != nullptr;
            if (is_due) clear(at);
            present_ = *tick + 1;  // the slot's timers are over from here on: see `remove`
            if (is_due) fire(at);
            move_down();
        }
        if (present_ < end) move_to(end);
    }

private:
    struct List {
        Timer* first = nullptr;
        Timer** end = &first;  // where the next one is hung up
    };

    static constexpr std::size_t levels = 6;
    static constexpr unsigned digit_bits = 8;
    static constexpr std::size_t width = std::size_t{1} << digit_bits;
    static constexpr std::size_t overdue = levels * width;  // behind the slots: what was set to an instant that is over
    static constexpr std::uint64_t last_tick = (std::uint64_t{1} << (levels * digit_bits)) - 1;

    static std::uint64_t down(Instant instant) noexcept {
        const auto ticks = std::chrono::floor<std::chrono::milliseconds>(instant.time_since_epoch()).count();
        return std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(ticks, 0)), last_tick - 1);
    }
    static std::uint64_t up(Instant instant) noexcept {
        const auto us = std::max<std::int64_t>(instant.time_since_epoch().count(), 0);
        return std::min((static_cast<std::uint64_t>(us) + 999) / 1'000, last_tick);
    }
    static std::size_t digit(std::uint64_t tick, std::size_t level) noexcept {
        return static_cast<std::size_t>(tick >> (level * digit_bits)) % width;
    }
    /// Of a tick that is to come. Does not change while the present moves towards the slot.
    std::size_t slot_of(std::uint64_t tick) const noexcept {
        const auto level = static_cast<std::size_t>(std::bit_width((tick ^ present_) | 1) - 1) / digit_bits;
        return level * width + digit(tick, level);
    }

    void place(Timer& timer) noexcept {
        std::size_t at = overdue;
        if (timer.tick_ >= present_) {
            at = slot_of(timer.tick_);
            bits_[at / 64] |= std::uint64_t{1} << at % 64;
        }
        List& list = lists_[at];
        timer.next_ = nullptr;
        timer.link_ = list.end;
        *list.end = &timer;
        list.end = &timer.next_;
    }

    Timer* take(std::size_t at) noexcept {
        lists_[at].end = &lists_[at].first;
        return std::exchange(lists_[at].first, nullptr);
    }
    void clear(std::size_t at) noexcept { bits_[at / 64] &= ~(std::uint64_t{1} << at % 64); }

    /// The start of the first slot that is not empty.
    std::optional<std::uint64_t> next_slot() const noexcept {
        constexpr std::size_t words = width / 64;
        for (std::size_t level = 0; level < levels; ++level) {
            const std::size_t here = digit(present_, level);
            std::uint64_t ahead = bits_[level * words + here / 64] & ~std::uint64_t{0} << here % 64;
            for (std::size_t word = here / 64; word < words;) {
                if (ahead != 0) {
                    const std::size_t found = word * 64 + static_cast<std::size_t>(std::countr_zero(ahead));
                    const std::uint64_t above = present_ >> (level * digit_bits) & ~std::uint64_t{width - 1};
                    return (above | found) << (level * digit_bits);
                }
                if (++word < words) ahead = bits_[level * words + word];
            }
        }
        return std::nullopt;
    }

    /// Lets the present be `tick`, before which no timer stands.
    void move_to(std::uint64_t tick) noexcept {
        present_ = tick;
        move_down();
    }

    /// Moves down the timers of the slots that the present is in now.
    void move_down() noexcept {
        for (std::size_t level = levels - 1; level > 0; --level) {
            const std::size_t at = level * width + digit(present_, level);
            if ((bits_[at / 64] >> at % 64 & 1) == 0) continue;
            clear(at);
            for (Timer* timer = take(at); timer != nullptr;) {
                Timer* next = timer->next_;
                place(*timer);
                timer = next;
            }
        }
    }

    void fire(std::size_t at) noexcept {
        firing_ = take(at);
        if (firing_ != nullptr) firing_->link_ = &firing_;
        while (firing_ != nullptr) {
            Timer& timer = *firing_;
            remove(timer);
            timer.on_time();
        }
    }

    std::uint64_t present_;  // the first tick that is not over
    Timer* firing_ = nullptr;
    std::array<std::uint64_t, levels * width / 64> bits_{};  // which slots hold timers
    std::array<List, levels * width + 1> lists_;
};

}  // namespace breakwater
