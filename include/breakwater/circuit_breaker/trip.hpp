#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/result.hpp>

#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace breakwater {

/// What a trip rule has counted, for snapshots.
struct TripCounts {
    std::uint64_t calls = 0;  ///< In the window; for `ConsecutiveFailures` the streak.
    std::uint64_t failures = 0;
    std::uint64_t slow = 0;  ///< Slow calls, failed or not; 0 if the rule does not ask.
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
/// Optional: `carry(fresh, old)` copies what fits of an old rule's state into a new one of this rule, when a circuit is
/// reconfigured; without it a change of the layout starts the count anew. Must not allocate, block or throw.
///
/// A rule that also judges how long calls take is a `TimedTripRule`.
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

/// A trip rule that also judges how long calls take.
///
/// - `slow_after()`: a call that takes longer than this is slow, and the tally says so; at least 1 ms, or
///   `Duration::max()` if time does not matter. The circuit then reads the clock around each call.
/// - `record(state, tally, overdue, now)` is called in place of the other `record`, with the number of calls still
/// under
///   way that are slow already; also before a call is admitted, with an empty tally, if there are any of those.
template <class T>
concept TimedTripRule = TripRule<T> && requires(const T& rule, typename T::State& state, const Tally& tally,
                                                std::uint32_t overdue, Instant now) {
    { rule.slow_after() } noexcept -> std::same_as<Duration>;
    { rule.record(state, tally, overdue, now) } noexcept -> std::same_as<bool>;
};

/// What a rule calls slow; `Duration::max()` if nothing.
template <TripRule T>
constexpr Duration slow_after(const T& rule) noexcept {
    if constexpr (TimedTripRule<T>)
        return rule.slow_after();
    else
        return Duration::max();
}

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

}  // namespace breakwater
