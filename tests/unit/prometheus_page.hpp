#pragma once

/// A strict reader of Prometheus's text format, version 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/), with what its linter asks of names.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace test {

/// A page that was found to be valid: its samples by name and sorted labels, as `name{a="b",c="d"}`, values unescaped.
class PrometheusPage {
public:
    using Labels = std::map<std::string, std::string>;

    /// Throws with a sentence about the first line that is wrong.
    explicit PrometheusPage(std::string_view text) {
        if (!text.empty() && text.back() != '\n') wrong("the last line has no end", text);
        while (!text.empty()) {
            const std::size_t end = text.find('\n');
            line(text.substr(0, end));
            text.remove_prefix(end + 1);
        }
        end_family();
    }

    /// The sample of this name and these labels; empty if there is none.
    std::optional<double> value(const std::string& name, const Labels& labels) const {
        const auto found = samples_.find(series(name, labels));
        return found == samples_.end() ? std::nullopt : std::optional{found->second};
    }
    /// All samples of a name added up, of those that have these labels.
    double sum(const std::string& name, const Labels& labels = {}) const {
        double sum = 0;
        for (const Sample& sample : all_) {
            const bool has_all = std::ranges::all_of(labels, [&](const auto& label) {
                const auto found = sample.labels.find(label.first);
                return found != sample.labels.end() && found->second == label.second;
            });
            if (sample.name == name && has_all) sum += sample.value;
        }
        return sum;
    }
    const std::map<std::string, double>& samples() const noexcept { return samples_; }
    const std::map<std::string, std::string>& types() const noexcept { return types_; }

private:
    struct Histogram {
        double last_bound = -std::numeric_limits<double>::infinity();
        double so_far = 0;
        std::optional<double> count{};
        bool has_sum = false;
    };

    [[noreturn]] static void wrong(const std::string& what, std::string_view where) {
        throw std::runtime_error{what + ": " + std::string{where}};
    }
    static void check(bool good, const std::string& what, std::string_view where) {
        if (!good) wrong(what, where);
    }
    static bool is_name(std::string_view text) {
        const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
        return !text.empty() && is_letter(text.front()) &&
               std::ranges::all_of(text, [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
    }
    static double number(std::string_view text) {
        if (text == "+Inf") return std::numeric_limits<double>::infinity();
        double value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        check(error == std::errc{} && end == text.data() + text.size() && std::isfinite(value), "no number", text);
        return value;
    }
    static std::string series(const std::string& name, const Labels& labels) {
        std::string text = name + "{";
        for (const auto& [label, value] : labels) text.append(label).append("=\"").append(value).append("\",");
        return text + "}";
    }

    void line(std::string_view text) {
        check(!text.empty(), "an empty line", text);
        if (text.starts_with("# HELP ")) return help(text);
        if (text.starts_with("# TYPE ")) return type(text);
        check(text.front() != '#', "a comment of no meaning", text);
        sample(text);
    }
    void help(std::string_view text) {
        end_family();
        const std::string_view rest = text.substr(7);
        const std::size_t space = rest.find(' ');
        check(space != std::string_view::npos && space + 1 < rest.size(), "HELP without a text", text);
        family_ = rest.substr(0, space);
        check(is_name(family_), "no name of a metric", text);
        check(families_.insert(family_).second, "a family for the second time", text);
    }
    void type(std::string_view text) {
        const std::string_view rest = text.substr(7);
        const std::size_t space = rest.find(' ');
        check(space != std::string_view::npos && rest.substr(0, space) == family_, "TYPE without HELP before it", text);
        type_ = rest.substr(space + 1);
        check(type_ == "counter" || type_ == "gauge" || type_ == "histogram", "an unknown type", text);
        check(types_.emplace(family_, type_).second, "a type for the second time", text);
        const bool is_total = family_.ends_with("_total");
        check(is_total == (type_ == "counter"), "counters, and nothing else, end in _total", text);
        check(type_ != "histogram" || family_.ends_with("_seconds"), "a histogram without its unit", text);
    }

    void sample(std::string_view text) {
        check(!type_.empty(), "a sample before its TYPE", text);
        const std::size_t name_end = text.find_first_of("{ ");
        check(name_end != std::string_view::npos, "a sample without a value", text);
        const std::string name{text.substr(0, name_end)};
        std::string_view rest = text.substr(name_end);
        Labels labels;
        if (rest.front() == '{') labels = take_labels(rest, text);
        check(rest.starts_with(" "), "no space before the value", text);
        const double value = number(rest.substr(1));
        check(value >= 0, "a negative count", text);
        check(samples_.emplace(series(name, labels), value).second, "a sample for the second time", text);
        all_.push_back({name, labels, value});
        if (type_ == "histogram")
            part_of_histogram(name, labels, value, text);
        else
            check(name == family_, "a sample among those of another family", text);
        ++samples_of_family_;
    }
    static Labels take_labels(std::string_view& rest, std::string_view text) {
        Labels labels;
        rest.remove_prefix(1);
        while (!rest.starts_with("}")) {
            check(labels.empty() || rest.starts_with(","), "no comma between labels", text);
            if (!labels.empty()) rest.remove_prefix(1);
            const std::size_t equals = rest.find("=\"");
            check(equals != std::string_view::npos && is_name(rest.substr(0, equals)), "no label", text);
            std::string name{rest.substr(0, equals)};
            check(!name.starts_with("__"), "a reserved label", text);
            rest.remove_prefix(equals + 2);
            check(labels.emplace(std::move(name), take_value(rest, text)).second, "a label for the second time", text);
        }
        rest.remove_prefix(1);
        return labels;
    }
    static std::string take_value(std::string_view& rest, std::string_view text) {
        std::string value;
        for (;; rest.remove_prefix(1)) {
            check(!rest.empty(), "a label's value without an end", text);
            char c = rest.front();
            if (c == '"') break;
            check(static_cast<unsigned char>(c) >= 0x20, "a control character", text);
            if (c == '\\') {
                rest.remove_prefix(1);
                check(rest.starts_with("\\") || rest.starts_with("\"") || rest.starts_with("n"), "no escape", text);
                c = rest.front() == 'n' ? '\n' : rest.front();
            }
            value += c;
        }
        rest.remove_prefix(1);
        check_utf8(value, text);
        return value;
    }
    static void check_utf8(std::string_view value, std::string_view text) {
        std::size_t following = 0;
        for (const char c : value) {
            const auto byte = static_cast<unsigned char>(c);
            const bool follows = (byte & 0xc0U) == 0x80;
            check(follows == (following > 0), "no UTF-8", text);
            following = follows ? following - 1 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc0 ? 1 : 0;
        }
        check(following == 0, "no UTF-8", text);
    }

    void part_of_histogram(const std::string& name, Labels labels, double value, std::string_view text) {
        if (name == family_ + "_bucket") {
            const auto le = labels.find("le");
            check(le != labels.end(), "a bucket without le", text);
            const double bound = number(le->second);
            labels.erase(le);
            Histogram& histogram = histograms_[series("", labels)];
            check(bound > histogram.last_bound, "buckets out of order", text);
            check(value >= histogram.so_far, "a bucket less than the one before", text);
            histogram.last_bound = bound;
            histogram.so_far = value;
            return;
        }
        Histogram& histogram = histograms_[series("", labels)];
        if (name == family_ + "_sum")
            histogram.has_sum = true;
        else if (name == family_ + "_count")
            histogram.count = value;
        else
            wrong("a sample among those of another family", text);
    }
    void end_family() {
        check(family_.empty() || samples_of_family_ > 0, "a family without a sample", family_);
        for (const auto& [labels, histogram] : histograms_) {
            check(std::isinf(histogram.last_bound), "no bucket +Inf", family_ + labels);
            check(histogram.count == histogram.so_far, "_count is not the bucket +Inf", family_ + labels);
            check(histogram.has_sum, "no _sum", family_ + labels);
        }
        histograms_.clear();
        type_.clear();
        samples_of_family_ = 0;
    }

    struct Sample {
        std::string name;
        Labels labels;
        double value;
    };

    std::string family_;
    std::string type_;
    std::size_t samples_of_family_ = 0;
    std::set<std::string> families_;
    std::map<std::string, Histogram> histograms_;  // of the family, by their labels but for le
    std::map<std::string, std::string> types_;
    std::map<std::string, double> samples_;
    std::vector<Sample> all_;
};

}  // namespace test
