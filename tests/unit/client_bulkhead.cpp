#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <chrono>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::ManualClock;
using bw::Response;

namespace {

using Client = test::ScriptedClient;

Client client_of(const bw::ScriptedTransport& service, const ManualClock& clock, bw::ClientOptions options) {
    options.base_url = "http://api.test";
    return Client{std::move(options), service, bw::MemoryStore{clock}};
}

/// Calls in another thread; returns when that call queues for its permit.
auto get_that_queues(const Client& client, const ManualClock& clock, bw::RequestOptions options = {}) {
    const auto queued = client.bulkhead()->snapshot().queued;
    auto call = std::async(std::launch::async, [client, options] { return client.get("/x", options); });
    clock.await_blocked(queued + 1);
    return call;
}

Errc code_of(const bw::Result<Response>& result) {
    if (result) FAIL("expected an error, got status " << result->status);
    return result.error().code();
}

}  // namespace

TEST_CASE("a client has no bulkhead unless it is given one") {
    const auto client = client_of(bw::ScriptedTransport::always(Response{.status = 200}), ManualClock{},
                                  {.bulkhead = {.max_queue = 5}});
    CHECK(client.get("/x"));
    CHECK(!client.bulkhead());
    CHECK(client.snapshot()["bulkhead"] == nullptr);
}

TEST_CASE("attempts beyond the client's bulkhead are refused at once, and no refusal trips the circuit") {
    std::optional<Client> client;
    nlohmann::json seen;
    bw::Result<Response> inner = Response{};
    std::vector<std::string> refusers;
    const bw::ScriptedTransport service = bw::ScriptedTransport::always([&](const bw::Request&) {
        seen = client->snapshot()["bulkhead"];
        inner = client->get("/inner");
        return bw::Result<Response>{Response{.status = 200}};
    });
    client.emplace(client_of(service, ManualClock{},
                             {.name = "dairy",
                              .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}},
                              .bulkhead = {.max_concurrent = 1},
                              .observer = bw::Observer{[&](const bw::Event& event) {
                                  if (event.kind == bw::EventKind::permit_refused) refusers.emplace_back(event.policy);
                              }}}));
    CHECK(client->get("/outer"));
    REQUIRE_FALSE(inner);
    CHECK(inner.error().is_refusal(Errc::bulkhead_full));
    CHECK(inner.error().message() == "GET /inner: too many calls are in flight (dairy)");
    CHECK(inner.error().attempts() == 0);
    CHECK(refusers == std::vector<std::string>{"dairy"});
    CHECK(service.count() == 1);
    CHECK(seen ==
          nlohmann::json{{"name", "dairy"}, {"in_flight", 1}, {"queued", 0}, {"max_concurrent", 1}, {"max_queue", 0}});
    CHECK(client->circuit_breaker().state() == bw::CircuitState::closed);
    CHECK(client->bulkhead()->snapshot().in_flight == 0);
}

TEST_CASE("copies of a client share its bulkhead, and a failed or fruitless attempt gives its permit back") {
    const ManualClock clock;
    const bw::ScriptedTransport service{bw::Error{Errc::connect_failed}, Response{.status = 503},
                                        Response{.status = 404}};
    const Client client = client_of(service, clock, {.bulkhead = {.max_concurrent = 1}});
    CHECK(code_of(client.get("/x")) == Errc::http_status);
    const Client copy = client;
    const auto permit = copy.bulkhead()->try_acquire();
    CHECK(code_of(client.get("/x")) == Errc::bulkhead_full);
    CHECK(service.count() == 3);
}

TEST_CASE("a permit is held by attempts, not by the waits between them") {
    const ManualClock clock{ManualClock::Mode::blocking};
    const bw::ScriptedTransport service{Response{.status = 503}, Response{.status = 200}};
    const Client client =
        client_of(service, clock,
                  {.bulkhead = {.max_concurrent = 1}, .retry = {.backoff = {.base = 1s, .jitter = bw::Jitter::none}}});
    auto call = std::async(std::launch::async, [&] { return client.get("/x"); });
    clock.await_blocked();
    CHECK(client.bulkhead()->snapshot().in_flight == 0);
    clock.advance(1s);
    CHECK(call.get());
}

TEST_CASE("a queued attempt goes on when a permit comes back, and its token is not spent before") {
    const ManualClock clock{ManualClock::Mode::blocking};
    const Client client = client_of(bw::ScriptedTransport::always(Response{.status = 200}), clock,
                                    {.bulkhead = {.max_concurrent = 1, .max_queue = 1},
                                     .rate_limit = {.algorithm = bw::FixedWindow{.permits = 5, .window = 24h}}});
    std::optional permit{*client.bulkhead()->try_acquire()};
    auto queued = get_that_queues(client, clock);
    CHECK(client.snapshot()["bulkhead"]["queued"] == 1);
    CHECK(client.rate_limiter().snapshot().available == 5);
    CHECK(code_of(client.get("/x")) == Errc::bulkhead_full);  // the queue is full
    permit.reset();
    CHECK(queued.get());
    CHECK(client.rate_limiter().snapshot().available == 4);
    CHECK(client.bulkhead()->snapshot().in_flight == 0);
}

TEST_CASE("a queued attempt waits until the deadline at the latest") {
    const ManualClock clock{ManualClock::Mode::blocking};
    const Client client = client_of({}, clock, {.bulkhead = {.max_concurrent = 1, .max_queue = 1, .max_wait = 1h}});
    const std::optional permit{*client.bulkhead()->try_acquire()};
    auto queued = get_that_queues(client, clock, {.deadline = 2s});
    CHECK(clock.waits() == std::vector<bw::Duration>{2s});
    clock.advance(2s);
    CHECK(code_of(queued.get()) == Errc::deadline_exceeded);
    CHECK(client.bulkhead()->snapshot().queued == 0);
}

TEST_CASE("a half-open circuit's probe is refused rather than queued by the client's bulkhead") {
    const ManualClock clock;
    const bw::ScriptedTransport service{Response{.status = 500}, Response{.status = 200}};
    const Client client = client_of(service, clock,
                                    {.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 5s},
                                     .bulkhead = {.max_concurrent = 1, .max_queue = 9},
                                     .retry = {.max_retries = 0}});
    CHECK(code_of(client.get("/x")) == Errc::http_status);
    clock.advance(5s);
    std::optional permit{*client.bulkhead()->try_acquire()};
    CHECK(code_of(client.get("/x")) == Errc::bulkhead_full);
    CHECK(clock.waits().empty());
    CHECK(client.circuit_breaker().snapshot().probes_in_flight == 0);
    permit.reset();
    CHECK(client.get("/x"));
    CHECK(client.circuit_breaker().state() == bw::CircuitState::closed);
}
