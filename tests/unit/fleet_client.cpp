#include <breakwater/resilient_client.hpp>
#include <breakwater/testing/scripted_transport.hpp>

#include <catch_shim.hpp>
#include <fleet_world.hpp>

#include <chrono>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

using Client = bw::ResilientClient<bw::ScriptedTransport, test::VirtualStore>;

bw::ClientOptions options() {
    return {.name = "supplier",
            .base_url = "https://api.example.com",
            .circuit_breaker = {.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 60s},
            .retry = {.max_retries = 0}};
}

bw::Response ok(std::string body) { return {.status = 200, .body = std::move(body)}; }

}  // namespace

TEST_CASE("a page fetched by one process is a hit for the others, for one look into the store") {
    bw::testing::VirtualServer server;
    auto own = options();
    own.cache = {.ttl = 10s, .stale_if_error = 1h};
    const bw::ScriptedTransport first{ok("42"), bw::Response{.status = 500}}, second{};
    const Client one{own, first, test::FleetProcess{server}};
    const Client two{own, second, test::FleetProcess{server}};
    CHECK(one.get("/stock").value().body == "42");
    const auto looks = server.blob_commands();
    const auto commands = server.commands();
    const auto hit = two.get("/stock");
    REQUIRE(hit);
    CHECK(hit->body == "42");
    CHECK(hit->source == bw::Source::cache);
    CHECK(server.blob_commands() - looks == 1);
    CHECK(server.commands() == commands);
    server.advance(10s);
    CHECK(one.get("/stock").value().source == bw::Source::stale_cache);
}

TEST_CASE("processes with one client's name share its circuit and its limit") {
    bw::testing::VirtualServer server;
    auto own = options();
    own.rate_limit.algorithm = bw::FixedWindow{.permits = 5, .window = 60s};
    const bw::ScriptedTransport failing{bw::Response{.status = 500}, bw::Response{.status = 500},
                                        bw::Response{.status = 500}},
        working{ok("1"), ok("2")};
    const test::FleetProcess store{server, {.min_reporters = 1}};
    const Client one{own, failing, store};
    const Client two{own, working, test::FleetProcess{server, {.min_reporters = 1}}};
    CHECK(two.get("/a"));
    CHECK(two.get("/a"));
    for (int i = 0; i < 3; ++i) CHECK(one.get("/a").error().status() == 500);
    CHECK(two.get("/a").error().code() == bw::Errc::circuit_open);
    server.advance(60s);
    CHECK(one.get("/a").error().code() != bw::Errc::circuit_open);
}

TEST_CASE("a guarded call through a closed circuit and a leased limiter asks the server once for so many calls") {
    bw::testing::VirtualServer server;
    auto own = options();
    own.rate_limit.algorithm = bw::TokenBucket{.permits = 1'000, .period = 1s};
    std::vector<bw::ScriptedAnswer> answers(100, ok("1"));
    const bw::ScriptedTransport transport{answers};
    const Client client{own, transport, test::FleetProcess{server, {.lease = 50}}};
    const auto before = server.commands();
    for (int i = 0; i < 100; ++i) CHECK(client.get("/a"));
    CHECK(server.commands() - before == 2);
}

TEST_CASE("one answer with Retry-After pauses a client in every process") {
    bw::testing::VirtualServer server;
    const bw::ScriptedTransport throttled{bw::Response{.status = 429, .headers = {{"Retry-After", "20"}}}},
        working{ok("1")};
    const Client one{options(), throttled, test::FleetProcess{server}};
    const Client two{options(), working, test::FleetProcess{server}};
    CHECK(one.get("/a").error().status() == 429);
    const auto refused = two.get("/a");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == bw::Errc::rate_limited);
    CHECK(refused.error().retry_after() == bw::Duration{20s});
    server.advance(20s);
    CHECK(two.get("/a"));
}

TEST_CASE("a client whose store others share must have a name") {
    bw::testing::VirtualServer server;
    auto nameless = options();
    nameless.name.clear();
    try {
        const Client client{nameless, bw::ScriptedTransport{}, test::FleetProcess{server}};
        FAIL("accepted");
    } catch (const bw::Exception& e) {
        CHECK(std::string{e.what()} == "name: must be given where the store is shared, got \"\"");
    }
    CHECK_FALSE(bw::CircuitBreaker<bw::AnyTrip, test::VirtualStore>::make({}, test::FleetProcess{server}));
}
