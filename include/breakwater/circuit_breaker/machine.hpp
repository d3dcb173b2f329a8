#pragma once

#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

namespace breakwater {

/// A change of a circuit's state.
struct CircuitTransition {
    CircuitState from{};
    CircuitState to{};
    friend bool operator==(const CircuitTransition&, const CircuitTransition&) = default;
};

/// The circuit breaker's decisions, free of time, locks and I/O.
///
///     closed ──trips──▶ open ──recovery_timeout, next caller──▶ half-open ──success_threshold──▶ closed
///                        ▲                                          │
///                        └────────────── a probe fails ─────────────┘
///
/// After "Release It!" (Nygard, 2007), with generations (as in sony/gobreaker) so that late results change nothing,
/// and leases so that a probe that never reports cannot wedge the circuit.
template <TripRule Trip>
struct CircuitMachine {
    using Options = CircuitRules<Trip>;
    using State = CircuitBreakerState<Trip>;

    struct Admit {};
    struct Record {
        CircuitTicket ticket{};
        Tally tally{};
    };
    /// Gives the slot back without a verdict.
    struct Release {
        CircuitTicket ticket{};
    };

    struct Admission {
        bool admitted = false;
        CircuitState state = CircuitState::closed;  ///< After the decision.
        CircuitTicket ticket{};
        Duration retry_after{};  ///< If refused: when a permit can be had at the latest.
        std::optional<CircuitTransition> transition{};
    };
    struct Recorded {
        bool late = false;
        std::optional<CircuitTransition> transition{};
        Duration open_for{};
    };

    static constexpr State make_state(const Options& options) { return State{.counted = options.trip.make_state()}; }

    /// The form of the state: cells of one name are shared only if this is equal too.
    static std::string layout(const Options& options) { return options.trip.layout(); }

    static constexpr Admission apply(State& state, const Options& options, const Admit&, Instant now) noexcept {
        std::optional<CircuitTransition> transition;
        if (state.phase == CircuitState::open) {
            state.open_until = not_beyond(options.recovery_timeout, state.open_until, now);
            if (now < state.open_until) {
                return {.state = CircuitState::open,
                        .retry_after = std::min(state.open_until - now, options.recovery_timeout)};
            }
            transition = enter(state, CircuitState::half_open, now);
        }
        if (state.phase == CircuitState::closed) {
            return {.admitted = true, .ticket = {.generation = state.generation}};
        }
        Instant earliest = Instant::max();
        for (std::uint32_t slot = 0; slot < options.half_open_probes; ++slot) {
            ProbeLease& lease = state.leases[slot];
            if (lease.token != 0) lease.expires = not_beyond(options.probe_lease, lease.expires, now);
            if (lease.token == 0 || now >= lease.expires) {
                lease = {.token = ++state.probes * max_half_open_probes + slot, .expires = now + options.probe_lease};
                return {.admitted = true,
                        .state = CircuitState::half_open,
                        .ticket = {.generation = state.generation, .token = lease.token},
                        .transition = transition};
            }
            earliest = std::min(earliest, lease.expires);
        }
        return {.state = CircuitState::half_open,
                .retry_after = std::min(earliest - now, options.probe_lease),
                .transition = transition};
    }

    static constexpr Recorded apply(State& state, const Options& options, const Record& record, Instant now) noexcept {
        if (!is_current(state, record.ticket, now)) {
            ++state.late_results;
            return {.late = true};
        }
        const Tally& tally = record.tally;
        if (state.phase == CircuitState::closed) {
            if (!options.trip.record(state.counted, tally, now)) return {};
            return open(state, options, now);
        }
        free_slot(state, record.ticket);
        if (tally.failures > 0) return open(state, options, now);
        state.successes += tally.successes;
        if (state.successes < options.success_threshold) return {};
        options.trip.clear(state.counted);
        return {.transition = enter(state, CircuitState::closed, now)};
    }

    static constexpr bool apply(State& state, const Options&, const Release& release, Instant now) noexcept {
        if (release.ticket.is_probe() && is_current(state, release.ticket, now)) free_slot(state, release.ticket);
        return true;
    }

    static constexpr bool is_refusal(const Admission& admission) noexcept { return !admission.admitted; }
    static constexpr bool is_refusal(const Recorded&) noexcept { return false; }
    static constexpr Release undo(const Admit&, const Admission& admission) noexcept { return {admission.ticket}; }

    static CircuitSnapshot snapshot(const State& state, const Options& options, Instant now) {
        CircuitSnapshot seen{.state = state.phase,
                             .generation = state.generation,
                             .counts = options.trip.counts(state.counted, now),
                             .probe_successes = state.successes,
                             .late_results = state.late_results};
        for (const ProbeLease& lease : state.leases) seen.probes_in_flight += lease.token != 0 && now < lease.expires;
        if (state.changed != Instant{}) seen.in_state = std::max(Duration{0}, now - state.changed);
        if (state.phase == CircuitState::open) {
            seen.retry_after = std::clamp(state.open_until - now, Duration{0}, options.recovery_timeout);
        }
        return seen;
    }

    // What one 60-bit word can tell without the state: how closed and open circuits stay off the lock.
    //   bits 0–1 phase, bit 2 settled (a success changes nothing), bits 3–59 generation, or while open open_until.

    static constexpr std::uint64_t summary(const State& state, const Options& options) noexcept {
        const std::uint64_t payload = state.phase == CircuitState::open
                                          ? static_cast<std::uint64_t>(state.open_until.time_since_epoch().count())
                                          : state.generation;
        const bool settled = state.phase == CircuitState::closed && options.trip.is_settled(state.counted);
        return payload << 3 | std::uint64_t{settled} << 2 | static_cast<std::uint64_t>(state.phase);
    }

    [[gnu::always_inline]] static constexpr bool glance(std::uint64_t summary, const Admit&,
                                                        Admission& decision) noexcept {
        if (static_cast<CircuitState>(summary & 3U) != CircuitState::closed) return false;
        decision.admitted = true;
        decision.ticket.generation = summary >> 3;
        return true;
    }
    static constexpr bool glance(std::uint64_t summary, const Options& options, const Admit&, Instant now,
                                 Admission& decision) noexcept {
        if (static_cast<CircuitState>(summary & 3U) != CircuitState::open) return false;
        const Duration left = Instant{Duration{static_cast<std::int64_t>(summary >> 3)}} - now;
        if (left <= Duration{0} || left > options.recovery_timeout) return false;
        decision.state = CircuitState::open;
        decision.retry_after = left;
        return true;
    }
    [[gnu::always_inline]] static constexpr bool glance(std::uint64_t summary, const Record& record,
                                                        Recorded&) noexcept {
        constexpr std::uint64_t closed_and_settled = 4;
        return summary == (record.ticket.generation << 3 | closed_and_settled) && record.tally.failures == 0;
    }

private:
    static constexpr bool is_current(const State& state, const CircuitTicket& ticket, Instant now) noexcept {
        if (ticket.generation != state.generation) return false;
        if (state.phase == CircuitState::closed) return true;
        const ProbeLease& lease = state.leases[ticket.slot()];
        return ticket.is_probe() && lease.token == ticket.token && now < lease.expires;
    }
    static constexpr void free_slot(State& state, const CircuitTicket& ticket) noexcept {
        state.leases[ticket.slot()] = {};
    }
    static constexpr Recorded open(State& state, const Options& options, Instant now) noexcept {
        const CircuitTransition transition = enter(state, CircuitState::open, now);
        state.open_until = now + options.recovery_timeout;
        options.trip.clear(state.counted);
        return {.transition = transition, .open_for = options.recovery_timeout};
    }
    static constexpr CircuitTransition enter(State& state, CircuitState phase, Instant now) noexcept {
        const CircuitTransition transition{state.phase, phase};
        // The store's time keeps generations apart even if the state was lost in between.
        const auto time = static_cast<std::uint64_t>(std::max<std::int64_t>(now.time_since_epoch().count(), 0));
        state.generation = std::max(state.generation + 1, time);
        state.phase = phase;
        state.changed = now;
        state.successes = 0;
        state.leases = {};
        return transition;
    }
};

}  // namespace breakwater
