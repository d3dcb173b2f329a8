#pragma once

#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace breakwater::fleet {

/// A circuit kept elsewhere, as one process sees it: a circuit of its own, which follows the server's as long as it can
/// be heard, and counts what has not been reported yet.
///
/// While it follows, it lets calls through a closed circuit and refuses them before an open one by itself, and says so
/// when the server must be asked. Alone, it is a circuit like any other: all commands of the base hold.
template <TripRule Trip>
struct ReplicaMachine : breakwater::CircuitMachine<Trip> {
    using Local = breakwater::CircuitMachine<Trip>;
    using Local::apply;
    using typename Local::Admission;
    using typename Local::Options;
    using typename Local::Record;

    struct State : Local::State {
        Tally pending{};                                    ///< Counted here and not reported yet.
        std::uint64_t noticed = 1;                          ///< The generation that a call has been told of last, …
        CircuitState noticed_phase = CircuitState::closed;  ///< … and its phase.

        bool is_noticed() const noexcept { return noticed == this->generation; }
    };

    /// Asks for a permit while following.
    struct Enter {};
    struct Entered {
        enum class Kind : std::uint8_t { decided, ask, report_overdue };
        Kind kind = Kind::decided;
        Admission admission{};
        std::uint32_t overdue = 0;
    };
    /// Counts an outcome while following.
    struct Count {
        CircuitTicket ticket{};
        Tally tally{};
    };
    struct Counted {
        bool is_late = false;
        bool would_trip = false;  ///< The server should hear of it at once.
        bool is_first = false;    ///< Nothing was pending before.
        std::uint32_t overdue = 0;
    };
    /// Takes what is pending, to report it.
    struct TakePending {};
    /// What was taken, with the generation it was counted in. `is_empty`: there was nothing.
    struct Pending {
        std::uint64_t generation = 0;
        Tally tally{};
        bool is_empty = true;
    };
    /// Becomes what the server has. `always`: though it is older than what is here. Says whether it did.
    struct Follow {
        CircuitView view{};
        bool always = false;
    };
    /// A call is told of the transition to this generation; says whether no other has been.
    struct Notice {
        std::uint64_t generation = 0;
    };
    /// Opens alone: the server's circuit stays closed, because others see the service work.
    struct Isolate {
        std::uint64_t random = 0;
        Duration retry_after{-1};
    };

    /// Nothing is decided at a glance before the circuit has been looked at once.
    static constexpr State make_state(const Options& options) { return {Local::make_state(options), {}, 0}; }

    // Alone: as the base decides, and a call is told of what it did.
    static constexpr Admission apply(State& state, const Options& options, const typename Local::Admit& admit,
                                     Instant now) noexcept {
        const auto missed = unnoticed(state);
        Admission own = Local::apply(static_cast<typename Local::State&>(state), options, admit, now);
        if (!own.transition) own.transition = missed;
        notice(state);
        return own;
    }
    static constexpr typename Local::Recorded apply(State& state, const Options& options, const Record& record,
                                                    Instant now) noexcept {
        const auto recorded = Local::apply(static_cast<typename Local::State&>(state), options, record, now);
        if (recorded.transition()) notice(state);
        return recorded;
    }

    static constexpr Entered apply(State& state, const Options& options, const Enter&, Instant now) noexcept {
        Local::end_force(state, now);
        Admission own{.state = state.phase, .transition = unnoticed(state)};
        notice(state);
        if (state.phase == CircuitState::closed) {
            Duration left{};
            if (!state.forced && !Local::ramp_admits(state, options, now, left)) {
                own.retry_after = left;
                return {.admission = own};
            }
            own.admitted = true;
            own.ticket.generation = state.generation;
            if (state.forced) return {.admission = own};
            const std::uint32_t overdue = Local::overdue(state, options, now);
            own.ticket.token = Local::begin(state, options, now);
            const bool would_trip = overdue > 0 && Local::count(state, options, Tally{}, overdue, now);
            return {would_trip ? Entered::Kind::report_overdue : Entered::Kind::decided, own, overdue};
        }
        if (state.phase == CircuitState::open) {
            if (own.transition) own.open_for = state.open_until - state.changed;
            if (state.forced) {
                own.retry_after = state.forced_until == Instant::max() ? Duration::max() : state.forced_until - now;
                return {.admission = own};
            }
            state.open_until = not_beyond(options.recovery.longest(), state.open_until, now);
            if (now < state.open_until) {
                own.retry_after = std::min(state.open_until - now, options.recovery.longest());
                return {.admission = own};
            }
        }
        return {Entered::Kind::ask, own, 0};
    }

    static constexpr Counted apply(State& state, const Options& options, const Count& count, Instant now) noexcept {
        if (count.ticket.generation != state.generation || state.phase != CircuitState::closed) {
            ++state.late_results;
            return {.is_late = true};
        }
        Tally tally = count.tally;
        if (count.ticket.is_timed()) tally = Local::end(state, options, Record{count.ticket, tally}, now);
        if (state.forced) return {};
        if (tally.failures == 0 && tally.slow == 0 && options.trip.is_settled(state.counted)) return {};
        const bool is_first = state.pending == Tally{};
        add(state.pending, tally);
        const std::uint32_t overdue = Local::overdue(state, options, now);
        return {
            .would_trip = Local::count(state, options, tally, overdue, now), .is_first = is_first, .overdue = overdue};
    }

    static constexpr Pending apply(State& state, const Options&, const TakePending&, Instant) noexcept {
        const Tally taken = std::exchange(state.pending, {});
        return {state.generation, taken, taken == Tally{}};
    }

    static constexpr bool apply(State& state, const Options& options, const Follow& follow, Instant now) noexcept {
        const CircuitView& view = follow.view;
        if (view.generation < state.generation && !follow.always) return false;
        const bool is_new = view.generation != state.generation;
        if (is_new) {
            state.pending = {};
            state.under_way = {};
            state.leases = {};
            state.ramp = view.is_ramping ? Ramp::begun() : Ramp{};
        }
        state.phase = view.phase;
        state.generation = view.generation;
        state.changed = view.changed;
        state.open_until = view.open_until;
        state.forced = view.forced;
        state.forced_until = view.forced_until;
        state.forced_for = view.forced_for;
        state.openings = view.openings;
        state.successes = view.successes;
        // Leases lent here, should the server be lost, must not look like the server's.
        state.probes = std::max(state.probes, own_leases);
        state.late_results = std::max(state.late_results, view.late_results);
        options.trip.clear(state.counted);
        if (view.phase == CircuitState::closed && !view.forced) {
            Tally counted{
                .successes = at_most_32_bits(view.counts.calls - std::min(view.counts.calls, view.counts.failures)),
                .failures = at_most_32_bits(view.counts.failures),
                .slow = at_most_32_bits(view.counts.slow),
                .tail = at_most_32_bits(view.counts.failures)};
            add(counted, state.pending);
            if (!(counted == Tally{})) (void)Local::count(state, options, counted, 0, now);
        }
        return true;
    }

    static constexpr bool apply(State& state, const Options&, const Notice& told, Instant) noexcept {
        const bool is_first = state.generation == told.generation && !state.is_noticed();
        if (is_first) notice(state);
        return is_first;
    }

    static constexpr Duration apply(State& state, const Options& options, const Isolate& isolate,
                                    Instant now) noexcept {
        state.pending = {};
        state.probes = std::max(state.probes, own_leases);
        const Duration open_for = Local::open(state, options, isolate.random, isolate.retry_after, now);
        notice(state);
        return open_for;
    }

    static constexpr std::uint64_t summary(const State& state, const Options& options) noexcept {
        return state.is_noticed() ? Local::summary(state, options) : CircuitWord::looked_at(state.generation).bits();
    }
    using Local::glance;
    static constexpr bool glance(std::uint64_t summary, const Options& options, const Enter&, Instant now,
                                 Entered& decision) noexcept {
        return Local::glance(summary, options, typename Local::Admit{}, now, decision.admission);
    }

private:
    static constexpr std::uint64_t own_leases = std::uint64_t{1} << 40;

    static constexpr std::optional<CircuitTransition> unnoticed(const State& state) noexcept {
        if (state.is_noticed() || state.phase == state.noticed_phase) return {};
        return CircuitTransition{state.noticed_phase, state.phase};
    }
    static constexpr void notice(State& state) noexcept {
        state.noticed = state.generation;
        state.noticed_phase = state.phase;
    }
    static constexpr void add(Tally& sum, const Tally& more) noexcept {
        sum.tail = more.successes > 0 ? more.tail : plus(sum.tail, more.tail);
        sum.successes = plus(sum.successes, more.successes);
        sum.failures = plus(sum.failures, more.failures);
        sum.slow = plus(sum.slow, more.slow);
    }
    static constexpr std::uint32_t plus(std::uint32_t a, std::uint32_t b) noexcept {
        constexpr std::uint32_t most = std::numeric_limits<std::int32_t>::max();
        return a > most - std::min(b, most) ? most : a + b;
    }
    static constexpr std::uint32_t at_most_32_bits(std::uint64_t count) noexcept {
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(count, std::numeric_limits<std::int32_t>::max()));
    }
};

}  // namespace breakwater::fleet
