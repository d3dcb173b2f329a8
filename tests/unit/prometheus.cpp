// The metrics as prometheus-cpp exposes them.
#include <breakwater/observe/prometheus.hpp>

#include <catch_shim.hpp>
#include <unit/prometheus_page.hpp>

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::EventKind;
using test::PrometheusPage;

namespace {

bw::Metrics some_metrics() {
    bw::Metrics metrics;
    for (int i = 1; i <= 50; ++i) {
        const std::string_view client = i % 3 == 0 ? "supplier" : "ledger \"main\" \\";
        metrics({.kind = EventKind::attempt_started, .client = client});
        metrics({.kind = EventKind::call_ended, .client = client, .took = i * i * 7ms, .source = bw::Source::cache});
        metrics({.kind = EventKind::retry_scheduled, .client = client, .status = 503, .delay = bw::Duration{i * 333}});
    }
    metrics({.kind = EventKind::circuit_opened, .client = "supplier", .policy = "supplier"});
    metrics({.kind = EventKind::limit_changed, .client = "supplier", .policy = "supplier", .limit = 12});
    return metrics;
}

std::string exposed(const std::vector<prometheus::MetricFamily>& families) {
    return prometheus::TextSerializer{}.Serialize(families);
}

}  // namespace

TEST_CASE("prometheus-cpp exposes the same families with the same numbers as our own page") {
    const bw::Metrics metrics = some_metrics();
    const auto collectable = bw::prometheus_collectable(metrics);
    const PrometheusPage ours{metrics.prometheus_text()};
    const PrometheusPage theirs{exposed(collectable->Collect())};
    CHECK(ours.samples().size() > 50);
    CHECK(theirs.samples() == ours.samples());
    CHECK(theirs.types() == ours.types());
}

TEST_CASE("each collection sees what was counted meanwhile") {
    const bw::Metrics metrics;
    const auto collectable = bw::prometheus_collectable(metrics);
    CHECK(collectable->Collect().empty());
    metrics({.kind = EventKind::cache_hit, .client = "supplier"});
    REQUIRE(collectable->Collect().size() == 1);
    CHECK(collectable->Collect()[0].metric.at(0).counter.value == 1);
}
