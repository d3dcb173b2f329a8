// What a client shows of its transport: the snapshot's counts, and of each answer whether its connection was new.
#include <breakwater/resilient_client.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/scripted_transport.hpp>
#include <breakwater/transport/counts.hpp>

#include <catch_shim.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::ConnectionUse;
using bw::Response;

namespace {

/// A transport of a user's own that counts.
struct CountingService {
    bw::Result<Response> send(const bw::Request& request, const bw::SendOptions& options) const {
        ++*sent;
        return service.send(request, options);
    }
    bw::TransportCounts counts() const {
        return {.requests = *sent, .answers = 5, .connections = 2, .reused = 3, .http1 = 1, .http2 = 4};
    }

    bw::ScriptedTransport service;
    std::shared_ptr<std::atomic<std::uint64_t>> sent = std::make_shared<std::atomic<std::uint64_t>>(0);
};
static_assert(bw::CountingTransport<CountingService>);
static_assert(bw::CountingTransport<bw::CurlTransport>);
static_assert(bw::Transport<bw::ScriptedTransport> && !bw::CountingTransport<bw::ScriptedTransport>);

using Store = bw::MemoryStore<bw::ManualClock>;

Response answer(int status, ConnectionUse connection) { return {.status = status, .connection = connection}; }

}  // namespace

TEST_CASE("the snapshot holds what a transport counts, of whatever type, and null for one that does not count") {
    const CountingService service{bw::ScriptedTransport::always(Response{.status = 200})};
    const bw::ResilientClient client{bw::ClientOptions{.base_url = "https://api.test"}, service};
    CHECK(client.get("/x"));
    CHECK(
        client.snapshot()["transport"] ==
        nlohmann::json{{"requests", 1}, {"answers", 5}, {"connections", 2}, {"reused", 3}, {"http1", 1}, {"http2", 4}});
    CHECK(client.get("/x"));
    CHECK(client.snapshot()["transport"]["requests"] == 2);
    const bw::ResilientClient other{bw::ClientOptions{.base_url = "https://api.test"}, service.service};
    CHECK(other.snapshot().contains("transport"));
    CHECK(other.snapshot()["transport"].is_null());
}

TEST_CASE("each attempt in the timeline says whether its answer found a connection, failed ones and hops included") {
    const bw::ManualClock clock;
    bw::ScriptedTransport service{
        answer(503, ConnectionUse::opened), bw::Error{bw::Errc::empty_answer},
        Response{.status = 302, .headers = {{"Location", "/y"}}, .connection = ConnectionUse::reused},
        answer(200, ConnectionUse::opened)};
    const bw::ResilientClient client{bw::ClientOptions{.base_url = "https://api.test", .cache = {.ttl = 1h}}, service,
                                     Store{clock}};
    const auto result = client.get("/x");
    REQUIRE(result);
    REQUIRE(result->timeline.size() == 3);
    CHECK(result->timeline[0].connection == ConnectionUse::opened);
    CHECK(result->timeline[1].connection == ConnectionUse::unknown);
    CHECK(result->timeline[2].connection == ConnectionUse::opened);
    CHECK(result->connection == ConnectionUse::opened);
    const auto cached = client.get("/x");
    REQUIRE(cached);
    CHECK(cached->source == bw::Source::cache);
    CHECK(cached->connection == ConnectionUse::unknown);
    CHECK(to_string(ConnectionUse::reused) == "reused");
}
