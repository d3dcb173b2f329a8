// A client that hedges, against real servers on loopback.
#include "raw_server.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/task/start.hpp>

#include <catch_shim.hpp>
#include <on_scheduler.hpp>
#include <soon.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::test::Connection;
using bw::test::RawServer;

namespace {

/// Never answers every other request.
struct Service {
    Service()
        : server{RawServer::http([this](Connection& c, const std::string&) {
              if (++requests % 2 == 1) return c.wait_for_close(), ++left, false;
              return c.send(bw::test::answer(200, "fine"));
          })} {}

    bw::ClientOptions options(std::uint32_t max_hedges = 1) const {
        return {.name = "service",
                .base_url = server->url(""),
                .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}},
                .retry = {.max_retries = 0},
                .hedge = {.max_hedges = max_hedges, .after = 20ms}};
    }

    std::atomic<int> requests = 0;
    std::atomic<int> left = 0;
    std::unique_ptr<RawServer> server;
};

}  // namespace

TEST_CASE("a stalled request is overtaken by a hedge, whether the call blocks or not") {
    const bool is_blocking = GENERATE(true, false);
    Service service;
    std::mutex mutex;
    std::vector<std::string> events;
    auto options = service.options();
    options.observer = [&](const bw::Event& event) {
        const std::scoped_lock lock{mutex};
        if (to_string(event.kind).starts_with("hedge"))
            events.push_back(std::string{to_string(event.kind)} + " " + std::to_string(event.attempt));
    };
    const bw::ResilientClient client{options};
    const auto answer = is_blocking ? client.get("/page") : bw::sync_wait(client.async_get("/page"));
    REQUIRE(answer);
    CHECK(answer->body == "fine");
    CHECK(answer->attempt == 2);
    REQUIRE(answer->timeline.size() == 2);
    CHECK(answer->timeline[0].number == 1);
    CHECK(answer->timeline[0].error == Errc::cancelled);
    CHECK_FALSE(answer->timeline[0].hedge);
    CHECK(answer->timeline[1].number == 2);
    CHECK(answer->timeline[1].hedge);
    CHECK(answer->timeline[1].began >= 20ms);
    CHECK(test::soon([&] { return service.left == 1; }));  // aborted on the wire
    CHECK(events == std::vector<std::string>{"hedge_sent 2", "hedge_won 2"});
    CHECK(client.circuit_breaker().snapshot().state == bw::CircuitState::closed);
    CHECK(client.snapshot()["hedge"]["after_ms"] == 20.0);
}

TEST_CASE("nothing is hedged by default, nor what may not be sent twice or has a body") {
    Service service;
    auto options = service.options(0);
    options.timeouts.attempt = 100ms;
    const bw::ResilientClient plain{options};
    CHECK(plain.get("/page").error().code() == Errc::attempt_timeout);
    CHECK(service.requests == 1);
    CHECK(plain.snapshot()["hedge"].is_null());

    service.requests = 0;
    options.hedge.max_hedges = 1;
    const bw::ResilientClient hedging{options};
    CHECK(hedging.post("/page").error().code() == Errc::attempt_timeout);
    CHECK(service.requests == 1);
    hedging.circuit_breaker().reset();
    service.requests = 0;
    CHECK(hedging.put("/page", {.json = 5}).error().code() == Errc::attempt_timeout);
    CHECK(service.requests == 1);
}

TEST_CASE("a stop request ends a blocking call that hedges within moments") {
    Service service;
    auto options = service.options();
    options.hedge.after = 1h;
    const bw::ResilientClient client{options};
    std::stop_source stop;
    auto call = std::async(std::launch::async, [&] { return client.get("/page", {.stop = stop.get_token()}); });
    REQUIRE(test::soon([&] { return service.requests == 1; }));
    stop.request_stop();
    CHECK(call.get().error().code() == Errc::cancelled);
    CHECK(test::soon([&] { return service.left == 1; }));
}

TEST_CASE("a blocking call that hedges is refused on the thread that would have to make it") {
    Service service;
    const bw::CurlTransport transport;
    const bw::ResilientClient client{service.options(), transport};
    Errc said{};
    test::run_on(transport.scheduler(), [&] { said = client.get("/page").error().code(); });
    CHECK(said == Errc::would_deadlock);
    CHECK(service.requests == 0);
}

TEST_CASE("hedging needs a transport that can make attempts side by side") {
    struct OneByOne {
        static bw::Result<bw::Response> send(const bw::Request&, const bw::SendOptions&) { return bw::Response{}; }
    };
    const auto client = bw::ResilientClient<OneByOne>::make({.name = "x", .hedge = {.max_hedges = 1}});
    REQUIRE_FALSE(client);
    CHECK(client.error().detail().starts_with("hedge.max_hedges: must be 0"));
}
