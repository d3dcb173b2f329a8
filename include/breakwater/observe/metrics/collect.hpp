#pragma once

#include <breakwater/observe/metrics/duration_histogram.hpp>
#include <breakwater/observe/metrics/family.hpp>
#include <breakwater/observe/metrics/registry.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace breakwater {

/// One series of a family, as it is now.
struct MetricSample {
    std::vector<std::pair<std::string_view, std::string>> labels{};  ///< Name and value.
    std::int64_t value = 0;                                          ///< Of a counter or gauge.
    DurationHistogram histogram{};                                   ///< Of a histogram.
};

/// A family, as it is now. The views are of static storage.
struct MetricFamily {
    std::string_view name{};
    std::string_view help{};
    MetricType type{};
    std::vector<MetricSample> samples{};
};

namespace detail {

template <class Subject, class Key>
std::vector<std::pair<std::string_view, std::string>> labels_of(const Subject& subject, const Key& key) {
    const MetricInfo& info = info_of(key.metric);
    std::vector<std::pair<std::string_view, std::string>> labels;
    const bool of_client = info.names == MetricNames::client || info.names == MetricNames::client_and_policy;
    if (of_client) labels.emplace_back("client", subject.client());
    if (info.names == MetricNames::client_and_policy) labels.emplace_back("policy", subject.policy());
    if (info.names == MetricNames::store) labels.emplace_back("store", subject.policy());
    const unsigned values[] = {key.first, key.second};
    for (std::size_t i = 0; i < info.labels.size(); ++i)
        if (!info.labels[i].name.empty()) labels.emplace_back(info.labels[i].name, info.labels[i].text(values[i]));
    return labels;
}

}  // namespace detail

/// All families that have series, in the order of `Metric`; a family's series in the order of their labels.
template <class Registry>
std::vector<MetricFamily> collect(const Registry& registry) {
    struct Row {
        const typename Registry::Subject* subject;
        const typename Registry::Series* series;
        auto order() const noexcept { return std::tie(subject->client(), subject->policy(), series->key()); }
    };
    std::vector<std::vector<Row>> rows(metric_count);
    registry.for_each([&](const auto& subject, const auto& series) {
        rows[static_cast<std::size_t>(series.key().metric)].push_back({&subject, &series});
    });

    std::vector<MetricFamily> families;
    for (std::size_t i = 0; i < metric_count; ++i) {
        const auto metric = static_cast<Metric>(i);
        const MetricInfo& info = info_of(metric);
        MetricFamily family{.name = info.name, .help = info.help, .type = info.type};
        std::sort(rows[i].begin(), rows[i].end(), [](const Row& a, const Row& b) { return a.order() < b.order(); });
        for (const auto& [subject, series] : rows[i]) {
            const auto add = [&](const typename Registry::Key& key, std::int64_t value) {
                family.samples.push_back({.labels = detail::labels_of(*subject, key), .value = value});
            };
            switch (metric) {
                case Metric::circuit_state:
                    if (const auto now = registry.value_at_of(*series)) {
                        for (unsigned state = 0; state < detail::circuit_reset; ++state)
                            add({.metric = metric, .first = state}, state == *now ? 1 : 0);
                    }
                    break;
                case Metric::store_up:
                    if (const auto up = registry.value_at_of(*series)) add(series->key(), *up);
                    break;
                case Metric::concurrency_limit:
                    if (const auto limit = registry.value_of(*series)) add(series->key(), *limit);
                    break;
                case Metric::attempts_in_flight:
                    add(series->key(), detail::in_flight(registry.count_of(*series)));
                    break;
                default:
                    add(series->key(), 0);
                    if (info.type == MetricType::histogram)
                        family.samples.back().histogram = registry.histogram_of(*series);
                    else
                        family.samples.back().value = static_cast<std::int64_t>(registry.count_of(*series));
            }
        }
        if (!family.samples.empty()) families.push_back(std::move(family));  // a gauge may not be set yet
    }
    return families;
}

}  // namespace breakwater
