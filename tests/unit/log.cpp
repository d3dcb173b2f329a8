#include <breakwater/observe/log.hpp>
#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <optional>
#include <ostream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
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
    explicit Logged(bw::ClientOptions options, bw::LogOptions how = {}) {
        options.name = "dairy_supplier";
        options.base_url = "http://dairy.test";
        options.retry.backoff = {.base = 1300ms, .multiplier = 1, .cap = 2s, .jitter = bw::Jitter::none};
        options.observer =
            bw::request_log([lines = lines](std::string_view line) { lines->emplace_back(line); }, std::move(how));
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
    std::ostringstream out;
    const bw::Observer observer = bw::request_log(out);
    observer({.kind = bw::EventKind::circuit_closed, .policy = "dairy\nforged\x1b[2J\x7f"});
    observer({.kind = bw::EventKind::circuit_closed, .policy = "\u009b2J \u2028 \xff \xe2\x82 Käse"});
    observer({.kind = bw::EventKind::cache_hit, .subject = "GET /x", .correlation_id = "a]\r\n[b", .status = 200});
    CHECK(out.str() ==
          "circuit dairy\\x0aforged\\x1b[2J\\x7f: closed\n"
          "circuit \\xc2\\x9b2J \\xe2\\x80\\xa8 \\xff \\xe2\\x82 Käse: closed\n"
          "GET /x -> 200 from cache [a]\\x0d\\x0a[b]\n");
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

TEST_CASE("every event has a line of its own, which says what it knows") {
    using enum bw::EventKind;
    bw::Event event{.policy = "ledger", .subject = "GET /x", .attempt = 2, .max_attempts = 4};
    event.code = Errc::rate_limited;
    event.delay = 1300ms;
    event.took = 12ms;
    event.limit = 7;
    event.count = 3;
    event.circuit = bw::CircuitState::open;
    const std::vector<std::pair<bw::EventKind, std::string>> lines{
        {attempt_started, "GET /x: attempt 2/4"},
        {attempt_ended, "GET /x -> the rate limit is reached (12 ms) attempt 2/4"},
        {permit_refused, "GET /x: refused by ledger: the rate limit is reached, try again in 1.3 s"},
        {would_refuse, "GET /x: would be refused by circuit ledger (shadow)"},
        {limit_changed, "limit ledger: 7 calls in flight"},
        {hedge_sent, "GET /x: hedged after 1.3 s, attempt 2/4"},
        {hedge_won, "GET /x: the hedge has won, attempt 2/4"},
        {hedge_lost, "GET /x: the hedge has lost, attempt 2/4"},
        {circuit_forced, "circuit ledger: forced open for 1.3 s"},
        {late_result, "circuit ledger: a late result, not counted"},
        {cache_stored, "GET /x: kept in the cache for 1.3 s"},
        {cache_evicted, "GET /x: the cache dropped 3 others for it"},
        {coalesced, "GET /x -> another call's answer"},
        {reconfigured, "ledger: reconfigured"},
        {store_degraded, "store ledger: no answer, policies go on alone (GET /x)"},
        {store_lost, "store ledger: has forgotten what it kept (GET /x)"},
        {store_rejoined, "store ledger: answers again"},
        {store_unheard, "store ledger: changes are not told at once (GET /x)"},
        {store_other_layout, "store: others keep ledger in another layout (GET /x)"},
        {store_cache_off, "store ledger: keeps no answers (GET /x)"},
        {store_unreadable, "store: what it keeps for ledger cannot be read (GET /x)"}};
    for (const auto& [kind, line] : lines) {
        event.kind = kind;
        CHECK(bw::log_line(event) == line);
    }
    std::set<std::string> all;
    for (unsigned kind = 0; kind <= static_cast<unsigned>(call_ended); ++kind) {
        event.kind = static_cast<bw::EventKind>(kind);
        all.insert(bw::log_line(event));
    }
    CHECK(all.size() == static_cast<unsigned>(call_ended) + 1);
    event.circuit.reset();
    event.kind = circuit_forced;
    CHECK(bw::log_line(event) == "circuit ledger: reset");
    CHECK(bw::log_line({.kind = reconfigured, .client = "dairy"}) == "dairy: reconfigured");
    CHECK(bw::log_line({.kind = call_ended,
                        .subject = "GET /x",
                        .attempt = 1,
                        .status = 200,
                        .took = 12ms,
                        .source = bw::Source::network}) == "GET /x -> 200 after 12 ms, 1 attempt, from network");
    CHECK(bw::log_line({.kind = permit_refused, .code = Errc::deadline_too_near}) ==
          "call: refused: the deadline is too near for another attempt");
}

TEST_CASE("the correlation id stands at the end of a call's lines") {
    Logged log{{}};
    log.service.add({answer(200), 10ms});
    CHECK(log.client->get("/inventory", {.correlation_id = "order-81"}));
    CHECK(*log.lines == Lines{"GET /inventory -> 200 (10 ms) attempt 1/4 [order-81]"});
}

TEST_CASE("a sink may be told the level, and lines of a lower one than asked for are left out") {
    using enum bw::EventKind;
    using bw::Level;
    std::vector<std::pair<Level, std::string>> told;
    const auto sink = [&](Level level, std::string_view line) { told.emplace_back(level, line); };
    for (const Level least : {Level::debug, Level::info, Level::warning, Level::error}) {
        const bw::Observer observer = bw::request_log(sink, {.least = least});
        told.clear();
        observer({.kind = hedge_won});
        observer({.kind = circuit_closed});
        observer({.kind = limiter_paused, .delay = 1s});
        observer({.kind = circuit_opened, .delay = 1s});
        REQUIRE(told.size() == 4 - static_cast<std::size_t>(least));
        for (std::size_t i = 0; i < told.size(); ++i)
            CHECK(told[i].first == static_cast<Level>(static_cast<std::size_t>(least) + i));
    }
}

TEST_CASE("how much an event matters is decided by how it ended, too") {
    using enum bw::EventKind;
    using bw::Level;
    CHECK(bw::level_of({.kind = attempt_ended}) == Level::info);
    CHECK(bw::level_of({.kind = attempt_ended, .code = Errc::http_status}) == Level::debug);
    CHECK(bw::level_of({.kind = call_ended}) == Level::debug);
    CHECK(bw::level_of({.kind = call_ended, .code = Errc::http_status}) == Level::error);
    CHECK(bw::level_of({.kind = call_ended, .code = Errc::cancelled}) == Level::info);
    CHECK(to_string(Level::debug) == "debug");
    CHECK(to_string(Level::info) == "info");
    CHECK(to_string(Level::warning) == "warning");
    CHECK(to_string(Level::error) == "error");
}

TEST_CASE("each attempt is told before and after if that is asked for") {
    Logged log{{}, {.attempts = true}};
    log.service.add({answer(500), 40ms});
    log.service.add({answer(200), 11ms});
    CHECK(log.client->get("/inventory"));
    CHECK(*log.lines == Lines{"GET /inventory: attempt 1/4", "GET /inventory -> 500 (40 ms) attempt 1/4",
                              "GET /inventory -> 500 (40 ms) attempt 1/4, next in 1.3 s", "GET /inventory: attempt 2/4",
                              "GET /inventory -> 200 (11 ms) attempt 2/4"});
}

TEST_CASE("a function may say which level an event has, or leave it out") {
    using enum bw::EventKind;
    using bw::Level;
    std::vector<std::pair<Level, std::string>> told;
    const bw::Observer observer =
        bw::request_log([&](Level level, std::string_view line) { told.emplace_back(level, line); },
                        {.attempts = true, .level = [](const bw::Event& event) -> std::optional<Level> {
                             if (event.kind == circuit_closed) return std::nullopt;
                             if (event.kind == circuit_opened) throw std::runtime_error{"no idea"};
                             return event.kind == hedge_won ? Level::error : Level::debug;
                         }});
    for (const auto kind : {circuit_closed, circuit_opened, hedge_won, hedge_lost, attempt_started})
        observer({.kind = kind, .attempt = 1});
    CHECK(told == std::vector<std::pair<Level, std::string>>{{Level::error, "call: the hedge has won, attempt 1"},
                                                             {Level::info, "call: attempt 1"}});
}

TEST_CASE("a sink may come back to the client whose line it is told") {
    Logged log{{}};
    for (int i = 0; i < 2; ++i) log.service.add({answer(200), 11ms});
    bw::ClientOptions options = log.client->options();
    options.observer = bw::request_log([&](std::string_view line) {
        log.lines->emplace_back(line);
        if (line.find("/outer") != line.npos) CHECK(log.client->get("/inner"));
    });
    CHECK(log.client->reconfigure(options));
    CHECK(log.client->get("/outer"));
    CHECK(*log.lines == Lines{"dairy_supplier: reconfigured", "GET /outer -> 200 (11 ms) attempt 1/4",
                              "GET /inner -> 200 (11 ms) attempt 1/4"});
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
