#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

namespace crawl {

/// How many calls took how long. The rows' bounds grow by about a half each.
class Histogram {
public:
    using Milliseconds = std::chrono::duration<double, std::milli>;

    void add(Milliseconds took) {
        const auto row = std::ranges::lower_bound(bounds, took.count());
        ++counts_[static_cast<std::size_t>(row - bounds.begin())];
        all_.push_back(took.count());
    }

    /// A bar for each row from the first to the last with calls, at most 50 wide; then some percentiles.
    std::string text() {
        std::ostringstream out;
        const auto is_used = [](std::size_t count) { return count > 0; };
        const auto first = std::ranges::find_if(counts_, is_used) - counts_.begin();
        const std::size_t most = std::max<std::size_t>(1, std::ranges::max(counts_));
        auto last = static_cast<std::ptrdiff_t>(counts_.size());
        while (last > first && counts_[static_cast<std::size_t>(last - 1)] == 0) --last;
        for (auto row = static_cast<std::size_t>(first); row < static_cast<std::size_t>(last); ++row) {
            const std::size_t count = counts_[row];
            const std::size_t wide = (count * 50 + most - 1) / most;  // a single call shows
            const bool is_beyond = row == bounds.size();
            out << (is_beyond ? "     > " : "    <= ") << std::setw(5) << (is_beyond ? bounds.back() : bounds[row])
                << " ms " << std::setw(7) << count << (wide > 0 ? "  " : "") << std::string(wide, '#') << '\n';
        }
        std::ranges::sort(all_);
        out << "    half within " << percentile(0.5) << " ms, 99 % within " << percentile(0.99) << " ms, all within "
            << percentile(1) << " ms\n";
        return out.str();
    }

private:
    long percentile(double share) const {
        if (all_.empty()) return 0;
        const auto index = static_cast<std::size_t>(share * static_cast<double>(all_.size() - 1));
        return static_cast<long>(all_[index]) + 1;
    }

    static constexpr std::array<int, 15> bounds{20,  25,  30,  35,  40,    45,    50,   70,
                                                100, 150, 250, 500, 1'000, 2'000, 4'000};
    std::array<std::size_t, bounds.size() + 1> counts_{};
    std::vector<double> all_;
};

}  // namespace crawl
