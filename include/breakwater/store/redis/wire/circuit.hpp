#pragma once

#include <breakwater/circuit_breaker/any_trip.hpp>
#include <breakwater/circuit_breaker/failure_rate.hpp>
#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/circuit_breaker/recovery.hpp>
#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>
#include <breakwater/store/redis/lua/circuit.hpp>
#include <breakwater/store/redis/lua/fragment.hpp>
#include <breakwater/store/redis/lua/trip_rules.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/wire.hpp>
#include <breakwater/store/redis/words.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <variant>

namespace breakwater::redis {

// The options of the built-in trip rules, as the script takes them.

inline void add_rule(Words& words, const Never&) { words.add("never"); }
inline void add_rule(Words& words, const ConsecutiveFailures& rule) { words.add("streak").add(rule.count); }
inline void add_rule(Words& words, const FailureRate& rule) {
    const auto* count = std::get_if<CountWindow>(&rule.window);
    words.add(count != nullptr ? "count" : "time").add(rule.ratio).add(rule.minimum_calls);
    words.add(rule.slow_call.duration.value_or(Duration{-1}).count()).add(rule.slow_call.ratio);
    words.add(rule.bad_ratio.value_or(-1.0));
    if (count != nullptr) {
        words.add(count->size);
    } else {
        const auto& time = *std::get_if<TimeWindow>(&rule.window);
        const Duration slice = std::max(Duration{1}, time.duration / time.buckets);
        words.add(time.duration.count()).add(slice.count()).add(time.buckets);
    }
}
inline void add_rule(Words& words, const AnyTrip& trip) {
    std::visit([&](const auto& rule) { add_rule(words, rule); }, trip.rule());
}

/// Also of a `News`.
inline fleet::CircuitView circuit_view(Numbers& numbers) {
    fleet::CircuitView view;
    view.phase = static_cast<CircuitState>(numbers.next());
    view.generation = static_cast<std::uint64_t>(numbers.next());
    view.changed = Instant{Duration{numbers.next()}};
    view.open_until = endless_instant(numbers.next());
    view.forced = numbers.next() != 0;
    view.forced_until = endless_instant(numbers.next());
    view.forced_for = endless_span(numbers.next());
    view.openings = static_cast<std::uint32_t>(numbers.next());
    view.is_ramping = numbers.next() != 0;
    view.successes = static_cast<std::uint32_t>(numbers.next());
    view.probes_in_flight = static_cast<std::uint32_t>(numbers.next());
    view.late_results = static_cast<std::uint64_t>(numbers.next());
    view.counts.calls = static_cast<std::uint64_t>(numbers.next());
    view.counts.failures = static_cast<std::uint64_t>(numbers.next());
    view.counts.slow = static_cast<std::uint64_t>(numbers.next());
    return view;
}

/// The news of a circuit for which there is no script: as a script words them.
inline std::string news_of(std::string_view key, const fleet::CircuitView& view) {
    std::string news = std::string{key} + " circuit";
    for (const std::int64_t number :
         {static_cast<std::int64_t>(view.phase), static_cast<std::int64_t>(view.generation),
          endless_on_wire(view.changed), endless_on_wire(view.open_until), std::int64_t{view.forced},
          endless_on_wire(view.forced_until), endless_on_wire(view.forced_for), std::int64_t{view.openings},
          std::int64_t{view.is_ramping}, std::int64_t{view.successes}, std::int64_t{view.probes_in_flight},
          static_cast<std::int64_t>(view.late_results), static_cast<std::int64_t>(view.counts.calls),
          static_cast<std::int64_t>(view.counts.failures), static_cast<std::int64_t>(view.counts.slow)})
        news += " " + std::to_string(number);
    return news;
}

template <class Trip>
    requires requires(Words& words, const Trip& trip) { add_rule(words, trip); }
struct Wire<fleet::CircuitMachine<Trip>> {
    using M = fleet::CircuitMachine<Trip>;
    using Options = typename M::Options;
    using View = fleet::CircuitView;

    static constexpr std::array fragments{lua::trip_rules, lua::circuit};

    static void encode(Words& words, const Options& options, const typename M::Admit&) { add(words, "admit", options); }
    static void encode(Words& words, const Options& options, const typename M::Report& report) {
        Words rest;
        rest.add(report.instance).add(number(report.generation));
        add_tally(rest, report.tally);
        rest.add(report.overdue).add(report.min_reporters).add(RecoveryTime::share_of(report.random));
        add(words, "report", options, rest.add(on_wire(report.retry_after)));
    }
    static void encode(Words& words, const Options& options, const typename M::Judge& judge) {
        Words rest;
        add_ticket(rest, judge.ticket);
        add_tally(rest, judge.tally);
        add(words, "judge", options, rest.add(RecoveryTime::share_of(judge.random)).add(on_wire(judge.retry_after)));
    }
    static void encode(Words& words, const Options& options, const typename M::Release& release) {
        Words rest;
        add_ticket(rest, release.ticket);
        add(words, "release", options, rest);
    }
    static void encode(Words& words, const Options& options, const typename M::Force& force) {
        add(words, "force", options, Words{}.add(number(force.to)).add(endless_on_wire(force.span)));
    }
    static void encode(Words& words, const Options& options, const typename M::Reset&) { add(words, "reset", options); }
    static void encode(Words& words, const Options& options, const typename M::Trim&) { add(words, "trim", options); }
    static void encode(Words& words, const Options& options, const typename M::Read&) { add(words, "read", options); }
    static void encode(Words& words, const Options& options, const typename M::Seed& seed) {
        const View& view = seed.view;
        Words rest;
        rest.add(number(view.phase)).add(number(view.generation)).add(endless_on_wire(view.open_until));
        rest.add(view.forced ? 1 : 0).add(endless_on_wire(view.forced_until)).add(endless_on_wire(view.forced_for));
        add(words, "seed", options, rest.add(view.openings));
    }
    /// What to do with a saved circuit depends on nothing that the server knows: one of three commands.
    static void encode(Words& words, const Options& options, const typename M::Restore& restore) {
        const SavedCircuit& saved = restore.saved;
        const Duration left = saved.left == Duration::max() ? saved.left : saved.left - restore.age;
        if (saved.forced && left > Duration{0} && saved.state != CircuitState::half_open) {
            add(words, "restore_forced", options,
                Words{}.add(number(saved.state)).add(endless_on_wire(left)).add(saved.openings));
        } else if (saved.state == CircuitState::closed) {
            const std::uint32_t failures = number_of_calls(saved.counts.failures);
            const std::uint32_t calls = number_of_calls(saved.counts.calls);
            Words rest;
            add_tally(rest, {.successes = calls - std::min(calls, failures),
                             .failures = failures,
                             .slow = number_of_calls(saved.counts.slow),
                             .tail = failures});
            add(words, "restore_closed", options, rest.add(on_wire(restore.age)).add(saved.openings));
        } else {
            const Duration open_for = saved.state == CircuitState::open ? left : Duration{0};
            add(words, "restore_open", options, Words{}.add(on_wire(open_for)).add(saved.openings));
        }
    }

    static typename M::Admission decode(Numbers& numbers, const Options&, const typename M::Admit&) {
        typename M::Admission admission;
        admission.admitted = numbers.next() != 0;
        admission.began_half_open = numbers.next() != 0;
        admission.ticket.generation = static_cast<std::uint64_t>(numbers.next());
        admission.ticket.token = static_cast<std::uint64_t>(numbers.next());
        admission.retry_after = endless_span(numbers.next());
        admission.view = circuit_view(numbers);
        return admission;
    }
    static auto decode(Numbers& numbers, const Options&, const typename M::Report&) { return recorded(numbers); }
    static auto decode(Numbers& numbers, const Options&, const typename M::Judge&) { return recorded(numbers); }
    /// What all other commands answer.
    template <class Command>
    static View decode(Numbers& numbers, const Options&, const Command&) {
        return circuit_view(numbers);
    }

private:
    static void add(Words& words, std::string_view command, const Options& options, const Words& rest = {}) {
        const RecoveryTime& recovery = options.recovery;
        const RecoveryGrowth& growth = recovery.growth();
        Words arguments;
        arguments.add(recovery.timeout().count()).add(recovery.longest().count());
        arguments.add(growth.multiplier).add(growth.jitter).add(growth.heed_retry_after ? 1 : 0);
        arguments.add(options.half_open_probes).add(options.success_threshold).add(options.probe_lease.count());
        arguments.add(options.ramp.duration.value_or(Duration{-1}).count());
        add_rule(arguments, options.trip);
        add_step(words, "circuit", command, arguments.add(rest));
    }
    static void add_tally(Words& words, const Tally& tally) {
        words.add(tally.successes).add(tally.failures).add(tally.slow).add(tally.tail);
    }
    static void add_ticket(Words& words, const CircuitTicket& ticket) {
        words.add(number(ticket.generation)).add(ticket.is_probe() ? number(ticket.token) : 0);
    }
    static std::int64_t number(CircuitState phase) noexcept { return static_cast<std::int64_t>(phase); }
    static std::int64_t number(std::uint64_t number) noexcept {
        return static_cast<std::int64_t>(std::min<std::uint64_t>(number, most_on_wire));
    }
    static std::uint32_t number_of_calls(std::uint64_t count) noexcept {
        constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
        return static_cast<std::uint32_t>(std::min(count, most));
    }
    static typename M::Recorded recorded(Numbers& numbers) {
        typename M::Recorded recorded;
        recorded.effect = static_cast<fleet::CircuitEffect>(numbers.next());
        recorded.open_for = Duration{numbers.next()};
        recorded.view = circuit_view(numbers);
        return recorded;
    }
};

}  // namespace breakwater::redis
