// Bugs that other libraries had with calls that end early, one test each. The whole list is in
// peer_bugs_circuit_breaker.cpp.
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstddef>
#include <future>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include <malloc.h>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;

// Failsafe#393: a waiter whose time was over stayed in the queue and was handed a permit that nobody gave back: one
// permit less for each timeout, for ever.
TEST_CASE("a caller whose time in the queue is over is not handed a permit later") {
    const bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    const bw::Bulkhead bulkhead{{.max_concurrent = 1, .max_queue = 1}};
    for (int round = 0; round < 20; ++round) {
        std::optional held = bulkhead.try_acquire().value();
        auto waiter = std::async(std::launch::async, [&] { return bulkhead.acquire(1s, {}, clock); });
        clock.await_blocked();
        clock.advance(1s);
        CHECK(waiter.get().error().code() == Errc::bulkhead_full);
        CHECK(bulkhead.snapshot().queued == 0);
        held.reset();
        CHECK(bulkhead.snapshot().in_flight == 0);
    }
    CHECK(bulkhead.try_acquire());
}

// failsafe-go#134, cockatiel#69, #112: each call left a context or an abort listener with the caller's token.
TEST_CASE("100,000 calls with one stop token leave nothing with it") {
    const bw::Pipeline guard{
        bw::Retry{{.max_retries = 1, .backoff = {.base = 1us, .cap = 1us, .jitter = bw::Jitter::none}}},
        bw::CircuitBreaker{{.trip = bw::never}}, bw::Bulkhead{{.max_concurrent = 1}}, bw::AttemptTimeout{10s}};
    std::stop_source long_lived;
    const auto run = [&](int times) {
        int failed = 0;
        for (int i = 0; i < times; ++i) {
            const auto call = [&](std::stop_token) -> bw::Result<int> {
                if (i % 4 == 0) return bw::fail(Errc::failure);
                return i;
            };
            failed += !guard.run(call, {.stop = long_lived.get_token()});
        }
        return failed;
    };
    CHECK(run(100) == 25);
    const auto before = ::mallinfo2().uordblks;
    const int failed = run(100'000);
    const auto after = ::mallinfo2().uordblks;
    CHECK(failed == 25'000);
    CHECK(after <= before + 1'000);
    long_lived.request_stop();  // a listener left behind would be called now, in a frame that is gone
}

// Failsafe#393's other half, failsafe-go 0.9.2, resilience4j#682: a cancelled call kept what it had been given.
TEST_CASE("a call that is cancelled at any point gives back its bulkhead, limiter and probe permits") {
    const bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::CircuitBreaker breaker{bw::CircuitBreakerOptions<>{.trip = bw::ConsecutiveFailures{1}}, store};
    const bw::RateLimiter limiter{bw::TokenBucket{.permits = 1, .period = 1h, .burst = 100}, store};
    const bw::Bulkhead bulkhead{{.max_concurrent = 1}};
    const bw::Pipeline guard{breaker, limiter, bulkhead};
    breaker.try_acquire().value().record(bw::Outcome::failure);
    clock.advance(60s);
    for (int round = 0; round < 50; ++round) {
        std::stop_source stop;
        const auto result = guard.run(
            [&]() -> bw::Result<int> {
                CHECK(breaker.snapshot().probes_in_flight == 1);
                stop.request_stop();
                return bw::fail(Errc::cancelled);
            },
            {.stop = stop.get_token()});
        CHECK(result.error().code() == Errc::cancelled);
        CHECK(breaker.snapshot().probes_in_flight == 0);
        CHECK(bulkhead.snapshot().in_flight == 0);
    }
    CHECK(breaker.state() == bw::CircuitState::half_open);
    CHECK(guard.run([] { return 1; }) == 1);
    CHECK(breaker.state() == bw::CircuitState::closed);
}
