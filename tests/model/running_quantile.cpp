#include <breakwater/attempt_forecast/running_quantile.hpp>
#include <breakwater/random.hpp>

#include <catch_shim.hpp>

#include "seed.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

// The running quantile against the samples themselves, kept in order: with each rank it has to give the sample of that
// rank within the error it promises, also after samples were dropped.

namespace bw = breakwater;
using bw::Duration;

namespace {

class Model {
public:
    void add(std::int64_t took, const bw::RunningQuantile::Rule& rule) {
        while (sorted_.size() >= rule.most) {
            std::vector<std::int64_t> kept;
            for (std::size_t i = 1; i < sorted_.size(); i += 2) kept.push_back(sorted_[i]);
            sorted_ = kept;
        }
        sorted_.insert(std::ranges::lower_bound(sorted_, took), took);
    }
    std::int64_t quantile(const bw::RunningQuantile::Rule& rule) const {
        const std::size_t rank = (sorted_.size() * rule.quantile + 9'999) / 10'000;
        return sorted_[std::max<std::size_t>(rank, 1) - 1];
    }
    std::size_t samples() const { return sorted_.size(); }

private:
    std::vector<std::int64_t> sorted_;
};

}  // namespace

TEST_CASE("a running quantile is within a sixteenth of the sample of its rank, whatever comes") {
    const auto seed = test::seed();
    CAPTURE(seed);
    bw::Random random{seed};
    const auto upto = [&](std::uint64_t most) { return bw::uniform(random(), most); };
    std::int64_t wrong = 0;
    for (int story = 0; story < 150; ++story) {
        bw::RunningQuantile::Rule rule{.quantile = static_cast<std::uint32_t>(1 + upto(9'998)),
                                       .most = static_cast<std::uint32_t>(2 + upto(upto(1) == 0 ? 10 : 600))};
        bw::RunningQuantile quantile;
        Model model;
        std::uint64_t octave = upto(36);
        for (int step = 0; step < 1'500; ++step) {
            if (upto(400) == 0) octave = upto(36);
            if (upto(700) == 0) rule.quantile = static_cast<std::uint32_t>(1 + upto(9'998));
            if (upto(700) == 0) rule.most = static_cast<std::uint32_t>(2 + upto(600));
            const auto took = static_cast<std::int64_t>(upto(std::uint64_t{1} << upto(octave)));
            quantile.add(Duration{took}, rule);
            model.add(took, rule);
            const std::int64_t exact = model.quantile(rule);
            const std::int64_t off = quantile.value().count() - exact;
            wrong += off * 16 > exact || off * 16 < -exact || quantile.samples() != model.samples();
        }
    }
    CHECK(wrong == 0);
}
