// Bugs that rate limiters, backoffs and clocks of other libraries had, one test each. The whole list is in
// peer_bugs_circuit_breaker.cpp.
#include <breakwater/backoff.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/random.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/retry/budget.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <bit>
#include <chrono>
#include <cstdint>
#include <random>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Duration;
using bw::Errc;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;

/// How many permits a limiter grants at once.
int taken(const auto& limiter) {
    int count = 0;
    while (count < 1'000 && limiter.try_acquire()) ++count;
    return count;
}

}  // namespace

// resilience4j#2152: a random interval could come out below 1 ms, which its own checks refuse. resilience4j#1205: a
// configuration that was accepted made a null pointer later.
TEST_CASE("no options that are accepted give a delay below zero or above the cap") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937_64 draw{seed};
    const auto any_duration = [&] { return Duration{static_cast<std::int64_t>(draw() >> (draw() % 63))}; };
    int accepted = 0;
    for (int i = 0; i < 200'000; ++i) {
        const bw::Backoff backoff{.base = any_duration(),
                                  .multiplier = std::bit_cast<double>(draw()),
                                  .cap = any_duration(),
                                  .jitter = static_cast<bw::Jitter>(draw() % 4)};
        bw::Backoff tame = backoff;
        tame.multiplier = static_cast<double>(1 + draw() % 1'000);
        for (const bw::Backoff<>& one : {backoff, tame}) {
            if (!validate(one)) continue;
            ++accepted;
            Duration previous{};
            for (int retry = 0; retry < 4; ++retry) {
                previous = one.delay(static_cast<std::uint32_t>(draw()), previous, draw());
                if (previous < 0s || previous > one.cap) FAIL(previous.count() << " us");
            }
        }
    }
    CHECK(accepted > 100);
}

// Polly#2163, cockatiel#86, tower-resilience#438: after many attempts the backoff overflowed: negative, NaN, a panic.
TEST_CASE("the delay before attempt 1 to 1,000,000 never shrinks and never exceeds the cap") {
    for (const double multiplier : {1.0, 1.000'001, 1.5, 2.0, 1'000.0}) {
        const bw::Backoff backoff{.base = 100ms, .multiplier = multiplier, .cap = 30s, .jitter = bw::Jitter::none};
        Duration before{};
        for (std::uint32_t retry = 1; retry <= 1'000'000; ++retry) {
            const Duration delay = backoff.delay(retry, before, 0);
            if (delay < before || delay > 30s) FAIL("multiplier " << multiplier << ", retry " << retry);
            before = delay;
        }
        CHECK(before == (multiplier == 1.0 ? 100ms : multiplier == 1.000'001 ? before : 30s));
        for (const auto kind : {bw::Jitter::full, bw::Jitter::equal, bw::Jitter::decorrelated}) {
            bw::Backoff jittered = backoff;
            jittered.jitter = kind;
            Duration previous{};
            for (std::uint32_t retry = 1; retry <= 1'000'000; retry += 997) {
                previous = jittered.delay(retry, previous, ~std::uint64_t{0});
                if (previous < 0s || previous > 30s) FAIL("multiplier " << multiplier << ", retry " << retry);
            }
        }
    }
}

// aws-sdk-cpp PR#2275: a clock that stepped back gave a negative refill, and the caller slept "for ever"; the repair
// takes the amount without its sign, so a step back now grants permits.
TEST_CASE("a limiter's clock that jumps, either way, grants no permit twice and refuses nobody for ever") {
    const auto survives = [](auto algorithm, auto step) {
        const bw::ManualClock clock{bw::ManualClock::Mode::advancing, bw::Instant{1'000h}};
        const bw::RateLimiter limiter{algorithm, Store{clock}};
        REQUIRE(taken(limiter) == 10);
        // Back and forth within the tolerance: the same second is lived through again, and pays once.
        for (int i = 0; i < 20; ++i) {
            clock.advance(-1s * (1 + i % 3));
            CHECK(taken(limiter) == 0);
            clock.advance(1s * (1 + i % 3));
            CHECK(taken(limiter) == 0);
        }
        // Far: never more than the limiter holds at once, and a wait that ends.
        clock.advance(step);
        CHECK(taken(limiter) <= 10);
        const Duration wait = limiter.retry_after();
        CHECK(wait <= bw::clock_tolerance + 20s);
        clock.advance(wait);
        const int again = taken(limiter);
        CHECK(again >= 1);
        CHECK(again <= 10);
    };
    for (const Duration step : {Duration{24h * 365}, Duration{-900h}, Duration{1h}, Duration{-1h}, Duration{-59s}}) {
        CAPTURE(step.count());
        survives(bw::TokenBucket{.permits = 10, .period = 10s, .burst = 10}, step);
        survives(bw::FixedWindow{.permits = 10, .window = 10s}, step);
        survives(bw::SlidingWindow{.permits = 10, .window = 10s}, step);
    }
}

// aws-sdk-cpp PR#2275, again; resilience4j and Hystrix measured the open time by the wall clock.
TEST_CASE("a circuit's clock that jumps, either way, neither wedges it nor lends a probe twice") {
    for (const Duration step : {Duration{24h * 365}, Duration{-900h}, Duration{1h}, Duration{-1h}, Duration{-10s}}) {
        CAPTURE(step.count());
        const bw::ManualClock clock{bw::ManualClock::Mode::advancing, bw::Instant{1'000h}};
        const bw::CircuitBreaker breaker{bw::CircuitBreakerOptions<>{.trip = bw::ConsecutiveFailures{1}}, Store{clock}};
        breaker.try_acquire().value().record(bw::Outcome::failure);
        clock.advance(step);
        if (auto early = breaker.try_acquire()) CHECK(step > 0s);
        CHECK(breaker.snapshot().retry_after.value_or(0s) <= 60s);
        clock.advance(2min);
        auto probe = breaker.try_acquire();
        REQUIRE(probe);
        clock.advance(-10s);
        CHECK_FALSE(breaker.try_acquire());
        CHECK(probe->record(bw::Outcome::success));
        CHECK(breaker.state() == bw::CircuitState::closed);
    }
}

// resilience4j RateLimiter: a caller that could not be served in time slept the whole timeout before it was refused.
TEST_CASE("a limiter that cannot serve in time refuses at once, without a wait") {
    const bw::ManualClock clock;
    const Store store{clock};
    const bw::RateLimiter limiter{
        bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = 10s, .burst = 1}, .max_wait = 9s},
        store};
    const bw::Pipeline guard{limiter};
    REQUIRE(guard.run([] { return 1; }));
    const bw::Instant asked = clock.now();
    const auto refused = guard.run([] { return 1; });
    CHECK(refused.error().is_refusal(Errc::rate_limited));
    CHECK(refused.error().retry_after() == 10s);
    CHECK(limiter.acquire(1, 9s).error().retry_after() == 10s);
    CHECK(guard.run([] { return 1; }, {.deadline = 5s}).error().is_refusal(Errc::rate_limited));
    CHECK(clock.waits().empty());
    CHECK(clock.now() == asked);
}

// failsafe-go, Failsafe: the budget was asked after the backoff's sleep, and its refusal hid the last real error.
TEST_CASE("a retry budget that is spent ends the call without a wait, and hides no real error") {
    const bw::ManualClock clock;
    const Store store{clock};
    const bw::RetryBudget budget{bw::RetryBudgetOptions{.ratio = 0.001, .floor_per_second = 0, .burst = 1}, store};
    const bw::Pipeline guard{
        bw::UseClock{clock},
        bw::Retry{bw::RetryOptions<>{.max_retries = 3, .backoff = {.jitter = bw::Jitter::none}}, budget}};
    const auto result = guard.run([]() -> bw::Result<int> { return bw::fail(Errc::connect_failed); });
    CHECK(result.error().code() == Errc::connect_failed);
    CHECK(result.error().stopped_by() == Errc::budget_exhausted);
    CHECK(result.error().attempts() == 2);
    CHECK(clock.waits() == std::vector<Duration>{200ms});
}

// failsafe-go#139: the budget's floor was off, so a service with few calls got no retries, or too many.
TEST_CASE("the floor of a retry budget gives a service with few calls its retries, and no more") {
    const bw::ManualClock clock;
    const Store store{clock};
    const bw::RetryBudget budget{bw::RetryBudgetOptions{.ratio = 0.001, .floor_per_second = 2, .burst = 2}, store};
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Retry{bw::RetryOptions<>{.max_retries = 1}, budget}};
    const auto retries = [&] {
        const auto result = guard.run([]() -> bw::Result<int> { return bw::fail(Errc::failure); });
        return result.error().attempts() - 1;
    };
    unsigned before = 0;
    for (int call = 0; call < 50; ++call) before += retries();
    CHECK(before >= 2);
    CHECK(before <= 5);  // two saved up, and what the waits of these add
    for (int second = 0; second < 20; ++second) {
        clock.advance(1001ms);
        unsigned now = 0;
        for (int call = 0; call < 5; ++call) now += retries();
        CHECK(now >= 2);
        CHECK(now <= 3);
    }
}
