// What operators of a circuit breaker do to it: force it, reset it, let it try out its rules on live traffic, and let
// it wait longer for a service that stays down.
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>

#include <catch_shim.hpp>
#include <unit/circuit_world.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Errc;
using bw::Outcome;
using test::Breaker;
using test::refusal;
using test::report;
using Options = test::CircuitOptions;

namespace {

/// A breaker that opens at the first failure, and whose time the test moves.
struct World : test::CircuitWorld {
    Breaker breaker(Options options = {}) const {
        options.trip = bw::ConsecutiveFailures{1};
        options.recovery_timeout = 10s;
        return CircuitWorld::breaker(std::move(options));
    }
};

/// Lets the circuit open, or its probe fail, and says for how long it is open now.
bw::Duration open_again(const World& world, const Breaker& breaker) {
    report(breaker, Outcome::failure);
    const auto refused = breaker.try_acquire();
    REQUIRE_FALSE(refused);
    const bw::Duration wait = refused.error().retry_after().value();
    world.clock.advance(wait);
    return wait;
}

}  // namespace

TEST_CASE("a circuit forced open refuses until it is reset, and knows no time to come back") {
    const World world;
    const Breaker breaker = world.breaker({.name = "ledger"});
    breaker.force_open();
    for (int day = 0; day < 3; ++day) {
        const auto refused = breaker.try_acquire();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code() == Errc::circuit_open);
        CHECK(refused.error().circuit_state() == CircuitState::open);
        CHECK(refused.error().retry_after() == std::nullopt);
        CHECK(refused.error().message() == "the circuit is open (ledger)");
        world.clock.advance(24h);
    }
    CHECK(breaker.snapshot().forced);
    CHECK(breaker.snapshot().retry_after == std::nullopt);
    breaker.reset();
    CHECK_FALSE(breaker.snapshot().forced);
    CHECK(breaker.state() == CircuitState::closed);
    CHECK(breaker.try_acquire());
}

TEST_CASE("a circuit forced open for a time says when it ends, and then lets one probe through") {
    const World world;
    const Breaker breaker = world.breaker();
    breaker.force_open(1h);
    world.clock.advance(20min);
    CHECK(breaker.try_acquire().error().retry_after() == 40min);
    CHECK(breaker.snapshot().retry_after == 40min);
    world.clock.advance(40min - 1us);
    CHECK(breaker.try_acquire().error().retry_after() == 1us);
    world.clock.advance(1us);
    CHECK_FALSE(breaker.snapshot().forced);
    auto probe = breaker.try_acquire();
    REQUIRE(probe);
    CHECK(probe->is_probe());
    CHECK_FALSE(breaker.try_acquire());
    CHECK(probe->record(Outcome::success) == bw::CircuitTransition{CircuitState::half_open, CircuitState::closed});
}

TEST_CASE("a circuit forced closed admits every call and counts nothing, until it is reset") {
    const World world;
    const Breaker breaker = world.breaker();
    breaker.force_closed();
    for (int i = 0; i < 5; ++i) CHECK(report(breaker, Outcome::failure) == std::nullopt);
    CHECK(breaker.snapshot().forced);
    CHECK(breaker.snapshot().counts == bw::TripCounts{});
    breaker.reset();
    CHECK(report(breaker, Outcome::failure) == bw::CircuitTransition{CircuitState::closed, CircuitState::open});
}

TEST_CASE("a circuit forced closed for a time counts again after it") {
    const World world;
    const Breaker breaker = world.breaker();
    breaker.force_closed(5min);
    world.clock.advance(5min - 1us);
    CHECK(report(breaker, Outcome::failure) == std::nullopt);
    world.clock.advance(1us);
    CHECK(report(breaker, Outcome::failure) == bw::CircuitTransition{CircuitState::closed, CircuitState::open});
}

TEST_CASE("forcing an open circuit closed lets calls through at once, and forcing it again replaces the first force") {
    const World world;
    const Breaker breaker = world.breaker();
    report(breaker, Outcome::failure);
    CHECK_FALSE(breaker.try_acquire());
    breaker.force_closed(1h);
    CHECK(breaker.try_acquire());
    breaker.force_open(1min);
    CHECK(breaker.try_acquire().error().retry_after() == 1min);
    breaker.force_closed();
    CHECK(breaker.try_acquire());
}

TEST_CASE("what a call under way reports after the circuit was forced or reset changes nothing") {
    const World world;
    const Breaker breaker = world.breaker();
    auto before_force = breaker.try_acquire();
    breaker.force_open(1min);
    CHECK(before_force->record(Outcome::success) == std::nullopt);
    CHECK(breaker.state() == CircuitState::open);
    world.clock.advance(1min);
    auto probe = breaker.try_acquire();
    breaker.reset();
    CHECK(probe->record(Outcome::failure) == std::nullopt);
    CHECK(breaker.state() == CircuitState::closed);
    CHECK(breaker.snapshot().late_results == 2);
}

TEST_CASE("a force of no length is over at once") {
    const World world;
    const Breaker breaker = world.breaker();
    breaker.force_open(0s);
    CHECK(breaker.try_acquire()->is_probe());
    breaker.force_open(-5s);
    CHECK(breaker.try_acquire()->is_probe());
}

TEST_CASE("a clock that is set back does not make a force longer than it was asked for") {
    const World world;
    const Breaker breaker = world.breaker();
    world.clock.advance(48h);
    breaker.force_open(10min);
    world.clock.advance(-24h);
    CHECK(breaker.try_acquire().error().retry_after() == 10min);
    world.clock.advance(10min);
    CHECK(breaker.try_acquire());
}

TEST_CASE("a force holds for all who share the circuit") {
    const World world;
    const Breaker one = world.breaker({.name = "shared"});
    const Breaker other = world.breaker({.name = "shared"});
    one.force_open();
    CHECK_FALSE(other.try_acquire());
    other.reset();
    CHECK(one.try_acquire());
}

TEST_CASE("a circuit that opens again and again stays open longer each time, up to the cap, until it has closed") {
    const World world;
    const Breaker breaker = world.breaker({.recovery_growth = {.multiplier = 2.0, .cap = 1min}});
    std::vector<bw::Duration> open;
    for (int i = 0; i < 5; ++i) open.push_back(open_again(world, breaker));
    CHECK(open == std::vector<bw::Duration>{10s, 20s, 40s, 1min, 1min});
    CHECK(breaker.snapshot().openings == 5);
    report(breaker, Outcome::success);
    CHECK(breaker.snapshot().openings == 0);
    CHECK(open_again(world, breaker) == 10s);
    breaker.reset();
    CHECK(open_again(world, breaker) == 10s);
}

TEST_CASE("a cap below the recovery timeout does not shorten it") {
    const World world;
    const Breaker breaker = world.breaker({.recovery_growth = {.multiplier = 3.0, .cap = 1s}});
    CHECK(open_again(world, breaker) == 10s);
    CHECK(open_again(world, breaker) == 10s);
}

TEST_CASE("jitter spreads the recovery timeout by its share and no further than the cap") {
    const World world;
    const Breaker breaker = world.breaker({.recovery_growth = {.cap = 11s, .jitter = 0.2}, .seed = 7});
    std::vector<bw::Duration> open;
    for (int i = 0; i < 200; ++i) open.push_back(open_again(world, breaker));
    const auto [least, most] = std::ranges::minmax(open);
    CHECK(least >= 8s);
    CHECK(least < 8500ms);
    CHECK(most == 11s);

    const World other;
    const Breaker same = other.breaker({.recovery_growth = {.cap = 11s, .jitter = 0.2}, .seed = 7});
    CHECK(open_again(other, same) == open.front());
}

TEST_CASE("the failing answer's Retry-After is the time the circuit stays open, if asked for, up to the cap") {
    const auto open_for = [](bool heed, std::optional<bw::Duration> retry_after) {
        const World world;
        const Breaker breaker = world.breaker({.recovery_growth = {.cap = 5min, .heed_retry_after = heed}});
        const auto unavailable = [&]() -> bw::Result<int> {
            return bw::fail(bw::Error{Errc::http_status}.set_status(503).set_retry_after(retry_after));
        };
        CHECK_FALSE(bw::Pipeline{breaker}.run(unavailable));
        return breaker.try_acquire().error().retry_after();
    };
    CHECK(open_for(true, 90s) == 90s);
    CHECK(open_for(true, 2s) == 2s);
    CHECK(open_for(true, 1h) == 5min);
    CHECK(open_for(true, std::nullopt) == 10s);
    CHECK(open_for(false, 90s) == 10s);
}

TEST_CASE("a circuit in shadow mode decides and reports, and refuses nothing") {
    const World world;
    const Breaker breaker = world.breaker({.name = "trial", .shadow = true});
    std::vector<bw::EventKind> seen;
    const bw::Pipeline guard{bw::Observe{[&](const bw::Event& event) {
                                 if (event.policy == "trial") seen.push_back(event.kind);
                             }},
                             breaker};
    int calls = 0;
    const auto failing = [&]() -> bw::Result<int> { return ++calls, bw::fail(Errc::failure); };
    for (int i = 0; i < 3; ++i) CHECK(guard.run(failing).error().code() == Errc::failure);
    CHECK(calls == 3);
    CHECK(breaker.state() == CircuitState::open);
    using enum bw::EventKind;
    CHECK(seen == std::vector{circuit_opened, would_refuse, would_refuse});
    CHECK(breaker.snapshot().late_results == 0);  // what goes through uncounted is not late

    CHECK(report(breaker, Outcome::failure) == std::nullopt);
    world.clock.advance(10s);
    CHECK(guard.run([] { return 1; }) == 1);  // the probe is counted
    CHECK(breaker.state() == CircuitState::closed);
}

TEST_CASE("recovery options out of range are refused by name") {
    CHECK(refusal({.recovery_growth = {.multiplier = 0.5}}) ==
          "circuit_breaker.recovery_growth.multiplier: must be 1 to 1000, got 0.5");
    CHECK(refusal({.recovery_growth = {.multiplier = 1000.5}}) ==
          "circuit_breaker.recovery_growth.multiplier: must be 1 to 1000, got 1000.5");
    CHECK(refusal({.recovery_growth = {.cap = 0s}}) ==
          "circuit_breaker.recovery_growth.cap: must be 1ms to 24h, got 0s");
    CHECK(refusal({.recovery_growth = {.cap = 25h}}) ==
          "circuit_breaker.recovery_growth.cap: must be 1ms to 24h, got 25h");
    CHECK(refusal({.recovery_growth = {.jitter = -0.1}}) ==
          "circuit_breaker.recovery_growth.jitter: must be 0 to 1, got -0.1");
    CHECK(refusal({.recovery_growth = {.jitter = 1.1}}) ==
          "circuit_breaker.recovery_growth.jitter: must be 0 to 1, got 1.1");
    CHECK(refusal({.recovery_growth = {.multiplier = 1000, .cap = 24h, .jitter = 1}}) == "accepted");
}
