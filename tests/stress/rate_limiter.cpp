#include <breakwater/rate_limiter.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

template <class F>
void on_threads(unsigned count, F work) {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
}

using Store = bw::MemoryStore<bw::ManualClock>;

/// How many of the threads' attempts get a permit at one instant.
template <class Limiter>
std::int64_t taken_now(const Limiter& limiter) {
    std::atomic<std::int64_t> taken{0};
    on_threads(4, [&](unsigned) {
        for (int n = 0; n < 200; ++n) taken += limiter.try_acquire().has_value();
    });
    return taken;
}

}  // namespace

TEST_CASE("a token bucket grants its burst, then exactly what accrues, to any number of threads") {
    bw::ManualClock clock;
    const bw::RateLimiter<bw::TokenBucket, Store> limiter{bw::TokenBucket{.permits = 100, .period = 1s, .burst = 50},
                                                          Store{clock}};
    REQUIRE(taken_now(limiter) == 50);
    for (int round = 0; round < 200; ++round) {
        clock.advance(100ms);
        REQUIRE(taken_now(limiter) == 10);
    }
}

TEST_CASE("a fixed window grants its permits in each window, to any number of threads") {
    bw::ManualClock clock;
    const bw::RateLimiter<bw::FixedWindow, Store> limiter{bw::FixedWindow{.permits = 20, .window = 1s}, Store{clock}};
    for (int round = 0; round < 200; ++round) {
        REQUIRE(taken_now(limiter) == 20);
        clock.advance(1s);
    }
}

TEST_CASE("permits taken and given back by many threads are all there again") {
    bw::ManualClock clock;
    const bw::RateLimiter<bw::TokenBucket, Store> limiter{bw::TokenBucket{.permits = 1, .period = 1h, .burst = 8},
                                                          Store{clock}};
    std::atomic<int> out{0};
    std::atomic<bool> too_many{false};
    on_threads(4, [&](unsigned) {
        for (int n = 0; n < 250'000; ++n) {
            if (!limiter.try_acquire()) continue;
            if (++out > 8) too_many = true;
            --out;
            limiter.give_back();
        }
    });
    REQUIRE_FALSE(too_many);
    REQUIRE(limiter.snapshot().available == 8);
}
