// What a circuit breaker keeps over a restart.

#include <catch_shim.hpp>
#include <unit/circuit_world.hpp>

#include <cstdint>
#include <limits>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Outcome;
using bw::SavedCircuit;
using bw::TripCounts;

namespace {

/// A process: a clock of its own, and a breaker that knows nothing yet.
struct Process : test::CircuitWorld {
    test::Breaker breaker;

    explicit Process(test::CircuitOptions options = {.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 60s})
        : breaker{CircuitWorld::breaker(std::move(options))} {
        clock.advance(1h);
    }
    void report(Outcome outcome, int times = 1) const {
        for (int i = 0; i < times; ++i) test::report(breaker, outcome);
    }
};

}  // namespace

TEST_CASE("an open circuit stays open over a restart for the time that is left") {
    const Process before;
    before.report(Outcome::failure, 3);
    before.clock.advance(10s);
    const SavedCircuit saved = before.breaker.save();
    CHECK(saved == SavedCircuit{.state = CircuitState::open, .left = 50s, .openings = 1});

    const Process after;
    after.breaker.restore(saved, 20s);
    CHECK(after.breaker.state() == CircuitState::open);
    CHECK(after.breaker.try_acquire().error().retry_after() == 30s);
    CHECK(after.breaker.snapshot().openings == 1);
    after.clock.advance(30s);
    CHECK(after.breaker.try_acquire()->is_probe());
}

TEST_CASE("an opening that ended while the process was down comes back due for its probe") {
    const Process after;
    after.breaker.restore({.state = CircuitState::open, .left = 50s, .openings = 2}, 24h);
    CHECK(after.breaker.try_acquire()->is_probe());
}

TEST_CASE("a half-open circuit comes back due for its next probe") {
    const Process before;
    before.report(Outcome::failure, 3);
    before.clock.advance(60s);
    auto probe = before.breaker.try_acquire();
    const SavedCircuit saved = before.breaker.save();
    CHECK(saved.state == CircuitState::half_open);
    const Process after;
    after.breaker.restore(saved, 0s);
    CHECK(after.breaker.state() == CircuitState::open);
    CHECK(after.breaker.try_acquire()->is_probe());
}

TEST_CASE("a closed circuit goes on counting where it was") {
    const Process before;
    before.report(Outcome::failure, 2);
    const Process after;
    after.breaker.restore(before.breaker.save(), 5s);
    after.report(Outcome::failure);
    CHECK(after.breaker.state() == CircuitState::open);
}

TEST_CASE("a time window forgets over a restart what it would have forgotten anyway") {
    const test::CircuitOptions options{.trip = bw::FailureRate{.ratio = 0.9, .window = bw::TimeWindow{10s}}};
    const Process before{options};
    before.report(Outcome::success, 3);
    before.report(Outcome::failure, 2);
    const SavedCircuit saved = before.breaker.save();
    const Process soon{options};
    soon.breaker.restore(saved, 4s);
    CHECK(soon.breaker.snapshot().counts == TripCounts{5, 2});
    soon.clock.advance(7s);
    CHECK(soon.breaker.snapshot().counts == TripCounts{});
    const Process late{options};
    late.breaker.restore(saved, 11s);
    CHECK(late.breaker.snapshot().counts == TripCounts{});
}

TEST_CASE("a force lasts over a restart") {
    const Process before;
    before.breaker.force_open(5min);
    before.clock.advance(1min);
    const Process after;
    after.breaker.restore(before.breaker.save(), 1min);
    CHECK(after.breaker.snapshot().forced);
    CHECK(after.breaker.try_acquire().error().retry_after() == 3min);

    before.breaker.force_closed();
    after.breaker.restore(before.breaker.save(), 24h);
    after.report(Outcome::failure, 10);
    CHECK(after.breaker.state() == CircuitState::closed);
    CHECK(after.breaker.snapshot().forced);
}

TEST_CASE("nothing in a saved circuit can hold it open for longer than its options, or trip it by itself") {
    const Process after;
    after.breaker.restore({.state = CircuitState::open, .left = bw::Duration::max() - 1us}, -1h);
    CHECK(after.breaker.try_acquire().error().retry_after() == 60s);
    constexpr auto many = std::numeric_limits<std::uint64_t>::max();
    after.breaker.restore({.openings = 4'000'000'000, .counts = {many, many, many}}, 0s);
    CHECK(after.breaker.state() == CircuitState::closed);
    CHECK(after.breaker.try_acquire());
    after.breaker.restore({.state = CircuitState::half_open, .forced = true, .left = 1h}, 0s);
    CHECK(after.breaker.try_acquire()->is_probe());
}
