#include <breakwater/backoff.hpp>
#include <catch_shim.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t lowest = 0;
constexpr std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();

template <class J>
std::string refusal(const bw::Backoff<J>& backoff) {
    const auto result = bw::validate(backoff);
    return result ? "accepted" : result.error().message();
}

}  // namespace

TEST_CASE("without jitter the delay grows by the multiplier from base to cap") {
    constexpr bw::Backoff<> backoff{.base = 200ms, .multiplier = 2.0, .cap = 30s, .jitter = bw::Jitter::none};
    STATIC_REQUIRE(backoff.delay(1, 0s, highest) == 200ms);
    STATIC_REQUIRE(backoff.delay(2, 200ms, highest) == 400ms);
    STATIC_REQUIRE(backoff.delay(3, 400ms, highest) == 800ms);
    STATIC_REQUIRE(backoff.delay(8, 0s, highest) == 25'600ms);
    STATIC_REQUIRE(backoff.delay(9, 0s, highest) == 30s);
}

TEST_CASE("the defaults are 200 ms doubling to 30 s with full jitter") {
    constexpr bw::Backoff<> backoff;
    STATIC_REQUIRE(backoff == bw::Backoff<>{.base = 200ms, .multiplier = 2.0, .cap = 30s, .jitter = bw::Jitter::full});
    CHECK(bw::validate(backoff));
}

TEST_CASE("a multiplier of one keeps the delay constant") {
    constexpr bw::Backoff<bw::NoJitter> backoff{.base = 7ms, .multiplier = 1.0, .cap = 1s};
    STATIC_REQUIRE(backoff.delay(1, 0s, 0) == 7ms);
    STATIC_REQUIRE(backoff.delay(4'000'000'000, 0s, 0) == 7ms);
}

TEST_CASE("a fractional multiplier gives whole microseconds, rounded down from the exact product") {
    constexpr bw::Backoff<bw::NoJitter> backoff{.base = 1us, .multiplier = 1.5, .cap = 1h};
    STATIC_REQUIRE(backoff.delay(2, 0s, 0) == 1us);    // 1.5
    STATIC_REQUIRE(backoff.delay(3, 0s, 0) == 2us);    // 2.25: growth does not get stuck at the first rounding
    STATIC_REQUIRE(backoff.delay(4, 0s, 0) == 3us);    // 3.375
    STATIC_REQUIRE(backoff.delay(12, 0s, 0) == 86us);  // 86.497…
}

TEST_CASE("the millionth retry and the last one there can be wait for the cap: nothing overflows") {
    for (const double multiplier : {1.000001, 1.1, 2.0, 10.0, 1000.0}) {
        for (const bw::Duration cap : {bw::Duration{30s}, bw::Duration{24h}}) {
            CAPTURE(multiplier, cap.count());
            const bw::Backoff<> backoff{
                .base = 200ms, .multiplier = multiplier, .cap = cap, .jitter = bw::Jitter::none};
            if (multiplier > 1.0001) CHECK(backoff.delay(1'000'000, 0s, 0) == cap);
            CHECK(backoff.delay(std::numeric_limits<std::uint32_t>::max(), 0s, 0) == cap);
        }
    }
    constexpr auto longest = bw::Duration::max();
    constexpr bw::Backoff<bw::NoJitter> unchecked{.base = longest, .cap = longest};
    STATIC_REQUIRE(unchecked.delay(1'000'000, longest, 0) == longest);
    constexpr bw::Backoff<bw::DecorrelatedJitter> spread{.base = longest, .cap = longest};
    STATIC_REQUIRE(spread.delay(1'000'000, longest, highest) == longest);
}

TEST_CASE("a later retry never waits less than an earlier one, jitter aside") {
    for (const double multiplier : {1.0, 1.000001, 1.0001, 1.1, 1.3, 1.5, 1.999999, 2.0, 2.718281828, 3.0, 999.9}) {
        const bw::Backoff<bw::NoJitter> backoff{.base = 3us, .multiplier = multiplier, .cap = 24h};
        bw::Duration before{};
        bool monotone = true;
        for (std::uint32_t retry = 1; retry < 300'000; ++retry) {
            const bw::Duration delay = backoff.delay(retry, 0s, 0);
            monotone = monotone && delay >= before;
            before = delay;
        }
        CAPTURE(multiplier);
        CHECK(monotone);
    }
}

TEST_CASE("full jitter spreads the delay over everything from zero to it") {
    constexpr bw::Backoff<bw::FullJitter> backoff{.base = 1s, .cap = 30s};
    STATIC_REQUIRE(backoff.delay(3, 2s, lowest) == 0s);
    STATIC_REQUIRE(backoff.delay(3, 2s, highest / 2) == 2s);
    STATIC_REQUIRE(backoff.delay(3, 2s, highest) == 4s);
    STATIC_REQUIRE(backoff.delay(1'000'000, 2s, highest) == 30s);
}

TEST_CASE("equal jitter keeps half of the delay and spreads the other half") {
    constexpr bw::Backoff<bw::EqualJitter> backoff{.base = 1s, .cap = 30s};
    STATIC_REQUIRE(backoff.delay(3, 2s, lowest) == 2s);
    STATIC_REQUIRE(backoff.delay(3, 2s, highest) == 4s);
    constexpr bw::Backoff<bw::EqualJitter> odd{.base = 3us, .cap = 3us};
    STATIC_REQUIRE(odd.delay(1, 0s, lowest) == 1us);
    STATIC_REQUIRE(odd.delay(1, 0s, highest) == 3us);
}

TEST_CASE("decorrelated jitter draws between base and three times the delay before") {
    constexpr bw::Backoff<bw::DecorrelatedJitter> backoff{.base = 1s, .cap = 30s};
    STATIC_REQUIRE(backoff.delay(1, 0s, lowest) == 1s);
    STATIC_REQUIRE(backoff.delay(1, 0s, highest) == 3s);
    STATIC_REQUIRE(backoff.delay(2, 2s, lowest) == 1s);
    STATIC_REQUIRE(backoff.delay(2, 2s, highest) == 6s);
    STATIC_REQUIRE(backoff.delay(9, 20s, highest) == 30s);
    STATIC_REQUIRE(backoff.delay(9, -5s, highest) == 3s);
}

TEST_CASE("jitter chosen at run time gives the delays of the jitter type") {
    const auto same = [](auto jitter) {
        const bw::Backoff<> chosen{.base = 100ms, .multiplier = 1.7, .cap = 20s, .jitter = jitter};
        const bw::Backoff fixed{.base = 100ms, .multiplier = 1.7, .cap = 20s, .jitter = jitter};
        bw::Duration previous{};
        for (std::uint32_t retry = 1; retry < 40; ++retry) {
            const std::uint64_t random = bw::Random::mix(retry);
            const bw::Duration delay = chosen.delay(retry, previous, random);
            if (delay != fixed.delay(retry, previous, random) || delay > 20s || delay < 0s) return false;
            previous = delay;
        }
        return true;
    };
    CHECK(same(bw::NoJitter{}));
    CHECK(same(bw::FullJitter{}));
    CHECK(same(bw::EqualJitter{}));
    CHECK(same(bw::DecorrelatedJitter{}));
}

TEST_CASE("bad backoff options are named by path, legal range and value") {
    CHECK(refusal(bw::Backoff<>{.base = 0s}) == "retry.backoff.base: must be > 0s, got 0s");
    CHECK(refusal(bw::Backoff<>{.base = -5ms}) == "retry.backoff.base: must be > 0s, got -5ms");
    CHECK(refusal(bw::Backoff<>{.multiplier = 0.5}) == "retry.backoff.multiplier: must be 1 to 1000, got 0.5");
    CHECK(refusal(bw::Backoff<>{.multiplier = 1000.5}) == "retry.backoff.multiplier: must be 1 to 1000, got 1000.5");
    CHECK(refusal(bw::Backoff<>{.multiplier = std::numeric_limits<double>::quiet_NaN()}) ==
          "retry.backoff.multiplier: must be 1 to 1000, got nan");
    CHECK(refusal(bw::Backoff<>{.multiplier = std::numeric_limits<double>::infinity()}) ==
          "retry.backoff.multiplier: must be 1 to 1000, got inf");
    CHECK(refusal(bw::Backoff<>{.base = 2s, .cap = 1500ms}) ==
          "retry.backoff.cap: must be >= base, which is 2s, got 1500ms");
    CHECK(refusal(bw::Backoff<>{.cap = 25h}) == "retry.backoff.cap: must be <= 24h, got 25h");
    CHECK(refusal(bw::Backoff<>{.base = 24h, .multiplier = 1000, .cap = 24h}) == "accepted");
    CHECK(bw::validate(bw::Backoff<>{.base = 0s}).error().code() == bw::Errc::invalid_options);
}

TEST_CASE("a constant, a linear and a random backoff give what they say") {
    STATIC_REQUIRE(bw::constant_backoff(2s).delay(1, 0s, highest) == 2s);
    STATIC_REQUIRE(bw::constant_backoff(2s).delay(1'000'000, 2s, lowest) == 2s);
    STATIC_REQUIRE(bw::linear_backoff(2s, 7s).delay(1, 0s, highest) == 2s);
    STATIC_REQUIRE(bw::linear_backoff(2s, 7s).delay(3, 4s, highest) == 6s);
    STATIC_REQUIRE(bw::linear_backoff(2s, 7s).delay(4, 6s, highest) == 7s);
    STATIC_REQUIRE(bw::random_backoff(1s, 3s).delay(5, 0s, lowest) == 1s);
    STATIC_REQUIRE(bw::random_backoff(1s, 3s).delay(5, 0s, highest / 2) == 2s);
    STATIC_REQUIRE(bw::random_backoff(1s, 3s).delay(5, 0s, highest) == 3s);
}

TEST_CASE("a jitter around the delay stays within its spread and the cap") {
    constexpr bw::Backoff<bw::AroundJitter> backoff{.base = 1s, .cap = 30s, .spread = 0.25};
    STATIC_REQUIRE(backoff.delay(3, 2s, lowest) == 3s);
    STATIC_REQUIRE(backoff.delay(3, 2s, highest / 2) == 4s);
    STATIC_REQUIRE(backoff.delay(3, 2s, highest) == 5s);
    STATIC_REQUIRE(backoff.delay(100, 30s, highest) == 30s);
    STATIC_REQUIRE(backoff.delay(100, 30s, lowest) == 22'500ms);
}

TEST_CASE("no form of backoff is ever negative or above its cap, for a million retries") {
    const std::pair<bw::Backoff<>, const char*> forms[] = {
        {bw::constant_backoff(24h), "constant"},
        {bw::linear_backoff(24h, 24h), "linear from the cap"},
        {bw::linear_backoff(1us, 24h), "linear"},
        {bw::random_backoff(1us, 24h), "random"},
        {bw::Backoff<>{.base = 1us, .multiplier = 1000, .cap = 24h, .jitter = bw::Jitter::around, .spread = 1},
         "around"},
        {bw::Backoff<>{.base = 3us, .cap = 24h, .jitter = bw::Jitter::around, .spread = 0.1}, "closely around"},
        {bw::Backoff<>{.base = 1us, .cap = 24h, .jitter = bw::Jitter::full}, "full"},
        {bw::Backoff<>{.base = 1us, .cap = 24h, .jitter = bw::Jitter::equal}, "equal"},
        {bw::Backoff<>{.base = 1us, .cap = 24h, .jitter = bw::Jitter::decorrelated}, "decorrelated"},
        {bw::Backoff<>{.base = 5us, .cap = 1h, .jitter = bw::Jitter::equal, .growth = bw::Growth::linear},
         "linear, equal"},
    };
    for (const auto& [backoff, form] : forms) {
        bw::Duration previous{};
        bool within = true;
        for (std::uint32_t retry = 1; retry <= 1'000'000; ++retry) {
            const bw::Duration delay = backoff.delay(retry, previous, bw::Random::mix(retry));
            within = within && delay >= 0s && delay <= backoff.cap;
            if (backoff.jitter == bw::Jitter::around) {
                const auto whole = static_cast<double>(backoff.without_jitter(retry).count());
                const auto off = static_cast<double>(delay.count()) - whole;
                within = within && std::abs(off) <= whole * backoff.spread;
            }
            previous = delay;
        }
        CAPTURE(form);
        CHECK(within);
    }
    // A product that wrapped would be negative for about half of these.
    bool saturates = true;
    for (std::uint32_t retry = 4'294'967'295U; retry > 100'000'000; retry -= 12'345'679)
        saturates = saturates && bw::linear_backoff(24h, 24h).delay(retry, 0s, 0) == 24h;
    CHECK(saturates);
}

TEST_CASE("a spread outside 0 to 1 is refused") {
    CHECK(refusal(bw::Backoff<>{.spread = 1.5}) == "retry.backoff.spread: must be 0 to 1, got 1.5");
    CHECK(refusal(bw::Backoff<>{.spread = std::numeric_limits<double>::quiet_NaN()}) ==
          "retry.backoff.spread: must be 0 to 1, got nan");
}
