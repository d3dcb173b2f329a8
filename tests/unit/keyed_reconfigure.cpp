// Keyed policies that go on by other options.
#include <breakwater/keyed/circuit_breaker.hpp>
#include <breakwater/keyed/rate_limiter.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Errc;
using bw::Outcome;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;
using Circuits = bw::KeyedCircuitBreaker<bw::AnyTrip, Store>;
using Limiters = bw::KeyedRateLimiter<bw::AnyAlgorithm, Store>;
using CircuitOptions = bw::KeyedCircuitBreakerOptions<>;
using LimitOptions = bw::KeyedRateLimiterOptions<>;

struct World {
    World() { clock.advance(1h); }
    bw::ManualClock clock;
    Store store{clock};
};

CircuitOptions circuits(std::uint32_t failures, std::size_t max_keys = 10) {
    return {.each = {.name = "shards", .trip = bw::ConsecutiveFailures{failures}, .recovery_timeout = 60s},
            .max_keys = max_keys};
}
LimitOptions limits(bw::AnyAlgorithm algorithm, std::size_t max_keys = 10) {
    return {.each = {.name = "tenants", .algorithm = algorithm}, .max_keys = max_keys};
}
constexpr bw::FixedWindow per_day(std::int64_t permits) { return {.permits = permits, .window = 24h}; }
constexpr bw::FixedWindow half_a_day(std::int64_t permits) { return {.permits = permits, .window = 12h}; }
constexpr bw::TokenBucket daily(std::int64_t permits) { return {.permits = permits, .period = 24h}; }

void fail_once(const Circuits& breaker, const std::string& key) {
    auto permit = breaker.try_acquire(key);
    REQUIRE(permit);
    permit->record(Outcome::failure);
}
template <class T>
std::string refusal(const bw::Result<T>& result) {
    return result ? "accepted" : result.error().message();
}
const std::string long_key(300, 'k');

}  // namespace

TEST_CASE("a keyed limiter goes on by other options wherever it is held, and a call under way ends by its own") {
    const World world;
    const Limiters limiter{limits(per_day(10)), world.store};
    const bw::Pipeline guard{Limiters{limiter}};
    const auto call = [&](auto f) { return guard.run(f, {.key = "a"}); };
    CHECK(call([] { return 1; }));
    // While this call is under way, the limit changes; then the service asks for a pause.
    const bool is_inside = GENERATE(true, false);
    const auto throttled = call([&]() -> bw::Result<int> {
        if (is_inside) CHECK(limiter.reconfigure(limits(half_a_day(3))));
        return bw::fail(bw::Error{Errc::http_status}.set_status(429).set_retry_after(2min));
    });
    CHECK_FALSE(throttled);
    if (!is_inside) CHECK(limiter.reconfigure(limits(half_a_day(3))));
    CHECK(limiter.retry_after("a") == 2min);
    world.clock.advance(2min);
    CHECK(call([] { return 1; }));
    CHECK(call([] { return 1; }).error().code() == Errc::rate_limited);
    CHECK(limiter.options().each.algorithm == bw::AnyAlgorithm{half_a_day(3)});
    CHECK(refusal(limiter.reconfigure(limits(per_day(0)))) == "each.algorithm.permits: must be 1 to 2147483648, got 0");
    CHECK(limiter.options().each.algorithm == bw::AnyAlgorithm{half_a_day(3)});
}

TEST_CASE("a permit that is not used goes back to the keyed limit it came from") {
    const World world;
    const Limiters limiter{limits(daily(10)), world.store};
    const Limiters before = limiter.reconfigured(limits(daily(10))).value();
    const bw::Pipeline guard{limiter,
                             bw::RateLimiter<bw::AnyAlgorithm, Store>{bw::FixedWindow{.permits = 1}, world.store}};
    CHECK(guard.run([] { return 1; }, {.key = "a"}));
    CHECK_FALSE(guard.run([] { return 1; }, {.key = "a"}));  // refused further in
    CHECK(before.try_acquire("a", 9));
    CHECK_FALSE(before.try_acquire("a"));
}

TEST_CASE("a keyed breaker goes on by other options wherever it is held, and a call under way ends by its own") {
    const World world;
    const Circuits breaker{circuits(2), world.store};
    const bw::Pipeline guard{Circuits{breaker}};
    const auto fails = [&](auto meanwhile) {
        return guard.run(
            [&]() -> bw::Result<int> {
                meanwhile();
                return bw::fail(Errc::failure);
            },
            {.key = "a"});
    };
    CHECK_FALSE(fails([] {}));
    SECTION("a circuit that is stricter now") {
        CHECK(breaker.reconfigure(circuits(1)));
        CHECK_FALSE(fails([] {}));
        CHECK(breaker.state("a") == CircuitState::open);
    }
    SECTION("one that is less strict after this call") {
        CHECK_FALSE(fails([&] { CHECK(breaker.reconfigure(circuits(5))); }));
        CHECK(breaker.state("a") == CircuitState::open);
    }
    SECTION("one that is less strict") {
        CHECK(breaker.reconfigure(circuits(5)));
        CHECK_FALSE(fails([] {}));
        CHECK(breaker.state("a") == CircuitState::closed);
        CHECK(breaker.snapshot("a").counts.failures == 2);
    }
    CHECK(refusal(breaker.reconfigure(circuits(0))) == "each.trip.count: must be 1 to 2147483647, got 0");
}

TEST_CASE("both handles of a keyed breaker see what becomes of a circuit, each judging by its own options") {
    const World world;
    const Circuits strict{circuits(2), world.store};
    for (const std::string& key : {std::string{"a"}, long_key, std::string{}}) fail_once(strict, key);
    const auto lenient = strict.reconfigured(circuits(4));
    REQUIRE(lenient);
    for (const std::string& key : {std::string{"a"}, long_key, std::string{}}) {
        fail_once(*lenient, key);
        CHECK(strict.state(key) == CircuitState::closed);
        CHECK(strict.snapshot(key).counts.failures == 2);
        fail_once(strict, key);  // the third: enough by its options
        CHECK(lenient->state(key) == CircuitState::open);
    }
    world.clock.advance(60s);
    auto probe = strict.try_acquire("a");
    REQUIRE(probe);
    CHECK(lenient->try_acquire("a").error().code() == Errc::circuit_open);  // the probe's slot is taken in both
    probe->record(Outcome::success);
    CHECK(lenient->state("a") == CircuitState::closed);
}

TEST_CASE("a keyed breaker with less room keeps the circuits that matter") {
    const World world;
    const Circuits before{circuits(1, 100), world.store};
    for (int i = 0; i < 50; ++i) {
        auto permit = before.try_acquire("good-" + std::to_string(i));
        REQUIRE(permit);
        permit->record(Outcome::success);
        if (i % 10 == 0) fail_once(before, "bad-" + std::to_string(i));
    }
    const auto after = before.reconfigured(circuits(1, 5));
    REQUIRE(after);
    CHECK(after->snapshot().counts == bw::KeyedCounts{.keys = 5, .max_keys = 5});
    for (int i = 0; i < 50; i += 10) CHECK(after->state("bad-" + std::to_string(i)) == CircuitState::open);
}

TEST_CASE("the circuit that keys without a place share goes on, too") {
    const World world;
    const Circuits before{circuits(2, 1), world.store};
    fail_once(before, "a");
    fail_once(before, "b");  // no place
    const auto after = before.reconfigured(circuits(2, 2));
    REQUIRE(after);
    CHECK(after->snapshot().shared.counts.failures == 1);
}

TEST_CASE("a keyed breaker that is given the options it has remains the same") {
    const World world;
    const Circuits before{circuits(2), world.store};
    const auto after = before.reconfigured(circuits(2));
    REQUIRE(after);
    fail_once(*after, "new");
    CHECK(before.snapshot("new").counts.failures == 1);  // also of a key that both meet for the first time
}

TEST_CASE("each key's limit goes on in another form, counted once, with its pause") {
    const World world;
    const Limiters before{limits(daily(10)), world.store};
    REQUIRE(before.try_acquire("a", 6));
    REQUIRE(before.try_acquire(long_key, 10));
    before.pause_for("b", 2min);
    before.limit_to("c", 3, 1min);
    const auto after = before.reconfigured(limits(per_day(10)));
    REQUIRE(after);
    CHECK_FALSE(after->try_acquire(long_key));
    CHECK(after->retry_after("b") == 2min);
    CHECK(after->try_acquire("c", 3));
    CHECK(after->retry_after("c") == 1min);
    CHECK(after->try_acquire("a", 1));
    const auto again = after->reconfigured(limits(daily(10)));
    REQUIRE(again);
    CHECK(again->try_acquire("a", 3));
    CHECK_FALSE(again->try_acquire("a"));
    CHECK(again->retry_after("b") == 2min);
}

TEST_CASE("clients of one store that change to the same limit share it then, as they did before") {
    const World world;
    const Limiters one{limits(daily(10)), world.store};
    const Limiters two{limits(daily(10)), world.store};
    REQUIRE(one.try_acquire("a", 4));
    SECTION("in another form") {
        const auto one_later = one.reconfigured(limits(per_day(10)));
        const auto two_later = two.reconfigured(limits(per_day(10)));
        REQUIRE((one_later && two_later));
        CHECK(one_later->try_acquire("a", 6));
        CHECK_FALSE(two_later->try_acquire("a"));
    }
    SECTION("for another number of keys") {
        const auto one_later = one.reconfigured(limits(daily(10), 20));
        const auto two_later = two.reconfigured(limits(daily(10), 20));
        REQUIRE((one_later && two_later));
        CHECK(one_later->snapshot().counts.max_keys == 20);
        CHECK(one_later->try_acquire("a", 6));
        CHECK_FALSE(two_later->try_acquire("a"));
    }
}

TEST_CASE("a limit of the same form is the same limit: nothing is carried, nothing can be missed") {
    const World world;
    const Limiters before{limits(per_day(10)), world.store};
    const auto after = before.reconfigured(limits(per_day(20)));
    REQUIRE(after);
    REQUIRE(before.try_acquire("a", 10));
    CHECK(after->try_acquire("a", 10));
    CHECK_FALSE(after->try_acquire("a"));
    CHECK_FALSE(before.try_acquire("a"));
}

TEST_CASE("keyed policies keep their name, and refuse options that are wrong") {
    const World world;
    const Circuits breaker{circuits(2), world.store};
    const Limiters limiter{limits(daily(10)), world.store};
    CHECK(refusal(breaker.reconfigured({.each = {.name = "other"}})) ==
          "each.name: must be the circuits', \"shards\", got \"other\"");
    CHECK(refusal(limiter.reconfigured({.each = {.name = "other"}})) ==
          "each.name: must be the limiters', \"tenants\", got \"other\"");
    CHECK(refusal(breaker.reconfigured(circuits(0))) == "each.trip.count: must be 1 to 2147483647, got 0");
    CHECK(refusal(limiter.reconfigured(limits(daily(1), 0))) == "max_keys: must be 1 to 16777216, got 0");
}
