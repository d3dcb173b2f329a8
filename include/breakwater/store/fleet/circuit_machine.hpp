#pragma once

#include <breakwater/circuit_breaker/any_trip.hpp>
#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/store/fleet/reporters.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <tuple>

namespace breakwater::fleet {

/// What a process knows of a circuit that it shares: all but the leases and the window itself.
struct CircuitView {
    CircuitState phase = CircuitState::closed;
    std::uint64_t generation = 1;
    Instant changed{};
    Instant open_until{};
    bool forced = false;
    Instant forced_until{};
    Duration forced_for{};
    std::uint32_t openings = 0;
    bool is_ramping = false;  ///< Closed, but not for everybody yet.
    std::uint32_t successes = 0;
    std::uint32_t probes_in_flight = 0;
    std::uint64_t late_results = 0;
    TripCounts counts{};
    friend bool operator==(const CircuitView&, const CircuitView&) = default;
};

/// What a report or a verdict did. `isolated`: it would have opened the circuit, but too few processes see it failing.
enum class CircuitEffect : std::uint8_t { counted, late, opened, opened_again, closed, isolated };

/// A circuit that many processes share, as the server keeps it: a `CircuitMachine` that is told outcomes in bulk, and
/// by whom. Each process admits calls through a closed circuit by itself, and asks here for probes.
///
/// The specification of the script in store/redis/lua/circuit.hpp.
template <TripRule Trip>
struct CircuitMachine : breakwater::CircuitMachine<Trip> {
    using Local = breakwater::CircuitMachine<Trip>;
    using typename Local::Options;
    using typename Local::Verdict;

    struct State {
        CircuitBreakerState<Trip> circuit;
        Reporters reporters{};

        static constexpr auto parts(auto& state) { return std::tie(state.circuit, state.reporters); }
    };

    /// Asks for a permit; of a half-open circuit, a probe.
    struct Admit {};
    /// What a process has seen in a closed circuit of `generation`. The circuit opens for all only if at least
    /// `min_reporters` (1 to 16) processes have reported bad calls that still count.
    struct Report {
        std::uint64_t instance = 0;
        std::uint64_t generation = 0;
        Tally tally{};
        std::uint32_t overdue = 0;  ///< The process's calls under way that are slow already.
        std::uint32_t min_reporters = 1;
        std::uint64_t random = 0;
        Duration retry_after{-1};
    };
    /// How a probe ended.
    struct Judge {
        CircuitTicket ticket{};
        Tally tally{};
        std::uint64_t random = 0;
        Duration retry_after{-1};
    };
    /// A process still knows a circuit that the server has lost, or has been without the server. What is older than
    /// what is here changes nothing.
    struct Seed {
        CircuitView view{};
    };
    struct Read {};
    using typename Local::Force;
    using typename Local::Release;
    using typename Local::Reset;
    using typename Local::Restore;
    /// Other options hold: the circuit stays open for no longer than they allow.
    struct Trim {};

    struct Admission {
        bool admitted = false;
        bool began_half_open = false;  ///< This made an open circuit half-open.
        CircuitTicket ticket{};
        Duration retry_after{};  ///< If refused; `max()` if nobody knows.
        CircuitView view{};
    };
    struct Recorded {
        CircuitEffect effect = CircuitEffect::counted;
        Duration open_for{};
        CircuitView view{};
    };

    static constexpr State make_state(const Options& options) { return {.circuit = Local::make_state(options)}; }
    static std::string layout(const Options& options) { return Local::layout(options); }

    static constexpr Admission apply(State& state, const Options& options, const Admit&, Instant now) noexcept {
        settle(state, options, now);
        if (state.circuit.phase == CircuitState::closed)
            return {.admitted = true,
                    .ticket = {.generation = state.circuit.generation},
                    .view = view(state, options, now)};
        const auto own = Local::apply(state.circuit, options, typename Local::Admit{}, now);
        return {.admitted = own.admitted,
                .began_half_open = own.transition.has_value(),
                .ticket = own.ticket,
                .retry_after = own.retry_after,
                .view = view(state, options, now)};
    }

    static constexpr Recorded apply(State& state, const Options& options, const Report& report, Instant now) noexcept {
        auto& circuit = state.circuit;
        settle(state, options, now);
        if (circuit.phase != CircuitState::closed || circuit.generation != report.generation) {
            ++circuit.late_results;
            return {CircuitEffect::late, {}, view(state, options, now)};
        }
        if (circuit.forced) return {.view = view(state, options, now)};
        state.reporters.note(reporter_memory(options.trip), report.instance, report.tally, report.overdue, now);
        if (!Local::count(circuit, options, report.tally, report.overdue, now))
            return {.view = view(state, options, now)};
        if (state.reporters.count(reporter_memory(options.trip), now) < report.min_reporters)
            return {CircuitEffect::isolated, {}, view(state, options, now)};
        const Duration open_for = Local::open(circuit, options, report.random, report.retry_after, now);
        state.reporters = {};
        return {CircuitEffect::opened, open_for, view(state, options, now)};
    }

    static constexpr Recorded apply(State& state, const Options& options, const Judge& judge, Instant now) noexcept {
        using enum CircuitEffect;
        const bool is_probe = judge.ticket.is_probe() && state.circuit.phase == CircuitState::half_open;
        if (!is_probe) ++state.circuit.late_results;
        const auto own =
            is_probe
                ? Local::apply(state.circuit, options,
                               typename Local::Record{judge.ticket, judge.tally, judge.random, judge.retry_after}, now)
                : typename Local::Recorded{.verdict = Verdict::late};
        const auto effect = own.verdict == Verdict::opened_again ? opened_again
                            : own.verdict == Verdict::closed     ? closed
                            : own.verdict == Verdict::late       ? late
                                                                 : counted;
        return {effect, own.open_for, view(state, options, now)};
    }

    static constexpr CircuitView apply(State& state, const Options& options, const Release& release,
                                       Instant now) noexcept {
        if (release.ticket.is_probe()) Local::apply(state.circuit, options, release, now);
        return view(state, options, now);
    }
    static constexpr CircuitView apply(State& state, const Options& options, const Force& force, Instant now) noexcept {
        Local::apply(state.circuit, options, force, now);
        state.reporters = {};
        return view(state, options, now);
    }
    static constexpr CircuitView apply(State& state, const Options& options, const Reset& reset, Instant now) noexcept {
        Local::apply(state.circuit, options, reset, now);
        state.reporters = {};
        return view(state, options, now);
    }
    static constexpr CircuitView apply(State& state, const Options& options, const Restore& restore,
                                       Instant now) noexcept {
        Local::apply(state.circuit, options, restore, now);
        state.reporters = {};
        return view(state, options, now);
    }
    static constexpr CircuitView apply(State& state, const Options& options, const Trim&, Instant now) noexcept {
        Local::apply(state.circuit, options, typename Local::Adapt{}, now);
        return view(state, options, now);
    }
    static constexpr CircuitView apply(State& state, const Options& options, const Read&, Instant now) noexcept {
        return view(state, options, now);
    }
    static constexpr CircuitView apply(State& state, const Options& options, const Seed& seed, Instant now) noexcept {
        auto& circuit = state.circuit;
        const CircuitView& known = seed.view;
        if (known.generation > circuit.generation) {
            options.trip.clear(circuit.counted);
            Local::enter(circuit, known.phase == CircuitState::closed ? CircuitState::closed : CircuitState::open, now);
            circuit.generation = known.generation + 1;  // no newer than what has happened elsewhere since
            circuit.forced = known.forced;
            circuit.forced_until = known.forced_until;
            circuit.forced_for = known.forced_for;
            // Half-open, its probes are unknown: the next caller is one.
            circuit.open_until = known.phase == CircuitState::half_open ? now : known.open_until;
            circuit.openings = known.openings;
            state.reporters = {};
        }
        return view(state, options, now);
    }

    static constexpr bool is_refusal(const Admission& admission) noexcept { return !admission.admitted; }
    static constexpr Release undo(const Admit&, const Admission& admission) noexcept { return {admission.ticket}; }

    static constexpr CircuitView view(const State& state, const Options& options, Instant now) noexcept {
        const auto& circuit = state.circuit;
        CircuitView seen{.phase = circuit.phase,
                         .generation = circuit.generation,
                         .changed = circuit.changed,
                         .open_until = circuit.open_until,
                         .forced = circuit.forced,
                         .forced_until = circuit.forced_until,
                         .forced_for = circuit.forced_for,
                         .openings = circuit.openings,
                         .is_ramping = circuit.ramp.is_on(),
                         .successes = circuit.successes,
                         .late_results = circuit.late_results,
                         .counts = options.trip.counts(circuit.counted, now)};
        for (const ProbeLease& lease : circuit.leases) seen.probes_in_flight += lease.token != 0 && now < lease.expires;
        return seen;
    }

private:
    /// What time has ended: a force, a ramp.
    static constexpr void settle(State& state, const Options& options, Instant now) noexcept {
        auto& circuit = state.circuit;
        Local::end_force(circuit, now);
        if (circuit.ramp.is_on() && Ramp::left(options.ramp, circuit.changed, now) == Duration{0}) {
            circuit.ramp = {};
            circuit.openings = 0;
        }
    }
};

}  // namespace breakwater::fleet
