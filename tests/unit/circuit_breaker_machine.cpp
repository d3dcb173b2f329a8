#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/random.hpp>
#include <catch_shim.hpp>

#include "../model/seed.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

// The machine as tables of (time, event) → (decision, state), checked by the compiler.

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Outcome;

namespace {

using Machine = bw::CircuitMachine<bw::ConsecutiveFailures>;
using Rules = Machine::Options;
using enum CircuitState;

constexpr bw::Instant start{1h};

enum class Do : std::uint8_t { admit, succeed, fail, neutral, release };
using enum Do;

/// What the machine answers.
enum class Said : std::uint8_t {
    admitted,
    probing,  ///< Admitted as a probe.
    refused,
    counted,  ///< Recorded, without a transition.
    late,     ///< Recorded as late, without a transition.
    opened,
    closes,   ///< Recorded; the circuit closed.
    nothing,  ///< Of a release, which has no answer.
};
using enum Said;

/// One step: `call` numbers the call whose ticket is handed out or reported.
struct Row {
    bw::Duration when;
    Do event;
    std::size_t call;
    Said said;
    CircuitState then;
    bw::Duration retry_after{};  ///< Of a refusal.
};

constexpr int all_rows = -1;

/// Plays the table; returns the index of the first row that came out otherwise, or `all_rows`.
constexpr int play(const Rules& rules, std::initializer_list<Row> table) {
    Machine::State state = Machine::make_state(rules);
    std::array<bw::CircuitTicket, 16> tickets{};
    int index = 0;
    for (const Row& row : table) {
        const bw::Instant now = start + row.when;
        const CircuitState before = state.phase;
        Said said = nothing;
        bool consistent = true;
        if (row.event == admit) {
            const auto admission = Machine::apply(state, rules, Machine::Admit{}, now);
            said = !admission.admitted ? refused : admission.ticket.is_probe() ? probing : admitted;
            if (admission.admitted) tickets[row.call] = admission.ticket;
            consistent = admission.state == state.phase && admission.retry_after == row.retry_after &&
                         admission.transition.has_value() == (before != state.phase);
        } else if (row.event == release) {
            Machine::apply(state, rules, Machine::Release{tickets[row.call]}, now);
        } else {
            const Outcome outcome = row.event == succeed    ? Outcome::success
                                    : row.event == Do::fail ? Outcome::failure
                                                            : Outcome::neutral;
            const auto recorded =
                Machine::apply(state, rules, Machine::Record{tickets[row.call], tally_of(outcome)}, now);
            said = recorded.late() ? late : !recorded.transition() ? counted : state.phase == open ? opened : closes;
            if (recorded.transition())
                consistent = recorded.transition() == bw::CircuitTransition{before, state.phase} && !recorded.late();
            else
                consistent = before == state.phase;
        }
        if (said != row.said || state.phase != row.then || !consistent) return index;
        ++index;
    }
    return all_rows;
}

constexpr Rules rules(std::uint32_t failures, std::uint32_t probes = 1, std::uint32_t successes = 1) {
    return {.trip = {failures},
            .recovery = {60s},
            .half_open_probes = probes,
            .success_threshold = successes,
            .probe_lease = 30s};
}

}  // namespace

TEST_CASE("a circuit opens at the n-th failure in a row, and that call's own result is not refused") {
    STATIC_REQUIRE(play(rules(3), {{0s, admit, 1, admitted, closed},
                                   {1s, Do::fail, 1, counted, closed},
                                   {1s, admit, 2, admitted, closed},
                                   {2s, Do::fail, 2, counted, closed},
                                   {2s, admit, 3, admitted, closed},
                                   {3s, Do::fail, 3, opened, open},
                                   {3s, admit, 4, refused, open, 60s}}) == all_rows);
}

TEST_CASE("a success between failures begins a new streak") {
    STATIC_REQUIRE(play(rules(2), {{0s, admit, 1, admitted, closed},
                                   {0s, admit, 2, admitted, closed},
                                   {0s, admit, 3, admitted, closed},
                                   {1s, Do::fail, 1, counted, closed},
                                   {1s, succeed, 2, counted, closed},
                                   {1s, Do::fail, 3, counted, closed}}) == all_rows);
}

TEST_CASE("a neutral outcome and a release count nothing while closed") {
    STATIC_REQUIRE(play(rules(2), {{0s, admit, 1, admitted, closed},
                                   {0s, admit, 2, admitted, closed},
                                   {0s, admit, 3, admitted, closed},
                                   {0s, admit, 4, admitted, closed},
                                   {1s, Do::fail, 1, counted, closed},
                                   {1s, neutral, 2, counted, closed},
                                   {1s, release, 3, nothing, closed},
                                   {1s, Do::fail, 4, opened, open}}) == all_rows);
}

TEST_CASE("at exactly the recovery timeout, and not a microsecond before, a probe is admitted") {
    STATIC_REQUIRE(play(rules(1), {{0s, admit, 1, admitted, closed},
                                   {5s, Do::fail, 1, opened, open},
                                   {5s, admit, 2, refused, open, 60s},
                                   {65s - 1us, admit, 2, refused, open, 1us},
                                   {65s, admit, 2, probing, half_open}}) == all_rows);
}

TEST_CASE("a half-open circuit refuses all but its probe, and says when the probe's lease ends") {
    STATIC_REQUIRE(play(rules(1), {{0s, admit, 1, admitted, closed},
                                   {0s, Do::fail, 1, opened, open},
                                   {60s, admit, 2, probing, half_open},
                                   {60s, admit, 3, refused, half_open, 30s},
                                   {89s, admit, 3, refused, half_open, 1s},
                                   {89s, succeed, 2, closes, closed},
                                   {89s, admit, 4, admitted, closed}}) == all_rows);
}

TEST_CASE("a probe that fails opens the circuit again for the whole recovery timeout") {
    STATIC_REQUIRE(play(rules(3), {{0s, admit, 1, admitted, closed},
                                   {0s, admit, 2, admitted, closed},
                                   {0s, admit, 3, admitted, closed},
                                   {0s, Do::fail, 1, counted, closed},
                                   {0s, Do::fail, 2, counted, closed},
                                   {0s, Do::fail, 3, opened, open},
                                   {60s, admit, 4, probing, half_open},
                                   {70s, Do::fail, 4, opened, open},
                                   {129s, admit, 5, refused, open, 1s},
                                   {130s, admit, 5, probing, half_open}}) == all_rows);
}

TEST_CASE("a circuit that closed starts to count from nothing") {
    STATIC_REQUIRE(play(rules(2), {{0s, admit, 1, admitted, closed},
                                   {0s, admit, 2, admitted, closed},
                                   {0s, Do::fail, 1, counted, closed},
                                   {0s, Do::fail, 2, opened, open},
                                   {60s, admit, 3, probing, half_open},
                                   {61s, succeed, 3, closes, closed},
                                   {61s, admit, 4, admitted, closed},
                                   {62s, Do::fail, 4, counted, closed},
                                   {62s, admit, 5, admitted, closed},
                                   {62s, Do::fail, 5, opened, open}}) == all_rows);
}

TEST_CASE("a success threshold above the number of probes is reached by one probe after another") {
    STATIC_REQUIRE(play(rules(1, 1, 3), {{0s, admit, 1, admitted, closed},
                                         {0s, Do::fail, 1, opened, open},
                                         {60s, admit, 2, probing, half_open},
                                         {61s, succeed, 2, counted, half_open},
                                         {61s, admit, 3, probing, half_open},
                                         {62s, succeed, 3, counted, half_open},
                                         {62s, admit, 4, probing, half_open},
                                         {62s, admit, 5, refused, half_open, 30s},
                                         {63s, succeed, 4, closes, closed}}) == all_rows);
}

TEST_CASE("as many probes as allowed are in flight, and no more") {
    STATIC_REQUIRE(play(rules(1, 2, 2), {{0s, admit, 1, admitted, closed},
                                         {0s, Do::fail, 1, opened, open},
                                         {60s, admit, 2, probing, half_open},
                                         {62s, admit, 3, probing, half_open},
                                         {62s, admit, 4, refused, half_open, 28s},
                                         {63s, succeed, 3, counted, half_open},
                                         {63s, admit, 4, probing, half_open},
                                         {64s, succeed, 2, closes, closed},
                                         {64s, Do::fail, 4, late, closed}}) == all_rows);
}

TEST_CASE("one failed probe opens the circuit whatever the others say afterwards") {
    STATIC_REQUIRE(play(rules(1, 3, 1), {{0s, admit, 1, admitted, closed},
                                         {0s, Do::fail, 1, opened, open},
                                         {60s, admit, 2, probing, half_open},
                                         {60s, admit, 3, probing, half_open},
                                         {60s, admit, 4, probing, half_open},
                                         {61s, Do::fail, 3, opened, open},
                                         {61s, succeed, 2, late, open},
                                         {62s, Do::fail, 4, late, open},
                                         {62s, release, 4, nothing, open},
                                         {120s, admit, 5, refused, open, 1s}}) == all_rows);
}

TEST_CASE("a probe that never reports gives its slot back at the end of its lease") {
    STATIC_REQUIRE(play(rules(1), {{0s, admit, 1, admitted, closed},
                                   {0s, Do::fail, 1, opened, open},
                                   {60s, admit, 2, probing, half_open},
                                   {90s - 1us, admit, 3, refused, half_open, 1us},
                                   {90s, admit, 3, probing, half_open},
                                   {100s, succeed, 3, closes, closed}}) == all_rows);
}

TEST_CASE("a verdict after the lease's end changes nothing, whether or not the slot was lent again") {
    STATIC_REQUIRE(play(rules(1), {{0s, admit, 1, admitted, closed},
                                   {0s, Do::fail, 1, opened, open},
                                   {60s, admit, 2, probing, half_open},
                                   {90s, succeed, 2, late, half_open},
                                   {90s, Do::fail, 2, late, half_open},
                                   {95s, admit, 3, probing, half_open},
                                   {96s, succeed, 2, late, half_open},
                                   {96s, Do::fail, 2, late, half_open},
                                   {96s, admit, 4, refused, half_open, 29s},
                                   {97s, succeed, 3, closes, closed}}) == all_rows);
}

TEST_CASE("a verdict counts up to the last microsecond of the lease") {
    STATIC_REQUIRE(play(rules(1), {{0s, admit, 1, admitted, closed},
                                   {0s, Do::fail, 1, opened, open},
                                   {60s, admit, 2, probing, half_open},
                                   {90s - 1us, succeed, 2, closes, closed}}) == all_rows);
}

TEST_CASE("a released probe frees its slot and votes for nothing") {
    STATIC_REQUIRE(play(rules(1), {{0s, admit, 1, admitted, closed},
                                   {0s, Do::fail, 1, opened, open},
                                   {60s, admit, 2, probing, half_open},
                                   {61s, release, 2, nothing, half_open},
                                   {61s, admit, 3, probing, half_open},
                                   {62s, release, 2, nothing, half_open},
                                   {62s, admit, 4, refused, half_open, 29s},
                                   {63s, neutral, 3, counted, half_open},
                                   {63s, admit, 4, probing, half_open},
                                   {64s, succeed, 4, closes, closed}}) == all_rows);
}

TEST_CASE("a verdict counts once") {
    STATIC_REQUIRE(play(rules(1, 1, 2), {{0s, admit, 1, admitted, closed},
                                         {0s, Do::fail, 1, opened, open},
                                         {60s, admit, 2, probing, half_open},
                                         {61s, succeed, 2, counted, half_open},
                                         {61s, succeed, 2, late, half_open},
                                         {61s, Do::fail, 2, late, half_open},
                                         {61s, release, 2, nothing, half_open}}) == all_rows);
}

TEST_CASE("a late success from before the trip does not close a half-open circuit") {
    STATIC_REQUIRE(play(rules(1), {{0s, admit, 1, admitted, closed},
                                   {0s, admit, 2, admitted, closed},
                                   {0s, admit, 3, admitted, closed},
                                   {1s, Do::fail, 1, opened, open},
                                   {2s, succeed, 2, late, open},
                                   {61s, admit, 4, probing, half_open},
                                   {62s, succeed, 2, late, half_open},
                                   {62s, Do::fail, 3, late, half_open},
                                   {62s, release, 3, nothing, half_open},
                                   {62s, admit, 5, refused, half_open, 29s}}) == all_rows);
}

TEST_CASE("a late failure from before the trip does not count in the circuit that closed again") {
    STATIC_REQUIRE(play(rules(1), {{0s, admit, 1, admitted, closed},
                                   {0s, admit, 2, admitted, closed},
                                   {1s, Do::fail, 1, opened, open},
                                   {61s, admit, 3, probing, half_open},
                                   {62s, succeed, 3, closes, closed},
                                   {63s, Do::fail, 2, late, closed},
                                   {63s, Do::fail, 3, late, closed}}) == all_rows);
}

TEST_CASE("what a half-open circuit has counted and lent is forgotten when it opens again") {
    constexpr Rules long_leases{
        .trip = {1}, .recovery = {60s}, .half_open_probes = 2, .success_threshold = 2, .probe_lease = 500s};
    STATIC_REQUIRE(play(long_leases, {{0s, admit, 1, admitted, closed},
                                      {0s, Do::fail, 1, opened, open},
                                      {60s, admit, 2, probing, half_open},
                                      {60s, succeed, 2, counted, half_open},
                                      {60s, admit, 3, probing, half_open},
                                      {60s, admit, 4, probing, half_open},
                                      {61s, Do::fail, 4, opened, open},
                                      {121s, admit, 5, probing, half_open},
                                      {121s, admit, 6, probing, half_open},
                                      {122s, succeed, 5, counted, half_open},
                                      {122s, succeed, 6, closes, closed}}) == all_rows);
}

TEST_CASE("a clock that steps back keeps the circuit open for no longer than the recovery timeout") {
    STATIC_REQUIRE(play(rules(1), {{3000s, admit, 1, admitted, closed},
                                   {3000s, Do::fail, 1, opened, open},
                                   {10s, admit, 2, refused, open, 60s},
                                   {69s, admit, 2, refused, open, 1s},
                                   {70s, admit, 2, probing, half_open}}) == all_rows);
}

TEST_CASE("a clock that steps back lends a probe's slot for no longer than the lease") {
    STATIC_REQUIRE(play(rules(1), {{3000s, admit, 1, admitted, closed},
                                   {3000s, Do::fail, 1, opened, open},
                                   {3060s, admit, 2, probing, half_open},
                                   {10s, admit, 3, refused, half_open, 30s},
                                   {40s, admit, 3, probing, half_open}}) == all_rows);
}

namespace {

constexpr bw::Tally batch(std::uint32_t successes, std::uint32_t failures, std::uint32_t tail) {
    return {.successes = successes, .failures = failures, .tail = tail};
}

/// A half-open circuit with a probe in flight.
struct Probe {
    Rules rules;
    Machine::State state;
    bw::CircuitTicket ticket;
    bw::Instant now;
};
constexpr Probe probe_of(const Rules& rules) {
    Probe p{rules, Machine::make_state(rules), {}, start};
    p.ticket = Machine::apply(p.state, rules, Machine::Admit{}, p.now).ticket;
    const bw::Tally enough{.failures = rules.trip.count, .tail = rules.trip.count};
    Machine::apply(p.state, rules, Machine::Record{p.ticket, enough}, p.now);
    p.now += rules.recovery.timeout();
    p.ticket = Machine::apply(p.state, rules, Machine::Admit{}, p.now).ticket;
    return p;
}
constexpr CircuitState after_batch(const Rules& rules, const bw::Tally& tally) {
    Probe p = probe_of(rules);
    Machine::apply(p.state, rules, Machine::Record{p.ticket, tally}, p.now);
    return p.state.phase;
}

constexpr bool generations_grow() {
    const Rules each = rules(1);
    Machine::State state = Machine::make_state(each);
    std::uint64_t last = state.generation;
    bw::Instant now = start;
    for (int i = 0; i < 4; ++i) {  // the clock stands still, then steps back for each round
        state.open_until = {};
        const auto ticket = Machine::apply(state, each, Machine::Admit{}, now).ticket;
        const auto outcome = i % 2 == 0 ? Outcome::failure : Outcome::success;
        Machine::apply(state, each, Machine::Record{ticket, tally_of(outcome)}, now);
        if (state.generation <= last) return false;
        last = state.generation;
        now -= 10s;
    }
    return true;
}

constexpr std::uint64_t generation_after_a_trip_at(bw::Instant now) {
    const Rules once = rules(1);
    Machine::State state = Machine::make_state(once);
    const auto ticket = Machine::apply(state, once, Machine::Admit{}, now).ticket;
    Machine::apply(state, once, Machine::Record{ticket, tally_of(Outcome::failure)}, now);
    return state.generation;
}

}  // namespace

TEST_CASE("a batch of outcomes means the same as its outcomes one by one") {
    STATIC_REQUIRE(after_batch(rules(1, 1, 3), batch(3, 0, 0)) == closed);
    STATIC_REQUIRE(after_batch(rules(1, 1, 3), batch(2, 0, 0)) == half_open);
    STATIC_REQUIRE(after_batch(rules(1, 1, 3), batch(5, 1, 0)) == open);
    STATIC_REQUIRE(after_batch(rules(1, 1, 1), batch(0, 0, 0)) == half_open);
}

TEST_CASE("generations grow with every transition, also if the clock stands still or steps back") {
    STATIC_REQUIRE(generations_grow());
}

TEST_CASE("a generation is the store's time in microseconds if that is further on") {
    STATIC_REQUIRE(generation_after_a_trip_at(bw::Instant{777s}) == 777'000'000);
    STATIC_REQUIRE(generation_after_a_trip_at(bw::Instant{0s}) == 2);
}

TEST_CASE("undoing an admission releases its slot") {
    Probe p = probe_of(rules(1));
    const Machine::Admission admission{.admitted = true, .state = half_open, .ticket = p.ticket};
    Machine::apply(p.state, p.rules, Machine::undo(Machine::Admit{}, admission), p.now);
    CHECK(Machine::snapshot(p.state, p.rules, p.now).probes_in_flight == 0);
    CHECK(Machine::apply(p.state, p.rules, Machine::Admit{}, p.now).ticket.is_probe());
}

TEST_CASE("a snapshot tells the state as it is, and an open circuit whose time is over still reads as open") {
    const Rules r = rules(2, 2, 2);
    Machine::State state = Machine::make_state(r);
    auto seen = Machine::snapshot(state, r, start);
    CHECK(seen.state == closed);
    CHECK(seen.in_state == 0s);
    CHECK_FALSE(seen.retry_after);

    const auto ticket = Machine::apply(state, r, Machine::Admit{}, start).ticket;
    Machine::apply(state, r, Machine::Record{ticket, tally_of(Outcome::failure)}, start);
    seen = Machine::snapshot(state, r, start);
    CHECK(seen.counts == bw::TripCounts{1, 1});

    Machine::apply(state, r, Machine::Record{ticket, tally_of(Outcome::failure)}, start);
    seen = Machine::snapshot(state, r, start + 20s);
    CHECK(seen.state == open);
    CHECK(seen.in_state == 20s);
    CHECK(seen.retry_after == 40s);
    CHECK(seen.counts == bw::TripCounts{});
    CHECK(Machine::snapshot(state, r, start + 90s).state == open);
    CHECK(Machine::snapshot(state, r, start + 90s).retry_after == 0s);
    CHECK(Machine::snapshot(state, r, start - 90s).retry_after == 60s);
    CHECK(Machine::snapshot(state, r, start - 90s).in_state == 0s);

    const auto first = Machine::apply(state, r, Machine::Admit{}, start + 60s).ticket;
    Machine::apply(state, r, Machine::Admit{}, start + 70s);
    CHECK(Machine::snapshot(state, r, start + 70s).probes_in_flight == 2);
    CHECK(Machine::snapshot(state, r, start + 90s).probes_in_flight == 1);  // the first lease is over
    Machine::apply(state, r, Machine::Record{first, tally_of(Outcome::success)}, start + 71s);
    CHECK(Machine::snapshot(state, r, start + 71s).probe_successes == 1);
    Machine::apply(state, r, Machine::Record{ticket, tally_of(Outcome::success)}, start + 71s);
    CHECK(Machine::snapshot(state, r, start + 71s).late_results == 1);
}

namespace {

template <class Trip>
bool is_same(const bw::CircuitBreakerState<Trip>& a, const bw::CircuitBreakerState<Trip>& b, const Trip& trip,
             bw::Instant now) {
    return a.phase == b.phase && a.generation == b.generation && a.changed == b.changed &&
           a.open_until == b.open_until && a.successes == b.successes && a.probes == b.probes &&
           a.late_results == b.late_results && a.leases == b.leases && a.openings == b.openings &&
           trip.counts(a.counted, now) == trip.counts(b.counted, now) &&
           trip.is_settled(a.counted) == trip.is_settled(b.counted);
}

/// Plays `steps` random commands; returns the first step at which a glance decided and `apply` did otherwise. Counts
/// the glances that decided.
template <class Trip>
int glances_wrongly(const bw::CircuitRules<Trip>& rules, std::uint64_t seed, int steps, int& decided) {
    using M = bw::CircuitMachine<Trip>;
    bw::Random random{seed};
    const auto upto = [&](std::uint64_t bound) { return bw::uniform(random(), bound); };
    auto state = M::make_state(rules);
    bw::Instant now = start;
    std::vector<bw::CircuitTicket> tickets{{}};
    for (int step = 0; step < steps; ++step) {
        const auto jump = static_cast<std::int64_t>(upto(upto(4) == 0 ? 70'000'000 : 1'000'000));
        now += bw::Duration{upto(9) == 0 ? -jump : jump};
        const std::uint64_t summary = M::summary(state, rules);
        if (summary >> 60 != 0) return step;
        const auto before = state;
        if (const auto by_hand = upto(60); by_hand < 3) {
            const bw::Duration span = upto(1) == 0 ? bw::Duration::max() : bw::Duration{jump};
            if (by_hand == 0) M::apply(state, rules, typename M::Force{CircuitState::open, span}, now);
            if (by_hand == 1) M::apply(state, rules, typename M::Force{CircuitState::closed, span}, now);
            if (by_hand == 2) M::apply(state, rules, typename M::Reset{}, now);
        } else if (upto(1) == 0) {
            typename M::Admission glimpsed{};
            const bool knows = M::glance(summary, typename M::Admit{}, glimpsed) ||
                               M::glance(summary, rules, typename M::Admit{}, now, glimpsed);
            const auto decision = M::apply(state, rules, typename M::Admit{}, now);
            if (decision.admitted) tickets.push_back(decision.ticket);
            if (!knows) continue;
            ++decided;
            if (glimpsed.admitted != decision.admitted || glimpsed.state != decision.state ||
                glimpsed.ticket.generation != decision.ticket.generation ||
                glimpsed.ticket.token != decision.ticket.token || glimpsed.retry_after != decision.retry_after ||
                glimpsed.transition != decision.transition || !is_same(before, state, rules.trip, now))
                return step;
        } else {
            const auto which = tickets.size() - 1 - upto(std::min<std::size_t>(tickets.size() - 1, 3));
            const auto outcome = upto(2) != 0 ? Outcome::success : Outcome::failure;
            const typename M::Record record{tickets[which], tally_of(outcome)};
            typename M::Recorded glimpsed{};
            const bool knows = M::glance(summary, record, glimpsed);
            const auto recorded = M::apply(state, rules, record, now);
            if (!knows) continue;
            ++decided;
            if (recorded.late() || recorded.transition() || glimpsed.late() || glimpsed.transition() ||
                !is_same(before, state, rules.trip, now))
                return step;
        }
    }
    return all_rows;
}

}  // namespace

TEST_CASE("what a glance at the summary decides is what the machine decides, and would have changed nothing") {
    const std::uint64_t seed = test::seed();
    CAPTURE(seed);
    for (std::uint32_t probes = 1; probes <= 3; ++probes) {
        CAPTURE(probes);
        int decided = 0;
        CHECK(glances_wrongly(bw::CircuitRules<bw::ConsecutiveFailures>{{2}, {60s}, probes, 2, 30s}, seed, 20'000,
                              decided) == all_rows);
        CHECK(decided > 1'000);
        const bw::FailureRate rate{.ratio = 0.6, .window = bw::CountWindow{4}, .minimum_calls = 3};
        CHECK(glances_wrongly(bw::CircuitRules<bw::FailureRate>{rate, {60s}, probes, 2, 30s}, seed, 20'000, decided) ==
              all_rows);
        CHECK(glances_wrongly(bw::CircuitRules<bw::AnyTrip>{rate, {60s}, probes, 2, 30s}, seed, 20'000, decided) ==
              all_rows);
    }
}

TEST_CASE("a force for longer than any clock can tell is one for ever, and overflows nothing") {  // found by fuzzing
    constexpr auto refused_for = [](bw::Duration span) {
        const Rules rules;
        Machine::State state = Machine::make_state(rules);
        Machine::apply(state, rules, Machine::Force{open, span}, start);
        return Machine::apply(state, rules, Machine::Admit{}, start + 1h).retry_after;
    };
    static_assert(refused_for(bw::Duration::max()) == bw::Duration::max());
    static_assert(refused_for(bw::Duration::max() - 4h) == bw::Duration::max());  // the compiler sees an overflow
    static_assert(refused_for(3h) == 2h);
}
