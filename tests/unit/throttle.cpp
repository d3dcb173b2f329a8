#include <breakwater/circuit_breaker.hpp>
#include <breakwater/explain.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/fleet.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/virtual_server.hpp>
#include <breakwater/throttle.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>

#include <chrono>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::ManualClock;

namespace {

constexpr auto one = [] { return 1; };
bw::Result<int> failing() { return bw::fail(Errc::failure); }

/// A throttle that refuses all but what the service accepted, with certainty: K = 1, no ceiling.
bw::ThrottleOptions strict() {
    return {.name = "ledger", .accepts_multiplier = 1.0, .max_probability = 1.0, .minimum_requests = 10, .seed = 7};
}

struct World {
    explicit World(bw::ThrottleOptions options = strict()) : throttle{std::move(options), bw::MemoryStore{clock}} {}

    /// Makes `calls` of which the service accepts none; returns how many were refused here.
    int fail(int calls, Errc with = Errc::failure) {
        int refused = 0;
        for (int i = 0; i < calls; ++i)
            refused += guard.run([&]() -> bw::Result<int> { return bw::fail(with); }).error().code() == Errc::throttled;
        return refused;
    }

    ManualClock clock{};
    bw::Throttle<bw::MemoryStore<ManualClock>> throttle;
    bw::Pipeline<bw::Throttle<bw::MemoryStore<ManualClock>>> guard{throttle};
};

std::string refusal(const bw::ThrottleOptions& options) {
    const auto made = bw::Throttle<>::make(options);
    return made ? "accepted" : made.error().message();
}

}  // namespace

TEST_CASE("mistakes in a throttle's options are named by their field") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.accepts_multiplier = 0.9}) == "throttle.accepts_multiplier: must be 1 to 100, got 0.9");
    CHECK(refusal({.max_probability = 0}) == "throttle.max_probability: must be > 0 and <= 1, got 0");
    CHECK(refusal({.window = {.duration = 0s}}) == "throttle.window.duration: must be 1ms to 24h, got 0s");
    CHECK(refusal({.window = {.buckets = 0}}) == "throttle.window.buckets: must be 1 to 1024, got 0");
    CHECK(refusal({.minimum_requests = 1'000'001}) == "throttle.minimum_requests: must be 0 to 1000000, got 1000001");
    CHECK(refusal({.deadline_counts_after = -1s}) == "throttle.deadline_counts_after: must be 0s to 24h, got -1s");
    CHECK_THROWS_AS(bw::Throttle{{.accepts_multiplier = 0}}, bw::Exception);
}

// envoyproxy/envoy#16392 and #33739: a few failures among few calls began the refusals.
TEST_CASE("few requests are never refused, whatever comes of them; more are") {
    World world;
    CHECK(world.fail(10) == 0);
    CHECK(world.fail(1'000) > 900);
    const auto refused = world.guard.run(one);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().is_refusal(Errc::throttled));
    CHECK(refused.error().policy() == "ledger");
    CHECK(refused.error().message() == "the service accepts only part of the calls (ledger)");
    CHECK_FALSE(refused.error().retry_after());
    CHECK(refused.error().attempts() == 0);
}

// grpc/grpc#28477: what was refused here was no request, and a success was counted as a failure.
TEST_CASE("a request counts when it has ended, as what came of it, and a refusal is one that was not accepted") {
    World world;
    CHECK(world.guard.run([&] { return world.throttle.snapshot().requests; }) == 0u);
    CHECK(world.throttle.snapshot().requests == 1);
    CHECK(world.throttle.snapshot().accepts == 1);
    const int refused = world.fail(99);
    CHECK(refused > 0);
    const auto seen = world.throttle.snapshot();
    CHECK(seen.name == "ledger");
    CHECK(seen.requests == 100);
    CHECK(seen.accepts == 1);
    CHECK(seen.refusal_probability == 99.0 / 101);
}

TEST_CASE("what says nothing about the service is no request") {
    for (const Errc code : {Errc::cancelled, Errc::circuit_open, Errc::rate_limited, Errc::bulkhead_full}) {
        World world;
        CHECK(world.fail(100, code) == 0);
        CHECK(world.throttle.snapshot().requests == 0);
    }
    World world;
    for (int i = 0; i < 20; ++i)
        (void)world.guard.run([]() -> bw::Result<int> { return bw::fail(Errc::deadline_exceeded); }, {.deadline = 1h});
    CHECK(world.throttle.snapshot().requests == 0);  // the caller's own deadline: the attempts hardly ran
}

TEST_CASE("a classifier says what is accepted") {
    auto options = strict();
    options.classify = [](const bw::Error& error) -> std::optional<bw::Outcome> {
        if (error.code() == Errc::bad_result) return bw::Outcome::success;
        return {};
    };
    World world{options};
    CHECK(world.fail(100, Errc::bad_result) == 0);
    CHECK(world.throttle.snapshot().accepts == 100);
}

TEST_CASE("a refusal ends the retry loop, and the breaker counts none") {
    World world;
    const bw::CircuitBreaker breaker{{.trip = bw::ConsecutiveFailures{1'000}}, bw::MemoryStore{world.clock}};
    const bw::Pipeline guard{bw::Retry{{.max_retries = 3}}, breaker, world.throttle};
    world.fail(100'000);
    const auto waits = world.clock.waits().size();
    const auto result = guard.run(failing);
    CHECK(result.error().code() == Errc::throttled);
    CHECK(world.clock.waits().size() == waits);
    CHECK(breaker.snapshot().counts.failures == 0);
}

TEST_CASE("calls with a tag that is never throttled pass, and count") {
    auto options = strict();
    options.never_throttled = {"payment"};
    World world{options};
    world.fail(1'000);
    const auto before = world.throttle.snapshot();
    for (int i = 0; i < 50; ++i) CHECK(world.guard.run(one, {.tag = "payment"}) == 1);
    CHECK(world.throttle.snapshot().accepts == before.accepts + 50);
    int refused = 0;
    for (int i = 0; i < 50; ++i) refused += !world.guard.run(one, {.tag = "report"});
    CHECK(refused > 25);
}

TEST_CASE("the same seed refuses the same calls") {
    const auto story = [](std::uint64_t seed) {
        auto options = strict();
        options.seed = seed;
        World world{options};
        std::string told;
        for (int i = 0; i < 300; ++i) {
            const auto result = world.guard.run([&]() -> bw::Result<int> {
                if (i % 3 != 0) return bw::fail(Errc::failure);
                return 1;
            });
            told += result ? '+' : result.error().code() == Errc::throttled ? '.' : '-';
        }
        return told;
    };
    CHECK(story(7) == story(7));
    CHECK(story(7) != story(8));
}

TEST_CASE("what is older than the window is forgotten") {
    World world;
    world.fail(1'000);
    world.clock.advance(118s);
    CHECK(world.throttle.snapshot().requests == 1'000);
    world.clock.advance(2s);
    CHECK(world.throttle.snapshot().requests == 0);
    CHECK(world.guard.run(one) == 1);
}

TEST_CASE("other options go on with what was counted") {
    World world;
    world.fail(100);
    auto options = strict();
    options.window = {.duration = 1min, .buckets = 6};
    options.max_probability = 0.5;
    CHECK(world.throttle.reconfigure(options));
    CHECK(world.throttle.snapshot().requests == 100);
    CHECK(world.throttle.snapshot().refusal_probability == 0.5);
    world.clock.advance(1min);
    CHECK(world.throttle.snapshot().requests == 0);
    options.name = "other";
    CHECK(world.throttle.reconfigure(options).error().message() ==
          "throttle.name: must be the throttle's, \"ledger\", got \"other\"");
    options = strict();
    options.accepts_multiplier = 0;
    CHECK_FALSE(world.throttle.reconfigure(options));
    CHECK(world.throttle.options().max_probability == 0.5);
}

TEST_CASE(
    "within one store a name is one throttle, and in a fleet's store each process has its own, without a round trip") {
    const ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::Throttle first{strict(), store};
    const bw::Throttle second{strict(), store};
    for (int i = 0; i < 20; ++i) (void)bw::Pipeline{first}.run(failing);
    CHECK(second.snapshot().requests == 20);

    bw::testing::VirtualServer server{clock};
    using Fleet = bw::FleetStore<bw::testing::VirtualLink>;
    const Fleet here{bw::fleet::Options{}, server};
    const Fleet there{bw::fleet::Options{}, server};
    const bw::Throttle<Fleet> own{strict(), here};
    const bw::Throttle<Fleet> same{strict(), here};
    const bw::Throttle<Fleet> others{strict(), there};
    const auto commands = server.commands();
    for (int i = 0; i < 20; ++i) (void)bw::Pipeline{own}.run(failing);
    CHECK(server.commands() == commands);
    CHECK(own.snapshot().requests == 20);
    CHECK(same.snapshot().requests == 20);
    CHECK(others.snapshot().requests == 0);
}

TEST_CASE("calls under a throttle allocate nothing, refused or not") {
    World world;
    int refused = 0;
    CHECK(test::allocations_in([&] {
              for (int i = 0; i < 500; ++i) (void)world.guard.run(one);
              refused = world.fail(2'000);
          }) == 0);
    CHECK(refused > 0);
}

TEST_CASE("a throttle explains itself") {
    std::ostringstream page;
    page << bw::explain(bw::Pipeline{bw::Throttle{{.name = "ledger", .accepts_multiplier = 1.5}}});
    CHECK(page.str().starts_with(
        "  throttle  ledger: lets through about 1.5 calls for each that was accepted in the last 2 min\n"));
}

TEST_CASE("many threads count every request") {
    const bw::Throttle throttle{strict()};
    const bw::Pipeline guard{throttle};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 2'000; ++i) {
                if (i % 2 == 0)
                    (void)guard.run(one);
                else
                    (void)guard.run(failing);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(throttle.snapshot().requests == 8'000);
}
