#pragma once

#include <breakwater/events.hpp>
#include <breakwater/observe/metrics/collect.hpp>
#include <breakwater/observe/metrics/options.hpp>
#include <breakwater/observe/metrics/prometheus_text.hpp>
#include <breakwater/observe/metrics/record.hpp>
#include <breakwater/observe/metrics/registry.hpp>
#include <breakwater/observe/metrics/snapshot.hpp>
#include <breakwater/result.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace breakwater {

/// Counts what clients, pipelines and stores do, for Prometheus and for dashboards. It is an observer:
///
///     bw::Metrics metrics;
///     bw::ResilientClient client{{.name = "supplier", .base_url = url, .observer = metrics}};
///     bw::Pipeline guard{bw::Observe{metrics, "ledger"}, bw::Retry{}, breaker};
///     reply(metrics.prometheus_text(), metrics.content_type);  // to GET /metrics
///
/// Series carry the names of the client and the policy, and how things ended: `breakwater_calls_total{client, outcome,
/// source}`. Nothing that grows with the traffic (a key, a tag, a target) becomes a label but the name of a keyed
/// policy, and names are bounded: see `MetricsOptions`.
///
/// A handle: copies share the counts. Thread-safe. To count takes no lock, and allocates only for what is new. (A
/// template, so that only a source that counts pays for it.)
template <class Registry>
class BasicMetrics {
public:
    using Options = MetricsOptions;

    /// What a page is served as.
    static constexpr const char* content_type = "text/plain; version=0.0.4; charset=utf-8";

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit BasicMetrics(Options options = {}) : registry_{build(std::move(options))} {}

    /// As the constructor, without throwing.
    static Result<BasicMetrics> make(Options options) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return BasicMetrics{std::move(options)};
    }

    /// Counts what the event tells.
    void operator()(const Event& event) const { detail::MetricsRecorder{*registry_, event}.record(); }

    /// All that was counted as a page in Prometheus's text format, version 0.0.4. Takes a lock for which new series
    /// wait, and nothing else.
    std::string prometheus_text() const { return breakwater::prometheus_text(collect()); }

    /// The same by families, for an exporter of one's own.
    std::vector<MetricFamily> collect() const { return breakwater::collect(*registry_); }

    /// The same by clients, for a dashboard.
    MetricsSnapshot snapshot() const { return detail::MetricsSummary{*registry_}.snapshot(); }

private:
    static std::shared_ptr<Registry> build(Options options) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        return std::make_shared<Registry>(std::move(options));
    }

    std::shared_ptr<Registry> registry_;
};

using Metrics = BasicMetrics<MetricsRegistry>;

}  // namespace breakwater
