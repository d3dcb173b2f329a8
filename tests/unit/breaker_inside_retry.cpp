// Why the circuit breaker stands inside the retry: how many calls reach a dead service, and how long its callers wait,
// each way. The README gives these numbers.
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstddef>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

using Breaker = bw::CircuitBreaker<bw::AnyTrip, bw::MemoryStore<bw::ManualClock>>;

constexpr int calls = 100;
const bw::RetryOptions<> three_retries{
    .max_retries = 3, .backoff = {.base = 1ms, .multiplier = 1, .cap = 1ms, .jitter = bw::Jitter::none}};

/// A service that is dead, and a circuit that opens after 5 failures, for 60 s.
struct World {
    World() : breaker{{.trip = bw::ConsecutiveFailures{5}}, bw::MemoryStore{clock}} {}

    bw::ManualClock clock{};
    Breaker breaker;
    int reached = 0;

    auto dead() {
        return [this]() -> bw::Result<int> {
            ++reached;
            return bw::fail(bw::Errc::connect_failed);
        };
    }
    std::size_t waits() const { return clock.waits().size(); }

    /// How many calls `call` lets through to the service while it is dead, and how many once the circuit may probe.
    struct Counts {
        int while_dead = 0;
        int by_a_probe = 0;
    };
    Counts count(auto call) {
        for (int i = 0; i < calls; ++i) call();
        const int while_dead = reached;
        clock.advance(60s);
        call();
        return {while_dead, reached - while_dead};
    }
};

}  // namespace

TEST_CASE("with the breaker inside retry 100 calls reach a dead service 5 times, and a probe is one call") {
    World world;
    const bw::Pipeline guard{bw::Retry{three_retries}, world.breaker};
    const auto [while_dead, by_a_probe] = world.count([&] { (void)guard.run(world.dead()); });
    CHECK(while_dead == 5);
    CHECK(by_a_probe == 1);
    CHECK(world.waits() == 3 + 1 + 1);  // the first call's, the second's before it is refused, and the probe's
}

TEST_CASE("with the breaker outside retry 100 calls reach a dead service 20 times, and a probe is four calls") {
    World world;
    const bw::Pipeline guard{world.breaker, bw::Retry{three_retries}};
    const auto [while_dead, by_a_probe] = world.count([&] { (void)guard.run(world.dead()); });
    CHECK(while_dead == 20);
    CHECK(by_a_probe == 4);
    CHECK(world.waits() == 5 * 3 + 3);
}

TEST_CASE("without a breaker 100 calls reach a dead service 400 times") {
    World world;
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Retry{three_retries}};
    const auto [while_dead, by_a_probe] = world.count([&] { (void)guard.run(world.dead()); });
    CHECK(while_dead == 400);
    CHECK(by_a_probe == 4);
    CHECK(world.waits() == 300 + 3);
}

// The same order, with a retry that takes a refusal for one more failure.
TEST_CASE("a retry that retries refusals spares the service no less, and makes every caller wait for nothing") {
    World world;
    const bw::Pipeline guard{world.breaker};
    const auto [while_dead, by_a_probe] = world.count([&] {
        for (int attempt = 0; !guard.run(world.dead()) && attempt < 3; ++attempt)
            world.clock.wait_until(world.clock.now() + 1ms, {});
    });
    CHECK(while_dead == 5);
    CHECK(by_a_probe == 1);
    CHECK(world.waits() == 300 + 3);
}
