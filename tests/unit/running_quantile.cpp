#include <breakwater/attempt_forecast/running_quantile.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <initializer_list>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Duration;
using bw::RunningQuantile;

namespace {

constexpr Duration quantile_of(std::initializer_list<Duration> samples, const RunningQuantile::Rule& rule) {
    RunningQuantile quantile;
    for (const Duration took : samples) quantile.add(took, rule);
    return quantile.value();
}

constexpr RunningQuantile::Rule median{.quantile = 5'000};
constexpr RunningQuantile::Rule p90{.quantile = 9'000};

}  // namespace

TEST_CASE("before the first sample a quantile is nothing") {
    STATIC_REQUIRE(RunningQuantile{}.value() == 0us);
    STATIC_REQUIRE(RunningQuantile{}.samples() == 0);
}

TEST_CASE("a quantile is the sample of the nearest rank, exact below 16 us") {
    STATIC_REQUIRE(quantile_of({9us}, median) == 9us);
    STATIC_REQUIRE(quantile_of({9us, 3us}, median) == 3us);
    STATIC_REQUIRE(quantile_of({9us, 3us, 15us}, median) == 9us);
    STATIC_REQUIRE(quantile_of({1us, 2us, 3us, 4us, 5us, 6us, 7us, 8us, 9us, 10us}, p90) == 9us);
    STATIC_REQUIRE(quantile_of({1us, 2us, 3us, 4us, 5us, 6us, 7us, 8us, 9us, 10us, 11us}, p90) == 10us);
    STATIC_REQUIRE(quantile_of({3us, 1us, 2us}, {.quantile = 1}) == 1us);
    STATIC_REQUIRE(quantile_of({3us, 1us, 2us}, {.quantile = 9'999}) == 3us);
}

TEST_CASE("a quantile is within a sixteenth of its sample, from microseconds to a day") {
    int beyond = 0;
    for (Duration took = 1us; took <= 24h; took += took / 37 + 1us) {
        const Duration off = quantile_of({took}, median) - took;
        beyond += off * 16 > took || off * 16 < -took;
    }
    CHECK(beyond == 0);
}

TEST_CASE("what is shorter than nothing or longer than a day counts as that") {
    STATIC_REQUIRE(quantile_of({-5s}, median) == 0us);
    STATIC_REQUIRE(quantile_of({Duration::min()}, median) == 0us);
    STATIC_REQUIRE(quantile_of({Duration::max()}, median) == quantile_of({24h}, median));
}

TEST_CASE("when as many as may be are counted, every second one is dropped in their order by size") {
    constexpr auto kept = [] {
        RunningQuantile quantile;
        const RunningQuantile::Rule rule{.quantile = 9'999, .most = 4};
        for (const Duration took : {1us, 2us, 3us, 14us}) quantile.add(took, rule);
        if (quantile.samples() != 4) return false;
        quantile.add(1us, rule);  // of the others 2 us and 14 us stay
        return quantile.samples() == 3 && quantile.value() == 14us;
    }();
    STATIC_REQUIRE(kept);
}

TEST_CASE("the newest samples count most: a quantile follows a change within about as many as it counts") {
    const auto steps_until = [](const RunningQuantile::Rule& rule, Duration from, Duration to) {
        RunningQuantile quantile;
        for (int n = 0; n < 1'000; ++n) quantile.add(from, rule);
        int steps = 0;
        for (; quantile.value() != to; ++steps) quantile.add(to, rule);
        return steps;
    };
    CHECK(steps_until({.quantile = 5'000, .most = 256}, 15us, 3us) <= 256);
    CHECK(steps_until({.quantile = 5'000, .most = 256}, 3us, 15us) <= 256);
    CHECK(steps_until({.quantile = 9'000, .most = 256}, 15us, 3us) <= 3 * 256);
    CHECK(steps_until({.quantile = 9'000, .most = 256}, 3us, 15us) <= 32);
}

TEST_CASE("a sample that was cut below the quantile neither lowers nor raises it, one beyond counts as it is") {
    constexpr auto moved = [](Duration cut) {
        RunningQuantile quantile;
        for (int n = 0; n < 10; ++n) quantile.add(10us, median);
        for (int n = 0; n < 200; ++n) quantile.add_at_least(cut, median);
        return quantile.value();
    };
    STATIC_REQUIRE(moved(2us) == 10us);
    STATIC_REQUIRE(moved(10us) == 10us);
    STATIC_REQUIRE(moved(14us) == 14us);
    RunningQuantile first;
    first.add_at_least(12us, median);
    CHECK(first.value() == 12us);
}

TEST_CASE("a rule that changes holds from the next sample on") {
    RunningQuantile quantile;
    for (int n = 1; n <= 15; ++n) quantile.add(Duration{n}, median);
    CHECK(quantile.value() == 8us);
    quantile.add(15us, {.quantile = 9'999, .most = 256});
    CHECK(quantile.value() == 15us);
    quantile.add(1us, {.quantile = 1, .most = 2});
    CHECK(quantile.samples() == 2);
    CHECK(quantile.value() == 1us);
}
