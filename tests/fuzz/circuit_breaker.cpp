// The circuit's machine under any sequence of commands and any clock: never more probes than permitted, no wait is
// negative or without end, generations only grow, results of an earlier one change nothing, and no state is a trap.
#include "input.hpp"

#include <breakwater/circuit_breaker/failure_rate.hpp>
#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/circuit_breaker/trip.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;

namespace {

constexpr std::int64_t latest = (std::int64_t{1} << 53) - 1;

bw::Instant move(fuzz::Input& input, bw::Instant now) {
    const auto kind = input.take<std::uint8_t>();
    std::int64_t step = kind < 128 ? kind * 100 : kind < 250 ? input.take<std::uint32_t>() : 0;
    if (kind >= 250) step = kind % 2 == 0 ? input.take<std::int32_t>() : input.take<std::int64_t>() % latest;
    return bw::Instant{bw::Duration{std::clamp(now.time_since_epoch().count() + step, std::int64_t{0}, latest)}};
}

/// As a file may say it.
bw::SavedCircuit take_saved(fuzz::Input& input) {
    const auto kind = input.take<std::uint8_t>();
    const bw::Duration left = kind % 4 == 0   ? bw::Duration::max()
                              : kind % 4 == 1 ? bw::Duration::max() - bw::Duration{input.take<std::uint32_t>()}
                                              : bw::Duration{input.take_in<std::int64_t>(0, std::int64_t{1} << 62)};
    return {.state = static_cast<CircuitState>(kind / 4 % 3),
            .forced = kind / 16 % 2 == 1,
            .left = left,
            .openings = input.take<std::uint32_t>(),
            .counts = {.calls = input.take<std::uint64_t>(),
                       .failures = input.take<std::uint64_t>(),
                       .slow = input.take<std::uint64_t>()}};
}

/// What is saved is what comes back.
template <class M>
void save_and_restore(const typename M::State& state, const typename M::Options& options, bw::Instant now) {
    const bw::SavedCircuit saved = M::saved(state, options, now);
    auto restored = M::make_state(options);
    M::apply(restored, options, typename M::Restore{saved, bw::Duration{0}}, now);
    const bw::SavedCircuit again = M::saved(restored, options, now);
    const bool is_half_open = saved.state == CircuitState::half_open;
    fuzz::require(again.state == (is_half_open ? CircuitState::open : saved.state), "the state comes back");
    fuzz::require(again.left == saved.left && again.openings == saved.openings, "for as long, opened as often");
    fuzz::require(again.forced == (saved.forced && saved.left > bw::Duration{0}), "by hand, if it was by hand");
    constexpr std::uint64_t plenty = 1U << 31;  // from here on counts saturate
    fuzz::require(saved.state != CircuitState::closed || saved.forced || saved.counts.calls >= plenty ||
                      (again.counts.calls == saved.counts.calls && again.counts.failures == saved.counts.failures),
                  "so does what was counted");
}

template <class Trip>
void circuit(fuzz::Input input, const Trip& trip) {
    using M = bw::CircuitMachine<Trip>;
    const bw::CircuitBreakerOptions<Trip> chosen{
        .trip = trip,
        .recovery_timeout = bw::Duration{input.take_in<std::int64_t>(1'000, 100'000'000)},
        .half_open_probes = input.take_in<std::uint32_t>(1, 5),
        .success_threshold = input.take_in<std::uint32_t>(1, 7),
        .probe_lease = bw::Duration{input.take_in<std::int64_t>(1'000, 100'000'000)},
        .recovery_growth = {.multiplier = input.take_in<int>(1, 9) / 1.0,
                            .cap = bw::Duration{input.take_in<std::int64_t>(1'000, 1'000'000'000)},
                            .jitter = input.take_in<int>(0, 10) / 10.0,
                            .heed_retry_after = input.take_in<int>(0, 1) == 0},
        .ramped_close = {.duration = input.take_in<int>(0, 1) == 0
                                         ? std::optional<bw::Duration>{}
                                         : bw::Duration{input.take_in<std::int64_t>(1'000, 100'000'000)},
                         .first_share = input.take_in<int>(1, 10) / 10.0}};
    fuzz::require(validate(chosen).has_value(), "the options are good ones");
    const typename M::Options options = rules_of(chosen);
    const bw::Duration longest =
        std::max({options.recovery.longest(), options.probe_lease, options.ramp.duration.value_or(0s)}) +
        bw::clock_tolerance;

    auto state = M::make_state(options);
    bw::Instant now{bw::Duration{input.take<std::uint32_t>()}};
    std::vector<bw::CircuitTicket> tickets;
    bw::Duration forced{};
    bool is_monotone = true;
    // After a clock set back by up to the tolerance, what its earlier readings decided holds.
    const auto grace = [&] { return is_monotone ? bw::Duration{0} : bw::Duration{bw::clock_tolerance}; };
    for (int steps = 0; !input.empty() && steps < 1'000; ++steps) {
        const bw::Instant last = std::exchange(now, move(input, now));
        is_monotone = is_monotone && now >= last;
        if (now > bw::Instant{bw::Duration{latest}} - 24h * 365) return;  // the end of all clocks
        const auto before = state;
        const auto command = input.take_in<int>(0, 31);
        const auto which = tickets.empty() ? 0 : input.take<std::uint8_t>() % tickets.size();
        const bw::CircuitTicket ticket = tickets.empty() ? bw::CircuitTicket{} : tickets[which];
        const bool is_late = ticket.generation != state.generation;
        if (command < 14) {
            const auto admission = M::apply(state, options, typename M::Admit{}, now);
            fuzz::require(admission.state == state.phase, "an admission tells the state");
            fuzz::require(admission.admitted || state.phase != CircuitState::closed || state.ramp.is_on(),
                          "a closed circuit admits, if not during a ramp");
            fuzz::require(!admission.admitted || state.phase != CircuitState::open, "an open one refuses");
            if (admission.admitted) {
                if (tickets.size() < 64) tickets.push_back(admission.ticket);
                fuzz::require(admission.ticket.generation == state.generation, "a ticket is of this generation");
                fuzz::require(admission.ticket.is_probe() == (state.phase == CircuitState::half_open),
                              "half-open, it is a probe's");
            } else {
                const bw::Duration wait = admission.retry_after;
                fuzz::require(wait >= 0s, "no wait is negative");
                if (state.forced) {
                    fuzz::require(wait <= forced || state.forced_until == bw::Instant::max(),
                                  "a force lasts as long as it was told, or for ever");
                } else {
                    fuzz::require(wait <= longest, "no wait is without end");
                    auto later = state;
                    const auto then = M::apply(later, options, typename M::Admit{}, now + wait + grace());
                    fuzz::require(then.admitted || then.open_for > 0s,
                                  "waiting as long as told is enough, if no slow call opens the circuit meanwhile");
                }
            }
        } else if (command < 26) {
            const auto outcome = input.take<std::uint8_t>();
            bw::Tally tally{.successes = outcome % 3U, .failures = outcome / 3U % 4U};
            tally.tail = tally.failures;
            const auto recorded = M::apply(state, options,
                                           typename M::Record{.ticket = ticket,
                                                              .tally = tally,
                                                              .random = input.take<std::uint64_t>(),
                                                              .retry_after = bw::Duration{input.take<std::int32_t>()}},
                                           now);
            if (is_late) {
                fuzz::require(recorded.late(), "a result of an earlier generation is late");
                fuzz::require(state.phase == before.phase && state.generation == before.generation &&
                                  state.open_until == before.open_until && state.leases == before.leases &&
                                  state.successes == before.successes && state.openings == before.openings,
                              "and changes nothing");
            }
            if (recorded.transition())
                fuzz::require(recorded.transition()->to == state.phase, "a transition tells the state");
            const bool may_open = tally.failures > 0 || slow_after(options.trip) != bw::Duration::max();
            fuzz::require(may_open || state.phase == before.phase || state.phase == CircuitState::closed,
                          "only a failure or a slow call opens");
            fuzz::require(recorded.open_for >= 0s && recorded.open_for <= options.recovery.longest(),
                          "it opens for as long as the options allow");
        } else if (command < 29) {
            M::apply(state, options, typename M::Release{ticket}, now);
            fuzz::require(state.phase == before.phase && state.generation == before.generation &&
                              state.successes == before.successes,
                          "to release is no verdict");
        } else if (command == 29) {
            const bw::SavedCircuit saved = take_saved(input);
            M::apply(state, options,
                     typename M::Restore{saved,
                                         bw::Duration{input.take_in<std::int64_t>(0, bw::Duration::max().count() - 1)}},
                     now);
            forced = saved.left;
            fuzz::require(state.phase != CircuitState::half_open, "nothing comes back half-open");
        } else if (command == 30) {
            forced = input.take_in<int>(0, 3) == 0 ? bw::Duration::max() : bw::Duration{input.take<std::uint32_t>()};
            M::apply(
                state, options,
                typename M::Force{input.take_in<int>(0, 1) == 0 ? CircuitState::open : CircuitState::closed, forced},
                now);
        } else {
            M::apply(state, options, typename M::Reset{}, now);
            fuzz::require(state.phase == CircuitState::closed && !state.forced, "a reset closes");
        }
        fuzz::require(state.generation >= before.generation, "generations only grow");
        fuzz::require(state.phase == before.phase || state.generation > before.generation, "with each transition");

        save_and_restore<M>(state, options, now);
        const auto seen = M::snapshot(state, options, now);
        fuzz::require(seen.probes_in_flight <= options.half_open_probes, "no more probes than permitted");
        fuzz::require(seen.in_state >= 0s && seen.retry_after.value_or(0s) >= 0s, "a snapshot has no negative times");
    }

    // No trap: whoever comes when told and succeeds closes the circuit, unless somebody forced it for ever.
    if (state.forced && state.forced_until > bw::Instant{bw::Duration{latest}}) return;
    for (std::uint32_t tries = 0; tries < 100 && (state.phase != CircuitState::closed || state.forced); ++tries) {
        if (state.forced && state.phase == CircuitState::closed) {
            now = std::max(now, state.forced_until);
            M::apply(state, options, typename M::Admit{}, now);
            break;
        }
        const auto admission = M::apply(state, options, typename M::Admit{}, now);
        if (!admission.admitted) {
            now += admission.retry_after + grace();
            continue;
        }
        M::apply(state, options, typename M::Record{.ticket = admission.ticket, .tally = {.successes = 1}}, now);
    }
    fuzz::require(state.phase == CircuitState::closed, "a path of successes leads to closed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    const auto kind = input.take<std::uint8_t>();
    if (kind % 4 == 0)
        circuit(input, bw::ConsecutiveFailures{kind / 32U + 1});
    else if (kind % 4 == 1)
        circuit(input, bw::FailureRate{.ratio = 0.5, .window = bw::CountWindow{20}, .minimum_calls = kind / 32U + 1});
    else if (kind % 4 == 2)
        circuit(input, bw::FailureRate{.ratio = 0.5, .window = bw::TimeWindow{100ms, 10}, .minimum_calls = 4});
    else
        circuit(input, bw::FailureRate{.window = bw::CountWindow{10},
                                       .minimum_calls = 4,
                                       .slow_call = {.duration = 1ms * (kind / 4U + 1), .ratio = 0.5},
                                       .bad_ratio = 0.75});
    return 0;
}
