#pragma once

#include <breakwater/circuit_breaker/failure_rate.hpp>
#include <breakwater/circuit_breaker/trip.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/result.hpp>

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace breakwater {

/// Never opens: the circuit breaker is off.
struct Never {
    using State = std::monostate;
    constexpr State make_state() const noexcept { return {}; }
    constexpr bool record(State&, const Tally&, Instant) const noexcept { return false; }
    constexpr bool is_settled(const State&) const noexcept { return true; }
    constexpr void clear(State&) const noexcept {}
    constexpr TripCounts counts(const State&, Instant) const noexcept { return {}; }
    std::string layout() const { return "never"; }
    friend bool operator==(const Never&, const Never&) = default;
};
inline constexpr Never never{};

inline Result<void> validate(const Never&, std::string_view) { return {}; }

/// The built-in rules as a run-time choice. Default: `ConsecutiveFailures{5}`.
class AnyTrip {
public:
    using Rule = std::variant<ConsecutiveFailures, FailureRate, Never>;
    using State = std::variant<ConsecutiveFailures::State, FailureRate::State, Never::State>;

    constexpr AnyTrip() = default;
    constexpr AnyTrip(ConsecutiveFailures rule) : rule_{rule} {}
    constexpr AnyTrip(FailureRate rule) : rule_{rule} {}
    constexpr AnyTrip(Never rule) : rule_{rule} {}

    constexpr const Rule& rule() const noexcept { return rule_; }
    constexpr bool is_never() const noexcept { return std::holds_alternative<Never>(rule_); }

    constexpr State make_state() const {
        if (const auto* rule = std::get_if<0>(&rule_)) return State{std::in_place_index<0>, rule->make_state()};
        if (const auto* rule = std::get_if<1>(&rule_)) return State{std::in_place_index<1>, rule->make_state()};
        return State{std::in_place_index<2>};
    }
    constexpr bool record(State& state, const Tally& tally, Instant now) const noexcept {
        return with(state, [&](const auto& rule, auto& own) { return rule.record(own, tally, now); });
    }
    constexpr bool record(State& state, const Tally& tally, std::uint32_t overdue, Instant now) const noexcept {
        return with(state, [&](const auto& rule, auto& own) {
            if constexpr (TimedTripRule<std::remove_cvref_t<decltype(rule)>>)
                return rule.record(own, tally, overdue, now);
            else
                return rule.record(own, tally, now);
        });
    }
    constexpr Duration slow_after() const noexcept {
        const auto* rule = std::get_if<FailureRate>(&rule_);
        return rule ? rule->slow_after() : Duration::max();
    }
    constexpr bool is_settled(const State& state) const noexcept {
        return with(state, [](const auto& rule, const auto& own) { return rule.is_settled(own); });
    }
    constexpr void clear(State& state) const noexcept {
        with(state, [](const auto& rule, auto& own) { return rule.clear(own), true; });
    }
    constexpr void carry(State& fresh, const State& old) const noexcept {
        const auto* rule = std::get_if<FailureRate>(&rule_);
        auto* own = std::get_if<1>(&fresh);
        const auto* from = std::get_if<1>(&old);
        if (rule != nullptr && own != nullptr && from != nullptr) rule->carry(*own, *from);
    }
    constexpr TripCounts counts(const State& state, Instant now) const noexcept {
        return with(state, [&](const auto& rule, const auto& own) { return rule.counts(own, now); });
    }
    std::string layout() const {
        if (const auto* rule = std::get_if<0>(&rule_)) return rule->layout();
        if (const auto* rule = std::get_if<1>(&rule_)) return rule->layout();
        return never.layout();
    }
    friend bool operator==(const AnyTrip&, const AnyTrip&) = default;

private:
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

inline Result<void> validate(const AnyTrip& trip, std::string_view path) {
    if (const auto* rule = std::get_if<0>(&trip.rule())) return validate(*rule, path);
    if (const auto* rule = std::get_if<1>(&trip.rule())) return validate(*rule, path);
    return {};
}

}  // namespace breakwater
