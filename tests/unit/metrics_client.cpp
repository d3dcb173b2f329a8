// What a client does, as its metrics tell it.
#include <breakwater/observe/metrics.hpp>

#include <catch_shim.hpp>
#include <unit/prometheus_page.hpp>
#include <unit/scripted_client.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Error;
using bw::MetricCounts;
using bw::Response;
using test::PrometheusPage;

namespace {

Response answer(int status, bw::Headers headers = {}) { return {.status = status, .headers = std::move(headers)}; }

/// A client on a manual clock, and its metrics.
struct Watched {
    explicit Watched(bw::ClientOptions options) {
        options.name = "supplier";
        options.base_url = "http://supplier.test";
        options.retry.backoff = {.base = 200ms, .multiplier = 1, .cap = 200ms, .jitter = bw::Jitter::none};
        options.observer = metrics;
        service.on_elapse([clock = clock](bw::Duration took) { clock.advance(took); });
        client.emplace(std::move(options), service, bw::MemoryStore{clock});
    }

    bw::ClientMetrics seen() const { return *metrics.snapshot().client("supplier"); }
    /// The sample of this family with these labels beside the client's; 0 if there is none.
    double sample(const std::string& name, PrometheusPage::Labels labels = {}) const {
        labels.emplace("client", "supplier");
        return PrometheusPage{metrics.prometheus_text()}.value("breakwater_" + name, labels).value_or(0);
    }

    bw::Metrics metrics;
    bw::ManualClock clock;
    bw::ScriptedTransport service;
    std::optional<test::ScriptedClient> client;
};

}  // namespace

TEST_CASE("a call that needs three attempts counts them, its two retries with their reasons, and one success") {
    const Watched watched{{}};
    watched.service.add({answer(503), 40ms});
    watched.service.add({Error{Errc::connect_failed}, 10ms});
    watched.service.add({answer(200), 25ms});
    CHECK(watched.client->get("/inventory"));
    CHECK(watched.sample("calls_total", {{"outcome", "success"}, {"source", "network"}}) == 1);
    CHECK(watched.sample("attempts_total", {{"outcome", "failure"}, {"result", "503"}}) == 1);
    CHECK(watched.sample("attempts_total", {{"outcome", "failure"}, {"result", "connect_failed"}}) == 1);
    CHECK(watched.sample("attempts_total", {{"outcome", "success"}, {"result", "200"}}) == 1);
    CHECK(watched.sample("retries_total", {{"reason", "503"}}) == 1);
    CHECK(watched.sample("retries_total", {{"reason", "connect_failed"}}) == 1);
    CHECK(watched.sample("retry_delay_seconds_count") == 2);
    CHECK(watched.sample("retry_delay_seconds_sum") == 0.4);
    CHECK(watched.sample("attempts_in_flight") == 0);
    const auto seen = watched.seen();
    CHECK(seen.calls_by_outcome == MetricCounts{{"success", 1}});
    CHECK(seen.attempts_by_outcome == MetricCounts{{"failure", 2}, {"success", 1}});
    CHECK(seen.retries == 2);
    CHECK(seen.call_duration.sum == 475ms);
    CHECK(seen.attempt_duration.sum == 75ms);
    CHECK(seen.attempt_duration.count() == 3);
    CHECK(seen.call_duration.quantile(0.5) == 375ms);  // between the bounds 250 ms and 500 ms
}

TEST_CASE("an outage counts the failures, the opened circuit and what it refuses, then the way back") {
    const Watched watched{{.circuit_breaker = {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 5min},
                           .retry = {.max_retries = 0}}};
    for (int i = 0; i < 2; ++i) watched.service.add({answer(500), 10ms});
    watched.service.add({answer(200), 10ms});
    for (int i = 0; i < 5; ++i) CHECK_FALSE(watched.client->get("/inventory"));
    const auto state = [&] { return watched.seen().circuits.at(0).state; };
    CHECK(state() == bw::CircuitState::open);
    CHECK(watched.seen().calls_by_outcome == MetricCounts{{"failure", 2}, {"refused", 3}});
    CHECK(watched.seen().calls_by_source == MetricCounts{{"none", 5}});
    CHECK(watched.seen().refusals_by_reason == MetricCounts{{"circuit_open", 3}});
    CHECK(watched.sample("permits_refused_total", {{"policy", "supplier"}, {"reason", "circuit_open"}}) == 3);
    CHECK(watched.sample("circuit_state", {{"policy", "supplier"}, {"state", "open"}}) == 1);

    watched.clock.advance(5min);
    CHECK(watched.client->get("/inventory"));
    CHECK(state() == bw::CircuitState::closed);
    CHECK(watched.seen().circuits.at(0).name == "supplier");
    CHECK(watched.seen().circuits.at(0).opened == 1);
    for (const char* to : {"open", "half-open", "closed"}) {
        CAPTURE(to);
        CHECK(watched.sample("circuit_transitions_total", {{"policy", "supplier"}, {"state", to}}) == 1);
    }
}

TEST_CASE("answers are counted by where they came from") {
    const Watched watched{{.retry = {.max_retries = 0},
                           .cache = {.ttl = 10s, .stale_if_error = 1h},
                           .fallback = {.answer = [](const Error&) { return answer(200); }}}};
    watched.service.add({answer(200), 10ms});
    for (int i = 0; i < 2; ++i) watched.service.add({answer(503), 10ms});
    CHECK(watched.client->get("/stock"));  // from the service
    CHECK(watched.client->get("/stock"));  // from the cache
    watched.clock.advance(10s);
    CHECK(watched.client->get("/stock"));  // stale
    CHECK(watched.client->get("/other"));  // the fallback's
    CHECK(watched.seen().calls_by_source ==
          MetricCounts{{"network", 1}, {"cache", 1}, {"stale_cache", 1}, {"fallback", 1}});
    CHECK(watched.seen().calls_by_outcome == MetricCounts{{"success", 4}});
    CHECK(watched.seen().attempts_by_outcome == MetricCounts{{"success", 1}, {"failure", 2}});
    CHECK(watched.sample("cache_hits_total") == 1);
    CHECK(watched.sample("cache_stored_total") == 1);
    CHECK(watched.sample("cache_stale_total") == 1);
    CHECK(watched.sample("fallbacks_total") == 1);
}

TEST_CASE("waits, pauses and refusals of a rate limiter are counted under its name") {
    const Watched watched{{.rate_limit = {.algorithm = bw::FixedWindow{.permits = 1, .window = 10s}, .max_wait = 5s},
                           .retry = {.max_retries = 0}}};
    watched.service.add({answer(429, {{"Retry-After", "2"}}), 5ms});
    watched.service.add({answer(200), 10ms});
    CHECK_FALSE(watched.client->get("/inventory"));
    watched.clock.advance(6s);
    CHECK(watched.client->get("/inventory"));        // waits for the next window
    CHECK_FALSE(watched.client->get("/inventory"));  // would have to wait too long
    CHECK(watched.sample("limiter_pauses_total", {{"policy", "supplier"}}) == 1);
    CHECK(watched.sample("permit_wait_seconds_count", {{"policy", "supplier"}}) == 1);
    CHECK(watched.sample("permits_refused_total", {{"policy", "supplier"}, {"reason", "rate_limited"}}) == 1);
    CHECK(watched.seen().calls_by_outcome == MetricCounts{{"failure", 1}, {"success", 1}, {"refused", 1}});
}

TEST_CASE("a spent retry budget is a refusal, and the call's failure stays the service's") {
    bw::ClientOptions options;
    options.retry_budget = {.ratio = 0.001, .floor_per_second = 0, .burst = 1};
    const Watched watched{std::move(options)};
    for (int n = 0; n < 2; ++n) watched.service.add(answer(503));
    CHECK_FALSE(watched.client->get("/inventory"));
    CHECK(watched.seen().refusals_by_reason == MetricCounts{{"budget_exhausted", 1}});
    CHECK(watched.seen().calls_by_outcome == MetricCounts{{"failure", 1}});
    CHECK(watched.seen().retries == 1);
}

TEST_CASE("what the caller has asked for wrongly or given up is not the service's failure") {
    const Watched watched{{}};
    std::stop_source stop;
    watched.service.add(answer(404));
    watched.service.add(bw::ScriptedAnswer{[&](const bw::Request&) -> bw::Result<Response> {
        stop.request_stop();
        return bw::fail(Errc::cancelled);
    }});
    CHECK_FALSE(watched.client->get("/missing"));
    CHECK_FALSE(watched.client->get("/slow", {.stop = stop.get_token()}));
    CHECK(watched.seen().calls_by_outcome == MetricCounts{{"caller_error", 1}, {"cancelled", 1}});
    CHECK(watched.seen().attempts_by_outcome == MetricCounts{{"caller_error", 1}, {"cancelled", 1}});
}

TEST_CASE("an attempt is in flight while it runs") {
    const Watched watched{{}};
    double during = 0;
    watched.service.add(bw::ScriptedAnswer{[&](const bw::Request&) -> bw::Result<Response> {
        during = watched.sample("attempts_in_flight");
        return answer(200);
    }});
    CHECK(watched.client->get("/inventory"));
    CHECK(during == 1);
    CHECK(watched.seen().attempts_in_flight == 0);
}

TEST_CASE("what is done to a circuit by hand and a change of options are counted") {
    bw::ClientOptions options;
    const Watched watched{options};
    const auto is = [&](const char* state) {
        return watched.sample("circuit_state", {{"policy", "supplier"}, {"state", state}}) == 1;
    };
    watched.client->circuit_breaker().force_open();
    CHECK(is("open"));
    CHECK_FALSE(watched.client->get("/inventory"));
    watched.client->circuit_breaker().force_closed();
    CHECK(is("closed"));
    watched.client->circuit_breaker().reset();
    CHECK(is("closed"));
    for (const char* to : {"open", "closed", "reset"}) {
        CAPTURE(to);
        CHECK(watched.sample("circuit_forces_total", {{"policy", "supplier"}, {"state", to}}) == 1);
    }
    REQUIRE(watched.client->reconfigure(watched.client->options()));
    CHECK(watched.sample("reconfigurations_total") == 1);
    CHECK(watched.seen().refusals_by_reason == MetricCounts{{"circuit_open", 1}});
}
