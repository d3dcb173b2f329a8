#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/store/fleet.hpp>

#include <catch_shim.hpp>
#include <fleet_world.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using test::FleetOfCircuits;

TEST_CASE("calls through a closed circuit ask the server nothing, and successes tell it nothing") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{3}}};
    const auto before = fleet.server.commands();
    for (int i = 0; i < 1'000; ++i) CHECK(fleet.succeeds(0));
    fleet.server.advance(1s);
    CHECK(fleet.server.commands() == before);
}

TEST_CASE("ten processes with one failure each count as ten") {
    FleetOfCircuits<> fleet{10, {.trip = bw::ConsecutiveFailures{10}}};
    for (std::size_t i = 0; i < 10; ++i) CHECK(fleet.fails(i));
    CHECK(fleet.states() == "cccccccccc");
    fleet.server.advance(50ms);
    CHECK(fleet.states() == "oooooooooo");
    for (std::size_t i = 0; i < 10; ++i) CHECK_FALSE(fleet.succeeds(i));
}

TEST_CASE("ten processes with one failure each reach a ratio of the fleet's calls") {
    const bw::FailureRate rule{.ratio = 0.5, .window = bw::TimeWindow{10s}, .minimum_calls = 20};
    FleetOfCircuits<> fleet{10, {.trip = rule}};
    for (std::size_t i = 0; i < 10; ++i) CHECK(fleet.succeeds(i));
    fleet.server.advance(60ms);
    for (std::size_t i = 0; i < 9; ++i) CHECK(fleet.fails(i));
    fleet.server.advance(60ms);
    CHECK(fleet.states() == "cccccccccc");
    CHECK(fleet.fails(9));
    fleet.server.advance(60ms);
    CHECK(fleet.states() == "oooooooooo");
}

TEST_CASE("a failure that opens the circuit opens it at once for everybody, and the caller is told") {
    FleetOfCircuits<> fleet{8, {.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 10s}};
    CHECK(fleet.fails(2));
    CHECK(fleet.fails(2));
    auto permit = fleet.circuits[2].try_acquire();
    REQUIRE(permit);
    CHECK(permit->record(bw::Outcome::failure) == bw::CircuitTransition{CircuitState::closed, CircuitState::open});
    CHECK(fleet.states() == "oooooooo");
    const auto commands = fleet.server.commands();
    for (std::size_t i = 0; i < 8; ++i) {
        const auto refused = fleet.circuits[i].try_acquire();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().retry_after() == bw::Duration{10s});
    }
    CHECK(fleet.server.commands() == commands);
}

TEST_CASE("a process that lives for less than an interval has reported when it ends") {
    FleetOfCircuits<> fleet{1, {.trip = bw::ConsecutiveFailures{3}}};
    for (int i = 0; i < 2; ++i) {
        const FleetOfCircuits<>::Breaker short_lived{{.name = "ledger", .trip = bw::ConsecutiveFailures{3}},
                                                     test::FleetProcess{fleet.server, {.min_reporters = 1}}};
        (void)short_lived.try_acquire()->record(bw::Outcome::failure);
    }
    CHECK(fleet.fails(0));
    fleet.server.advance(50ms);
    CHECK(fleet.states() == "o");
}

TEST_CASE("one healthy process resets a fleet's streak of failures") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{5}}};
    for (int i = 0; i < 4; ++i) CHECK(fleet.fails(0));
    fleet.server.advance(60ms);
    CHECK(fleet.circuits[0].snapshot().counts.failures == 4);
    CHECK(fleet.succeeds(1));  // it has heard of the streak, so it reports
    fleet.server.advance(60ms);
    for (int i = 0; i < 4; ++i) CHECK(fleet.fails(0));
    CHECK(fleet.states() == "cc");
    CHECK(fleet.fails(0));
    CHECK(fleet.states() == "oo");
}

TEST_CASE("never more probes than the option says are out, whoever asks") {
    FleetOfCircuits<> fleet{6, {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 1s, .half_open_probes = 2}};
    CHECK(fleet.fails(0));
    fleet.server.advance(1s);
    std::vector<FleetOfCircuits<>::Breaker::Permit> probes;
    for (std::size_t round = 0; round < 3; ++round)
        for (std::size_t i = 0; i < 6; ++i)
            if (auto permit = fleet.circuits[i].try_acquire()) probes.push_back(*std::move(permit));
    CHECK(probes.size() == 2);
    CHECK(fleet.states() == "hhhhhh");
    CHECK(fleet.circuits[5].snapshot().state == CircuitState::half_open);
    (void)probes[1].record(bw::Outcome::success);
    CHECK(fleet.states() == "cccccc");
    for (std::size_t i = 0; i < 6; ++i) CHECK(fleet.succeeds(i));
}

TEST_CASE("a process that dies with a probe gives it back when the lease ends, and its late verdict changes nothing") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 1s, .probe_lease = 5s}};
    CHECK(fleet.fails(0));
    fleet.server.advance(1s);
    auto lost = fleet.circuits[0].try_acquire();
    REQUIRE(lost);
    fleet.server.advance(4s);
    CHECK_FALSE(fleet.circuits[1].try_acquire());
    fleet.server.advance(1s);
    auto probe = fleet.circuits[1].try_acquire();
    REQUIRE(probe);
    CHECK_FALSE(lost->record(bw::Outcome::failure));
    CHECK(fleet.states() == "hh");
    CHECK(probe->record(bw::Outcome::success));
    CHECK(fleet.states() == "cc");
}

TEST_CASE("a probe given back without a verdict can be lent again at once") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 1s}};
    CHECK(fleet.fails(0));
    fleet.server.advance(1s);
    {
        auto probe = fleet.circuits[0].try_acquire();
    }
    CHECK(fleet.succeeds(1));
    CHECK(fleet.states() == "cc");
}

TEST_CASE("a process that alone sees a service fail opens its circuit for itself") {
    FleetOfCircuits<> fleet{3, {.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 10s}, {.min_reporters = 2}};
    for (int i = 0; i < 3; ++i) CHECK(fleet.fails(0));
    CHECK(fleet.states() == "occ");
    CHECK_FALSE(fleet.fails(0));
    CHECK(fleet.succeeds(1));
    fleet.server.advance(10s);
    CHECK(fleet.succeeds(0));  // its own probe
    CHECK(fleet.states() == "ccc");
    // A second one that sees it makes it the fleet's.
    for (int i = 0; i < 3; ++i) CHECK(fleet.fails(0));
    CHECK(fleet.states() == "occ");
    for (int i = 0; i < 3; ++i) (void)fleet.fails(1);
    CHECK(fleet.states() == "ooo");
}

TEST_CASE("one process that reports again and again is one reporter") {
    FleetOfCircuits<> fleet{3, {.trip = bw::ConsecutiveFailures{4}, .recovery_timeout = 10s}, {.min_reporters = 2}};
    for (int i = 0; i < 3; ++i) {
        CHECK(fleet.fails(0));
        fleet.server.advance(50ms);
    }
    CHECK(fleet.fails(0));
    CHECK(fleet.states() == "occ");
}

TEST_CASE("who saw failures before the last success is no reporter of a streak") {
    FleetOfCircuits<> fleet{3, {.trip = bw::ConsecutiveFailures{3}}, {.min_reporters = 2}};
    CHECK(fleet.fails(0));
    fleet.server.advance(50ms);
    CHECK(fleet.succeeds(2));
    fleet.server.advance(50ms);
    for (int i = 0; i < 3; ++i) CHECK(fleet.fails(1));
    CHECK(fleet.states() == "coc");
}

TEST_CASE("what is not reported yet counts on top of what the others have reported") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{3}}};
    CHECK(fleet.fails(1));
    fleet.server.advance(30ms);
    CHECK(fleet.fails(0));
    fleet.server.advance(20ms);  // the other's is reported, and told
    CHECK(fleet.fails(0));
    CHECK(fleet.states() == "oo");  // at once: 1 and 2
}

TEST_CASE("a server that has forgotten an open circuit lends no more probes than the option says") {
    FleetOfCircuits<> fleet{3, {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 10s}};
    CHECK(fleet.fails(0));
    fleet.server.forget();
    fleet.server.advance(10s);
    auto probe = fleet.circuits[1].try_acquire();
    REQUIRE(probe);
    CHECK(probe->is_probe());
    CHECK_FALSE(fleet.circuits[0].try_acquire());
    CHECK_FALSE(fleet.circuits[2].try_acquire());
}

TEST_CASE("two reporters are needed once three processes are seen, and one before") {
    FleetOfCircuits<> two{2, {.trip = bw::ConsecutiveFailures{3}}, {}};
    for (int i = 0; i < 3; ++i) CHECK(two.fails(0));
    CHECK(two.states() == "oo");
    FleetOfCircuits<> three{3, {.trip = bw::ConsecutiveFailures{3}}, {}};
    for (int i = 0; i < 3; ++i) CHECK(three.fails(0));
    CHECK(three.states() == "occ");
}

TEST_CASE("what is done by hand holds for the fleet, and ends for it") {
    FleetOfCircuits<> fleet{3, {.trip = bw::ConsecutiveFailures{3}}};
    fleet.circuits[0].force_open(10s);
    CHECK(fleet.states() == "ooo");
    CHECK_FALSE(fleet.succeeds(2));
    CHECK(fleet.circuits[2].snapshot().forced);
    fleet.circuits[1].reset();
    CHECK(fleet.states() == "ccc");
    fleet.circuits[1].force_open(10s);
    fleet.server.advance(10s);
    CHECK(fleet.succeeds(2));
    CHECK(fleet.states() == "ccc");
    fleet.circuits[1].force_closed(10s);
    for (int i = 0; i < 9; ++i) CHECK(fleet.fails(2));
    fleet.server.advance(10s);
    for (int i = 0; i < 3; ++i) CHECK(fleet.fails(2));
    CHECK(fleet.states() == "ooo");
}

TEST_CASE("without the server each process goes on by itself, and no open circuit is closed by its return") {
    FleetOfCircuits<> fleet{3, {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 10s}};
    CHECK(fleet.fails(0));
    CHECK(fleet.fails(0));
    CHECK(fleet.states() == "ooo");
    fleet.server.stop();
    for (std::size_t i = 0; i < 3; ++i) CHECK_FALSE(fleet.succeeds(i));
    SECTION("the server comes back as it was") {
        fleet.server.start();
        CHECK(fleet.states() == "ooo");
    }
    SECTION("the server comes back empty: it is told what is known") {
        fleet.server.forget();
        fleet.server.start();
        CHECK(fleet.states() == "ooo");
        FleetOfCircuits<>::Breaker late{{.name = "ledger", .trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 10s},
                                        test::FleetProcess{fleet.server}};
        CHECK(late.state() == CircuitState::open);
        fleet.server.advance(10s);
        CHECK(fleet.succeeds(1));
        CHECK(fleet.states() == "ccc");
    }
    SECTION("meanwhile each side has its own probes") {
        fleet.server.advance(10s);
        CHECK(fleet.fails(0));
        CHECK(fleet.succeeds(1));
        CHECK(fleet.states() == "oco");
        fleet.server.start();
        // The server still has the opening of before, whose time is over: the next caller is the fleet's probe.
        CHECK(fleet.states() == "ooo");
        CHECK(fleet.succeeds(2));
        CHECK(fleet.states() == "ccc");
    }
}

TEST_CASE("a circuit that opened without the server stays open for its process when the server is back") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 10s}};
    fleet.processes[0].link().cut_off();
    CHECK(fleet.fails(0));
    CHECK(fleet.fails(0));
    CHECK(fleet.states() == "oc");
    fleet.processes[0].link().reconnect();
    CHECK(fleet.states() == "oc");
    CHECK_FALSE(fleet.succeeds(0));
    CHECK(fleet.succeeds(1));
    fleet.server.advance(10s);
    CHECK(fleet.succeeds(0));
    CHECK(fleet.states() == "cc");
    CHECK(fleet.fails(0));
    CHECK(fleet.fails(1));
    fleet.server.advance(50ms);
    CHECK(fleet.states() == "oo");
}

TEST_CASE("nor does the return of a server that has forgotten everything close it") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 10s}};
    CHECK(fleet.fails(0));
    CHECK(fleet.fails(0));
    fleet.server.advance(10s);
    CHECK(fleet.succeeds(0));
    fleet.server.stop();
    fleet.server.advance(1s);
    CHECK(fleet.fails(0));
    CHECK(fleet.fails(0));
    fleet.server.forget();
    fleet.server.advance(1s);
    fleet.server.start();
    CHECK(fleet.states() == "oc");
    CHECK_FALSE(fleet.succeeds(0));
    fleet.server.advance(9s);
    CHECK(fleet.succeeds(0));
    CHECK(fleet.states() == "cc");
}

TEST_CASE("what is done by hand without the server is done for all when it is back") {
    FleetOfCircuits<> fleet{2, {}};
    fleet.processes[0].link().cut_off();
    fleet.circuits[0].force_open();
    CHECK(fleet.states() == "oc");
    fleet.processes[0].link().reconnect();
    CHECK(fleet.states() == "oo");
    CHECK_FALSE(fleet.succeeds(1));
    CHECK(fleet.circuits[1].snapshot().forced);
}

TEST_CASE("a connection lost in the middle of a report, a probe or its verdict fails no call and wedges nothing") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 1s, .probe_lease = 5s}};
    auto& link = fleet.processes[0].link();
    SECTION("of the report that trips") {
        CHECK(fleet.fails(0));
        link.lose_answer_after(0);
        CHECK(fleet.fails(0));
        CHECK(fleet.states() == "oo");  // the server has heard it, and this process goes by its own count
        link.reconnect();
        CHECK(fleet.states() == "oo");
    }
    SECTION("of the probe's permit") {
        CHECK(fleet.fails(0));
        CHECK(fleet.fails(0));
        fleet.server.advance(1s);
        link.lose_answer_after(0);
        CHECK(fleet.succeeds(0));  // a probe of this side's own
        link.reconnect();
        fleet.server.advance(5s);  // until the lease that nobody heard of has ended
        CHECK(fleet.succeeds(1));
        CHECK(fleet.states() == "cc");
    }
    SECTION("of the verdict") {
        CHECK(fleet.fails(0));
        CHECK(fleet.fails(0));
        fleet.server.advance(1s);
        auto probe = fleet.circuits[0].try_acquire();
        REQUIRE(probe);
        link.lose_answer_after(0);
        (void)probe->record(bw::Outcome::success);
        CHECK(fleet.state(1) == CircuitState::closed);
        link.reconnect();
        CHECK(fleet.states() == "cc");
    }
}

TEST_CASE("a server that forgets without a word is told anew by the next report") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 10s}};
    for (int i = 0; i < 3; ++i) CHECK(fleet.fails(0));
    fleet.server.advance(10s);
    CHECK(fleet.succeeds(0));
    CHECK(fleet.states() == "cc");
    fleet.server.forget();
    for (int i = 0; i < 3; ++i) CHECK(fleet.fails(0));
    CHECK(fleet.states() == "oo");
    fleet.server.forget();  // while open
    fleet.server.advance(10s);
    CHECK(fleet.fails(1));
    CHECK(fleet.states() == "oo");
}

TEST_CASE("changes that were not told are read when they are told again") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 10s}};
    fleet.processes[1].link().hear(false);
    CHECK(fleet.fails(0));
    CHECK(fleet.states() == "oc");
    fleet.processes[1].link().hear(true);
    CHECK(fleet.states() == "oo");
}

TEST_CASE("each transition is an event of one call in each process") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 10s}};
    std::vector<std::string> seen[2];
    const auto run = [&](std::size_t i, bool works) {
        const auto note = [&, i](const bw::Event& event) {
            const auto kind = to_string(event.kind);
            if (kind.starts_with("circuit_")) seen[i].emplace_back(kind);
        };
        bw::Pipeline guard{bw::Observe{note}, fleet.circuits[i]};
        (void)guard.run([&]() -> bw::Result<int> { return works ? bw::Result<int>{1} : bw::fail(bw::Errc::failure); });
    };
    run(0, false);
    run(0, false);
    run(0, true);
    run(1, true);
    run(1, true);
    using List = std::vector<std::string>;
    CHECK(seen[0] == List{"circuit_opened"});
    CHECK(seen[1] == List{"circuit_opened"});
    fleet.server.advance(10s);
    run(1, true);
    run(1, true);
    run(0, true);
    CHECK(seen[1] == List{"circuit_opened", "circuit_half_opened", "circuit_closed"});
    CHECK(seen[0] == List{"circuit_opened", "circuit_closed"});
}

TEST_CASE("other thresholds of one layout share a circuit, another window does not") {
    bw::testing::VirtualServer server;
    const test::FleetProcess store{server, {.min_reporters = 1}};
    using Breaker = FleetOfCircuits<>::Breaker;
    const Breaker five{{.name = "a", .trip = bw::ConsecutiveFailures{5}}, store};
    const Breaker two{{.name = "a", .trip = bw::ConsecutiveFailures{2}},
                      test::FleetProcess{server, {.min_reporters = 1}}};
    const Breaker other{{.name = "a", .trip = bw::FailureRate{}}, store};
    const auto fails = [](const Breaker& breaker) { (void)breaker.try_acquire()->record(bw::Outcome::failure); };
    fails(five);
    server.advance(60ms);
    CHECK(five.state() == CircuitState::closed);
    fails(two);
    server.advance(60ms);
    CHECK(two.state() == CircuitState::open);
    CHECK(five.state() == CircuitState::open);
    CHECK(other.state() == CircuitState::closed);
}

TEST_CASE("who keeps a circuit in another layout than the others is told so") {
    bw::testing::VirtualServer server;
    std::vector<std::string> told;
    const auto note = [&](const bw::Event& event) {
        if (event.kind == bw::EventKind::store_other_layout)
            told.push_back(std::string{event.policy} + " " + std::string{event.subject});
    };
    using Breaker = FleetOfCircuits<>::Breaker;
    const Breaker old{{.name = "a", .trip = bw::ConsecutiveFailures{5}}, test::FleetProcess{server}};
    const Breaker same{{.name = "a", .trip = bw::ConsecutiveFailures{7}},
                       test::FleetProcess{server, {.observer = note}}};
    CHECK(told.empty());
    const Breaker other{{.name = "a", .trip = bw::FailureRate{}}, test::FleetProcess{server, {.observer = note}}};
    CHECK(told == std::vector<std::string>{"breakwater:{a}:circuit: streak"});
}

TEST_CASE("a circuit reconfigured to another layout takes its state along") {
    FleetOfCircuits<> fleet{2, {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 60s}};
    CHECK(fleet.fails(0));
    CHECK(fleet.fails(0));
    const bw::CircuitBreakerOptions<> next{.name = "ledger", .trip = bw::FailureRate{}, .recovery_timeout = 60s};
    REQUIRE(fleet.circuits[0].reconfigure(next));
    CHECK(fleet.states() == "oo");
    const FleetOfCircuits<>::Breaker late{next, test::FleetProcess{fleet.server}};
    CHECK(late.state() == CircuitState::open);
}

TEST_CASE("slow calls of a fleet open its circuit, those under way too") {
    const bw::FailureRate rule{.minimum_calls = 2, .slow_call = {.duration = 1s, .ratio = 1.0}};
    FleetOfCircuits<> fleet{2, {.trip = rule}};
    auto first = fleet.circuits[0].try_acquire();
    auto second = fleet.circuits[1].try_acquire();
    fleet.server.advance(1100ms);
    (void)first->record(bw::Outcome::success);
    fleet.server.advance(60ms);
    CHECK(fleet.states() == "cc");
    (void)second->record(bw::Outcome::success);
    fleet.server.advance(60ms);
    CHECK(fleet.states() == "oo");
}

TEST_CASE("a store that cannot be reached refuses or lets through what its option says") {
    for (const auto on_failure : {bw::OnStoreFailure::open, bw::OnStoreFailure::closed}) {
        FleetOfCircuits<> fleet{1, {.trip = bw::ConsecutiveFailures{1}}, {.on_store_failure = on_failure}};
        CHECK(fleet.fails(0));
        CHECK_FALSE(fleet.succeeds(0));
        fleet.server.stop();
        const auto permit = fleet.circuits[0].try_acquire();
        CHECK(permit.has_value() == (on_failure == bw::OnStoreFailure::open));
        if (!permit) CHECK(permit.error().code() == bw::Errc::store_unavailable);
        fleet.server.start();
        CHECK_FALSE(fleet.succeeds(0));
    }
}
