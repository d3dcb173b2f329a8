#pragma once

#include <breakwater/circuit_breaker/trip.hpp>
#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace breakwater {

/// Calls that take too long count, too, even while they are still under way. Default: they do not.
struct SlowCall {
    /// A call that takes longer is slow. 1 ms to 24 h; empty (the default) switches the rule off. A call that has not
    /// ended counts from then on, or up to an eighth later.
    std::optional<Duration> duration{};

    /// The share of slow calls that opens the circuit. In (0, 1]; default 0.5.
    double ratio = 0.5;

    friend bool operator==(const SlowCall&, const SlowCall&) = default;
};

/// Opens when at least `ratio` of the calls in the window failed, once it holds `minimum_calls`. A ratio equal to the
/// threshold trips.
struct FailureRate {
    double ratio = 0.5;  ///< In (0, 1].
    std::variant<CountWindow, TimeWindow> window = CountWindow{};
    std::uint32_t minimum_calls = 10;  ///< At least 1, and at most the size of a count window.
    SlowCall slow_call{};

    /// The share of calls that failed, were slow, or both, that opens the circuit. In (0, 1]; needs
    /// `slow_call.duration`. Default: only the two ratios count.
    std::optional<double> bad_ratio{};

    using State = std::variant<CountRing, TimeRing>;
    constexpr State make_state() const {
        if (const auto* count = std::get_if<CountWindow>(&window))
            return CountRing{*count, slow_call.duration ? Remember::failures_and_slow : Remember::failures};
        return TimeRing{*std::get_if<TimeWindow>(&window)};
    }
    constexpr bool record(State& state, const Tally& tally, Instant now) const noexcept {
        return record(state, tally, 0, now);
    }
    constexpr bool record(State& state, const Tally& tally, std::uint32_t overdue, Instant now) const noexcept {
        const bool may_trip = tally.failures > 0 || tally.slow > 0 || (tally.successes == 0 && overdue > 0);
        WindowCounts counts;
        if (auto* ring = std::get_if<CountRing>(&state)) {
            ring->add(tally);
            counts = ring->counts();
        } else if (auto* slices = std::get_if<TimeRing>(&state)) {
            slices->add(tally, now);
            if (may_trip) counts = slices->counts(now);
        }
        return may_trip && trips(counts, overdue);
    }
    constexpr Duration slow_after() const noexcept { return slow_call.duration.value_or(Duration::max()); }
    constexpr bool is_settled(const State& state) const noexcept {
        const auto* ring = std::get_if<CountRing>(&state);
        return ring != nullptr && ring->is_settled();
    }
    constexpr void clear(State& state) const noexcept {
        if (auto* ring = std::get_if<CountRing>(&state))
            ring->clear();
        else if (auto* slices = std::get_if<TimeRing>(&state))
            slices->clear();
    }
    /// Windows of one kind keep their latest outcomes; the other kind starts anew.
    constexpr void carry(State& fresh, const State& old) const noexcept {
        if (auto* ring = std::get_if<CountRing>(&fresh)) {
            if (const auto* from = std::get_if<CountRing>(&old)) ring->add(*from);
        } else if (auto* slices = std::get_if<TimeRing>(&fresh)) {
            if (const auto* from = std::get_if<TimeRing>(&old)) slices->add(*from);
        }
    }
    constexpr TripCounts counts(const State& state, Instant now) const noexcept {
        WindowCounts counts;
        if (const auto* ring = std::get_if<CountRing>(&state))
            counts = ring->counts();
        else if (const auto* slices = std::get_if<TimeRing>(&state))
            counts = slices->counts(now);
        return {counts.calls, counts.failures, counts.slow};
    }
    std::string layout() const {
        std::string form;
        if (const auto* count = std::get_if<CountWindow>(&window)) {
            form = "count:" + std::to_string(count->size);
        } else {
            const auto* time = std::get_if<TimeWindow>(&window);
            form = "time:" + std::to_string(time->duration.count()) + "us/" + std::to_string(time->buckets);
        }
        return slow_call.duration ? form + "+slow:" + std::to_string(slow_call.duration->count()) + "us" : form;
    }
    friend bool operator==(const FailureRate&, const FailureRate&) = default;

private:
    constexpr bool trips(const WindowCounts& counts, std::uint32_t overdue) const noexcept {
        if (counts.calls >= minimum_calls && reaches(counts.failures, counts.calls, ratio)) return true;
        const std::uint64_t calls = counts.calls + overdue;
        if (!slow_call.duration || calls < minimum_calls) return false;
        return reaches(counts.slow + overdue, calls, slow_call.ratio) ||
               (bad_ratio && reaches(counts.failures + counts.slow_successes + overdue, calls, *bad_ratio));
    }
    // A quotient is rounded as the literal was, so that 7 of 100 equals 0.07 and 2 of 3 equals 2.0 / 3.
    static constexpr bool reaches(std::uint64_t part, std::uint64_t whole, double share) noexcept {
        return static_cast<double>(part) / static_cast<double>(whole) >= share;
    }
};

/// Checks the rule; messages begin with `path`.
inline Result<void> validate(const FailureRate& rule, std::string_view path) {
    constexpr Duration least = std::chrono::milliseconds{1};
    constexpr Duration most = std::chrono::hours{24};
    const auto is_share = [](double share) { return share > 0.0 && share <= 1.0; };  // NaN is none
    if (!is_share(rule.ratio)) return detail::invalid_option(path, "ratio", "> 0 and <= 1", rule.ratio);
    if (rule.minimum_calls < 1) return detail::invalid_option(path, "minimum_calls", ">= 1", rule.minimum_calls);
    if (const auto* count = std::get_if<CountWindow>(&rule.window)) {
        if (count->size < 1 || count->size > 65'536)
            return detail::invalid_option(path, "window.size", "1 to 65536", count->size);
        if (rule.minimum_calls > count->size) {
            return detail::invalid_option(path, "minimum_calls",
                                          "<= window.size, which is " + detail::option_text(count->size),
                                          rule.minimum_calls);
        }
    } else if (const auto* time = std::get_if<TimeWindow>(&rule.window)) {
        if (time->duration < least || time->duration > most)
            return detail::invalid_option(path, "window.duration", "1ms to 24h", time->duration);
        if (time->buckets < 1 || time->buckets > 1'024)
            return detail::invalid_option(path, "window.buckets", "1 to 1024", time->buckets);
    }
    if (rule.slow_call.duration && (*rule.slow_call.duration < least || *rule.slow_call.duration > most))
        return detail::invalid_option(path, "slow_call.duration", "1ms to 24h", *rule.slow_call.duration);
    if (!is_share(rule.slow_call.ratio))
        return detail::invalid_option(path, "slow_call.ratio", "> 0 and <= 1", rule.slow_call.ratio);
    if (rule.bad_ratio && !is_share(*rule.bad_ratio))
        return detail::invalid_option(path, "bad_ratio", "> 0 and <= 1", *rule.bad_ratio);
    if (rule.bad_ratio && !rule.slow_call.duration)
        return detail::invalid_option(path, "bad_ratio", "empty without slow_call.duration", *rule.bad_ratio);
    return {};
}

}  // namespace breakwater
