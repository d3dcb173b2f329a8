#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/random.hpp>
#include <catch_shim.hpp>

#include "seed.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

// The windows against models that keep every outcome and count anew each time.

namespace bw = breakwater;
using bw::WindowCounts;

namespace {

class WindowDice {
public:
    explicit WindowDice(std::uint64_t seed) : random_{seed} {}
    std::uint64_t upto(std::uint64_t bound) { return bw::uniform(random_(), bound); }
    bool once_in(std::uint64_t n) { return upto(n - 1) == 0; }

    /// Mostly single outcomes, as in a process; batches as from others.
    bw::Tally tally() {
        if (!once_in(4)) return tally_of(once_in(3) ? bw::Outcome::failure : bw::Outcome::success);
        const std::uint64_t most = once_in(10) ? 200 : 5;
        bw::Tally tally{.successes = static_cast<std::uint32_t>(upto(most)),
                        .failures = static_cast<std::uint32_t>(upto(most))};
        tally.tail = tally.successes == 0 ? tally.failures : static_cast<std::uint32_t>(upto(tally.failures));
        return tally;
    }

private:
    bw::Random random_;
};

struct CountModel {
    std::size_t size;
    std::deque<bool> failed;

    void add(const bw::Tally& tally) {
        failed.insert(failed.end(), tally.successes, false);
        failed.insert(failed.end(), tally.failures, true);
        while (failed.size() > size) failed.pop_front();
    }
    WindowCounts counts() const {
        return {failed.size(), static_cast<std::uint64_t>(std::ranges::count(failed, true))};
    }
};

/// Keeps each outcome with the number of the slice it was filed in.
struct TimeModel {
    std::int64_t slice;
    std::int64_t buckets;
    std::int64_t current = -1;  // the latest slice seen
    struct Filed {
        std::int64_t slice;
        WindowCounts counts;
    };
    std::vector<Filed> filed;

    std::int64_t slice_of(bw::Instant t) const { return t.time_since_epoch().count() / slice; }

    void add(const bw::Tally& tally, bw::Instant now) {
        const std::int64_t end = (current + 1) * slice;
        if (end - now.time_since_epoch().count() > slice * (buckets + 1)) {  // set back by more than the window
            const std::int64_t shift = current - slice_of(now);
            for (Filed& entry : filed) entry.slice -= shift;
            current -= shift;
        }
        current = std::max(current, slice_of(now));
        filed.push_back({current, {std::uint64_t{tally.successes} + tally.failures, tally.failures}});
        std::erase_if(filed, [&](const Filed& entry) { return entry.slice <= current - buckets; });
    }
    WindowCounts counts(bw::Instant now) const {
        const std::int64_t latest = std::max(current, slice_of(now));
        WindowCounts sum;
        for (const Filed& entry : filed) {
            if (entry.slice <= latest - buckets) continue;
            sum.calls += entry.counts.calls;
            sum.failures += entry.counts.failures;
        }
        return sum;
    }
};

}  // namespace

TEST_CASE("a count window holds exactly what a list of the last outcomes holds") {
    const std::uint64_t seed = test::seed();
    WindowDice dice{seed};
    for (int run = 0; run < 300; ++run) {
        const auto size = static_cast<std::uint32_t>(1 + dice.upto(dice.once_in(5) ? 300 : 12));
        bw::CountRing ring{{.size = size}};
        CountModel model{size, {}};
        int differs = -1;
        for (int step = 0; step < 300 && differs < 0; ++step) {
            if (dice.once_in(100)) {
                ring.clear();
                model.failed.clear();
            }
            const bw::Tally tally = dice.tally();
            ring.add(tally);
            model.add(tally);
            const WindowCounts counts = model.counts();
            const bool settled = counts == WindowCounts{size, 0};
            if (ring.counts() != counts || ring.is_settled() != settled) differs = step;
        }
        CAPTURE(seed, run, size);
        REQUIRE(differs == -1);
    }
}

TEST_CASE("a time window holds exactly the outcomes of its slices, however unevenly the clock goes") {
    const std::uint64_t seed = test::seed();
    WindowDice dice{seed};
    for (int run = 0; run < 500; ++run) {
        const auto buckets = static_cast<std::uint32_t>(1 + dice.upto(dice.once_in(5) ? 99 : 11));
        const auto length = static_cast<std::int64_t>(1'000 + dice.upto(dice.once_in(2) ? 20'000 : 20'000'000));
        const bw::TimeWindow window{.duration = bw::Duration{length}, .buckets = buckets};
        bw::TimeRing ring{window};
        TimeModel model{length / buckets, buckets, -1, {}};
        bw::Instant now{bw::Duration{static_cast<std::int64_t>(dice.upto(std::uint64_t{1} << 50))}};
        int differs = -1;
        for (int step = 0; step < 300 && differs < 0; ++step) {
            const std::int64_t most = dice.once_in(20) ? 4 * length : dice.once_in(2) ? model.slice : 3;
            const auto jump = static_cast<std::int64_t>(dice.upto(static_cast<std::uint64_t>(most)));
            now += bw::Duration{dice.once_in(6) ? -jump : jump};
            now = std::max(now, bw::Instant{});
            if (dice.once_in(100)) {
                ring.clear();
                model.filed.clear();
            }
            if (!dice.once_in(3)) {
                const bw::Tally tally = dice.tally();
                ring.add(tally, now);
                model.add(tally, now);
            }
            const bw::Instant later = now + bw::Duration{static_cast<std::int64_t>(dice.upto(2 * 20'000))};
            if (ring.counts(now) != model.counts(now) || ring.counts(later) != model.counts(later)) differs = step;
        }
        CAPTURE(seed, run, length, buckets);
        REQUIRE(differs == -1);
    }
}
