#pragma once

#include <breakwater/observe/metrics.hpp>

#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace breakwater {

namespace detail {

class PrometheusCollectable final : public ::prometheus::Collectable {
public:
    explicit PrometheusCollectable(Metrics metrics) : metrics_{std::move(metrics)} {}

    std::vector<::prometheus::MetricFamily> Collect() const override {
        std::vector<::prometheus::MetricFamily> families;
        for (const MetricFamily& from : metrics_.collect()) {
            ::prometheus::MetricFamily& family = families.emplace_back();
            family.name = from.name;
            family.help = from.help;
            family.type = type_of(from.type);
            for (const MetricSample& sample : from.samples) family.metric.push_back(metric_of(from.type, sample));
        }
        return families;
    }

private:
    static ::prometheus::MetricType type_of(MetricType type) {
        switch (type) {
            case MetricType::counter: return ::prometheus::MetricType::Counter;
            case MetricType::gauge: return ::prometheus::MetricType::Gauge;
            case MetricType::histogram: return ::prometheus::MetricType::Histogram;
        }
        return ::prometheus::MetricType::Untyped;
    }
    static ::prometheus::ClientMetric metric_of(MetricType type, const MetricSample& sample) {
        ::prometheus::ClientMetric metric;
        for (const auto& [name, value] : sample.labels) metric.label.push_back({std::string{name}, value});
        switch (type) {
            case MetricType::counter: metric.counter.value = static_cast<double>(sample.value); break;
            case MetricType::gauge: metric.gauge.value = static_cast<double>(sample.value); break;
            case MetricType::histogram: metric.histogram = histogram_of(sample.histogram); break;
        }
        return metric;
    }
    static ::prometheus::ClientMetric::Histogram histogram_of(const DurationHistogram& seen) {
        ::prometheus::ClientMetric::Histogram histogram;
        for (std::size_t i = 0; i < seen.counts.size(); ++i) {
            histogram.sample_count += seen.counts[i];
            const double bound =
                i < seen.bounds.size() ? seconds(seen.bounds[i]) : std::numeric_limits<double>::infinity();
            histogram.bucket.push_back({histogram.sample_count, bound});
        }
        histogram.sample_sum = seconds(seen.sum);
        return histogram;
    }
    static double seconds(Duration duration) { return std::chrono::duration<double>{duration}.count(); }

    Metrics metrics_;
};

}  // namespace detail

/// Gives prometheus-cpp what `metrics` has counted, each time it collects:
///
///     prometheus::Exposer exposer{"127.0.0.1:9464"};
///     auto collectable = bw::prometheus_collectable(metrics);  // to be kept: the exposer does not
///     exposer.RegisterCollectable(collectable);
///
/// Thread-safe.
inline std::shared_ptr<::prometheus::Collectable> prometheus_collectable(Metrics metrics) {
    return std::make_shared<detail::PrometheusCollectable>(std::move(metrics));
}

}  // namespace breakwater
