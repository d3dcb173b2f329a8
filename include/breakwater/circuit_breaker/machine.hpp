#pragma once

#include <breakwater/circuit_breaker/commands.hpp>
#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/circuit_breaker/ramp.hpp>
#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/circuit_breaker/word.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace breakwater {

/// The circuit breaker's decisions, free of time, locks and I/O.
///
///     closed ──trips──▶ open ──recovery_timeout, next caller──▶ half-open ──success_threshold──▶ closed
///                        ▲                                          │
///                        └────────────── a probe fails ─────────────┘
///
/// After "Release It!" (Nygard, 2007), with generations (as in sony/gobreaker) so that late results change nothing,
/// and leases so that a probe that never reports cannot wedge the circuit.
template <TripRule Trip>
struct CircuitMachine : CircuitCommands {
    using Options = CircuitRules<Trip>;
    using State = CircuitBreakerState<Trip>;

    /// Goes on by other options. If the trip rule's layout changes, `counted` is a fresh state of the new one, and
    /// holds the old one afterwards; else it is null.
    struct Adapt {
        typename Trip::State* counted = nullptr;
    };

    static constexpr State make_state(const Options& options) { return State{.counted = options.trip.make_state()}; }

    /// The form of the state: cells of one name are shared only if this is equal too.
    static std::string layout(const Options& options) { return options.trip.layout(); }

    static constexpr Admission apply(State& state, const Options& options, const Admit& admit, Instant now) noexcept {
        end_force(state, now);
        if (state.forced && state.phase == CircuitState::open)
            return {.state = CircuitState::open, .retry_after = forced_left(state, now)};
        std::optional<CircuitTransition> transition;
        if (state.phase == CircuitState::open) {
            state.open_until = not_beyond(options.recovery.longest(), state.open_until, now);
            if (now < state.open_until) {
                return {.state = CircuitState::open,
                        .retry_after = std::min(state.open_until - now, options.recovery.longest())};
            }
            transition = enter(state, CircuitState::half_open, now);
        }
        if (state.phase == CircuitState::closed) return admit_closed(state, options, admit, now);
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
            return {.verdict = Verdict::late};
        }
        if (state.phase == CircuitState::closed) {
            end_force(state, now);
            if (!trips(state, options, record, now)) return {};
            return {open(state, options, record.random, record.retry_after, now), Verdict::opened};
        }
        const Instant began = state.leases[record.ticket.slot()].expires - options.probe_lease;
        free_slot(state, record.ticket);
        if (record.tally.failures > 0 || now - began > slow_after(options.trip))
            return {open(state, options, record.random, record.retry_after, now), Verdict::opened_again};
        state.successes += record.tally.successes;
        if (state.successes < options.success_threshold) return {};
        enter(state, CircuitState::closed, now);
        if (options.ramp.duration)
            state.ramp = Ramp::begun();
        else
            state.openings = 0;
        return {.verdict = Verdict::closed};
    }

    static constexpr CircuitTransition apply(State& state, const Options& options, const Force& force,
                                             Instant now) noexcept {
        options.trip.clear(state.counted);
        const CircuitTransition transition = enter(state, force.to, now);
        state.forced = true;
        state.forced_for = force.span;
        // Half of all time is for ever, too: what is added to it must not overflow.
        state.forced_until = force.span < Duration::max() / 2 ? now + force.span : Instant::max();
        state.open_until = state.forced_until;
        return transition;
    }
    static constexpr CircuitTransition apply(State& state, const Options& options, const Reset&, Instant now) noexcept {
        options.trip.clear(state.counted);
        state.openings = 0;
        return enter(state, CircuitState::closed, now);
    }

    static constexpr bool apply(State& state, const Options& options, const Restore& restore, Instant now) noexcept {
        const SavedCircuit& saved = restore.saved;
        const Duration left = saved.left == Duration::max() ? saved.left : saved.left - restore.age;
        if (saved.forced && left > Duration{0} && saved.state != CircuitState::half_open) {
            apply(state, options, Force{saved.state, left}, now);
        } else if (saved.state == CircuitState::closed) {
            apply(state, options, Reset{}, now);
            const auto failures = at_most_32_bits(saved.counts.failures);
            const auto calls = at_most_32_bits(saved.counts.calls);
            const Tally tally{.successes = calls - std::min(calls, failures),
                              .failures = failures,
                              .slow = at_most_32_bits(saved.counts.slow),
                              .tail = failures};
            (void)options.trip.record(state.counted, tally, std::max(Instant{}, now - restore.age));
        } else {
            options.trip.clear(state.counted);
            enter(state, CircuitState::open, now);
            const Duration open_for = saved.state == CircuitState::open ? left : Duration{0};
            state.open_until = now + std::clamp(open_for, Duration{0}, options.recovery.longest());
        }
        state.openings = saved.openings;
        return true;
    }
    static constexpr SavedCircuit saved(const State& state, const Options& options, Instant now) {
        const bool forced = state.forced && now < state.forced_until;
        SavedCircuit kept{.state = state.phase, .forced = forced, .openings = state.openings};
        if (forced)
            kept.left = forced_left(state, now);
        else if (state.phase == CircuitState::open)
            kept.left = std::clamp(state.open_until - now, Duration{0}, options.recovery.longest());
        else
            kept.counts = options.trip.counts(state.counted, now);
        return kept;
    }

    static constexpr bool apply(State& state, const Options& options, const Adapt& adapt, Instant now) noexcept {
        if (!state.forced) state.open_until = std::min(state.open_until, now + options.recovery.longest());
        if (adapt.counted == nullptr) return true;
        if constexpr (requires { options.trip.carry(*adapt.counted, state.counted); })
            options.trip.carry(*adapt.counted, state.counted);
        std::swap(*adapt.counted, state.counted);
        state.under_way = {};
        return true;
    }

    static constexpr bool apply(State& state, const Options& options, const Release& release, Instant now) noexcept {
        if (!is_current(state, release.ticket, now)) return true;
        if (release.ticket.is_probe()) free_slot(state, release.ticket);
        if (release.ticket.is_timed()) end_timed(state, options, release.ticket);
        return true;
    }

    static constexpr bool is_refusal(const Admission& admission) noexcept { return !admission.admitted; }
    static constexpr bool is_refusal(const Recorded&) noexcept { return false; }
    static constexpr Release undo(const Admit&, const Admission& admission) noexcept { return {admission.ticket}; }

    /// A circuit that opened, and has not closed since, unless its store has changed it later.
    static constexpr bool outlasts(const State& here, const State& there, Instant) noexcept {
        return here.phase != CircuitState::closed && here.generation > there.generation;
    }

    static CircuitSnapshot snapshot(const State& state, const Options& options, Instant now) {
        CircuitSnapshot seen{.state = state.phase,
                             .forced = state.forced && now < state.forced_until,
                             .openings = state.openings,
                             .generation = state.generation,
                             .counts = options.trip.counts(state.counted, now),
                             .probe_successes = state.successes,
                             .late_results = state.late_results};
        for (const ProbeLease& lease : state.leases) seen.probes_in_flight += lease.token != 0 && now < lease.expires;
        if constexpr (TimedTripRule<Trip>) {
            if (const Duration limit = options.trip.slow_after(); limit != Duration::max())
                seen.overdue = Stragglers{state.under_way}.overdue(limit, now);
        }
        if (state.ramp.is_on())
            seen.admitted_share = Ramp::share(options.ramp, Ramp::left(options.ramp, state.changed, now));
        if (state.changed != Instant{}) seen.in_state = std::max(Duration{0}, now - state.changed);
        if (state.phase == CircuitState::open && !seen.forced) {
            seen.retry_after = std::clamp(state.open_until - now, Duration{0}, options.recovery.longest());
        } else if (state.phase == CircuitState::open && state.forced_until != Instant::max()) {
            seen.retry_after = forced_left(state, now);
        }
        return seen;
    }

    static constexpr std::uint64_t summary(const State& state, const Options& options) noexcept {
        switch (state.phase) {
            case CircuitState::open:
                if (state.forced) break;
                return CircuitWord::open(state.open_until).bits();
            case CircuitState::half_open: break;
            case CircuitState::closed:
                if (!state.forced && (state.ramp.is_on() || slow_after(options.trip) != Duration::max())) break;
                const bool counts_nothing = state.forced && state.forced_until == Instant::max();
                return CircuitWord::closed(state.generation, counts_nothing || options.trip.is_settled(state.counted))
                    .bits();
        }
        return CircuitWord::looked_at(state.generation).bits();
    }

    [[gnu::always_inline]] static constexpr bool glance(std::uint64_t summary, const Admit&,
                                                        Admission& decision) noexcept {
        const CircuitWord word{summary};
        if (!word.admits()) return false;
        decision.admitted = true;
        decision.ticket.generation = word.generation();
        return true;
    }
    static constexpr bool glance(std::uint64_t summary, const Options& options, const Admit&, Instant now,
                                 Admission& decision) noexcept {
        const CircuitWord word{summary};
        if (!word.refuses()) return false;
        const Duration left = word.until() - now;
        if (left <= Duration{0} || left > options.recovery.longest()) return false;
        decision.state = CircuitState::open;
        decision.retry_after = left;
        return true;
    }
    [[gnu::always_inline]] static constexpr bool glance(std::uint64_t summary, const Record& record,
                                                        Recorded&) noexcept {
        return CircuitWord{summary}.is_settled_in(record.ticket.generation) && record.tally.failures == 0;
    }

protected:
    // What a circuit that is kept elsewhere is made of, too.

    /// Returns how long the circuit stays open. (Arguments by value: a record that succeeds stays in registers.)
    [[gnu::noinline]] static constexpr Duration open(State& state, const Options& options, std::uint64_t random,
                                                     Duration retry_after, Instant now) noexcept {
        enter(state, CircuitState::open, now);
        const Duration open_for = options.recovery.after(state.openings, retry_after, random);
        state.openings += state.openings < std::numeric_limits<std::uint32_t>::max();
        state.open_until = now + open_for;
        options.trip.clear(state.counted);
        return open_for;
    }
    /// What was forced is over at its time: an open circuit lets its first probe through, a closed one counts again.
    static constexpr void end_force(State& state, Instant now) noexcept {
        if (state.forced && state.forced_until != Instant::max()) [[unlikely]]
            end_force_in_time(state, now);
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
        state.forced = false;
        state.ramp = {};
        state.under_way = {};
        return transition;
    }

    static constexpr bool is_current(const State& state, const CircuitTicket& ticket, Instant now) noexcept {
        if (ticket.generation != state.generation) return false;
        if (state.phase == CircuitState::closed) return true;
        const ProbeLease& lease = state.leases[ticket.slot()];
        return ticket.is_probe() && lease.token == ticket.token && now < lease.expires;
    }
    static constexpr void end_timed(State& state, const Options& options, const CircuitTicket& ticket) noexcept {
        if constexpr (TimedTripRule<Trip>) state.under_way.end(options.trip.slow_after(), ticket.began());
    }
    /// Whether a ramped close, if there is one, lets this call through; `left` is what is left of the ramp.
    static constexpr bool ramp_admits(State& state, const Options& options, Instant now, Duration& left) noexcept {
        if (!state.ramp.is_on()) return true;
        state.changed = std::min(state.changed, now);  // a clock set back must not hold the ramp
        left = Ramp::left(options.ramp, state.changed, now);
        if (left > Duration{0}) return state.ramp.admits(options.ramp, left);
        state.ramp = {};
        state.openings = 0;
        return true;
    }
    /// How many calls under way are slow already; none if the rule does not time calls.
    static constexpr std::uint32_t overdue(State& state, const Options& options, Instant now) noexcept {
        if constexpr (TimedTripRule<Trip>) {
            const Duration limit = options.trip.slow_after();
            if (limit != Duration::max()) return state.under_way.overdue(limit, now);
        }
        return 0;
    }
    /// The token of a call that begins: it is timed if the rule times calls.
    static constexpr std::uint64_t begin(State& state, const Options& options, Instant now) noexcept {
        if constexpr (TimedTripRule<Trip>) {
            const Duration limit = options.trip.slow_after();
            if (limit != Duration::max()) {
                const Instant began = state.under_way.begin(limit, now);
                return CircuitTicket::timed | static_cast<std::uint64_t>(began.time_since_epoch().count());
            }
        }
        return 0;
    }
    /// Ends a timed call: its tally, with what was slow.
    static constexpr Tally end(State& state, const Options& options, const Record& record, Instant now) noexcept {
        end_timed(state, options, record.ticket);
        Tally tally = record.tally;
        if (now - record.ticket.began() > slow_after(options.trip)) tally.slow = tally.successes + tally.failures;
        return tally;
    }
    /// Has the trip rule count a tally; says whether it trips.
    static constexpr bool count(State& state, const Options& options, const Tally& tally, std::uint32_t overdue,
                                Instant now) noexcept {
        if constexpr (TimedTripRule<Trip>)
            return options.trip.record(state.counted, tally, overdue, now);
        else
            return options.trip.record(state.counted, tally, now);
    }

private:
    /// Through a closed circuit: counts the call if the rule times calls, and lets through only a share during a ramp.
    [[gnu::noinline]] static constexpr Admission admit_closed(State& state, const Options& options, const Admit& admit,
                                                              Instant now) noexcept {
        Admission admission{.admitted = true, .ticket = {.generation = state.generation}};
        if (state.forced) return admission;
        Duration left{};
        if (!ramp_admits(state, options, now, left)) return {.retry_after = left};
        const std::uint32_t late = overdue(state, options, now);
        if (late > 0 && count(state, options, Tally{}, late, now)) {
            const Duration open_for = open(state, options, admit.random, Duration{-1}, now);
            return {.state = CircuitState::open,
                    .retry_after = open_for,
                    .open_for = open_for,
                    .transition = CircuitTransition{CircuitState::closed, CircuitState::open}};
        }
        admission.ticket.token = begin(state, options, now);
        return admission;
    }
    /// What a closed circuit makes of a record.
    static constexpr bool trips(State& state, const Options& options, const Record& record, Instant now) noexcept {
        if (record.ticket.is_timed()) return trips_timed(state, options, record, now);
        return !state.forced && options.trip.record(state.counted, record.tally, now);
    }
    [[gnu::noinline]] static constexpr bool trips_timed(State& state, const Options& options, const Record& record,
                                                        Instant now) noexcept {
        const Tally tally = end(state, options, record, now);
        return !state.forced && count(state, options, tally, overdue(state, options, now), now);
    }
    static constexpr void free_slot(State& state, const CircuitTicket& ticket) noexcept {
        state.leases[ticket.slot()] = {};
    }
    [[gnu::noinline]] static constexpr void end_force_in_time(State& state, Instant now) noexcept {
        state.forced_until = not_beyond(state.forced_for, state.forced_until, now);
        if (now < state.forced_until) return;
        state.forced = false;
        if (state.phase == CircuitState::open) state.open_until = now;
    }
    static constexpr std::uint32_t at_most_32_bits(std::uint64_t count) noexcept {
        constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
        return static_cast<std::uint32_t>(std::min(count, most));
    }
    static constexpr Duration forced_left(const State& state, Instant now) noexcept {
        if (state.forced_until == Instant::max()) return Duration::max();
        return std::clamp(state.forced_until - now, Duration{0}, state.forced_for);
    }
};

}  // namespace breakwater
