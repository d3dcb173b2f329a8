#pragma once

#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/result.hpp>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>

namespace breakwater {

/// What a trip rule has counted, for snapshots.
struct TripCounts {
    std::uint64_t calls = 0;     ///< In the window; for `ConsecutiveFailures` the streak.
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
///     Result<void> validate() const { return {}; }
/// };
/// ```
template <class T>
concept TripRule = std::copyable<T> && requires(const T& rule, typename T::State& state, const typename T::State& seen,
                                                const Tally& tally, Instant now) {
    { rule.make_state() } -> std::same_as<typename T::State>;
    { rule.record(state, tally, now) } noexcept -> std::same_as<bool>;
    { rule.is_settled(seen) } noexcept -> std::same_as<bool>;
    { rule.clear(state) } noexcept;
    { rule.counts(seen, now) } noexcept -> std::same_as<TripCounts>;
    { rule.layout() } -> std::same_as<std::string>;
    { rule.validate() } -> std::same_as<Result<void>>;
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
    Result<void> validate() const {
        if (count >= 1 && count <= std::numeric_limits<std::int32_t>::max()) return {};
        return fail(Errc::invalid_options, ".count: must be 1 to 2147483647, got " + std::to_string(count));
    }
    friend bool operator==(const ConsecutiveFailures&, const ConsecutiveFailures&) = default;
};

/// Opens when at least `ratio` of the calls in the window failed, once it holds `minimum_calls`. A ratio equal to the
/// threshold trips. Ratios are compared exactly, in millionths.
struct FailureRate {
    double ratio = 0.5;                                         ///< In (0, 1].
    std::variant<CountWindow, TimeWindow> window = CountWindow{};
    std::uint32_t minimum_calls = 10;                           ///< At least 1, and at most the size of a count window.

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
        return counts.failures * 1'000'000U >= counts.calls * millionths();
    }
    constexpr bool is_settled(const State& state) const noexcept {
        const auto* ring = std::get_if<CountRing>(&state);
        return ring != nullptr && ring->is_settled();
    }
    constexpr void clear(State& state) const noexcept {
        if (auto* ring = std::get_if<CountRing>(&state)) ring->clear();
        else if (auto* slices = std::get_if<TimeRing>(&state)) slices->clear();
    }
    constexpr TripCounts counts(const State& state, Instant now) const noexcept {
        WindowCounts counts;
        if (const auto* ring = std::get_if<CountRing>(&state)) counts = ring->counts();
        else if (const auto* slices = std::get_if<TimeRing>(&state)) counts = slices->counts(now);
        return {counts.calls, counts.failures};
    }
    std::string layout() const {
        if (const auto* count = std::get_if<CountWindow>(&window)) return "count:" + std::to_string(count->size);
        const auto* time = std::get_if<TimeWindow>(&window);
        return "time:" + std::to_string(time->duration.count()) + "us/" + std::to_string(time->buckets);
    }
    Result<void> validate() const {
        const auto bad = [](std::string message) { return fail(Errc::invalid_options, std::move(message)); };
        if (!(ratio > 0.0 && ratio <= 1.0) || millionths() == 0)
            return bad(".ratio: must be in (0, 1], got " + std::to_string(ratio));
        if (minimum_calls < 1) return bad(".minimum_calls: must be at least 1, got 0");
        if (const auto* count = std::get_if<CountWindow>(&window)) {
            if (count->size < 1 || count->size > 65'536)
                return bad(".window.size: must be 1 to 65536, got " + std::to_string(count->size));
            if (minimum_calls > count->size)
                return bad(".minimum_calls: must be at most the window's size of " + std::to_string(count->size) +
                           " or the circuit can never open, got " + std::to_string(minimum_calls));
        } else if (const auto* time = std::get_if<TimeWindow>(&window)) {
            if (time->duration < std::chrono::milliseconds{1} || time->duration > std::chrono::hours{24})
                return bad(".window.duration: must be 1 ms to 24 h, got " + format_duration(time->duration));
            if (time->buckets < 1 || time->buckets > 1'024)
                return bad(".window.buckets: must be 1 to 1024, got " + std::to_string(time->buckets));
        }
        return {};
    }
    friend bool operator==(const FailureRate&, const FailureRate&) = default;

private:
    // A private static function keeps the aggregate an aggregate.
    constexpr std::uint64_t millionths() const noexcept { return static_cast<std::uint64_t>(ratio * 1e6 + 0.5); }
};

/// Never opens: the circuit breaker is off.
struct Never {
    using State = std::monostate;
    constexpr State make_state() const noexcept { return {}; }
    constexpr bool record(State&, const Tally&, Instant) const noexcept { return false; }
    constexpr bool is_settled(const State&) const noexcept { return true; }
    constexpr void clear(State&) const noexcept {}
    constexpr TripCounts counts(const State&, Instant) const noexcept { return {}; }
    std::string layout() const { return "never"; }
    Result<void> validate() const { return {}; }
    friend bool operator==(const Never&, const Never&) = default;
};
inline constexpr Never never{};

/// The built-in rules as a run-time choice. Default: `ConsecutiveFailures{5}`.
class AnyTrip {
public:
    using Rule = std::variant<ConsecutiveFailures, FailureRate, Never>;
    using State = std::variant<ConsecutiveFailures::State, FailureRate::State, Never::State>;

    constexpr AnyTrip() = default;
    constexpr AnyTrip(ConsecutiveFailures rule) : rule_{rule} {}
    constexpr AnyTrip(FailureRate rule) : rule_{std::move(rule)} {}
    constexpr AnyTrip(Never rule) : rule_{rule} {}

    constexpr const Rule& rule() const noexcept { return rule_; }
    constexpr bool is_never() const noexcept { return std::holds_alternative<Never>(rule_); }

    constexpr State make_state() const {
        return std::visit([](const auto& rule) { return make<std::remove_cvref_t<decltype(rule)>>(rule); }, rule_);
    }
    constexpr bool record(State& state, const Tally& tally, Instant now) const noexcept {
        return with(state, [&](const auto& rule, auto& own) { return rule.record(own, tally, now); });
    }
    constexpr bool is_settled(const State& state) const noexcept {
        return with(state, [](const auto& rule, const auto& own) { return rule.is_settled(own); });
    }
    constexpr void clear(State& state) const noexcept {
        with(state, [](const auto& rule, auto& own) { return rule.clear(own), true; });
    }
    constexpr TripCounts counts(const State& state, Instant now) const noexcept {
        return with(state, [&](const auto& rule, const auto& own) { return rule.counts(own, now); });
    }
    std::string layout() const {
        return std::visit([](const auto& rule) { return rule.layout(); }, rule_);
    }
    Result<void> validate() const {
        return std::visit([](const auto& rule) { return rule.validate(); }, rule_);
    }
    friend bool operator==(const AnyTrip&, const AnyTrip&) = default;

private:
    template <class R>
    static constexpr State make(const R& rule) {
        if constexpr (std::same_as<R, ConsecutiveFailures>) return State{std::in_place_index<0>, rule.make_state()};
        else if constexpr (std::same_as<R, FailureRate>) return State{std::in_place_index<1>, rule.make_state()};
        else return State{std::in_place_index<2>};
    }
    // The state was made by a rule of the same kind; were it not, nothing would be counted.
    template <class S, class F>
    constexpr auto with(S& state, F function) const noexcept -> decltype(function(Never{}, std::get<2>(state))) {
        if (const auto* rule = std::get_if<0>(&rule_))
            if (auto* own = std::get_if<0>(&state)) return function(*rule, *own);
        if (const auto* rule = std::get_if<1>(&rule_))
            if (auto* own = std::get_if<1>(&state)) return function(*rule, *own);
        if (const auto* rule = std::get_if<2>(&rule_))
            if (auto* own = std::get_if<2>(&state)) return function(*rule, *own);
        return {};
    }

    Rule rule_;
};

static_assert(TripRule<ConsecutiveFailures> && TripRule<FailureRate> && TripRule<Never> && TripRule<AnyTrip>);

}  // namespace breakwater
