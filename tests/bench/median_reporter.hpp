#pragma once

#include <benchmark/benchmark.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace breakwater::bench {

/// Prints and keeps the median over the repetitions of each benchmark.
class MedianReporter : public benchmark::ConsoleReporter {
public:
    MedianReporter() : ConsoleReporter{OO_Tabular} {}

    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs) {
            if (run.aggregate_name != "median") continue;
            ConsoleReporter::ReportRuns({run});
            times_[run.run_name.str()] = run.GetAdjustedRealTime();
        }
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
