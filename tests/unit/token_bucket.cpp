#include <breakwater/rate_limiter/options.hpp>
#include <breakwater/rate_limiter/token_bucket.hpp>
#include <catch_shim.hpp>
#include <unit/limiter_story.hpp>

#include <chrono>
#include <cstdint>
#include <random>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::LimiterState;
using bw::TokenBucket;

namespace {

using test::at;
using test::granted;
using test::never;
using test::refused;
using Story = test::Story<TokenBucket>;

std::string refusal(const TokenBucket& bucket) {
    const auto result = validate(bucket, "rate_limit.algorithm");
    return result ? "accepted" : result.error().message();
}

/// The archetype of the concept's documentation.
struct OncePerBoot {
    using State = LimiterState;
    struct Prepared {};
    constexpr Prepared prepare(bw::Duration) const noexcept { return {}; }
    static constexpr bw::Grant take(State& s, const Prepared& p, std::int64_t n, bw::Instant now) noexcept {
        const bw::Grant grant = peek(s, p, n, now);
        return s.word |= grant.granted ? 1U : 0U, grant;
    }
    static constexpr bw::Grant peek(const State& s, const Prepared&, std::int64_t n, bw::Instant) noexcept {
        return n == 1 && s.word == 0 ? bw::Grant{.granted = true} : bw::Grant{.never = true};
    }
    static constexpr void pause(State&, const Prepared&, bw::Instant, bw::Instant) noexcept {}
    static constexpr void give_back(State& s, const Prepared&, std::int64_t, bw::Instant) noexcept { s = {}; }
    static constexpr std::int64_t available(const State& s, const Prepared&, bw::Instant) noexcept { return !s.word; }
    friend bw::Result<void> validate(const OncePerBoot&, std::string_view) { return {}; }
};
static_assert(bw::RateAlgorithm<OncePerBoot>);
static_assert(!bw::RateAlgorithm<LimiterState>);
static_assert(!bw::ReservableAlgorithm<OncePerBoot>);

}  // namespace

TEST_CASE("a fresh bucket is full, and its burst is exact") {
    STATIC_REQUIRE(Story{{.permits = 100, .period = 1s, .burst = 20}}.take_all(at(1h)) == 20);
    STATIC_REQUIRE(Story{{.permits = 100, .period = 1s, .burst = 20}}.take_all(at(0s)) == 20);
    STATIC_REQUIRE(Story{{.permits = 7, .period = 3s}}.take_all(at(1us)) == 7);
    STATIC_REQUIRE(Story{{.permits = 3, .period = 24h, .burst = 1}}.take_all(at(1us)) == 1);
}

TEST_CASE("a permit comes back after exactly its share of the period") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 100, .period = 1s, .burst = 20}};
        story.take_all(at(1h));
        return story.take(1, at(1h)) == refused(10ms) && story.take(1, at(1h + 9'999us)) == refused(1us) &&
               story.take(1, at(1h + 10ms)) == granted && story.take(1, at(1h + 10ms)) == refused(10ms);
    }());
}

TEST_CASE("no credit is lost at a rate that microseconds do not divide") {
    Story story{{.permits = 7, .period = 1s, .burst = 1}};
    CHECK(story.take(1, at(1h)) == granted);
    CHECK(story.take(1, at(1h)) == refused(142'858us));  // 142,857.14… rounded up
    CHECK(story.take(1, at(1h + 142'857us)) == refused(1us));
    int taken = 1;
    for (bw::Duration t{}; t <= 700s; t += story.peek(1, at(1h + t)).retry_after) {
        if (story.take(1, at(1h + t)).granted) ++taken;
    }
    // Each wait overshoots by up to 1 µs, and with a burst of 1 what a full bucket is not given is lost: 4,900 and a
    // few less. Truncating the rate to 142,858 µs would give 4,899 with the bursts below too.
    CHECK(taken >= 4'895);
    Story roomy{{.permits = 7, .period = 1s, .burst = 2}};
    taken = 0;
    for (bw::Duration t{}; t <= 700'000s; t += 142'857us) taken += roomy.take(1, at(1h + t)).granted ? 1 : 0;
    for (bw::Duration t = 700'000s; roomy.take(1, at(1h + t)).granted;) ++taken;
    CHECK(taken == 2 + 4'900'000);  // burst + floor(t × rate), to the last permit
}

TEST_CASE("a million permits a second are credited one a microsecond, and faster ones several") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 1'000'000, .period = 1s, .burst = 3}};
        return story.take_all(at(5s)) == 3 && story.take_all(at(5s + 1us)) == 1 && story.take_all(at(5s + 3us)) == 2;
    }());
    STATIC_REQUIRE([] {
        Story story{{.permits = 5, .period = 2us, .burst = 5}};
        return story.take_all(at(5s)) == 5 && story.take_all(at(5s + 1us)) == 2 && story.take_all(at(5s + 2us)) == 3;
    }());
}

TEST_CASE("several permits are granted together or not at all") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .period = 1s, .burst = 5}};
        return story.take(3, at(1h)) == granted && story.take(3, at(1h)) == refused(100ms) &&
               story.available(at(1h)) == 2 && story.take(2, at(1h)) == granted && story.available(at(1h)) == 0;
    }());
}

TEST_CASE("more permits than the burst are refused for ever, and a negative number as well") {
    constexpr Story story{{.permits = 10, .period = 1s, .burst = 5}};
    STATIC_REQUIRE(story.peek(6, at(1h)) == never);
    STATIC_REQUIRE(story.peek(5, at(1h)) == granted);
    STATIC_REQUIRE(story.peek(INT64_MAX, at(1h)) == never);
    STATIC_REQUIRE(story.peek(-1, at(1h)) == never);
    STATIC_REQUIRE(story.peek(INT64_MIN, at(1h)) == never);
}

TEST_CASE("a refused request and a look take nothing") {
    Story story{{.permits = 10, .period = 1s, .burst = 5}};
    story.take(4, at(1h));
    const LimiterState before = story.state;
    CHECK_FALSE(story.take(2, at(1h)).granted);
    CHECK_FALSE(story.take(9, at(1h)).granted);
    CHECK(story.peek(1, at(1h)) == granted);
    CHECK(story.available(at(1h)) == 1);
    CHECK(story.state == before);
}

TEST_CASE("a clock that steps back neither fills the bucket nor credits the same time twice") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .period = 1s, .burst = 5}};
        return story.take_all(at(1h)) == 5 && story.take_all(at(1h - 30s)) == 0 && story.take_all(at(1h)) == 0 &&
               story.take_all(at(1h + 100ms)) == 1 && story.take_all(at(1h)) == 0 &&
               story.take_all(at(1h + 100ms)) == 0;
    }());
    constexpr Story idle{{.permits = 10, .period = 1s, .burst = 5}};
    STATIC_REQUIRE(idle.available(at(1s)) == 5);
}

TEST_CASE("after a step back beyond tolerance the bucket starts again empty and is no longer stuck in the future") {
    Story story{{.permits = 10, .period = 1s, .burst = 5}, 5min};
    story.take_all(at(10h));
    CHECK(story.take(1, at(10h - 6min)) == refused(6min + 100ms));  // within max_pause and tolerance: it waits
    CHECK(story.take(1, at(1h)) == refused(100ms));
    CHECK(story.available(at(1h)) == 0);
    CHECK(story.take(1, at(1h + 99'999us)) == refused(1us));
    CHECK(story.take(1, at(1h + 100ms)) == granted);
    CHECK(story.take_all(at(1h + 10s)) == 5);
}

TEST_CASE("a look at a state too far ahead says what a request would be told") {
    Story story{{.permits = 10, .period = 1s, .burst = 5}};
    story.take_all(at(10h));
    const LimiterState before = story.state;
    CHECK(story.peek(2, at(1h)) == refused(200ms));
    CHECK(story.state == before);
}

TEST_CASE("nothing accrues during a pause") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .period = 1s, .burst = 5}};
        story.take(3, at(1h));
        story.pause(at(1h), at(1h + 1min));
        return story.available(at(1h + 1min)) == 2 && story.available(at(1h + 1min + 100ms)) == 3;
    }());
    STATIC_REQUIRE([] {  // a pause after a pause; the first one's time is not counted again
        Story story{{.permits = 10, .period = 1s, .burst = 5}};
        story.take(5, at(1h));
        story.pause(at(1h + 200ms), at(1h + 1min));
        story.pause(at(1h + 1min), at(1h + 3min));
        return story.available(at(1h + 3min)) == 2 && story.available(at(1h + 3min + 300ms)) == 5;
    }());
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .period = 1s, .burst = 5}};
        story.pause(at(1h), at(1h));
        story.pause(at(1h), at(59min));
        return story.state == LimiterState{};
    }());
}

TEST_CASE("permits given back in the same step are as if never taken") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .period = 1s, .burst = 5}};
        story.take(2, at(1h));
        const LimiterState before = story.state;
        story.take(3, at(1h));
        story.give_back(3, at(1h));
        return story.state == before;
    }());
}

TEST_CASE("giving back never fills the bucket above its burst") {
    STATIC_REQUIRE([] {
        Story story{{.permits = 10, .period = 1s, .burst = 5}};
        story.take(2, at(1h));
        story.give_back(INT64_MAX, at(1h + 50ms));
        story.give_back(-3, at(1h + 50ms));
        // Full since now, not since earlier: a clock that steps back still finds it short.
        const bool full = story.available(at(1h)) == 4 && story.take_all(at(1h + 50ms)) == 5;
        Story fresh{{.permits = 10, .period = 1s, .burst = 5}};
        fresh.give_back(1, at(1h));
        return full && fresh.state == LimiterState{};
    }());
}

TEST_CASE("the largest numerator stays exact when its ticks wrap round") {
    // p = 2^20 − 3 is prime to 10^6, so now × p passes 2^64 about every 203 days.
    constexpr TokenBucket bucket{.permits = (1 << 20) - 3, .period = 1s, .burst = 4};
    constexpr bw::Duration wrap{static_cast<std::int64_t>(UINT64_MAX / ((1U << 20) - 3))};
    for (bw::Duration start = wrap - 20us; start < wrap + 20us; ++start) {
        Story story{bucket};
        int taken = story.take_all(at(start));
        for (bw::Duration t{}; t <= 100us; ++t) taken += story.take_all(at(start + t));
        CAPTURE(start.count());
        CHECK(taken == 4 + 104);  // 100 µs × 1.048573 permits
    }
    Story late{bucket};
    CHECK(late.take_all(at(bw::Duration{(std::int64_t{1} << 53) - 1})) == 4);
}

TEST_CASE("bad token bucket options are named by path, legal range and value") {
    CHECK(refusal({.permits = 0}) == "rate_limit.algorithm.permits: must be >= 1, got 0");
    CHECK(refusal({.period = 0s}) == "rate_limit.algorithm.period: must be > 0s, got 0s");
    CHECK(refusal({.period = -2min}) == "rate_limit.algorithm.period: must be > 0s, got -2min");
    CHECK(refusal({.burst = 0}) == "rate_limit.algorithm.burst: must be >= 1, got 0");
    CHECK(refusal({.permits = 1'048'583, .period = 1s}) ==
          "rate_limit.algorithm.permits: must be <= 1048576 once permits/period (in us) is in lowest terms, "
          "got 1048583");
    CHECK(refusal({.permits = 2'000'000'000, .period = 1s}) == "accepted");
    CHECK(refusal({.permits = 1, .period = 1s, .burst = 9'007'199'254}) == "accepted");
    CHECK(refusal({.permits = 1, .period = 1s, .burst = 9'007'199'255}) ==
          "rate_limit.algorithm.burst: must be <= 9007199254 at this rate, got 9007199255");
    CHECK(refusal({.permits = 1, .period = bw::Duration::max()}) ==
          "rate_limit.algorithm.period: must be < 2^53 microseconds per permit, got 9223372036854775807us");
}

TEST_CASE("limiter options are checked down to the algorithm") {
    const auto refusal_of = [](const bw::RateLimiterOptions<>& options) {
        const auto result = bw::validate(options);
        return result ? "accepted" : result.error().message();
    };
    CHECK(refusal_of({}) == "accepted");
    CHECK(refusal_of({.max_wait = -1s}) == "rate_limit.max_wait: must be 0s to 24h, got -1s");
    CHECK(refusal_of({.max_pause = 25h}) == "rate_limit.max_pause: must be 0s to 24h, got 25h");
    CHECK(refusal_of({.algorithm = TokenBucket{.permits = -1}}) ==
          "rate_limit.algorithm.permits: must be >= 1, got -1");
    const bw::RateLimiterOptions<TokenBucket> fixed{.algorithm = {.burst = 0}};
    CHECK(bw::validate(fixed, "").error().message() == "algorithm.burst: must be >= 1, got 0");
}

TEST_CASE("the archetype of an algorithm grants one permit, ever") {
    const OncePerBoot once;
    LimiterState state;
    CHECK(validate(once, ""));
    CHECK(OncePerBoot::take(state, once.prepare(0s), 1, at(1h)) == granted);
    CHECK(OncePerBoot::take(state, once.prepare(0s), 1, at(2h)) == never);
    CHECK(OncePerBoot::available(state, once.prepare(0s), at(2h)) == 0);
}

TEST_CASE("the algorithm chosen at run time is none by default, and grants whatever is asked") {
    constexpr bw::AnyAlgorithm none;
    STATIC_REQUIRE(none.is_none());
    STATIC_REQUIRE(bw::AnyAlgorithm{bw::no_limit}.is_none());
    STATIC_REQUIRE_FALSE(bw::AnyAlgorithm{TokenBucket{}}.is_none());
    STATIC_REQUIRE([] {
        LimiterState state;
        return bw::AnyAlgorithm::take(state, bw::AnyAlgorithm{}.prepare(), 1'000'000'000, at(1h)).granted &&
               state == LimiterState{};
    }());
}

TEST_CASE("the algorithm chosen at run time decides as the static one does") {
    STATIC_REQUIRE([] {
        constexpr TokenBucket bucket{.permits = 10, .period = 1s, .burst = 5};
        const auto prepared = bw::AnyAlgorithm{bucket}.prepare();
        LimiterState state;
        Story story{bucket};
        for (bw::Duration t = 1h; t < 1h + 5s; t += 70ms) {
            const auto n = static_cast<std::int64_t>(t.count() / 70'000 % 4);
            if (bw::AnyAlgorithm::peek(state, prepared, n, at(t)) != story.peek(n, at(t))) return false;
            if (bw::AnyAlgorithm::take(state, prepared, n, at(t)) != story.take(n, at(t))) return false;
            if (n == 3) {
                bw::AnyAlgorithm::give_back(state, prepared, 1, at(t));
                story.give_back(1, at(t));
            }
            if (bw::AnyAlgorithm::available(state, prepared, at(t)) != story.available(at(t))) return false;
        }
        bw::AnyAlgorithm::pause(state, prepared, at(1h + 5s), at(1h + 6s));
        story.pause(at(1h + 5s), at(1h + 6s));
        return state == story.state;
    }());
}

TEST_CASE("a bucket grants at once exactly what it grants when asked, and else is left as it was") {
    std::mt19937_64 random{4};
    const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
    int granted_at_once = 0;
    for (int i = 0; i < 200; ++i) {
        const TokenBucket bucket{
            .permits = 1 + below(50), .period = std::chrono::milliseconds{1 + below(100)}, .burst = 1 + below(20)};
        const auto rate = bucket.prepare();
        LimiterState state;
        bw::Instant now{1h};
        for (int step = 0; step < 200; ++step) {
            const std::int64_t n = below(10) == 0 ? below(60) - 20 : 1;
            LimiterState at_once = state;
            const LimiterState before = state;
            const bool grants = TokenBucket::grants(at_once, rate, n, now);
            const bool takes = TokenBucket::take(state, rate, n, now).granted;
            REQUIRE(grants == takes);
            REQUIRE(at_once == (takes ? state : before));
            granted_at_once += grants;
            now += std::chrono::microseconds{below(3) == 0 ? -below(90'000'000) : below(30'000)};
        }
    }
    CHECK(granted_at_once > 1'000);
}
