#pragma once

#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <variant>

namespace breakwater {

/// What a trip rule has counted, for snapshots.
struct TripCounts {
    std::uint64_t calls = 0;  ///< In the window; for `ConsecutiveFailures` the streak.
    std::uint64_t failures = 0;
    friend bool operator==(const TripCounts&, const TripCounts&) = default;
};

/// Decides when a closed circuit opens. A rule is its own options (a regular value); what it counts is its `State`.
///
/// - `make_state()` may allocate; it is called once for each circuit.
/// - `record(state, tally, now)` adds the outcomes and says whether the circuit trips. A tally without a failure never
///   trips. It must not allocate, block or throw.
/// - `is_settled(state)`: a success would change nothing and needs no `record`. The closed path is free only then.
/// - `clear(state)` forgets everything, `counts(state, now)` reads.
/// - `layout()` names the form of the state: rules with different layouts never share a circuit, whatever its name.
/// - `validate(rule, path)`, found beside the rule, checks it; messages begin with `path`.
///
/// ```
/// struct AnyFailure {                                     // the archetype: trips on the first failure
///     using State = std::monostate;
///     State make_state() const { return {}; }
///     constexpr bool record(State&, const Tally& tally, Instant) const noexcept { return tally.failures > 0; }
///     constexpr bool is_settled(const State&) const noexcept { return true; }
///     constexpr void clear(State&) const noexcept {}
///     constexpr TripCounts counts(const State&, Instant) const noexcept { return {}; }
///     std::string layout() const { return "any_failure"; }
///     friend Result<void> validate(const AnyFailure&, std::string_view) { return {}; }
/// };
/// ```
template <class T>
concept TripRule = std::copyable<T> && requires(const T& rule, typename T::State& state, const typename T::State& seen,
                                                const Tally& tally, Instant now, std::string_view path) {
    { rule.make_state() } -> std::same_as<typename T::State>;
    { rule.record(state, tally, now) } noexcept -> std::same_as<bool>;
    { rule.is_settled(seen) } noexcept -> std::same_as<bool>;
    { rule.clear(state) } noexcept;
    { rule.counts(seen, now) } noexcept -> std::same_as<TripCounts>;
    { rule.layout() } -> std::same_as<std::string>;
    { validate(rule, path) } -> std::same_as<Result<void>>;
};

/// Opens after `count` failures in a row. Default 5; range 1 to 2^31 − 1.
struct ConsecutiveFailures {
    std::uint32_t count = 5;

    struct State {
        std::uint32_t streak = 0;
        friend bool operator==(const State&, const State&) = default;
    };
    constexpr State make_state() const noexcept { return {}; }
    constexpr bool record(State& state, const Tally& tally, Instant) const noexcept {
        constexpr std::uint32_t most = std::numeric_limits<std::int32_t>::max();
        const std::uint32_t before = tally.successes > 0 ? 0 : state.streak;
        const std::uint32_t added = tally.successes > 0 ? tally.tail : tally.failures;
        state.streak = added > most - before ? most : before + added;
        return tally.failures > 0 && state.streak >= count;
    }
    constexpr bool is_settled(const State& state) const noexcept { return state.streak == 0; }
    constexpr void clear(State& state) const noexcept { state = {}; }
    constexpr TripCounts counts(const State& state, Instant) const noexcept { return {state.streak, state.streak}; }
    std::string layout() const { return "streak"; }
    friend bool operator==(const ConsecutiveFailures&, const ConsecutiveFailures&) = default;
};

/// Checks the rule; messages begin with `path`.
inline Result<void> validate(const ConsecutiveFailures& rule, std::string_view path) {
    if (rule.count >= 1 && rule.count <= std::numeric_limits<std::int32_t>::max()) return {};
    return detail::invalid_option(path, "count", "1 to 2147483647", rule.count);
}

/// Opens when at least `ratio` of the calls in the window failed, once it holds `minimum_calls`. A ratio equal to the
/// threshold trips.
struct FailureRate {
    double ratio = 0.5;  ///< In (0, 1].
    std::variant<CountWindow, TimeWindow> window = CountWindow{};
    std::uint32_t minimum_calls = 10;  ///< At least 1, and at most the size of a count window.

    using State = std::variant<CountRing, TimeRing>;
    constexpr State make_state() const {
        if (const auto* count = std::get_if<CountWindow>(&window)) return CountRing{*count};
        return TimeRing{*std::get_if<TimeWindow>(&window)};
    }
    constexpr bool record(State& state, const Tally& tally, Instant now) const noexcept {
        WindowCounts counts;
        if (auto* ring = std::get_if<CountRing>(&state)) {
            ring->add(tally);
            counts = ring->counts();
        } else if (auto* slices = std::get_if<TimeRing>(&state)) {
            slices->add(tally, now);
            if (tally.failures > 0) counts = slices->counts(now);
        }
        if (tally.failures == 0 || counts.calls < minimum_calls) return false;
        // A quotient is rounded as the literal was, so that 7 of 100 equals 0.07 and 2 of 3 equals 2.0 / 3.
        return static_cast<double>(counts.failures) / static_cast<double>(counts.calls) >= ratio;
    }
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
    constexpr TripCounts counts(const State& state, Instant now) const noexcept {
        WindowCounts counts;
        if (const auto* ring = std::get_if<CountRing>(&state))
            counts = ring->counts();
        else if (const auto* slices = std::get_if<TimeRing>(&state))
            counts = slices->counts(now);
        return {counts.calls, counts.failures};
    }
    std::string layout() const {
        if (const auto* count = std::get_if<CountWindow>(&window)) return "count:" + std::to_string(count->size);
        const auto* time = std::get_if<TimeWindow>(&window);
        return "time:" + std::to_string(time->duration.count()) + "us/" + std::to_string(time->buckets);
    }
    friend bool operator==(const FailureRate&, const FailureRate&) = default;
};

/// Checks the rule; messages begin with `path`.
inline Result<void> validate(const FailureRate& rule, std::string_view path) {
    if (!(rule.ratio > 0.0 && rule.ratio <= 1.0))  // also refuses NaN
        return detail::invalid_option(path, "ratio", "> 0 and <= 1", rule.ratio);
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
        if (time->duration < std::chrono::milliseconds{1} || time->duration > std::chrono::hours{24})
            return detail::invalid_option(path, "window.duration", "1ms to 24h", time->duration);
        if (time->buckets < 1 || time->buckets > 1'024)
            return detail::invalid_option(path, "window.buckets", "1 to 1024", time->buckets);
    }
    return {};
}

}  // namespace breakwater
