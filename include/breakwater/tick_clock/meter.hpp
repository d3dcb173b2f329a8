#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace breakwater {

/// Turns a processor's counter into microseconds of a reference clock, and gives the counter up where the two disagree.
///
/// Readings come from a *segment*: a start, a rate and an end one second later. A reading past the end makes the next
/// segment, which begins where the reference is, but not below the end of the one before, and then runs slower until
/// the two agree. So a reading of any thread that comes after another is not smaller, whichever segments they used.
/// Where there is no segment (in the first 100 ms, while another thread makes one, after giving up) readings come from
/// the reference itself.
///
/// `Counter` has `is_invariant()` and `read()`, which comes after all loads before it; `Reference` is called for
/// nanoseconds; all `noexcept` and thread-safe, never called with anything held that another thread would wait for: all
/// members are lock-free.
template <class Counter, class Reference>
class TickMeter {
public:
    /// How long the rate is measured before the counter is used.
    static constexpr std::chrono::nanoseconds calibration = std::chrono::milliseconds{100};
    static constexpr std::chrono::nanoseconds segment_length = std::chrono::seconds{1};
    /// The counter is given up for good when its rate changes by more than one part in this many.
    static constexpr std::uint64_t tolerance = 1'000;

    constexpr TickMeter() = default;
    constexpr TickMeter(Counter counter, Reference reference) : counter_{counter}, reference_{reference} {}

    [[gnu::always_inline]] Instant now() noexcept {
        const std::uint64_t version = version_.load(std::memory_order_acquire);
        const Slot& slot = slots_[version % 2];
        const std::uint64_t span = slot.span.load(std::memory_order_acquire);
        if (span == 0) [[unlikely]]
            return look_closer();
        const std::uint64_t start = slot.start.load(std::memory_order_acquire);
        const std::uint64_t rate = slot.rate.load(std::memory_order_acquire);
        const std::int64_t at = slot.at.load(std::memory_order_acquire);
        const std::uint64_t elapsed = counter_.read() - start;
        if (elapsed >= span || version_.load(std::memory_order_relaxed) != version) [[unlikely]]
            return look_closer();
        const Fixed micros = Fixed{elapsed} * rate;
        return Instant{Duration{at + static_cast<std::int64_t>(micros >> 64)}};
    }

    /// Gives the counter up if it does not agree with the reference now. For those who see it lag: a counter that
    /// stands still never comes to its segment's end.
    [[gnu::noinline]] void verify() noexcept {
        if (busy_.exchange(true, std::memory_order_acquire)) return;
        const std::uint64_t version = version_.load(std::memory_order_relaxed);
        const Segment segment = read(version);
        if (segment.span > 0) {
            const Sample sample = take_sample();
            const bool late_enough = sample.nanoseconds - base_.nanoseconds >= calibration.count() / 10;
            if (late_enough && is_sharp(sample) && !is_steady(sample)) give_up(version, segment);
        }
        busy_.store(false, std::memory_order_release);
    }

    /// True while readings come from the counter.
    bool uses_counter() const noexcept { return read(version_.load(std::memory_order_acquire)).span > 0; }
    /// True once the counter has been given up.
    bool has_given_up() const noexcept { return given_up_.load(std::memory_order_relaxed); }

private:
    __extension__ typedef unsigned __int128 Fixed;  // whole microseconds above, 64 bits of fraction below

    /// By how much a reading of the reference is put back where a segment may begin meanwhile.
    static constexpr Duration lag{2};
    /// Counters between these rates are used: 1 MHz (what fits 64 bits) and 100 GHz.
    static constexpr std::uint64_t least_rate = ~std::uint64_t{0} / 100'000;

    struct Segment {
        std::uint64_t start = 0;  // in ticks
        std::uint64_t span = 0;   // in ticks; 0: read the reference
        std::uint64_t rate = 0;   // microseconds to a tick × 2^64
        std::int64_t at = 0;      // microseconds at the start

        constexpr Fixed end() const noexcept {
            return (Fixed{static_cast<std::uint64_t>(at)} << 64) + Fixed{span} * rate;
        }
        constexpr Instant ceiled_end() const noexcept {
            return Instant{Duration{static_cast<std::int64_t>((end() + ~std::uint64_t{0}) >> 64)}};
        }
    };
    /// Written only while it is not the current one. All its stores release and all its loads acquire, so that a reader
    /// who has seen a newer segment's number also sees the newer version.
    struct Slot {
        std::atomic<std::uint64_t> start{0};
        std::atomic<std::uint64_t> span{0};
        std::atomic<std::uint64_t> rate{0};
        std::atomic<std::int64_t> at{0};
    };
    /// One moment on both clocks.
    struct Sample {
        std::uint64_t ticks = 0;
        std::int64_t nanoseconds = 0;
        std::uint64_t width = 0;  // in ticks: how long taking it took
    };

    Segment read(std::uint64_t version) const noexcept {
        const Slot& slot = slots_[version % 2];
        return {slot.start.load(std::memory_order_acquire), slot.span.load(std::memory_order_acquire),
                slot.rate.load(std::memory_order_acquire), slot.at.load(std::memory_order_acquire)};
    }
    void publish(std::uint64_t version, const Segment& segment) noexcept {
        Slot& slot = slots_[(version + 1) % 2];
        slot.start.store(segment.start, std::memory_order_release);
        slot.span.store(segment.span, std::memory_order_release);
        slot.rate.store(segment.rate, std::memory_order_release);
        slot.at.store(segment.at, std::memory_order_release);
        version_.store(version + 1, std::memory_order_release);
    }

    [[gnu::noinline]] Instant look_closer() noexcept {
        for (;;) {
            const std::uint64_t version = version_.load(std::memory_order_acquire);
            const Segment segment = read(version);
            if (segment.span > 0) {
                const std::uint64_t elapsed = counter_.read() - segment.start;
                if (version_.load(std::memory_order_relaxed) != version) continue;
                if (elapsed < segment.span) {
                    const Fixed micros = Fixed{elapsed} * segment.rate;
                    return Instant{Duration{segment.at + static_cast<std::int64_t>(micros >> 64)}};
                }
            }
            if (const auto reading = without_segment(version, segment)) return *reading;
        }
    }

    /// A reading of the reference; empty if there is another segment by now.
    [[gnu::noinline]] std::optional<Instant> without_segment(std::uint64_t version, const Segment& segment) noexcept {
        const std::int64_t nanoseconds = reference_();
        const Instant reading{Duration{nanoseconds / 1'000}};
        if (version_.load(std::memory_order_relaxed) != version) return {};
        if (given_up_.load(std::memory_order_relaxed)) return std::max(reading, segment.ceiled_end());
        if (!busy_.exchange(true, std::memory_order_acquire)) {
            if (version_.load(std::memory_order_relaxed) == version) go_on(version, segment, nanoseconds);
            busy_.store(false, std::memory_order_release);
            if (version_.load(std::memory_order_relaxed) != version) return {};
        }
        return std::max(reading - lag, segment.ceiled_end());
    }

    // From here on: by the one thread that is `busy_`.

    void go_on(std::uint64_t version, const Segment& segment, std::int64_t nanoseconds) noexcept {
        if (base_.nanoseconds == 0) {
            if (!counter_.is_invariant()) return give_up(version, segment);
            base_ = take_sample();
            return;
        }
        if (segment.span == 0 && nanoseconds - base_.nanoseconds < calibration.count()) return;
        const Sample sample = take_sample();
        if (!is_sharp(sample)) return;  // the next reading tries again
        const std::uint64_t rate = rate_since_base(sample);
        if (rate < least_rate || (segment.span > 0 && !is_steady(sample))) return give_up(version, segment);

        const Fixed wanted = in_micros(sample.nanoseconds);
        const Fixed value = std::max(wanted, segment.end());
        // Ahead of the reference, it runs slower, so that they agree at the segment's end.
        const std::uint64_t length = static_cast<std::uint64_t>(segment_length.count()) / 1'000;
        const std::uint64_t ahead =
            std::min(static_cast<std::uint64_t>((value - wanted) >> 64) + (value > wanted), length / 2);
        Segment next;
        next.rate = static_cast<std::uint64_t>(Fixed{rate} * (length - ahead) / length);
        next.at = static_cast<std::int64_t>(value >> 64);
        // It starts at a whole microsecond, which a tick before the sample may lie.
        const auto fraction = static_cast<std::uint64_t>(value);
        next.start = sample.ticks - (fraction / next.rate + (fraction % next.rate != 0));
        next.span = static_cast<std::uint64_t>((Fixed{length} << 64) / rate);
        base_ = sample;
        rate_ = rate;
        publish(version, next);
    }

    void give_up(std::uint64_t version, const Segment& segment) noexcept {
        given_up_.store(true, std::memory_order_relaxed);
        publish(version, {.at = segment.ceiled_end().time_since_epoch().count()});
    }

    /// The quickest of a few tries: one that was interrupted tells little.
    Sample take_sample() noexcept {
        Sample best;
        for (int i = 0; i < 3; ++i) {
            Sample sample;
            sample.ticks = counter_.read();
            sample.nanoseconds = reference_();
            sample.width = counter_.read() - sample.ticks;
            if (i == 0 || sample.width < best.width) best = sample;
        }
        return best;
    }

    /// Whether the time since the base is known to a tenth of the tolerance.
    bool is_sharp(const Sample& sample) const noexcept {
        const std::uint64_t ticks = sample.ticks - base_.ticks;
        return Fixed{sample.width + base_.width} * (Fixed{10} * tolerance) <= ticks;
    }

    /// Microseconds to a tick × 2^64 since the base; 0 if it makes no sense.
    std::uint64_t rate_since_base(const Sample& sample) const noexcept {
        const std::uint64_t ticks = sample.ticks - base_.ticks;
        if (ticks == 0 || sample.nanoseconds < base_.nanoseconds) return 0;
        const Fixed rate = in_micros(sample.nanoseconds - base_.nanoseconds) / ticks;
        return rate >> 64 == 0 ? static_cast<std::uint64_t>(rate) : 0;
    }
    bool is_steady(const Sample& sample) const noexcept {
        const std::uint64_t rate = rate_since_base(sample);
        const std::uint64_t change = rate > rate_ ? rate - rate_ : rate_ - rate;
        return change <= rate_ / tolerance;
    }
    static constexpr Fixed in_micros(std::int64_t nanoseconds) noexcept {
        return (Fixed{static_cast<std::uint64_t>(nanoseconds)} << 64) / 1'000;
    }

    std::atomic<std::uint64_t> version_{0};
    std::array<Slot, 2> slots_{};
    [[no_unique_address]] Counter counter_{};
    [[no_unique_address]] Reference reference_{};
    std::atomic<bool> given_up_{false};

    std::atomic<bool> busy_{false};
    Sample base_{};
    std::uint64_t rate_ = 0;  // measured last
};

}  // namespace breakwater
