// A circuit breaker whose options change while it works.
#include <breakwater/pipeline.hpp>

#include <catch_shim.hpp>
#include <unit/circuit_world.hpp>

#include <optional>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Errc;
using bw::Outcome;
using bw::TripCounts;
using test::Breaker;
using test::report;
using World = test::CircuitWorld;
using Options = test::CircuitOptions;

namespace {

bw::FailureRate rate(std::uint32_t window, double ratio = 0.5) {
    return {.ratio = ratio, .window = bw::CountWindow{window}, .minimum_calls = 2};
}

}  // namespace

TEST_CASE("a reconfigured circuit keeps its streak") {
    const World world;
    const Breaker breaker = world.breaker({.trip = bw::ConsecutiveFailures{5}});
    for (int i = 0; i < 3; ++i) CHECK_FALSE(report(breaker, Outcome::failure));
    CHECK(breaker.reconfigure({.trip = bw::ConsecutiveFailures{4}}));
    CHECK(report(breaker, Outcome::failure).has_value());
}

TEST_CASE("a reconfigured count window keeps its latest outcomes, as many as it can hold") {
    const World world;
    const Breaker breaker = world.breaker({.trip = rate(10, 1.0)});
    for (int i = 0; i < 6; ++i) report(breaker, i % 3 == 0 ? Outcome::failure : Outcome::success);
    CHECK(breaker.snapshot().counts == TripCounts{6, 2});
    CHECK(breaker.reconfigure({.trip = rate(5, 1.0)}));
    CHECK(breaker.snapshot().counts == TripCounts{5, 1});
    CHECK(breaker.reconfigure({.trip = rate(20, 1.0)}));
    CHECK(breaker.snapshot().counts == TripCounts{5, 1});
    for (int i = 0; i < 19; ++i) report(breaker, Outcome::success);
    CHECK(breaker.snapshot().counts == TripCounts{20, 0});
}

TEST_CASE("a reconfigured time window keeps what is young enough") {
    const World world;
    const auto over = [](bw::Duration duration, std::uint32_t buckets) {
        return bw::FailureRate{.ratio = 1.0, .window = bw::TimeWindow{duration, buckets}, .minimum_calls = 2};
    };
    const Breaker breaker = world.breaker({.trip = over(60s, 6)});
    report(breaker, Outcome::failure);
    world.clock.advance(25s);
    report(breaker, Outcome::success);
    world.clock.advance(20s);
    report(breaker, Outcome::success);
    CHECK(breaker.reconfigure({.trip = over(30s, 10)}));
    CHECK(breaker.snapshot().counts == TripCounts{2, 0});
    CHECK(breaker.reconfigure({.trip = over(2min, 4)}));
    CHECK(breaker.snapshot().counts == TripCounts{2, 0});
    world.clock.advance(3min);
    CHECK(breaker.snapshot().counts == TripCounts{});
}

TEST_CASE("another kind of trip rule counts from the beginning") {
    const World world;
    const Breaker breaker = world.breaker({.trip = bw::ConsecutiveFailures{3}});
    for (int i = 0; i < 2; ++i) report(breaker, Outcome::failure);
    CHECK(breaker.reconfigure({.trip = rate(10)}));
    CHECK(breaker.snapshot().counts == TripCounts{});
    CHECK_FALSE(report(breaker, Outcome::failure));
    CHECK(report(breaker, Outcome::failure).has_value());
}

TEST_CASE("a slow-call rule can be switched on and off with calls under way") {
    const World world;
    bw::FailureRate timed = rate(10);
    timed.slow_call.duration = 2s;
    const Breaker breaker = world.breaker({.trip = rate(10)});
    auto before = *breaker.try_acquire();
    CHECK(breaker.reconfigure({.trip = timed}));
    auto after = *breaker.try_acquire();
    world.clock.advance(3s);
    CHECK(breaker.snapshot().overdue == 1);
    CHECK(breaker.reconfigure({.trip = rate(10)}));
    CHECK_FALSE(before.record(Outcome::success));
    CHECK_FALSE(after.record(Outcome::success));
    CHECK(breaker.snapshot().counts == TripCounts{2, 0, 0});
    CHECK(breaker.reconfigure({.trip = timed}));
    CHECK(breaker.snapshot().overdue == 0);
}

TEST_CASE("a reconfigured circuit stays open as long as it was going to, and no longer than the new options allow") {
    const World world;
    const Options options{.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 60s};
    const Breaker breaker = world.breaker(options);
    report(breaker, Outcome::failure);
    world.clock.advance(10s);
    Options longer = options;
    longer.recovery_timeout = 10min;
    CHECK(breaker.reconfigure(longer));
    CHECK(breaker.state() == CircuitState::open);
    CHECK(breaker.try_acquire().error().retry_after() == 50s);
    Options shorter = options;
    shorter.recovery_timeout = 20s;
    CHECK(breaker.reconfigure(shorter));
    CHECK(breaker.try_acquire().error().retry_after() == 20s);
    world.clock.advance(20s);
    CHECK(breaker.try_acquire());
}

TEST_CASE("a call under way is judged by the options it began with") {
    const World world;
    const Breaker breaker = world.breaker({.trip = bw::ConsecutiveFailures{2}});
    const bw::Pipeline guard{breaker};
    const bw::Classifier lenient = [](const bw::Error&) { return Outcome::success; };
    (void)guard.run([&]() -> bw::Result<int> {
        CHECK(breaker.reconfigure({.trip = bw::ConsecutiveFailures{1}, .classify = lenient}));
        return bw::fail(Errc::failure);
    });
    CHECK(breaker.snapshot().counts == TripCounts{1, 1});  // a failure, and the first of two
    CHECK(breaker.state() == CircuitState::closed);
    (void)guard.run([]() -> bw::Result<int> { return bw::fail(Errc::failure); });
    CHECK(breaker.snapshot().counts == TripCounts{0, 0});
}

TEST_CASE("reconfiguring reaches every copy of a handle") {
    const World world;
    const Breaker breaker = world.breaker({.trip = bw::ConsecutiveFailures{5}});
    const bw::Pipeline guard{breaker};
    CHECK(Breaker{breaker}.reconfigure({.trip = bw::ConsecutiveFailures{1}}));
    (void)guard.run([]() -> bw::Result<int> { return bw::fail(Errc::failure); });
    CHECK(guard.run([] { return 1; }).error().code() == Errc::circuit_open);
    CHECK(std::get<bw::ConsecutiveFailures>(breaker.options().trip.rule()).count == 1);
}

TEST_CASE("options that are wrong change nothing") {
    const World world;
    const Breaker breaker = world.breaker({.name = "ledger", .recovery_timeout = 7s});
    const auto refused = breaker.reconfigure({.name = "ledger", .recovery_timeout = 0s});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message() == "circuit_breaker.recovery_timeout: must be > 0s, got 0s");
    const auto renamed = breaker.reconfigure({.name = "books"});
    REQUIRE_FALSE(renamed);
    CHECK(renamed.error().message() == "circuit_breaker.name: must be the circuit's, \"ledger\", got \"books\"");
    CHECK(breaker.options().recovery_timeout == 7s);
}
