#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop/scheduler.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace breakwater::testing {

/// The timers of a simulation, exact to the microsecond, those of one instant in the order in which they were set.
///
/// A calendar queue (Brown, "Calendar Queues", 1988): a page for each day of 65 ms, of which only today's is in order.
/// Unlike the `TimerWheel` it does not touch a timer from when it is set until it is due: with 100,000 of them, each
/// touch is a cache miss. What is taken back leaves its entry behind until its time comes. At most 2^24 timers.
class TimerCalendar {
public:
    explicit TimerCalendar(Instant now) noexcept : today_{day_of(now.time_since_epoch().count())} {}
    TimerCalendar(const TimerCalendar&) = delete;
    TimerCalendar& operator=(const TimerCalendar&) = delete;

    /// Sets a timer that is not set, to an instant that is not over.
    void insert(Timer& timer, Instant due) {
        const std::uint32_t slot = new_slot();
        slots_[slot] = &timer;
        timer.tick_ = slot;
        const Entry entry{due.time_since_epoch().count(), ++count_ << slot_bits | slot};
        const std::int64_t day = day_of(entry.due);
        if (day <= today_)
            push(present_, entry);
        else if (day < today_ + pages)
            page(day).push_back(entry);
        else
            push(later_, entry);
    }

    /// Takes back a timer that is set.
    void remove(Timer& timer) noexcept { slots_[timer.tick_] = nullptr; }

    /// When the next timer is due; nullopt if none is set.
    std::optional<Instant> next() {
        for (;;) {
            while (!present_.empty()) {
                const Entry& first = present_.front();
                if (slots_[first.slot()] != nullptr) return Instant{Duration{first.due}};
                (void)pop();
            }
            if (!turn_pages()) return std::nullopt;
        }
    }
    /// Takes out the timer that is next: there is one.
    Timer& take() noexcept {
        const std::uint32_t slot = pop().slot();
        // What follows is most likely among the heap's first: cold frames of coroutines are a third of the time.
        for (std::size_t soon = 0; soon < std::min<std::size_t>(present_.size(), 3); ++soon) {
            constexpr std::uintptr_t cache_line = 64;
            const auto timer = std::bit_cast<std::uintptr_t>(slots_[present_[soon].slot()]);
            for (const std::uintptr_t line : {timer, timer + cache_line, timer - cache_line})
                __builtin_prefetch(std::bit_cast<const void*>(line));
        }
        return *std::exchange(slots_[slot], nullptr);
    }

private:
    static constexpr unsigned slot_bits = 24;
    static constexpr unsigned day_bits = 16;  // of microseconds
    static constexpr std::int64_t pages = 1'024;

    struct Entry {
        std::int64_t due;
        std::uint64_t order;  // how many were set before, and the slot
        std::uint32_t slot() const noexcept { return order & ((1U << slot_bits) - 1); }
        friend auto operator<=>(const Entry&, const Entry&) = default;
    };
    using Entries = std::vector<Entry>;

    static std::int64_t day_of(std::int64_t us) noexcept { return us >> day_bits; }
    Entries& page(std::int64_t day) noexcept { return pages_[static_cast<std::size_t>(day % pages)]; }
    static void push(Entries& heap, const Entry& entry) {
        heap.push_back(entry);
        std::ranges::push_heap(heap, std::ranges::greater{});
    }
    static Entry pop(Entries& heap) noexcept {
        std::ranges::pop_heap(heap, std::ranges::greater{});
        const Entry first = heap.back();
        heap.pop_back();
        return first;
    }
    Entry pop() noexcept {
        const Entry first = pop(present_);
        free_.push_back(first.slot());  // has room: see `new_slot`
        return first;
    }
    std::uint32_t new_slot() {
        if (free_.empty()) {
            slots_.push_back(nullptr);
            free_.reserve(slots_.capacity());
            return static_cast<std::uint32_t>(slots_.size() - 1);
        }
        const std::uint32_t slot = free_.back();
        free_.pop_back();
        return slot;
    }

    /// Makes the next day on which something is due today; false if there is none.
    bool turn_pages() {
        std::int64_t day = today_ + 1;
        while (day < today_ + pages && page(day).empty()) ++day;
        if (day == today_ + pages) {
            if (later_.empty()) return false;
            day = day_of(later_.front().due);
        }
        today_ = day;
        std::swap(present_, page(day));
        std::ranges::make_heap(present_, std::ranges::greater{});
        while (!later_.empty() && day_of(later_.front().due) < today_ + pages) {
            const Entry entry = pop(later_);
            const std::int64_t its = day_of(entry.due);
            if (its == today_)
                push(present_, entry);
            else
                page(its).push_back(entry);
        }
        return true;
    }

    std::int64_t today_;
    std::uint64_t count_ = 0;
    Entries present_;                   // a heap: what is due today
    std::array<Entries, pages> pages_;  // unordered: of the days after today
    Entries later_;                     // a heap: beyond these
    std::vector<Timer*> slots_;         // by entry; null for those that were taken back
    std::vector<std::uint32_t> free_;
};

}  // namespace breakwater::testing
