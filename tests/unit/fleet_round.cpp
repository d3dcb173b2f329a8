// What the policies of one attempt ask of a shared store is asked in one round trip.
#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/keyed.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/scripted_transport.hpp>

#include <catch_shim.hpp>
#include <fleet_world.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

using Circuit = bw::CircuitBreaker<bw::AnyTrip, test::VirtualStore>;
using Limiter = bw::RateLimiter<bw::AnyAlgorithm, test::VirtualStore>;
using KeyedLimiter = bw::KeyedRateLimiter<bw::AnyAlgorithm, test::VirtualStore>;

/// A process's policies, of one name.
struct Process {
    static constexpr bw::Duration window = 60s;

    Process(bw::testing::VirtualServer& server, bw::CircuitBreakerOptions<> options, bw::Duration max_wait)
        : store{bw::kept_together(test::FleetProcess{server, {.min_reporters = 1}}, "ledger")},
          circuit{std::move(options), store},
          all{{.name = "ledger", .algorithm = bw::FixedWindow{10, window}}, store},
          each{{.each = {.name = "ledger", .algorithm = bw::FixedWindow{2, window}, .max_wait = max_wait}}, store} {}

    std::int64_t left() const { return all.snapshot().available; }
    std::int64_t left_of_key() const {
        return Limiter{{.name = "ledger k", .algorithm = bw::FixedWindow{2, window}}, store}.snapshot().available;
    }

    test::FleetProcess store;
    Circuit circuit;
    Limiter all;
    KeyedLimiter each;
};

struct World {
    explicit World(bw::Duration max_wait = {}, bool shadow = false)
        : own{server, options(shadow), max_wait}, other{server, options(false), {}} {
        CHECK(call());  // what has to be read once is known
        server.advance(Process::window);
    }
    static bw::CircuitBreakerOptions<> options(bool shadow) {
        return {.name = "ledger", .trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 10s, .shadow = shadow};
    }

    /// The next call may be a probe.
    void be_half_open() {
        REQUIRE(other.circuit.try_acquire()->record(bw::Outcome::failure));
        server.advance(10s);
    }
    bw::Result<int> call() {
        if (blocks) return guard.run([] { return 1; }, {.key = "k"});
        return bw::sync_wait(guard.run_async([]() -> bw::Task<int> { co_return 1; }, {.key = "k"}));
    }
    /// The same, and how many commands the server has taken for it.
    bw::Result<int> counted_call() {
        const std::uint64_t before = server.commands();
        auto result = call();
        commands = server.commands() - before;
        return result;
    }

    bool blocks = true;
    bw::testing::VirtualServer server;
    Process own;
    Process other;
    bw::Bulkhead bulkhead{{.max_concurrent = 1}};
    bw::Pipeline<Circuit, bw::Bulkhead, Limiter, KeyedLimiter> guard{own.circuit, bulkhead, own.all, own.each};
    std::uint64_t commands = 0;
};

}  // namespace

TEST_CASE("a probe and the permits of all limiters are one command, and the verdict another") {
    World world;
    world.blocks = GENERATE(true, false);
    CHECK(world.counted_call());
    CHECK(world.commands == 1);
    world.be_half_open();
    CHECK(world.counted_call());
    CHECK(world.commands == 2);
    CHECK(world.other.circuit.state() == bw::CircuitState::closed);
    CHECK(world.other.left() == 8);
    CHECK(world.own.left_of_key() == 0);
}

TEST_CASE("no permit is taken for a call that gets no probe") {
    World world;
    world.blocks = GENERATE(true, false);
    world.be_half_open();
    std::optional probe = world.other.circuit.try_acquire();
    REQUIRE(probe->value().is_probe());
    const auto refused = world.counted_call();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == bw::Errc::circuit_open);
    CHECK(world.commands == 1);
    CHECK(world.own.left() == 10);
    CHECK(world.own.left_of_key() == 2);
    CHECK(world.bulkhead.snapshot().in_flight == 0);
    probe.reset();
    CHECK(world.call());
}

TEST_CASE("no probe and no other permit is taken for a call that a limiter refuses") {
    World world;
    world.blocks = GENERATE(true, false);
    CHECK(world.other.each.try_acquire("k", 2));
    world.be_half_open();
    const auto refused = world.counted_call();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == bw::Errc::rate_limited);
    CHECK(refused.error().policy() == "ledger k");
    CHECK(world.commands == 1);
    CHECK(world.own.left() == 10);
    CHECK(world.bulkhead.snapshot().in_flight == 0);
    CHECK(world.other.circuit.try_acquire()->is_probe());
}

TEST_CASE("what was withdrawn is asked for again after the wait for what was refused") {
    World world{2 * Process::window};
    world.blocks = GENERATE(true, false);
    CHECK(world.other.each.try_acquire("k", 2));
    CHECK(world.other.left() == 10);
    CHECK(world.counted_call());
    CHECK(world.own.left() == 9);  // of the next window, and once
    CHECK(world.own.left_of_key() == 1);
    CHECK(world.bulkhead.snapshot().in_flight == 0);
}

TEST_CASE("a circuit in shadow mode reports no refusal when a limiter has refused in the same round") {
    World world{{}, true};
    std::vector<bw::EventKind> events;
    world.be_half_open();
    CHECK(world.other.each.try_acquire("k", 2));
    const bw::Pipeline watched{bw::Observe{[&](const bw::Event& event) { events.push_back(event.kind); }},
                               world.own.circuit, world.own.each};
    CHECK_FALSE(watched.run([] { return 1; }, {.key = "k"}));
    for (const auto kind : events) CHECK(kind != bw::EventKind::would_refuse);
}

TEST_CASE("a circuit in shadow mode that gets no probe lets the call through, which takes its permits") {
    World world{{}, true};
    world.blocks = GENERATE(true, false);
    world.be_half_open();
    const auto probe = world.other.circuit.try_acquire();
    REQUIRE(probe->is_probe());
    CHECK(world.call());
    CHECK(world.own.left() == 9);
    CHECK(world.own.left_of_key() == 1);
}

TEST_CASE("a client asks for its permit, its endpoint's and a probe by one command") {
    bw::testing::VirtualServer server;
    const bw::ClientOptions options{
        .name = "supplier",
        .base_url = "https://api.example.com",
        .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 10s},
        .rate_limit = {.algorithm = bw::FixedWindow{10, 60s}, .per_endpoint = {.algorithm = bw::FixedWindow{5, 60s}}},
        .retry = {.max_retries = 0}};
    const bw::Response good{.status = 200}, bad{.status = 500};
    const bw::ScriptedTransport transport{good, good, bad, good};
    const bw::ResilientClient client{options, transport, test::FleetProcess{server, {.min_reporters = 1}}};
    CHECK(client.get("/stock"));
    const auto commands_for = [&](bool works) {
        const auto before = server.commands();
        CHECK(client.get("/stock").has_value() == works);
        return server.commands() - before;
    };
    CHECK(commands_for(true) == 1);
    CHECK(commands_for(false) == 2);  // and that it failed
    server.advance(10s);
    CHECK(commands_for(true) == 2);  // and the probe's verdict
    CHECK(client.circuit_breaker().state() == bw::CircuitState::closed);
}
