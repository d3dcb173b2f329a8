#include <breakwater/circuit_breaker/stragglers.hpp>
#include <breakwater/random.hpp>

#include <catch_shim.hpp>

#include "seed.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

// The calls under way, counted in slices, against a list of them.

namespace bw = breakwater;

TEST_CASE("calls under way are overdue at their limit at the earliest and an eighth of it later at the latest") {
    const std::uint64_t seed = test::seed();
    bw::Random random{seed};
    const auto upto = [&](std::int64_t bound) {
        return static_cast<std::int64_t>(bw::uniform(random(), static_cast<std::uint64_t>(bound)));
    };
    for (int run = 0; run < 500; ++run) {
        const bw::Duration limit{1'000 + upto(upto(1) == 0 ? 5'000 : 60'000'000)};
        const bw::Duration eighth{limit / 8 + bw::Duration{1}};  // rounded up
        bw::Stragglers stragglers;
        std::vector<bw::Instant> under_way;
        bw::Instant now{bw::Duration{upto(std::int64_t{1} << 50)}};
        int wrong = -1;
        for (int step = 0; step < 300 && wrong < 0; ++step) {
            now += bw::Duration{upto(upto(9) == 0 ? 3 * limit.count() : limit.count() / 8)};
            if (upto(1) == 0) {
                under_way.push_back(stragglers.begin(limit, now));
            } else if (!under_way.empty()) {
                const auto ended = under_way.begin() + upto(std::ssize(under_way) - 1);
                stragglers.end(limit, *ended);
                under_way.erase(ended);
            }
            const auto older_than = [&](bw::Duration age) {
                return std::ranges::count_if(under_way, [&](bw::Instant began) { return now - began >= age; });
            };
            const std::int64_t overdue = stragglers.overdue(limit, now);
            if (overdue > older_than(limit) || overdue < older_than(limit + eighth)) wrong = step;
        }
        CAPTURE(seed, run, limit.count());
        REQUIRE(wrong == -1);
    }
}

TEST_CASE("a clock set back loses count of calls under way, and never makes one overdue that is not") {
    using namespace std::chrono_literals;
    bw::Stragglers stragglers;
    const bw::Instant late{10h};
    const bw::Instant began = stragglers.begin(1s, late);
    const bw::Instant early{1h};
    CHECK(stragglers.overdue(1s, early) == 0);
    (void)stragglers.begin(1s, early);
    stragglers.end(1s, began);
    CHECK(stragglers.overdue(1s, early + 999ms) == 0);
    CHECK(stragglers.overdue(1s, early + 1125ms) == 1);

    const bw::Instant again = stragglers.begin(1s, early + 1s);  // set back a little: filed in the newest slice
    CHECK(again >= early + 1s);
    stragglers.end(1s, again);
    CHECK(stragglers.overdue(1s, early + 20s) == 1);
}
