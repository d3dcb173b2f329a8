// A client of libcurl's with faults in between, against a real server on loopback.
#include "raw_server.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/fault_injection/transport.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>

namespace bw = breakwater;
namespace faults = breakwater::faults;
using namespace std::chrono_literals;
using bw::test::Connection;
using bw::test::RawServer;

namespace {

std::unique_ptr<RawServer> start_service() {
    return RawServer::http([](Connection& c, const std::string&) { return c.send(bw::test::answer(200, "fine")); });
}
bw::ClientOptions options_for(const RawServer& server) {
    return {.name = "service", .base_url = server.url(""), .retry = {.backoff = {.base = 1ms}}};
}

}  // namespace

TEST_CASE("a client of libcurl gets over injected faults, whether a call blocks or not") {
    const bool is_blocking = GENERATE(true, false);
    const auto service = start_service();
    const bw::FaultyTransport transport{bw::CurlTransport{},
                                        {.script = {{.delay = 1ms, .then = faults::Status{}},
                                                    {.delay = faults::Uniform{1us, 2ms}, .then = faults::Reset{}},
                                                    {.then = faults::Error{bw::Errc::connect_failed}}}}};
    const bw::ResilientClient client{options_for(*service), transport};
    const auto answer = is_blocking ? client.get("/a") : bw::sync_wait(client.async_get("/a"));
    REQUIRE(answer);
    CHECK(answer->body == "fine");
    CHECK(answer->attempt == 4);
    CHECK(service->requests().size() == 2);  // of a reset, the answer alone is lost
    CHECK(client.snapshot()["transport"]["requests"] == 2);
    CHECK(transport.snapshot() == bw::FaultCounts{.requests = 4, .delays = 2, .errors = 1, .statuses = 1, .resets = 1});
}

TEST_CASE("an injected delay blocks no thread: a coroutine goes on on libcurl's when it is over") {
    const auto service = start_service();
    const bw::FaultyTransport transport{bw::CurlTransport{}, {.faults = {{.delay = 1ms, .then = faults::Status{}}}}};
    const auto own_thread = [&](const bw::Request& request) -> bw::Task<bool> {
        const bw::SendOptions how{};
        auto sending = transport.async_send(request, how);
        (void)co_await sending;
        co_return transport.is_own_thread();
    };
    const bw::Request request{.url = service->url("/a")};
    CHECK(bw::sync_wait(own_thread(request), {{}, &transport.scheduler()}));
}

TEST_CASE("a stop request ends an injected delay of an asynchronous call") {
    const auto service = start_service();
    const bw::ResilientClient client{options_for(*service),
                                     bw::FaultyTransport{bw::CurlTransport{}, {.faults = {{.then = faults::Drop{}}}}}};
    std::stop_source stop;
    auto later = bw::as_future(bw::Task<bw::Result<bw::Response>>{client.async_get("/a", {.stop = stop.get_token()})});
    stop.request_stop();
    CHECK(later.get().error().code() == bw::Errc::cancelled);
}
