#include <breakwater/circuit_breaker.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/store/local_fallback.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/fault_injection/store.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include "../telling_memory.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::faults::StoreThen;

namespace {

using Memory = bw::MemoryStore<bw::ManualClock>;
constexpr bw::CountingMachine::Options many{.limit = 1'000'000};
using Add = bw::CountingMachine::Add;

/// A faulty store around `Inside`, and a cell in it.
template <class Inside = Memory>
struct World {
    explicit World(bw::StoreFaultOptions options = {}) : faulty{Inside{Memory{clock}}, std::move(options)} {}

    bw::ManualClock clock;
    bw::FaultyStore<Inside> faulty;
    std::shared_ptr<typename Inside::template Cell<bw::CountingMachine>> cell =
        faulty.template cell<bw::CountingMachine>("kind", "name", many);

    bool add() const {
        bw::LazyNow now{clock};
        return faulty.try_apply(now, bw::Step{*cell, many, Add{}}).has_value();
    }
    std::uint32_t count() const { return faulty.try_peek(*cell).value().count; }
};

bw::StoreFaultOptions always(bw::StoreFault fault) { return {.faults = {fault}}; }

}  // namespace

TEST_CASE("a faulty store is one that may fail, around any other, and fallback makes a store of it") {
    STATIC_REQUIRE(bw::FallibleStore<bw::FaultyStore<bw::MemoryStore<>>>);
    STATIC_REQUIRE(bw::FallibleStore<bw::FaultyStore<bw::test::TellingMemory>>);
    STATIC_REQUIRE(bw::FallibleStore<bw::FaultyStore<bw::LocalFallback<bw::FaultyStore<bw::MemoryStore<>>>>>);
    STATIC_REQUIRE(bw::Store<bw::LocalFallback<bw::FaultyStore<bw::MemoryStore<>>>>);
    STATIC_REQUIRE_FALSE(bw::Store<bw::FaultyStore<bw::MemoryStore<>>>);
}

TEMPLATE_TEST_CASE("without faults every try reaches the store inside", "", Memory, bw::test::TellingMemory) {
    const World<TestType> world;
    CHECK(world.add());
    CHECK(world.count() == 1);
    CHECK(world.faulty.try_put("page", "text", 60s));
    REQUIRE(world.faulty.try_get("page").value());
    CHECK(**world.faulty.try_get("page") == "text");
    CHECK(world.faulty.try_put("page", {}, 0s));
    CHECK(world.faulty.try_get("page").value() == nullptr);
    CHECK(world.faulty.snapshot() == bw::StoreFaultCounts{.tries = 7});
}

TEMPLATE_TEST_CASE("in an outage no try reaches the store inside", "", Memory, bw::test::TellingMemory) {
    const World<TestType> world;
    REQUIRE(world.faulty.try_put("page", "text", 60s));
    REQUIRE(world.faulty.set(always({.then = StoreThen::no_answer})));
    CHECK_FALSE(world.add());
    CHECK_FALSE(world.faulty.try_peek(*world.cell));
    CHECK_FALSE(world.faulty.try_put("page", "other", 60s));
    CHECK_FALSE(world.faulty.try_get("page"));
    CHECK(world.faulty.snapshot() == bw::StoreFaultCounts{.tries = 5, .failures = 4});
    world.faulty.off();
    CHECK(world.count() == 0);
    CHECK(**world.faulty.try_get("page") == "text");
}

TEST_CASE("an error of the store says that it is injected") {
    const World<> world{always({.then = StoreThen::error})};
    CHECK_THROWS_WITH(world.add(), "the state store is unavailable: injected");
    CHECK_THROWS_AS(world.faulty.try_get("page"), bw::Exception);
    CHECK(world.faulty.snapshot() == bw::StoreFaultCounts{.tries = 2, .failures = 2});
}

TEST_CASE("a slow store takes its time by the store's clock, and decides by what that reads then") {
    const World<> world{always({.delay = 3s})};
    bw::LazyNow now{world.clock};
    const bw::Instant before = now();
    REQUIRE(world.faulty.try_apply(now, bw::Step{*world.cell, many, Add{}}));
    CHECK(now() == before + 3s);
    CHECK(world.clock.waits() == std::vector<bw::Duration>{3s});
    CHECK(world.faulty.snapshot() == bw::StoreFaultCounts{.tries = 1, .delays = 1});
}

TEST_CASE("a store's outages come by script, by time and by rate, repeatably") {
    const World<> scripted{{.script = {{.then = StoreThen::no_answer}, {}, {.then = StoreThen::no_answer}}}};
    CHECK_FALSE(scripted.add());
    CHECK(scripted.add());
    CHECK_FALSE(scripted.add());
    CHECK(scripted.add());

    const World<> timed{always({.from = 10s, .until = 20s, .then = StoreThen::no_answer})};
    CHECK(timed.add());
    timed.clock.advance(10s);
    CHECK_FALSE(timed.add());
    timed.clock.advance(10s);
    CHECK(timed.add());

    const auto run = [](std::uint64_t seed) {
        const World<> world{{.faults = {{.rate = 0.5, .then = StoreThen::no_answer}}, .seed = seed}};
        std::string all;
        for (int i = 0; i < 100; ++i) all += world.add() ? '.' : 'x';
        return all;
    };
    CHECK(run(1) == run(1));
    CHECK(run(1) != run(2));
}

TEST_CASE("an outage goes on while the clock is set back") {
    const World<> world{always({.then = StoreThen::no_answer})};
    world.clock.set(bw::Instant{1s});
    CHECK_FALSE(world.add());
}

TEST_CASE("policies go on through an injected outage, which their store tells of in the fault's words") {
    const World<> world;
    std::vector<std::string> told;
    const bw::LocalFallback store{
        world.faulty, {.observer = [&](const bw::Event& event) {
            told.push_back(std::string{to_string(event.kind)} + ' ' + std::string{event.subject});
        }}};
    const bw::RateLimiter limiter{
        bw::RateLimiterOptions<bw::TokenBucket>{.name = "service", .algorithm = {.permits = 2, .period = 24h}}, store};
    CHECK(limiter.try_acquire());
    REQUIRE(world.faulty.set(always({.then = StoreThen::error})));
    CHECK(limiter.try_acquire());
    CHECK(told == std::vector<std::string>{"store_degraded the state store is unavailable: injected"});
    world.faulty.off();
    world.clock.advance(1s);
    CHECK(limiter.try_acquire());  // of the outage the store knows nothing
    CHECK_FALSE(limiter.try_acquire());
    CHECK(told.back() == "store_rejoined ");
}

TEST_CASE("a circuit opens in an injected outage and stays open after it") {
    const World<> world;
    const bw::LocalFallback store{world.faulty};
    const bw::CircuitBreaker breaker{bw::CircuitBreakerOptions<bw::ConsecutiveFailures>{.name = "service", .trip = {2}},
                                     store};
    REQUIRE(world.faulty.set(always({.then = StoreThen::no_answer})));
    for (int i = 0; i < 2; ++i) breaker.try_acquire()->record(bw::Outcome::failure);
    world.faulty.off();
    world.clock.advance(1s);
    CHECK_FALSE(breaker.try_acquire());
}

TEST_CASE("threads may use a store while its faults are switched") {
    const World<> world;
    {
        const std::jthread user{[&](const std::stop_token& stop) {
            while (!stop.stop_requested()) (void)world.add();
        }};
        for (int i = 0; i < 200; ++i) {
            REQUIRE(world.faulty.set(always({.then = StoreThen::no_answer})));
            world.faulty.off();
        }
    }
    const auto counts = world.faulty.snapshot();
    CHECK(counts.tries == counts.failures + world.count());
}

TEST_CASE("wrong faults of a store are refused and named by their path") {
    const World<> world;
    CHECK(world.faulty.set({.script = {{}, {.rate = 1.5}}}).error().detail() ==
          "script[1].rate: must be 0 to 1, got 1.5");
    CHECK(bw::FaultyStore<Memory>::make(Memory{world.clock}, always({.from = -1s})).error().detail() ==
          "faults[0].from: must be >= 0s, got -1s");
    CHECK_THROWS_WITH((World<>{always({.delay = -1s})}), "faults[0].delay: must be 0s to 24h, got -1s");
}
