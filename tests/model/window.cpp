#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/random.hpp>
#include <catch_shim.hpp>

#include "seed.hpp"

#include <algorithm>
#include <cmath>
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
    /// One whose calls were timed.
    bw::Tally timed_tally() {
        bw::Tally timed = tally();
        if (once_in(2)) timed.slow = static_cast<std::uint32_t>(upto(std::uint64_t{timed.successes} + timed.failures));
        return timed;
    }

private:
    bw::Random random_;
};

struct Call {
    bool failed = false;
    bool slow = false;
};

/// The calls of a tally in their order: successes, then failures, of each the slow ones last.
std::vector<Call> calls_of(const bw::Tally& tally) {
    std::vector<Call> calls(tally.successes);
    calls.resize(calls.size() + tally.failures, Call{.failed = true});
    std::uint32_t slow = tally.slow;
    for (std::uint32_t i = tally.successes; i > 0 && slow > 0; --i, --slow) calls[i - 1].slow = true;
    for (std::size_t i = calls.size(); i > tally.successes && slow > 0; --i, --slow) calls[i - 1].slow = true;
    return calls;
}

WindowCounts counts_of(const auto& calls) {
    WindowCounts counts;
    for (const Call& call : calls) {
        ++counts.calls;
        counts.failures += call.failed;
        counts.slow += call.slow;
        counts.slow_successes += call.slow && !call.failed;
    }
    return counts;
}

struct CountModel {
    std::size_t size;
    bool timed;
    std::deque<Call> kept{};

    void add(bw::Tally tally) {
        const double whole = static_cast<double>(tally.successes) + static_cast<double>(tally.failures);
        if (const auto held = static_cast<double>(size); whole > held) {  // as many of each as there were in so many
            const auto part = [&](std::uint32_t n) {
                return static_cast<std::uint32_t>(std::floor(std::min<double>(n, whole) * held / whole + 0.5));
            };
            tally = {.successes = static_cast<std::uint32_t>(size) - part(tally.failures),
                     .failures = part(tally.failures),
                     .slow = part(tally.slow)};
        }
        for (const Call& call : calls_of(tally)) {
            kept.push_back({call.failed, timed && call.slow});
            if (kept.size() > size) kept.pop_front();
        }
    }
    WindowCounts counts() const { return counts_of(kept); }
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
        filed.push_back({current, counts_of(calls_of(tally))});
        std::erase_if(filed, [&](const Filed& entry) { return entry.slice <= current - buckets; });
    }
    WindowCounts counts(bw::Instant now) const {
        const std::int64_t latest = std::max(current, slice_of(now));
        WindowCounts sum;
        for (const Filed& entry : filed) {
            if (entry.slice <= latest - buckets) continue;
            sum.calls += entry.counts.calls;
            sum.failures += entry.counts.failures;
            sum.slow += entry.counts.slow;
            sum.slow_successes += entry.counts.slow_successes;
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
        const bool timed = dice.once_in(2);
        bw::CountRing ring{{.size = size}, timed ? bw::Remember::failures_and_slow : bw::Remember::failures};
        CountModel model{size, timed};
        int differs = -1;
        for (int step = 0; step < 300 && differs < 0; ++step) {
            if (dice.once_in(100)) {
                ring.clear();
                model.kept.clear();
            }
            const bw::Tally tally = dice.timed_tally();
            ring.add(tally);
            model.add(tally);
            const WindowCounts counts = model.counts();
            const bool settled = counts == WindowCounts{size, 0} && !timed;
            if (ring.counts() != counts || ring.is_settled() != settled) differs = step;
        }
        CAPTURE(seed, run, size, timed);
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
                const bw::Tally tally = dice.timed_tally();
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
