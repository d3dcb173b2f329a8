#include <breakwater/resilient_client.hpp>
#include <breakwater/store/local_fallback.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/fault_injection.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/scripted_transport.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
namespace faults = breakwater::faults;
using namespace std::chrono_literals;
using bw::Errc;

namespace {

/// A client of a service and a store that fail on demand.
struct World {
    using Transport = bw::FaultyTransport<bw::ScriptedTransport, bw::ManualClock>;
    using FaultyMemory = bw::FaultyStore<bw::MemoryStore<bw::ManualClock>>;
    using Client = bw::ResilientClient<Transport, bw::LocalFallback<FaultyMemory>>;

    explicit World(bw::ClientOptions options = {}, bw::ManualClock::Mode mode = bw::ManualClock::Mode::advancing)
        : clock{mode}, client{named(std::move(options)), transport, bw::LocalFallback{store}} {}

    static bw::ClientOptions named(bw::ClientOptions options) {
        options.name = "dairy";
        options.base_url = "http://dairy.test";
        options.retry.backoff = {.base = 1s, .jitter = bw::Jitter::none};
        return options;
    }

    bw::ManualClock clock;
    bw::ScriptedTransport service = bw::ScriptedTransport::always(bw::Response{.status = 200, .body = "milk"});
    Transport transport{service, {}, clock};
    FaultyMemory store{bw::MemoryStore{clock}};
    Client client;
};

}  // namespace

TEST_CASE("a client gets over injected faults as over real ones") {
    const World world;
    REQUIRE(world.transport.set({.script = {{.then = faults::Error{Errc::connect_failed}},
                                            {.then = faults::Status{.status = 503, .retry_after = 7s}},
                                            {.then = faults::Drop{}}}}));
    const auto answer = world.client.get("/inventory");
    REQUIRE(answer);
    CHECK(answer->body == "milk");
    REQUIRE(answer->timeline.size() == 4);
    CHECK(answer->timeline[0].error == Errc::connect_failed);
    CHECK(answer->timeline[1].status == 503);
    CHECK(answer->timeline[2].error == Errc::attempt_timeout);
    CHECK(world.clock.waits() == std::vector<bw::Duration>{1s, 2s + 7s, 10s, 4s});
    CHECK(world.service.count() == 1);
}

TEST_CASE("what a client says at the end tells an injected failure from a real one") {
    const World world{{.retry = {.max_retries = 0}}};
    REQUIRE(
        world.transport.set({.script = {{.then = faults::Error{Errc::tls_failed}}, {.then = faults::Status{500}}}}));
    CHECK(world.client.get("/a").error().message() == "GET /a: the TLS handshake failed: injected");
    CHECK(world.client.get("/b").error().message() == "GET /b: status 500: injected");
}

TEST_CASE("a drill by the clock opens the circuit, which closes after it") {
    const World world{{.circuit_breaker = {.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 60s},
                       .retry = {.max_retries = 0}}};
    REQUIRE(world.transport.set({.faults = {{.from = 10s, .until = 30s, .then = faults::Status{}}}}));
    CHECK(world.client.get("/inventory"));
    world.clock.advance(10s);
    for (int i = 0; i < 5; ++i) CHECK_FALSE(world.client.get("/inventory"));
    CHECK(world.client.circuit_breaker().state() == bw::CircuitState::open);
    CHECK(world.transport.snapshot().statuses == 3);
    world.clock.advance(60s);
    CHECK(world.client.get("/inventory"));
    CHECK(world.client.circuit_breaker().state() == bw::CircuitState::closed);
}

TEST_CASE("a download goes on where an injected truncation has cut it") {
    const World world;
    const std::string whole = "milk, cheese and butter";
    std::vector<std::string> ranges;
    const bw::ScriptedTransport shelf =
        bw::ScriptedTransport::always([&](const bw::Request& request) -> bw::Result<bw::Response> {
            ranges.emplace_back(request.headers.get("Range").value_or(""));
            bw::Response answer{.status = 200, .headers = {{"ETag", "\"v1\""}}, .body = whole};
            if (!ranges.back().empty()) {
                const auto from = static_cast<std::size_t>(std::stoi(ranges.back().substr(std::size("bytes=") - 1)));
                answer.status = 206;
                answer.headers.add("Content-Range", "bytes " + std::to_string(from) + "-" +
                                                        std::to_string(whole.size() - 1) + "/" +
                                                        std::to_string(whole.size()));
                answer.body = whole.substr(from);
            }
            return answer;
        });
    const World::Transport transport{
        shelf,
        {.script = {{.then = faults::Truncate{.after = 4}}, {.then = faults::Truncate{.after = 8}}}},
        world.clock};
    const World::Client client{World::named({}), transport, bw::LocalFallback{world.store}};
    const auto file = std::filesystem::temp_directory_path() / "breakwater_client_faults.txt";
    REQUIRE(client.download("/shelf", file));
    std::ifstream in{file};
    CHECK(std::string{std::istreambuf_iterator<char>{in}, {}} == whole);
    std::filesystem::remove(file);
    CHECK(ranges == std::vector<std::string>{"", "bytes=4-", "bytes=12-"});
}

TEST_CASE("a hedge answers in place of an attempt that is dropped") {
    const World world{{.hedge = {.after = 100ms}}, bw::ManualClock::Mode::blocking};
    REQUIRE(world.transport.set({.script = {{.then = faults::Drop{}}}}));
    std::optional<bw::Result<bw::Response>> over;
    bw::start(world.client.async_get("/inventory"), [&](bw::Result<bw::Response> result) { over = std::move(result); });
    CHECK_FALSE(over.has_value());
    world.clock.advance(100ms);
    REQUIRE(over.has_value());
    CHECK(over->has_value());
    CHECK((*over)->attempt == 2);
    CHECK(world.transport.snapshot() == bw::FaultCounts{.requests = 2, .drops = 1});
}

TEST_CASE("a hedge is sent as a span of its own") {
    const auto trace = bw::TraceContext::begin(bw::Sampled::yes);
    std::vector<std::string> spans;
    const World world{{.hedge = {.after = 100ms},
                       .observer =
                           [&](const bw::Event& event) {
                               if (event.kind == bw::EventKind::attempt_started) spans.emplace_back(event.span_id);
                           }},
                      bw::ManualClock::Mode::blocking};
    REQUIRE(world.transport.set({.script = {{.then = faults::Drop{}}}}));
    std::optional<bw::Result<bw::Response>> over;
    bw::start(bw::Task<bw::Result<bw::Response>>{world.client.async_get("/inventory", {.trace = trace})},
              [&](bw::Result<bw::Response> result) { over = std::move(result); });
    world.clock.advance(100ms);
    REQUIRE(over.has_value());
    REQUIRE(spans.size() == 2);
    CHECK(spans[0] != spans[1]);
    const auto requests = world.service.requests();
    REQUIRE(requests.size() == 1);
    CHECK(bw::TraceContext::parse(requests[0].headers.get("traceparent").value())->span_id() == spans[1]);
}

TEST_CASE("an asynchronous call goes from fault to fault as the clock moves, and not otherwise") {
    const World world{{}, bw::ManualClock::Mode::blocking};
    REQUIRE(world.transport.set({.script = {{.delay = 3s, .then = faults::Status{}}, {.then = faults::Drop{}}}}));
    std::optional<bw::Result<bw::Response>> over;
    bw::start(world.client.async_get("/inventory"), [&](bw::Result<bw::Response> result) { over = std::move(result); });
    for (const auto step : {3s, 1s, 10s, 2s}) {  // the delay, a backoff, the attempt's timeout, a backoff
        world.clock.advance(step - 1us);
        CHECK_FALSE(over.has_value());
        world.clock.advance(1us);
    }
    REQUIRE(over.has_value());
    CHECK((*over)->attempt == 3);
    CHECK(world.clock.now() == bw::Instant{1h + 16s});
}

TEST_CASE("an asynchronous call that its client leaves ends with it, also in an injected delay") {
    std::optional<bw::Result<bw::Response>> over;
    {
        const World world{{}, bw::ManualClock::Mode::blocking};
        REQUIRE(world.transport.set({.faults = {{.delay = 5s}}}));
        bw::start(world.client.async_get("/inventory"),
                  [&](bw::Result<bw::Response> result) { over = std::move(result); });
        CHECK_FALSE(over.has_value());
    }
    REQUIRE(over.has_value());
    CHECK(over->error().code() == Errc::cancelled);
}

TEST_CASE("an injected outage of the store fails no call, and limits hold on in this process") {
    const World world{{.rate_limit = {.algorithm = bw::FixedWindow{.permits = 2, .window = 24h}}}};
    REQUIRE(world.store.set({.faults = {{.then = faults::StoreThen::error}}}));
    CHECK(world.client.get("/a"));
    CHECK(world.client.get("/b"));
    CHECK(world.client.get("/c").error().is_refusal(Errc::rate_limited));
    CHECK(world.store.snapshot().failures > 0);
}
