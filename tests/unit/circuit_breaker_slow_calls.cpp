// Calls that take too long: ended, still under way, as probes; and calls that are not counted at all.
#include <breakwater/pipeline.hpp>

#include <catch_shim.hpp>
#include <unit/circuit_world.hpp>

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

namespace {

/// Of the last ten calls; slow is more than 2 s.
bw::FailureRate timed(double slow_ratio = 0.5, std::optional<double> bad_ratio = {}) {
    return {.ratio = 1.0,
            .window = bw::CountWindow{10},
            .minimum_calls = 4,
            .slow_call = {.duration = 2s, .ratio = slow_ratio},
            .bad_ratio = bad_ratio};
}

struct World : test::CircuitWorld {
    Breaker breaker(bw::FailureRate rule) const {
        return CircuitWorld::breaker({.trip = rule, .recovery_timeout = 10s});
    }

    /// One call that takes `took`.
    std::optional<bw::CircuitTransition> call(const Breaker& breaker, bw::Duration took,
                                              Outcome outcome = Outcome::success) const {
        auto permit = breaker.try_acquire();
        REQUIRE(permit);
        clock.advance(took);
        return permit->record(outcome);
    }
};

using Permits = std::vector<Breaker::Permit>;

Permits begin(const Breaker& breaker, int calls) {
    Permits permits;
    for (int i = 0; i < calls; ++i) permits.push_back(*breaker.try_acquire());
    return permits;
}

std::string refusal(const bw::FailureRate& rule) { return test::refusal({.trip = rule}); }

}  // namespace

TEST_CASE("a slow call is strictly longer than its limit") {
    const World world;
    const Breaker breaker = world.breaker(timed());
    for (int i = 0; i < 8; ++i) CHECK(world.call(breaker, 2s) == std::nullopt);
    CHECK(breaker.snapshot().counts == bw::TripCounts{8, 0, 0});
    world.call(breaker, 2s + 1us);
    CHECK(breaker.snapshot().counts == bw::TripCounts{9, 0, 1});
}

TEST_CASE("slow successes open the circuit at exactly their ratio, and the call that trips keeps its result") {
    const World world;
    const Breaker breaker = world.breaker(timed(0.5));
    for (int i = 0; i < 2; ++i) CHECK(world.call(breaker, 1s) == std::nullopt);
    CHECK(world.call(breaker, 3s) == std::nullopt);
    CHECK(world.call(breaker, 3s) == bw::CircuitTransition{CircuitState::closed, CircuitState::open});
}

TEST_CASE("a fast success never opens the circuit, however slow the others were") {
    const World world;
    const Breaker breaker = world.breaker(timed(0.5));
    for (int i = 0; i < 3; ++i) CHECK(world.call(breaker, 3s) == std::nullopt);
    CHECK(world.call(breaker, 1s) == std::nullopt);  // the fourth: 3 of 4 are slow
    CHECK(breaker.state() == CircuitState::closed);
    CHECK(world.call(breaker, 3s).has_value());

    const Breaker other = world.breaker(timed(0.5));
    const Permits hung = begin(other, 4);
    world.clock.advance(2s);
    auto fast = *other.try_acquire();
    world.clock.advance(250ms);
    CHECK(fast.record(Outcome::success) == std::nullopt);
    CHECK(other.snapshot().overdue == 4);
    CHECK(other.state() == CircuitState::closed);
}

TEST_CASE("calls still under way count as slow from their limit on, and the next caller is refused") {
    const World world;
    const Breaker breaker = world.breaker(timed(0.5));
    const Permits hung = begin(breaker, 4);
    world.clock.advance(2s);
    CHECK(breaker.snapshot().overdue == 0);
    CHECK(begin(breaker, 1).size() == 1);
    world.clock.advance(250ms);  // an eighth of the limit
    CHECK(breaker.snapshot().overdue == 4);
    const auto refused = breaker.try_acquire();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::circuit_open);
    CHECK(refused.error().retry_after() == 10s);
    CHECK(breaker.state() == CircuitState::open);
}

TEST_CASE("what a call under way reports after it has opened the circuit is late") {
    const World world;
    const Breaker breaker = world.breaker(timed(0.5));
    Permits hung = begin(breaker, 4);
    world.clock.advance(3s);
    CHECK_FALSE(breaker.try_acquire());
    for (auto& permit : hung) CHECK(permit.record(Outcome::success) == std::nullopt);
    CHECK(breaker.snapshot().late_results == 4);
    CHECK(breaker.snapshot().overdue == 0);
    world.clock.advance(10s);
    CHECK(world.call(breaker, 1s).has_value());
    CHECK(breaker.snapshot().overdue == 0);
    CHECK(breaker.state() == CircuitState::closed);
}

TEST_CASE("an overdue call that ends is counted once, as a slow one") {
    const World world;
    const Breaker breaker = world.breaker(timed(1.0));
    Permits hung = begin(breaker, 2);
    for (int i = 0; i < 4; ++i) world.call(breaker, 1s);
    CHECK(breaker.snapshot().overdue == 2);
    hung.front().record(Outcome::success);
    CHECK(breaker.snapshot().overdue == 1);
    CHECK(breaker.snapshot().counts == bw::TripCounts{5, 0, 1});
    hung.pop_back();  // dropped without a verdict
    CHECK(breaker.snapshot().overdue == 0);
    CHECK(breaker.snapshot().counts == bw::TripCounts{5, 0, 1});
}

TEST_CASE("failed and slow calls together open the circuit at the bad ratio") {
    const World world;
    const Breaker breaker = world.breaker(timed(0.9, 0.75));
    world.call(breaker, 1s);
    world.call(breaker, 1s, Outcome::failure);
    world.call(breaker, 3s, Outcome::failure);  // bad once, though it is both
    CHECK(breaker.snapshot().counts == bw::TripCounts{3, 2, 1});
    CHECK(world.call(breaker, 3s).has_value());  // 3 of 4
}

TEST_CASE("without a bad ratio failed and slow calls are judged apart") {
    const World world;
    const Breaker breaker = world.breaker(timed(0.9));
    for (int i = 0; i < 4; ++i) world.call(breaker, 1s, i % 2 == 0 ? Outcome::failure : Outcome::success);
    for (int i = 0; i < 4; ++i) CHECK(world.call(breaker, 3s) == std::nullopt);
    CHECK(breaker.state() == CircuitState::closed);
}

TEST_CASE("a slow probe opens the circuit again") {
    const World world;
    const Breaker breaker = world.breaker(timed());
    for (int i = 0; i < 4; ++i) world.call(breaker, 3s);
    world.clock.advance(10s);
    CHECK(world.call(breaker, 2s + 1us) == bw::CircuitTransition{CircuitState::half_open, CircuitState::open});
    world.clock.advance(10s);
    CHECK(world.call(breaker, 2s) == bw::CircuitTransition{CircuitState::half_open, CircuitState::closed});
}

TEST_CASE("a time window forgets slow calls like the others") {
    const World world;
    bw::FailureRate rule = timed(0.5);
    rule.window = bw::TimeWindow{.duration = 20s, .buckets = 4};
    const Breaker breaker = world.breaker(rule);
    for (int i = 0; i < 3; ++i) world.call(breaker, 3s);
    CHECK(breaker.snapshot().counts == bw::TripCounts{3, 0, 3});
    world.clock.advance(30s);
    CHECK(breaker.snapshot().counts == bw::TripCounts{});
    world.call(breaker, 1s);
    CHECK(breaker.snapshot().counts == bw::TripCounts{1, 0, 0});
}

TEST_CASE("in a pipeline a slow call is timed from its admission, and its retry anew") {
    const World world;
    const Breaker breaker = world.breaker(timed(0.5));
    const bw::Pipeline guard{breaker};
    for (int i = 0; i < 4; ++i) CHECK(guard.run([&] { return world.clock.advance(3s), i; }) == i);
    CHECK(breaker.state() == CircuitState::open);
    CHECK(guard.run([] { return 1; }).error().code() == Errc::circuit_open);
}

TEST_CASE("circuits with and without a slow-call rule do not share their state") {
    const World world;
    const Breaker a{{.name = "ledger", .trip = timed()}, world.store};
    bw::FailureRate untimed = timed();
    untimed.slow_call = {};
    const Breaker b{{.name = "ledger", .trip = untimed}, world.store};
    a.force_open();
    CHECK(b.state() == CircuitState::closed);
}

TEST_CASE("a slow-call rule out of range is refused by name") {
    const auto with = [](auto change) {
        bw::FailureRate rule = timed();
        change(rule);
        return refusal(rule);
    };
    CHECK(with([](auto& r) { r.slow_call.duration = 0s; }) ==
          "circuit_breaker.trip.slow_call.duration: must be 1ms to 24h, got 0s");
    CHECK(with([](auto& r) { r.slow_call.ratio = 0; }) ==
          "circuit_breaker.trip.slow_call.ratio: must be > 0 and <= 1, got 0");
    CHECK(with([](auto& r) { r.bad_ratio = 1.5; }) == "circuit_breaker.trip.bad_ratio: must be > 0 and <= 1, got 1.5");
    CHECK(with([](auto& r) { r.slow_call.duration.reset(), r.bad_ratio = 0.5; }) ==
          "circuit_breaker.trip.bad_ratio: must be empty without slow_call.duration, got 0.5");
    CHECK(with([](auto& r) { r.bad_ratio = 1; }) == "accepted");
}

TEST_CASE("a call with an uncounted tag is refused like all others, and says nothing about the service") {
    const World world;
    const Breaker breaker{{.trip = bw::ConsecutiveFailures{1}, .uncounted_tags = {"health", "warm-up"}}, world.store};
    const bw::Pipeline guard{breaker};
    const auto failing = []() -> bw::Result<int> { return bw::fail(Errc::failure); };
    CHECK(guard.run(failing, {.tag = "health"}).error().code() == Errc::failure);
    CHECK(guard.run(failing, {.tag = "warm-up"}).error().code() == Errc::failure);
    CHECK(breaker.state() == CircuitState::closed);
    CHECK(guard.run(failing, {.tag = "healthy"}).error().code() == Errc::failure);
    CHECK(breaker.state() == CircuitState::open);
    CHECK(guard.run(failing, {.tag = "health"}).error().code() == Errc::circuit_open);
    world.clock.advance(60s);
    CHECK(guard.run([] { return 1; }, {.tag = "health"}) == 1);  // a probe without a verdict: its slot is free again
    CHECK(breaker.state() == CircuitState::half_open);
    CHECK(guard.run([] { return 1; }) == 1);
    CHECK(breaker.state() == CircuitState::closed);
}
