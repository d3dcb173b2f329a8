#include <breakwater/observe/metrics.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>
#include <unit/prometheus_page.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Errc;
using bw::EventKind;
using bw::Metrics;
using test::PrometheusPage;
using Labels = PrometheusPage::Labels;

namespace {

PrometheusPage page(const Metrics& metrics) { return PrometheusPage{metrics.prometheus_text()}; }

bw::Instant at(bw::Duration since) { return bw::Instant{1h} + since; }

std::string fault(std::string_view text) {
    try {
        const PrometheusPage page{text};
        return "";
    } catch (const std::runtime_error& error) {
        return error.what();
    }
}

}  // namespace

TEST_CASE("nothing counted is an empty page") {
    const Metrics metrics;
    CHECK(metrics.prometheus_text().empty());
    CHECK(metrics.snapshot().clients.empty());
}

TEST_CASE("each kind of event is counted in its family, and the page is valid") {
    const Metrics metrics;
    const bw::Observer observer = metrics;
    const std::string_view client = "supplier";
    observer({.kind = EventKind::attempt_started, .client = client});
    observer({.kind = EventKind::attempt_started, .client = client});
    observer(
        {.kind = EventKind::attempt_ended, .client = client, .code = Errc::http_status, .status = 503, .took = 20ms});
    observer({.kind = EventKind::retry_scheduled,
              .client = client,
              .code = Errc::http_status,
              .status = 503,
              .delay = 200ms});
    for (const EventKind kind :
         {EventKind::hedge_sent, EventKind::hedge_won, EventKind::hedge_lost, EventKind::cache_hit,
          EventKind::cache_stored, EventKind::cache_stale_served, EventKind::coalesced, EventKind::fallback_used,
          EventKind::redirected, EventKind::reconfigured})
        observer({.kind = kind, .client = client});
    observer({.kind = EventKind::cache_evicted, .client = client, .count = 3});
    observer({.kind = EventKind::permit_refused, .client = client, .policy = "quota", .code = Errc::rate_limited});
    observer({.kind = EventKind::permit_refused, .client = client, .code = Errc::budget_exhausted});
    observer({.kind = EventKind::would_refuse, .client = client, .policy = "shy", .code = Errc::circuit_open});
    observer({.kind = EventKind::limiter_waited, .client = client, .policy = "quota", .delay = 3s});
    observer({.kind = EventKind::limiter_paused, .client = client, .policy = "quota", .delay = 2s});
    observer({.kind = EventKind::limit_changed, .client = client, .policy = "adaptive", .limit = 17});
    observer({.kind = EventKind::late_result, .client = client, .policy = "circuit"});
    observer({.kind = EventKind::circuit_opened, .client = client, .policy = "circuit"});
    observer({.kind = EventKind::store_degraded, .policy = "fleet", .at = at(1s)});
    observer({.kind = EventKind::store_unreadable, .policy = "fleet:{circuit:a}"});
    observer({.kind = EventKind::call_ended, .client = client, .took = 1s, .source = bw::Source::stale_cache});

    const PrometheusPage seen = page(metrics);
    const auto value = [&](const std::string& name, Labels labels = {}) {
        labels.emplace("client", "supplier");
        return seen.value("breakwater_" + name, labels);
    };
    CHECK(value("calls_total", {{"outcome", "success"}, {"source", "stale_cache"}}) == 1);
    CHECK(value("call_duration_seconds_sum", {{"outcome", "success"}}) == 1);
    CHECK(value("attempts_total", {{"outcome", "failure"}, {"result", "503"}}) == 1);
    CHECK(value("attempt_duration_seconds_bucket", {{"outcome", "failure"}, {"le", "0.01"}}) == 0);
    CHECK(value("attempt_duration_seconds_bucket", {{"outcome", "failure"}, {"le", "0.025"}}) == 1);
    CHECK(value("attempt_duration_seconds_sum", {{"outcome", "failure"}}) == 0.02);
    CHECK(value("attempts_in_flight") == 1);
    CHECK(value("retries_total", {{"reason", "503"}}) == 1);
    CHECK(value("retry_delay_seconds_sum") == 0.2);
    CHECK(value("retry_delay_seconds_count") == 1);
    CHECK(value("permits_refused_total", {{"policy", "quota"}, {"reason", "rate_limited"}}) == 1);
    CHECK(value("permits_refused_total", {{"policy", ""}, {"reason", "budget_exhausted"}}) == 1);
    CHECK(value("shadow_refusals_total", {{"policy", "shy"}, {"reason", "circuit_open"}}) == 1);
    CHECK(value("permit_wait_seconds_sum", {{"policy", "quota"}}) == 3);
    CHECK(value("limiter_pauses_total", {{"policy", "quota"}}) == 1);
    CHECK(value("concurrency_limit", {{"policy", "adaptive"}}) == 17);
    CHECK(value("circuit_state", {{"policy", "circuit"}, {"state", "open"}}) == 1);
    CHECK(value("circuit_state", {{"policy", "circuit"}, {"state", "closed"}}) == 0);
    CHECK(value("circuit_transitions_total", {{"policy", "circuit"}, {"state", "open"}}) == 1);
    CHECK(value("late_results_total", {{"policy", "circuit"}}) == 1);
    for (const char* name :
         {"hedges_sent_total", "hedges_won_total", "hedges_lost_total", "cache_hits_total", "cache_stored_total",
          "cache_stale_total", "coalesced_total", "fallbacks_total", "redirects_total", "reconfigurations_total"}) {
        CAPTURE(name);
        CHECK(value(name) == 1);
    }
    CHECK(value("cache_evicted_total") == 3);
    CHECK(seen.value("breakwater_store_up", {{"store", "fleet"}}) == 0);
    CHECK(seen.value("breakwater_store_events_total", {{"store", "fleet"}, {"event", "store_degraded"}}) == 1);
    CHECK(seen.value("breakwater_store_events_total", {{"store", ""}, {"event", "store_unreadable"}}) == 1);
    // All families but those of forces and of folded names.
    CHECK(seen.types().size() == bw::metric_count - 2);
}

TEST_CASE("the outcome says whose failure it was, and the result what came") {
    using Ended = std::pair<std::optional<Errc>, std::optional<int>>;
    const auto labels = [](const Ended& ended) {
        const Metrics metrics;
        metrics({.kind = EventKind::attempt_ended, .client = "c", .code = ended.first, .status = ended.second});
        const auto families = metrics.collect();
        for (const auto& family : families)
            if (family.name == "breakwater_attempts_total")
                return family.samples.at(0).labels.at(1).second + " " + family.samples.at(0).labels.at(2).second;
        return std::string{};
    };
    CHECK(labels({std::nullopt, std::nullopt}) == "success ok");
    CHECK(labels({std::nullopt, 204}) == "success 204");
    CHECK(labels({Errc::http_status, 404}) == "caller_error 404");
    CHECK(labels({Errc::http_status, 408}) == "failure 408");
    CHECK(labels({Errc::http_status, 429}) == "failure 429");
    CHECK(labels({Errc::http_status, 503}) == "failure 503");
    CHECK(labels({Errc::too_many_redirects, 302}) == "failure 302");
    CHECK(labels({Errc::digest_mismatch, 200}) == "failure digest_mismatch");
    CHECK(labels({Errc::attempt_timeout, std::nullopt}) == "failure attempt_timeout");
    CHECK(labels({Errc::connect_failed, std::nullopt}) == "failure connect_failed");
    CHECK(labels({Errc::exception, std::nullopt}) == "failure exception");
    CHECK(labels({Errc::invalid_request, std::nullopt}) == "caller_error invalid_request");
    CHECK(labels({Errc::body_failed, std::nullopt}) == "caller_error body_failed");
    CHECK(labels({Errc::cancelled, std::nullopt}) == "cancelled cancelled");
    CHECK(labels({Errc::circuit_open, std::nullopt}) == "refused circuit_open");
    CHECK(labels({Errc::http_status, 99}) == "failure http_status");  // no status of HTTP is a label
    CHECK(labels({Errc::http_status, 600}) == "failure http_status");
}

TEST_CASE("a circuit has the state that it was told to have last, by its own clock") {
    const Metrics metrics;
    const auto tell = [&](EventKind kind, bw::Duration when) {
        metrics({.kind = kind, .client = "c", .policy = "p", .at = at(when)});
    };
    const auto state = [&] { return metrics.snapshot().client("c")->circuits.at(0).state; };
    tell(EventKind::circuit_opened, 1s);
    CHECK(state() == CircuitState::open);
    tell(EventKind::circuit_half_opened, 1s);  // as fast as that
    CHECK(state() == CircuitState::half_open);
    tell(EventKind::circuit_closed, 2s);
    CHECK(state() == CircuitState::closed);
    tell(EventKind::circuit_half_opened, 1500ms);  // another thread's, which came late
    CHECK(state() == CircuitState::closed);
    tell(EventKind::circuit_opened, -30min);  // the clock was set back
    CHECK(state() == CircuitState::open);
    CHECK(page(metrics).sum("breakwater_circuit_transitions_total") == 5);
    CHECK(metrics.snapshot().client("c")->circuits.at(0).opened == 2);
}

TEST_CASE("what is done to a circuit by hand shows in its state") {
    const Metrics metrics;
    const auto force = [&](std::optional<CircuitState> to) {
        metrics({.kind = EventKind::circuit_forced, .client = "c", .policy = "p", .at = at(1s), .circuit = to});
    };
    const Labels open{{"client", "c"}, {"policy", "p"}, {"state", "open"}};
    force(CircuitState::open);
    CHECK(page(metrics).value("breakwater_circuit_state", open) == 1);
    force(CircuitState::closed);
    CHECK(page(metrics).value("breakwater_circuit_state", open) == 0);
    force(CircuitState::open);
    force(std::nullopt);
    CHECK(page(metrics).value("breakwater_circuit_state", open) == 0);
    CHECK(page(metrics).value("breakwater_circuit_forces_total", open) == 2);
    CHECK(page(metrics).sum("breakwater_circuit_forces_total", {{"state", "reset"}}) == 1);
    CHECK(metrics.snapshot().client("c")->circuits.at(0).opened == 0);
}

TEST_CASE("a store is up again when it has rejoined") {
    const Metrics metrics;
    metrics({.kind = EventKind::store_degraded, .policy = "fleet", .subject = "timeout", .at = at(1s)});
    REQUIRE(metrics.snapshot().stores.size() == 1);
    CHECK_FALSE(metrics.snapshot().stores[0].is_up);
    metrics({.kind = EventKind::store_rejoined, .policy = "fleet", .at = at(2s)});
    CHECK(metrics.snapshot().stores[0].is_up);
    CHECK(page(metrics).value("breakwater_store_up", {{"store", "fleet"}}) == 1);
}

TEST_CASE("names that nobody would choose stay inside their label") {
    const Metrics metrics;
    const std::string names[] = {
        R"(quoted "name" with \ and })",
        "two\nlines",
        std::string{"nul\0inside", 10},
        "\xff\xfe no UTF-8 \xc3",
        "cut \xe2\x82",
        "",
        "münchen",
        std::string(100'000, 'x'),
        "\"} 1\nbreakwater_calls_total{client=\"forged\"} 9",
        "\x1b[2J",
    };
    for (const std::string& name : names) {
        metrics({.kind = EventKind::call_ended, .client = name, .took = 1ms, .source = bw::Source::network});
        metrics({.kind = EventKind::permit_refused, .client = name, .policy = name, .code = Errc::rate_limited});
    }
    const PrometheusPage seen = page(metrics);
    CHECK(seen.sum("breakwater_calls_total") == std::size(names));
    CHECK(seen.sum("breakwater_permits_refused_total") == std::size(names));
    CHECK(seen.sum("breakwater_calls_total", {{"client", R"(quoted "name" with \ and })"}}) == 1);
    CHECK(seen.sum("breakwater_calls_total", {{"client", "two lines"}}) == 1);
    CHECK(seen.sum("breakwater_calls_total", {{"client", "nul?inside"}}) == 1);
    CHECK(seen.sum("breakwater_calls_total", {{"client", "münchen"}}) == 1);
    CHECK(seen.sum("breakwater_calls_total", {{"client", "?? no UTF-8 ?"}}) == 1);
    CHECK(seen.sum("breakwater_calls_total", {{"client", std::string(128, 'x') + "…"}}) == 1);
    CHECK(seen.sum("breakwater_calls_total", {{"client", "forged"}}) == 0);
}

TEST_CASE("names that look alike once they are clean are one series") {
    const Metrics metrics;
    for (const std::string_view name : {"a b", "a\tb", "a  b", " a b "})
        metrics({.kind = EventKind::cache_hit, .client = name});
    for (const char last : {'1', '2'}) metrics({.kind = EventKind::cache_hit, .client = std::string(128, 'x') + last});
    const PrometheusPage seen = page(metrics);
    CHECK(seen.sum("breakwater_cache_hits_total", {{"client", "a b"}}) == 4);
    CHECK(seen.samples().size() == 2);
}

TEST_CASE("clients beyond the bound are counted as others, with how their calls ended") {
    const Metrics metrics{{.max_names = 10}};
    for (int i = 0; i < 50; ++i) {
        const std::string name = "client " + std::to_string(i);
        for (int n = 0; n < 3; ++n)
            metrics({.kind = EventKind::call_ended, .client = name, .code = Errc::connect_failed});
        metrics({.kind = EventKind::circuit_opened, .client = name, .policy = "circuit"});
    }
    const PrometheusPage seen = page(metrics);
    CHECK(seen.sum("breakwater_calls_total") == 150);
    CHECK(seen.value("breakwater_calls_total", {{"client", "other"}, {"outcome", "failure"}, {"source", "none"}}) ==
          120);
    CHECK(seen.value("breakwater_calls_total", {{"client", "client 9"}, {"outcome", "failure"}, {"source", "none"}}) ==
          3);
    CHECK(seen.value("breakwater_metrics_folded_total", {}) == 160);
    CHECK(metrics.snapshot().folded == 160);
    CHECK(metrics.snapshot().clients.size() == 11);
}

TEST_CASE("policies beyond the bound are counted as their client's others, and have no state") {
    const Metrics metrics{{.max_names = 10}};
    const auto tell = [&](EventKind kind, std::string_view client, int i) {
        const std::string name = "circuit " + std::to_string(i);
        metrics({.kind = kind, .client = client, .policy = name, .limit = 3});
    };
    for (int i = 0; i < 50; ++i) tell(EventKind::circuit_opened, "a", i);
    for (int i = 0; i < 50; ++i) tell(EventKind::limit_changed, "a", i);
    tell(EventKind::circuit_opened, "b", 0);
    const PrometheusPage seen = page(metrics);
    CHECK(seen.sum("breakwater_circuit_transitions_total") == 51);
    CHECK(seen.sum("breakwater_circuit_transitions_total", {{"client", "a"}, {"policy", "other"}}) == 40);
    CHECK(seen.sum("breakwater_circuit_transitions_total", {{"client", "b"}, {"policy", "other"}}) == 1);
    CHECK(seen.sum("breakwater_circuit_state", {{"state", "open"}}) == 10);
    CHECK(seen.sum("breakwater_circuit_state", {{"policy", "other"}}) == 0);
    CHECK(seen.sum("breakwater_concurrency_limit") == 30);
    CHECK(seen.value("breakwater_metrics_folded_total", {}) == 81);
    const auto snapshot = metrics.snapshot();
    REQUIRE(snapshot.client("b") != nullptr);
    CHECK(snapshot.client("b")->circuits.at(0).name == "other");
    CHECK_FALSE(snapshot.client("b")->circuits.at(0).state);
}

TEST_CASE("the bound holds for a million names, in memory as in series") {
    const Metrics metrics{{.max_names = 5}};
    for (int i = 0; i < 1'000'000; ++i) {
        char name[16];
        const auto length = static_cast<std::size_t>(std::snprintf(name, sizeof name, "c%d", i));
        metrics({.kind = EventKind::cache_hit, .client = {name, length}, .policy = {name, length}});
    }
    CHECK(page(metrics).sum("breakwater_cache_hits_total") == 1'000'000);
    CHECK(page(metrics).samples().size() == 7);  // 5, the others, and how many were folded
}

TEST_CASE("a duration is in the first bucket that it does not exceed") {
    const Metrics metrics{{.buckets = {1ms, 10ms}}};
    for (const bw::Duration took : {bw::Duration{-5}, bw::Duration{0}, bw::Duration{1'000}, bw::Duration{1'001},
                                    bw::Duration{10'000}, bw::Duration{10'001}, bw::Duration{24h}})
        metrics({.kind = EventKind::call_ended, .client = "c", .took = took});
    const auto histogram = metrics.snapshot().client("c")->call_duration;
    CHECK(histogram.counts == std::vector<std::uint64_t>{3, 2, 2});
    CHECK(histogram.count() == 7);
    const auto bucket = [&](const char* le) {
        return page(metrics).value("breakwater_call_duration_seconds_bucket",
                                   {{"client", "c"}, {"outcome", "success"}, {"le", le}});
    };
    CHECK(bucket("0.001") == 3);
    CHECK(bucket("0.01") == 5);
    CHECK(bucket("+Inf") == 7);
    CHECK(metrics.prometheus_text().find("_sum{client=\"c\",outcome=\"success\"} 86400.022002\n") != std::string::npos);
}

TEST_CASE("quantiles are read from the buckets as Prometheus reads them") {
    const bw::DurationHistogram histogram{.bounds = {100ms, 200ms, 400ms}, .counts = {50, 30, 10, 10}};
    CHECK(histogram.quantile(0) == 0ms);
    CHECK(histogram.quantile(0.25) == 50ms);
    CHECK(histogram.quantile(0.5) == 100ms);
    CHECK(histogram.quantile(0.65) == 150ms);
    CHECK(histogram.quantile(0.9) == 400ms);
    CHECK(histogram.quantile(0.99) == 400ms);  // beyond the last bound nobody knows
    CHECK(histogram.quantile(7) == 400ms);
    CHECK_FALSE(bw::DurationHistogram{.bounds = {1s}, .counts = {0, 0}}.quantile(0.5));
    CHECK(bw::DurationHistogram{.bounds = {1s, 2s, 3s}, .counts = {0, 4, 0, 0}}.quantile(0) == 1s);
    CHECK_FALSE(bw::DurationHistogram{}.quantile(0.5));
}

TEST_CASE("the default buckets are three a decade, from 100 us to 100 s") {
    const auto buckets = bw::default_duration_buckets();
    REQUIRE(buckets.size() == 19);
    CHECK(buckets.front() == 100us);
    CHECK(buckets[1] == 250us);
    CHECK(buckets[2] == 500us);
    CHECK(buckets[3] == 1ms);
    CHECK(buckets[17] == 50s);
    CHECK(buckets.back() == 100s);
}

TEST_CASE("wrong options are refused with their name") {
    const auto refusal = [](bw::MetricsOptions options) {
        const auto made = Metrics::make(std::move(options));
        return made ? std::string{} : std::string{made.error().detail()};
    };
    CHECK(refusal({}).empty());
    CHECK(refusal({.max_names = 0}) == "metrics.max_names: must be 1 to 10000, got 0");
    CHECK(refusal({.max_names = 10'001}) == "metrics.max_names: must be 1 to 10000, got 10001");
    CHECK(refusal({.buckets = {}}) == "metrics.buckets: must be 1 to 100 bounds, got 0");
    CHECK(refusal({.buckets = {1s, 1s}}) == "metrics.buckets: must be ascending, from above 0s, got 1s");
    CHECK(refusal({.buckets = {0s}}) == "metrics.buckets: must be ascending, from above 0s, got 0s");
    CHECK_THROWS_AS((Metrics{{.max_names = 0}}), bw::Exception);
}

TEST_CASE("a count in a known series allocates nothing") {
    const Metrics metrics;
    const bw::Observer observer = metrics;
    const auto events = [&] {
        observer({.kind = EventKind::attempt_started, .client = "a client with a long name"});
        observer({.kind = EventKind::attempt_ended, .client = "a client with a long name", .status = 200, .took = 1ms});
        observer({.kind = EventKind::permit_refused,
                  .client = "a client with a long name",
                  .policy = "a policy with a long name",
                  .code = Errc::rate_limited});
        observer({.kind = EventKind::circuit_opened,
                  .client = "a client with a long name",
                  .policy = "a policy with a long name"});
        observer({.kind = EventKind::call_ended, .client = "a client with a long name", .took = 1ms});
    };
    events();
    const auto allocations = test::allocations_in(events);
    if (test::counts_allocations) CHECK(allocations == 0);
    CHECK(metrics.snapshot().client("a client with a long name")->attempt_duration.count() == 2);
}

TEST_CASE("a thread that ends leaves its place and its counts to the next") {
    const Metrics metrics;
    std::set<unsigned> places;
    for (int i = 0; i < 2'000; ++i) {
        std::jthread{[&] {
            metrics({.kind = EventKind::cache_hit, .client = "c"});
            places.insert(bw::ThreadSlot::of_this_thread());
        }}.join();
    }
    CHECK(places.size() == 1);
    CHECK(page(metrics).value("breakwater_cache_hits_total", {{"client", "c"}}) == 2'000);
}

TEST_CASE("copies share the counts") {
    const Metrics metrics;
    Metrics copy;
    copy = metrics;
    copy({.kind = EventKind::cache_hit, .client = "c"});
    CHECK(page(metrics).sum("breakwater_cache_hits_total") == 1);
}

TEST_CASE("the reader of these tests refuses what is not valid") {
    const std::string head = "# HELP a_total Text.\n# TYPE a_total counter\n";
    CHECK(fault(head + "a_total{l=\"v\"} 1\n").empty());
    CHECK(fault(head + "a_total{l=\"v\"} 1").starts_with("the last line has no end"));
    CHECK(fault("a_total 1\n").starts_with("a sample before its TYPE"));
    CHECK(fault("# TYPE a_total counter\na_total 1\n").starts_with("TYPE without HELP"));
    CHECK(fault(head + "a_total 1\n" + head).starts_with("a family for the second time"));
    CHECK(fault(head + "a_total{l=\"v\"} 1\na_total{l=\"v\"} 1\n").starts_with("a sample for the second time"));
    CHECK(fault(head + "a_total{l=\"v\",l=\"w\"} 1\n").starts_with("a label for the second time"));
    CHECK(fault(head + "b_total 1\n").starts_with("a sample among those of another family"));
    CHECK(fault(head + "a_total{l=\"v\\t\"} 1\n").starts_with("no escape"));
    CHECK(fault(head + "a_total{l=\"\xff\"} 1\n").starts_with("no UTF-8"));
    CHECK(fault(head + "a_total{l=\"v} 1\n").starts_with("a label's value without an end"));
    CHECK(fault(head + "a_total{l=\"v\"} one\n").starts_with("no number"));
    CHECK(fault("# HELP a Text.\n# TYPE a counter\na 1\n").starts_with("counters, and nothing else"));
    CHECK(fault("# HELP a_total Text.\n# TYPE a_total counter\n").starts_with("a family without a sample"));

    const std::string histogram = "# HELP h_seconds Text.\n# TYPE h_seconds histogram\n";
    const std::string buckets = "h_seconds_bucket{le=\"1\"} 2\nh_seconds_bucket{le=\"+Inf\"} 3\n";
    CHECK(fault(histogram + buckets + "h_seconds_sum 4\nh_seconds_count 3\n").empty());
    CHECK(fault(histogram + buckets + "h_seconds_sum 4\nh_seconds_count 4\n").starts_with("_count is not"));
    CHECK(fault(histogram + buckets + "h_seconds_count 3\n").starts_with("no _sum"));
    CHECK(fault(histogram + "h_seconds_bucket{le=\"1\"} 2\nh_seconds_sum 4\nh_seconds_count 2\n")
              .starts_with("no bucket +Inf"));
    CHECK(fault(histogram + "h_seconds_bucket{le=\"1\"} 2\nh_seconds_bucket{le=\"+Inf\"} 1\n")
              .starts_with("a bucket less than"));
    CHECK(fault(histogram + "h_seconds_bucket{le=\"2\"} 2\nh_seconds_bucket{le=\"1\"} 2\n")
              .starts_with("buckets out of order"));
}
