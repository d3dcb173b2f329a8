// Bugs that other libraries had between threads, one test each. The whole list is in
// unit/peer_bugs_circuit_breaker.cpp.
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>
#include <stress/on_threads.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <optional>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Outcome;

namespace {

constexpr unsigned thread_count = 4;

using Store = bw::MemoryStore<bw::ManualClock>;
using Breaker = bw::CircuitBreaker<bw::AnyTrip, Store>;

}  // namespace

// Hystrix#1806, #2108, PR#1863: state and opening time were two atomics, changed one after the other; a circuit could
// be open since never, and stayed so.
TEST_CASE("however threads race to open, close, force and reset a circuit, it can be probed when its time is over") {
    const bw::ManualClock clock;
    const Breaker breaker{{.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 1s, .probe_lease = 1s},
                          Store{clock}};
    for (int round = 0; round < 300; ++round) {
        test::on_threads(thread_count, [&](unsigned self) {
            for (unsigned i = 0; i < 10; ++i) {
                if (auto permit = breaker.try_acquire())
                    permit->record((i + self) % 3 == 0 ? Outcome::success : Outcome::failure);
                if (i == 4 && self == 0) breaker.force_open(1s);
                if (i == 6 && self == 1) breaker.reset();
                if (i % 5 == 0) clock.advance(300ms);
            }
        });
        clock.advance(1s);
        auto permit = breaker.try_acquire();
        REQUIRE(permit);
        permit->record(Outcome::success);
        REQUIRE(breaker.state() == CircuitState::closed);
    }
}

// Polly#216, MakersF/Resilient (1000 of 1000 callers), stoplight: all who came while half-open were let through.
TEST_CASE("threads that find a half-open circuit together send as many probes as it allows, and the rest are refused") {
    for (const unsigned probes : {1u, 2u}) {
        for (int round = 0; round < 300; ++round) {
            const bw::ManualClock clock;
            const Breaker breaker{{.trip = bw::ConsecutiveFailures{1}, .half_open_probes = probes}, Store{clock}};
            const bw::Pipeline guard{breaker};
            breaker.try_acquire().value().record(Outcome::failure);
            clock.advance(60s);
            std::atomic<unsigned> sent{0}, refused{0};
            std::latch all_asked{thread_count};
            test::on_threads(thread_count, [&](unsigned) {
                const auto result = guard.run([&] {
                    ++sent;
                    all_asked.arrive_and_wait();  // no probe ends before everybody has asked
                });
                if (result) return;
                refused += result.error().is_refusal(bw::Errc::circuit_open);
                all_asked.count_down();
            });
            REQUIRE(sent == probes);
            REQUIRE(refused == thread_count - probes);
        }
    }
}

// gobreaker's distributed circuit held its lock while the user's request ran: one call at a time, fleet-wide.
TEST_CASE("no lock is held while the user's call runs") {
    const Breaker breaker{{.trip = bw::FailureRate{.window = bw::TimeWindow{10s}}}, Store{bw::ManualClock{}}};
    const bw::Pipeline guard{breaker, bw::RateLimiter{bw::TokenBucket{.permits = 100, .period = 1s, .burst = 100}}};
    std::atomic<unsigned> inside{0}, met{0}, succeeded{0};
    test::on_threads(thread_count, [&](unsigned) {
        const auto result = guard.run([&] {
            ++inside;
            const auto give_up = std::chrono::steady_clock::now() + 30s;
            while (inside < thread_count && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
            met += inside == thread_count;
        });
        succeeded += result.has_value();
    });
    CHECK(succeeded == thread_count);
    CHECK(met == thread_count);
}

// tower-resilience#363: a caller that was woken went on without a permit of its own, so a herd passed for one.
TEST_CASE("of the callers that wait for one permit, one has it when they wake, and none goes without") {
    constexpr bw::Duration period = 1s;
    const bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    const bw::RateLimiter limiter{
        bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = period, .burst = 1},
                                 .max_wait = 1h},
        Store{clock}};
    const bw::Pipeline guard{limiter};
    for (int round = 0; round < 20; ++round) {
        clock.advance(period);
        REQUIRE(limiter.try_acquire());
        std::vector<bw::Instant> served(thread_count);
        std::atomic<unsigned> count{0};
        {
            std::vector<std::jthread> herd;
            for (unsigned i = 0; i < thread_count; ++i) {
                herd.emplace_back([&] { (void)guard.run([&] { served[count++] = clock.now(); }); });
            }
            clock.await_blocked(thread_count);
            for (unsigned i = 0; i < thread_count; ++i) {
                clock.advance(period);
                while (count <= i) std::this_thread::yield();
            }
        }
        std::ranges::sort(served);
        for (unsigned i = 1; i < thread_count; ++i) REQUIRE(served[i] - served[i - 1] >= period);
    }
}

// aws-sdk-cpp's adaptive retry slept inside its mutex: all threads, and the book-keeping of successes, waited along.
TEST_CASE("while one caller waits for a permit, others ask, record and look without waiting") {
    const bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    const Store store{clock};
    const Breaker breaker{{.trip = bw::ConsecutiveFailures{5}}, store};
    const bw::RateLimiter limiter{
        bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = 10s, .burst = 1}, .max_wait = 1h},
        store};
    const bw::Pipeline guard{breaker, limiter};
    auto busy = breaker.try_acquire();
    REQUIRE(limiter.try_acquire());
    auto waiting = std::async(std::launch::async, [&] { return guard.run([] { return 1; }); });
    clock.await_blocked();
    CHECK(limiter.try_acquire().error().retry_after() == 10s);  // no time passes here: a wait would never end
    CHECK(limiter.snapshot().available == 0);
    busy->record(Outcome::failure);
    CHECK(breaker.snapshot().counts.failures == 1);
    CHECK(breaker.try_acquire());
    clock.advance(10s);
    CHECK(waiting.get() == 1);
}
