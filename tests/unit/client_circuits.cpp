
#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

using Store = test::ScriptedStore;
using Client = test::ScriptedClient;

/// Services of which those on "dead.test", and what lies under "/broken", answer nothing.
struct World {
    Client client(bw::ClientOptions options) const {
        options.retry.max_retries = 0;
        options.circuit_breaker.trip = bw::ConsecutiveFailures{2};
        return Client{std::move(options), service, store};
    }

    bw::ManualClock clock;
    Store store{clock};
    bw::ScriptedTransport service =
        bw::ScriptedTransport::always([](const bw::Request& request) -> bw::Result<bw::Response> {
            if (request.url.find("dead.test") != std::string::npos || request.url.ends_with("/broken"))
                return bw::fail(bw::Errc::connect_failed);
            if (request.url.ends_with("/moved"))
                return bw::Response{.status = 302, .headers = {{"Location", "https://dead.test/x"}}};
            return bw::Response{.status = 200};
        });
};

bool is_refused(const Client& client, const std::string& url) {
    const auto result = client.get(url);
    return !result && result.error().is_refusal(bw::Errc::circuit_open);
}

void fail_twice(const Client& client, const std::string& url) {
    for (int i = 0; i < 2; ++i) CHECK_FALSE(client.get(url));
}

}  // namespace

TEST_CASE("a dead host opens its own circuit and no other's") {
    const World world;
    const Client client = world.client({.name = "crawler"});
    fail_twice(client, "https://dead.test/a");
    CHECK(is_refused(client, "https://dead.test/b?c=d"));
    CHECK(is_refused(client, "https://DEAD.test:443/"));
    CHECK_FALSE(is_refused(client, "https://dead.test:8443/"));
    CHECK(client.get("https://good.test/a"));
    CHECK(client.circuit_breaker().state() == bw::CircuitState::closed);
    REQUIRE(client.circuit_breakers());
    CHECK(client.circuit_breakers()->state("https://dead.test") == bw::CircuitState::open);
    const auto seen = client.snapshot();
    CHECK(seen["circuits"].size() == 2);
    CHECK(seen["circuits"]["https://dead.test"]["state"] == "open");
    CHECK(seen["circuit_keys"]["keys"] == 3);
    world.clock.advance(60s);
    CHECK_FALSE(is_refused(client, "https://dead.test/a"));  // the probe
}

TEST_CASE("a client with a base URL has one circuit: there is no other to look for") {
    const World world;
    const Client client = world.client({.base_url = "https://dead.test/v1"});
    CHECK_FALSE(client.circuit_breakers());
    fail_twice(client, "/a");
    CHECK(client.circuit_breaker().state() == bw::CircuitState::open);
    CHECK(is_refused(client, "/b"));
    CHECK(client.snapshot()["circuits"].empty());
    CHECK_FALSE(client.snapshot().contains("circuit_keys"));
}

TEST_CASE("circuits may be kept by endpoint, not at all, or by a function, whose empty key is the client's own") {
    const World world;
    const Client by_endpoint = world.client({.base_url = "https://api.test", .circuits = {.per = bw::by_endpoint()}});
    fail_twice(by_endpoint, "/users/1/broken");
    CHECK(is_refused(by_endpoint, "/users/2/broken"));
    CHECK(by_endpoint.get("/users/2"));

    const Client by_client = world.client({.circuits = {.per = bw::by_client()}});
    fail_twice(by_client, "https://dead.test/");
    CHECK(is_refused(by_client, "https://good.test/"));

    const Client by_tenant = world.client(
        {.base_url = "https://api.test", .circuits = {.per = [](const bw::Request& request) -> std::string {
                                             return std::string{request.headers.get("X-Tenant").value_or("")};
                                         }}});
    for (int i = 0; i < 2; ++i) CHECK_FALSE(by_tenant.get("/broken", {.headers = {{"X-Tenant", "ann"}}}));
    CHECK_FALSE(by_tenant.get("/x", {.headers = {{"X-Tenant", "ann"}}}));
    CHECK(by_tenant.get("/x", {.headers = {{"X-Tenant", "bob"}}}));
    CHECK(by_tenant.get("/x"));
    fail_twice(by_tenant, "/broken");
    CHECK(by_tenant.circuit_breaker().state() == bw::CircuitState::open);
    CHECK(by_tenant.get("/x", {.headers = {{"X-Tenant", "bob"}}}));

    const Client broken = world.client(
        {.circuits = {.per = [](const bw::Request&) -> std::string { throw std::runtime_error{"no key"}; }}});
    fail_twice(broken, "https://dead.test/");
    CHECK(is_refused(broken, "https://dead.test/"));
    CHECK(broken.get("https://good.test/"));
}

TEST_CASE("hosts beyond the bound share one circuit, and hosts that are well make room") {
    const World world;
    const Client client = world.client({.circuits = {.max_circuits = 1}});
    fail_twice(client, "https://a.dead.test/");
    fail_twice(client, "https://b.dead.test/");
    CHECK(is_refused(client, "https://good.test/"));
    CHECK(client.snapshot()["circuit_keys"]["overflowed"] == 3);

    const Client healthy = world.client({.circuits = {.max_circuits = 1}});
    for (const char* host : {"https://a.test/", "https://b.test/", "https://c.test/"}) CHECK(healthy.get(host));
    CHECK(healthy.snapshot()["circuit_keys"]["evicted"] == 2);
}

TEST_CASE("a redirect to another host says nothing about that host's circuit") {
    const World world;
    const Client client = world.client({.redirects = {.cross_origin = true}});
    for (int i = 0; i < 2; ++i) CHECK_FALSE(client.get("https://good.test/moved"));
    CHECK(client.circuit_breakers()->state("https://dead.test") == bw::CircuitState::closed);
    CHECK(client.circuit_breakers()->state("https://good.test") == bw::CircuitState::open);
}

TEST_CASE("clients of one store and name share their hosts' circuits") {
    const World world;
    const Client one = world.client({.name = "crawler"});
    const Client two = world.client({.name = "crawler"});
    fail_twice(one, "https://dead.test/");
    CHECK(is_refused(two, "https://dead.test/"));
    CHECK_FALSE(is_refused(world.client({}), "https://dead.test/"));
}
