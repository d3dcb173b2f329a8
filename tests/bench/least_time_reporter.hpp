#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace breakwater::bench {

/// Prints and keeps the quickest repetition of each benchmark.
///
/// Not the median: what else runs on the machine only ever adds time, often to most of the repetitions.
class LeastTimeReporter : public benchmark::ConsoleReporter {
public:
    LeastTimeReporter() : ConsoleReporter{OO_Tabular} {}

    void ReportRuns(const std::vector<Run>& repetitions) override {
        if (repetitions.front().run_type == Run::RT_Aggregate) return;
        const auto least = std::ranges::min_element(repetitions, {}, &Run::GetAdjustedRealTime);
        ConsoleReporter::ReportRuns({*least});
        times_[least->run_name.str()] = least->GetAdjustedRealTime();
    }

    /// The wall time of one call; of a benchmark with threads, the wall time over the calls of all threads together.
    /// Empty if the benchmark did not run.
    std::optional<double> time(const std::string& benchmark) const {
        const auto found = times_.find(benchmark);
        return found == times_.end() ? std::nullopt : std::optional{found->second};
    }

private:
    std::map<std::string, double> times_;
};

}  // namespace breakwater::bench
