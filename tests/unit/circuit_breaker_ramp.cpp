// A circuit that closes by and by.

#include <catch_shim.hpp>
#include <unit/circuit_world.hpp>

#include <string>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Errc;
using bw::Outcome;
using test::Breaker;
using test::report;
using Options = test::CircuitOptions;

namespace {

struct World : test::CircuitWorld {
    Breaker breaker(Options options = {}) const {
        options.trip = bw::ConsecutiveFailures{1};
        options.recovery_timeout = 10s;
        options.ramped_close = {.duration = 90s, .first_share = 0.1};
        return CircuitWorld::breaker(std::move(options));
    }

    /// A breaker whose probe has just succeeded.
    Breaker just_closed(Options options = {}) const {
        Breaker made = breaker(std::move(options));
        report(made, Outcome::failure);
        clock.advance(10s);
        report(made, Outcome::success);
        return made;
    }
};

int admitted_of(const Breaker& breaker, int calls) {
    int admitted = 0;
    for (int i = 0; i < calls; ++i) {
        auto permit = breaker.try_acquire();
        if (!permit) continue;
        ++admitted;
        permit->record(Outcome::success);
    }
    return admitted;
}

}  // namespace

TEST_CASE("after its probes a ramped circuit lets a growing share of the calls through") {
    const World world;
    const Breaker breaker = world.just_closed();
    CHECK(breaker.state() == CircuitState::closed);
    CHECK(breaker.snapshot().admitted_share == 0.1);
    CHECK(admitted_of(breaker, 1) == 1);
    CHECK(admitted_of(breaker, 1000) == 100);
    world.clock.advance(40s);
    CHECK(admitted_of(breaker, 1000) == 500);
    world.clock.advance(40s);
    CHECK(admitted_of(breaker, 1000) == 900);
    world.clock.advance(10s);
    CHECK(admitted_of(breaker, 1000) == 1000);
    CHECK(breaker.snapshot().admitted_share == 1.0);
}

TEST_CASE("a call that a ramp keeps out is told when all will be let through") {
    const World world;
    const Breaker breaker = world.just_closed({.name = "ledger"});
    world.clock.advance(30s);
    (void)admitted_of(breaker, 1);
    const auto refused = breaker.try_acquire();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().circuit_state() == CircuitState::closed);
    CHECK(refused.error().message() ==
          "the circuit has just closed and lets only some calls through (ledger); try again in 60 s");
}

TEST_CASE("a failure during the ramp is a re-opening, and the recovery timeout goes on growing") {
    const World world;
    const Breaker breaker = world.just_closed({.recovery_growth = {.multiplier = 2.0}});
    breaker.try_acquire()->record(Outcome::failure);
    CHECK(breaker.snapshot().openings == 2);
    CHECK(breaker.try_acquire().error().retry_after() == 20s);
    world.clock.advance(20s);
    breaker.try_acquire()->record(Outcome::success);
    world.clock.advance(90s);
    CHECK(admitted_of(breaker, 1) == 1);
    CHECK(breaker.snapshot().openings == 0);
}

TEST_CASE("a clock set back starts a ramp again but does not hold it") {
    const World world;
    const Breaker breaker = world.just_closed();
    world.clock.advance(80s);
    (void)admitted_of(breaker, 1);
    world.clock.advance(-100s);
    (void)admitted_of(breaker, 1);
    CHECK(breaker.snapshot().admitted_share == 0.1);
    world.clock.advance(90s);
    CHECK(admitted_of(breaker, 100) == 100);
}

TEST_CASE("by hand a circuit closes at once, ramp or not") {
    const World world;
    const Breaker breaker = world.just_closed();
    SECTION("reset") { breaker.reset(); }
    SECTION("forced") { breaker.force_closed(); }
    CHECK(admitted_of(breaker, 100) == 100);
}

TEST_CASE("a ramp out of range is refused by name") {
    const auto refusal = [](bw::RampedClose ramp) {
        const auto made = bw::CircuitBreaker<>::make({.ramped_close = ramp});
        return made ? "accepted" : made.error().message();
    };
    CHECK(refusal({.duration = 0s}) == "circuit_breaker.ramped_close.duration: must be 1ms to 24h, got 0s");
    CHECK(refusal({.first_share = 0}) == "circuit_breaker.ramped_close.first_share: must be > 0 and <= 1, got 0");
    CHECK(refusal({.duration = 1ms, .first_share = 1}) == "accepted");
}
