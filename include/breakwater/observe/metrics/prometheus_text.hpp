#pragma once

#include <breakwater/observe/metrics/collect.hpp>
#include <breakwater/observe/metrics/duration_histogram.hpp>
#include <breakwater/observe/metrics/family.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace breakwater {

namespace detail {

/// Exactly: "0.0025", "30".
inline std::string seconds_text(Duration duration) {
    std::string text = std::to_string(duration.count() / 1'000'000);
    if (const auto rest = duration.count() % 1'000'000; rest != 0) {
        text += '.' + std::to_string(1'000'000 + rest).substr(1);
        text.erase(text.find_last_not_of('0') + 1);
    }
    return text;
}

/// Families as lines of Prometheus's text format.
class PrometheusLines {
public:
    explicit PrometheusLines(const std::vector<MetricFamily>& families) {
        for (const MetricFamily& family : families) add(family);
    }
    std::string text() && { return std::move(text_); }

private:
    void add(const MetricFamily& family) {
        text_.append("# HELP ").append(family.name).append(" ").append(family.help).append("\n# TYPE ");
        text_.append(family.name).append(" ").append(to_string(family.type)).append("\n");
        for (const MetricSample& sample : family.samples) {
            const std::string labels = labels_text(sample);
            if (family.type == MetricType::histogram)
                add(family.name, labels, sample.histogram);
            else
                add(family.name, "", labels, std::to_string(sample.value));
        }
    }
    void add(std::string_view name, const std::string& labels, const DurationHistogram& seen) {
        std::uint64_t so_far = 0;
        for (std::size_t i = 0; i < seen.counts.size(); ++i) {
            so_far += seen.counts[i];
            std::string bucket = labels;
            bucket += labels.empty() ? "le=\"" : ",le=\"";
            bucket.append(i < seen.bounds.size() ? seconds_text(seen.bounds[i]) : "+Inf").append("\"");
            add(name, "_bucket", bucket, std::to_string(so_far));
        }
        add(name, "_sum", labels, seconds_text(seen.sum));
        add(name, "_count", labels, std::to_string(so_far));
    }
    void add(std::string_view name, std::string_view suffix, const std::string& labels, const std::string& value) {
        text_.append(name).append(suffix);
        if (!labels.empty()) text_.append("{").append(labels).append("}");
        text_.append(" ").append(value).append("\n");
    }

    static std::string labels_text(const MetricSample& sample) {
        std::string text;
        for (const auto& [name, value] : sample.labels) {
            if (!text.empty()) text += ',';
            text.append(name).append("=\"");
            for (const char c : value) {
                if (c == '"' || c == '\\') text += '\\';
                text += c;  // there is no line end in it
            }
            text += '"';
        }
        return text;
    }

    std::string text_;
};

}  // namespace detail

/// The families as a page in Prometheus's text format, version 0.0.4.
inline std::string prometheus_text(const std::vector<MetricFamily>& families) {
    return detail::PrometheusLines{families}.text();
}

}  // namespace breakwater
