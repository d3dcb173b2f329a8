#include <breakwater/observe/log.hpp>
#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Error;
using bw::Response;

namespace {

using Lines = std::vector<std::string>;

bw::Response answer(int status, bw::Headers headers = {}) { return {.status = status, .headers = std::move(headers)}; }

/// A client on a manual clock whose log is a list of lines.
struct Logged {
    explicit Logged(bw::ClientOptions options) {
        options.name = "dairy_supplier";
        options.base_url = "http://dairy.test";
        options.retry.backoff = {.base = 1300ms, .multiplier = 1, .cap = 2s, .jitter = bw::Jitter::none};
        options.observer = bw::request_log([lines = lines](std::string_view line) { lines->emplace_back(line); });
        service.on_elapse([clock = clock](bw::Duration took) { clock.advance(took); });
        client.emplace(std::move(options), service, bw::MemoryStore{clock});
    }

    std::shared_ptr<Lines> lines = std::make_shared<Lines>();
    bw::ManualClock clock;
    bw::ScriptedTransport service;
    std::optional<test::ScriptedClient> client;
};

}  // namespace

TEST_CASE("a call that needs three attempts is told in three lines") {
    Logged log{{}};
    log.service.add({answer(500), 40ms});
    log.service.add({answer(503), 12ms});
    log.service.add({answer(200), 11ms});
    CHECK(log.client->get("/inventory", {.query = {{"page", 1}, {"token", "hush"}}, .headers = {{"X-Key", "hush"}}}));
    CHECK(*log.lines == Lines{"GET /inventory -> 500 (40 ms) attempt 1/4, next in 1.3 s",
                              "GET /inventory -> 503 (12 ms) attempt 2/4, next in 1.3 s",
                              "GET /inventory -> 200 (11 ms) attempt 3/4"});
}

TEST_CASE("a call that fails for good ends in one line with the last error") {
    Logged log{{.retry = {.max_retries = 1}}};
    log.service.add({Error{Errc::connect_failed}, 5ms});
    log.service.add({Error{Errc::receive_failed}, 20ms});
    log.service.add({answer(404), 7ms});
    CHECK_FALSE(log.client->get("/inventory"));
    CHECK_FALSE(log.client->get("/missing"));
    CHECK(*log.lines == Lines{"GET /inventory -> no connection (5 ms) attempt 1/2, next in 1.3 s",
                              "GET /inventory -> the connection broke attempt 2/2, gave up after 1.3 s",
                              "GET /missing -> 404 attempt 1/2, gave up after 7 ms"});
}

TEST_CASE("the circuit's changes and its refusals are told") {
    Logged log{{.circuit_breaker = {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 5min}}};
    log.service.add({answer(500), 10ms});
    log.service.add({answer(500), 10ms});
    log.service.add({answer(200), 10ms});
    CHECK_FALSE(log.client->get("/inventory"));
    CHECK_FALSE(log.client->post("/orders"));
    log.clock.advance(5min);
    CHECK(log.client->get("/inventory"));
    CHECK(*log.lines ==
          Lines{"GET /inventory -> 500 (10 ms) attempt 1/4, next in 1.3 s", "circuit dairy_supplier: open for 5 min",
                "GET /inventory -> 500 (10 ms) attempt 2/4, next in 1.3 s",
                "GET /inventory -> gave up after 2.6 s: the circuit is open, try again in 5 min",
                "POST /orders -> refused: the circuit is open, try again in 5 min", "circuit dairy_supplier: half-open",
                "GET /inventory -> 200 (10 ms) attempt 1/4", "circuit dairy_supplier: closed"});
}

TEST_CASE("a pause that the service asks for and waits for permits are told") {
    Logged log{{.rate_limit = {.algorithm = bw::FixedWindow{.permits = 1, .window = 10s}, .max_wait = 1min},
                .retry = {.max_retries = 0}}};
    log.service.add({answer(429, {{"Retry-After", "2"}}), 5ms});
    log.service.add({answer(200), 10ms});
    CHECK_FALSE(log.client->get("/inventory"));
    CHECK(log.client->get("/inventory"));
    REQUIRE(log.lines->size() >= 4);
    CHECK(log.lines->at(0) == "rate limit dairy_supplier: paused for 2 s (asked by the service)");
    CHECK(log.lines->at(1) == "GET /inventory -> 429 attempt 1/1, gave up after 5 ms, try again in 2 s");
    CHECK(log.lines->at(2) == "GET /inventory: waited 2 s for a permit");
    CHECK(log.lines->back() == "GET /inventory -> 200 (10 ms) attempt 1/1");
}

TEST_CASE("answers from the cache and from the fallback are told, with what was wrong") {
    Logged log{{.circuit_breaker = {.trip = bw::ConsecutiveFailures{3}},
                .retry = {.max_retries = 0},
                .cache = {.ttl = 10s, .stale_if_error = 1h},
                .fallback = {.answer = [](const Error&) { return answer(200); }}}};
    log.service.add({answer(200), 10ms});
    for (int i = 0; i < 4; ++i) log.service.add({answer(503), 10ms});
    CHECK(log.client->get("/stock"));
    CHECK(log.client->get("/stock"));
    log.clock.advance(10s);
    CHECK(log.client->get("/stock"));
    CHECK(log.client->get("/other"));
    CHECK(log.client->get("/other"));
    CHECK(log.client->get("/other"));
    CHECK(*log.lines == Lines{"GET /stock -> 200 (10 ms) attempt 1/1", "GET /stock -> 200 from cache",
                              "GET /stock -> 503 attempt 1/1, a stale answer from the cache",
                              "GET /other -> 503 attempt 1/1, the fallback's answer",
                              "circuit dairy_supplier: open for 60 s",
                              "GET /other -> 503 attempt 1/1, the fallback's answer",
                              "GET /other -> the fallback's answer: the circuit is open"});
}

TEST_CASE("a redirect is told, and a cancelled call is") {
    Logged log{{}};
    std::stop_source source;
    log.service.add({answer(302, {{"Location", "/new?token=hush"}}), 4ms});
    log.service.add({answer(200), 6ms});
    log.service.add(bw::ScriptedAnswer{[&](const bw::Request&) -> bw::Result<Response> {
        source.request_stop();
        return bw::fail(Errc::cancelled);
    }});
    CHECK(log.client->get("/old"));
    CHECK_FALSE(log.client->get("/slow", {.stop = source.get_token()}));
    CHECK(*log.lines == Lines{"GET /old: redirected (302)", "GET /old -> 200 (10 ms) attempt 1/4",
                              "GET /slow -> gave up after 0 us: the call was cancelled"});
}

TEST_CASE("a log line never holds a control character, whatever the call is named") {
    bw::Event event{.kind = bw::EventKind::circuit_closed, .policy = "dairy\nforged\x1b[2J\x7f"};
    std::ostringstream out;
    bw::request_log(out)(event);
    CHECK(out.str() == "circuit dairy forged [2J : closed\n");
}

TEST_CASE("the log goes to a stream in whole lines, from any thread") {
    std::ostringstream out;
    const bw::Observer observer = bw::request_log(out);
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([observer] {
                for (int i = 0; i < 250; ++i)
                    observer({.kind = bw::EventKind::attempt_ended, .subject = "GET /x", .attempt = 1, .status = 200});
            });
        }
    }
    std::istringstream in{out.str()};
    int lines = 0;
    for (std::string line; std::getline(in, line); ++lines) REQUIRE(line == "GET /x -> 200 attempt 1");
    CHECK(lines == 1000);
}

TEST_CASE("a sink that throws breaks neither the call nor the log") {
    int told = 0;
    const bw::Observer observer = bw::request_log([&](std::string_view) {
        if (++told == 1) throw std::runtime_error{"disk full"};
    });
    observer({.kind = bw::EventKind::circuit_closed});
    observer({.kind = bw::EventKind::circuit_closed});
    CHECK(told == 2);
}

TEST_CASE("what a request log leaves out has no line") {
    for (const auto kind : {bw::EventKind::attempt_started, bw::EventKind::permit_refused, bw::EventKind::cache_stored,
                            bw::EventKind::late_result}) {
        CHECK(bw::log_line({.kind = kind}).empty());
    }
    CHECK(bw::log_line({.kind = bw::EventKind::attempt_ended, .code = Errc::http_status}).empty());
    CHECK(bw::log_line({.kind = bw::EventKind::call_ended, .status = 200}).empty());
}

TEST_CASE("a retry that the budget refuses is one line: the last answer, and why it is not asked again") {
    bw::ClientOptions options;
    options.retry_budget = {.ratio = 0.001, .floor_per_second = 0, .burst = 1};
    const Logged logged{std::move(options)};
    for (int n = 0; n < 2; ++n) logged.service.add(answer(503));
    CHECK_FALSE(logged.client->get("/inventory"));
    REQUIRE(logged.lines->size() == 2);
    CHECK(logged.lines->at(1) == "GET /inventory -> 503 attempt 2/4, gave up after 1.3 s: the retry budget is spent");
}
