// The breaker's windows against lists that keep every outcome and count anew, under any clock.
#include "input.hpp"

#include <breakwater/circuit_breaker/window.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>

namespace bw = breakwater;
using bw::WindowCounts;

namespace {

bw::Tally take_tally(fuzz::Input& input) {
    const auto kind = input.take<std::uint8_t>();
    bw::Tally tally{.successes = kind & 3U, .failures = (kind >> 2) & 3U};
    if ((kind & 0xf0U) == 0xf0U) tally.successes = input.take<std::uint16_t>();
    if ((kind & 0xf0U) == 0xe0U) tally.failures = input.take<std::uint16_t>();
    tally.slow = input.take_in<std::uint32_t>(0, tally.successes + tally.failures);
    tally.tail = tally.failures;
    return tally;
}

/// As many of each as there were in so many calls, if there were more.
bw::Tally in_proportion(const bw::Tally& tally, std::uint32_t size) {
    const double whole = static_cast<double>(tally.successes) + static_cast<double>(tally.failures);
    if (whole <= size) return tally;
    const auto part = [&](std::uint32_t n) {
        return static_cast<std::uint32_t>(std::floor(std::min<double>(n, whole) * size / whole + 0.5));
    };
    return {.successes = size - part(tally.failures), .failures = part(tally.failures), .slow = part(tally.slow)};
}

/// One call.
struct Outcome {
    bool failed;
    bool slow;
};

void count_ring(fuzz::Input input) {
    const bw::CountWindow window{.size = input.take_in<std::uint32_t>(1, 300)};
    const bool remembers_slow = input.take_in<int>(0, 1) == 1;
    bw::CountRing ring{window, remembers_slow ? bw::Remember::failures_and_slow : bw::Remember::failures};
    std::deque<Outcome> held;
    for (int steps = 0; !input.empty() && steps < 1'000; ++steps) {
        if (input.take_in<int>(0, 63) == 0) {
            ring.clear();
            held.clear();
        }
        const bw::Tally given = take_tally(input);
        ring.add(given);
        const bw::Tally tally = in_proportion(given, window.size);
        // Of the successes, then of the failures, the slow ones last.
        const auto slow_successes = std::min(tally.slow, tally.successes);
        const auto add = [&](std::uint32_t times, bool failed, bool slow) {
            held.insert(held.end(), std::min(times, window.size), {failed, slow && remembers_slow});
        };
        add(tally.successes - slow_successes, false, false);
        add(slow_successes, false, true);
        add(tally.failures - (tally.slow - slow_successes), true, false);
        add(tally.slow - slow_successes, true, true);
        while (held.size() > window.size) held.pop_front();

        WindowCounts expected{.calls = held.size()};
        for (const Outcome& outcome : held) {
            expected.failures += outcome.failed;
            expected.slow += outcome.slow;
            expected.slow_successes += outcome.slow && !outcome.failed;
        }
        fuzz::require(ring.counts() == expected, "the ring holds the last outcomes");
        const bool is_settled = expected.failures == 0 && held.size() == window.size && !remembers_slow;
        fuzz::require(ring.is_settled() == is_settled, "it is settled when full of successes");
    }
}

/// Each batch with the number of the slice it was filed in.
struct Slices {
    std::int64_t slice;
    std::int64_t buckets;
    std::int64_t current = -1;
    struct Batch {
        std::int64_t slice;
        bw::Tally tally;
    };
    std::deque<Batch> filed{};

    std::int64_t of(bw::Instant t) const { return t.time_since_epoch().count() / slice; }
    void add(const bw::Tally& tally, bw::Instant now) {
        if ((current + 1) * slice - now.time_since_epoch().count() > (buckets + 1) * slice) {  // goes on from there
            for (Batch& batch : filed) batch.slice -= current - of(now);
            current = of(now);
        }
        current = std::max(current, of(now));
        filed.push_back({current, tally});
    }
    WindowCounts counts(bw::Instant now) const {
        const std::int64_t last = std::max(current, of(now));
        WindowCounts sum;
        for (const Batch& batch : filed) {
            if (batch.slice <= last - buckets) continue;
            sum.calls += std::uint64_t{batch.tally.successes} + batch.tally.failures;
            sum.failures += batch.tally.failures;
            sum.slow += batch.tally.slow;
            sum.slow_successes += std::min(batch.tally.slow, batch.tally.successes);
        }
        return sum;
    }
};

void time_ring(fuzz::Input input) {
    constexpr std::int64_t latest = (std::int64_t{1} << 53) - 1;
    const bw::TimeWindow window{.duration = bw::Duration{input.take_in<std::int64_t>(1'000, 100'000)},
                                .buckets = input.take_in<std::uint32_t>(1, 32)};
    bw::TimeRing ring{window};
    Slices list{.slice = window.duration.count() / window.buckets, .buckets = window.buckets};
    bw::Instant now{};
    for (int steps = 0; !input.empty() && steps < 300; ++steps) {
        const auto kind = input.take<std::uint8_t>();
        std::int64_t step = kind % 16 == 0   ? input.take<std::int64_t>() % latest
                            : kind % 16 == 1 ? input.take<std::int32_t>()
                            : kind % 16 < 5  ? list.slice * (kind / 16)
                                             : kind * kind / 16;
        step = std::clamp(now.time_since_epoch().count() + step, std::int64_t{0}, latest);
        now = bw::Instant{bw::Duration{step}};
        if (kind == 255) {
            ring.clear();
            list.filed.clear();
        }
        const bw::Tally tally = take_tally(input);
        ring.add(tally, now);
        list.add(tally, now);
        for (const std::int64_t later : {std::int64_t{0}, list.slice - 1, list.slice, window.duration.count() * 2})
            fuzz::require(ring.counts(now + bw::Duration{later}) == list.counts(now + bw::Duration{later}),
                          "the ring holds what lies in its slices");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    if (input.take<std::uint8_t>() % 2 == 0)
        count_ring(input);
    else
        time_ring(input);
    return 0;
}
