#include <breakwater/circuit_breaker/window.hpp>
#include <catch_shim.hpp>

#include <cstdint>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CountRing;
using bw::TimeRing;
using bw::WindowCounts;

namespace {

constexpr bw::Instant start{1h};

constexpr bw::Tally successes(std::uint32_t n) { return {.successes = n}; }
constexpr bw::Tally failures(std::uint32_t n) { return {.failures = n, .tail = n}; }

}  // namespace

TEST_CASE("a count window holds the last outcomes and forgets the oldest first") {
    CountRing ring{{.size = 3}};
    CHECK(ring.counts() == WindowCounts{0, 0});
    ring.add(failures(1));
    ring.add(successes(1));
    CHECK(ring.counts() == WindowCounts{2, 1});
    ring.add(failures(1));
    CHECK(ring.counts() == WindowCounts{3, 2});
    ring.add(successes(1));  // the first failure falls out
    CHECK(ring.counts() == WindowCounts{3, 1});
    ring.add(successes(2));
    CHECK(ring.counts() == WindowCounts{3, 0});
}

TEST_CASE("a count window adds a tally's successes before its failures") {
    CountRing ring{{.size = 5}};
    ring.add({.successes = 3, .failures = 2, .tail = 0});
    CHECK(ring.counts() == WindowCounts{5, 2});
    ring.add(successes(3));
    CHECK(ring.counts() == WindowCounts{5, 2});
    ring.add(successes(1));
    CHECK(ring.counts() == WindowCounts{5, 1});
}

TEST_CASE("a tally larger than the count window fills it in proportion") {
    CountRing ring{{.size = 100}};
    ring.add({.successes = 800, .failures = 200, .tail = 200});
    CHECK(ring.counts() == WindowCounts{100, 20});
    ring.add({.successes = 4'000'000'000U, .failures = 69, .tail = 69});
    CHECK(ring.counts() == WindowCounts{100, 0});
    ring.add(failures(4'000'000'000U));
    CHECK(ring.counts() == WindowCounts{100, 100});
    CountRing timed{{.size = 10}, bw::Remember::failures_and_slow};
    timed.add({.successes = 50, .failures = 50, .slow = 60, .tail = 0});
    CHECK(timed.counts() == WindowCounts{10, 5, 6, 5});
}

TEST_CASE("a count window is settled when it is full of successes") {
    CountRing ring{{.size = 2}};
    CHECK_FALSE(ring.is_settled());
    ring.add(successes(1));
    CHECK_FALSE(ring.is_settled());
    ring.add(successes(1));
    CHECK(ring.is_settled());
    ring.add(failures(1));
    CHECK_FALSE(ring.is_settled());
    ring.clear();
    CHECK_FALSE(ring.is_settled());
    CHECK(ring.counts() == WindowCounts{0, 0});
}

TEST_CASE("a cleared count window remembers no failure") {
    CountRing ring{{.size = 2}};
    ring.add(failures(2));
    ring.clear();
    ring.add(successes(3));
    CHECK(ring.counts() == WindowCounts{2, 0});
    CHECK(ring.is_settled());
}

TEST_CASE("a time window drops a slice when as many newer ones have begun as it has buckets") {
    TimeRing ring{{.duration = 10s, .buckets = 10}};
    ring.add(failures(2), start);
    ring.add(successes(3), start + 999ms);
    ring.add(successes(1), start + 9s);
    CHECK(ring.counts(start + 9s) == WindowCounts{6, 2});
    CHECK(ring.counts(start + 10s - 1us) == WindowCounts{6, 2});
    CHECK(ring.counts(start + 10s) == WindowCounts{1, 0});
    CHECK(ring.counts(start + 19s - 1us) == WindowCounts{1, 0});
    CHECK(ring.counts(start + 19s) == WindowCounts{0, 0});
}

TEST_CASE("reading a time window changes nothing") {
    TimeRing ring{{.duration = 10s, .buckets = 5}};
    ring.add(failures(1), start);
    CHECK(ring.counts(start + 1h) == WindowCounts{0, 0});
    CHECK(ring.counts(start) == WindowCounts{1, 1});
    ring.add(successes(1), start + 5s);
    CHECK(ring.counts(start + 5s) == WindowCounts{2, 1});
}

TEST_CASE("slices of a time window begin at multiples of their length, not at the first call") {
    TimeRing ring{{.duration = 10s, .buckets = 10}};
    ring.add(failures(1), start + 900ms);
    CHECK(ring.counts(start + 9s + 999ms) == WindowCounts{1, 1});
    CHECK(ring.counts(start + 10s) == WindowCounts{0, 0});
}

TEST_CASE("after a long pause a time window is empty") {
    TimeRing ring{{.duration = 1s, .buckets = 3}};
    ring.add(failures(5), start);
    ring.add(successes(1), start + 24h * 365);
    CHECK(ring.counts(start + 24h * 365) == WindowCounts{1, 0});
}

TEST_CASE("a clock that steps back a little adds to the current slice and forgets nothing") {
    TimeRing ring{{.duration = 10s, .buckets = 10}};
    ring.add(failures(1), start + 5s);
    ring.add(failures(1), start + 2s);
    CHECK(ring.counts(start + 2s) == WindowCounts{2, 2});
    CHECK(ring.counts(start + 14s) == WindowCounts{2, 2});
    CHECK(ring.counts(start + 15s) == WindowCounts{0, 0});
}

TEST_CASE("a clock that is set back by more than the window does not freeze it until it has caught up") {
    TimeRing ring{{.duration = 10s, .buckets = 10}};
    ring.add(failures(1), start + 24h);
    ring.add(failures(1), start);
    CHECK(ring.counts(start) == WindowCounts{2, 2});
    CHECK(ring.counts(start + 9s) == WindowCounts{2, 2});
    CHECK(ring.counts(start + 10s) == WindowCounts{0, 0});
}

TEST_CASE("a cleared time window counts on in the current slice") {
    TimeRing ring{{.duration = 10s, .buckets = 2}};
    ring.add(failures(3), start);
    ring.clear();
    CHECK(ring.counts(start) == WindowCounts{0, 0});
    ring.add(failures(1), start + 1s);
    CHECK(ring.counts(start + 9s) == WindowCounts{1, 1});
    CHECK(ring.counts(start + 10s) == WindowCounts{0, 0});
}

TEST_CASE("a time window of a single bucket begins anew with each slice") {
    TimeRing ring{{.duration = 1s, .buckets = 1}};
    ring.add(failures(1), start + 999ms);
    CHECK(ring.counts(start + 999ms) == WindowCounts{1, 1});
    CHECK(ring.counts(start + 1s) == WindowCounts{0, 0});
}
