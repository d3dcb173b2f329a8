// Bugs that circuit breakers of other libraries had, one test each. With the other peer_bugs_*.cpp, in tests/unit and
// tests/stress, this is the whole list of what is known of our peers:
//
//   Hystrix#1806, #2108                   an open circuit knows when it opens again       here, stress
//   Hystrix#1350, Polly#217, #218         a result from before the trip                   here
//   Polly#216, MakersF/Resilient          threads that find a half-open circuit           stress
//   resilience4j#544                      an ignored error of a probe                     here
//   resilience4j#2038                     100,000 probes in one call                      here
//   resilience4j#1262                     slow failures leave a time window               here, model/window
//   resilience4j#1205, #2152              no options that are accepted                    limits_and_clocks
//   Polly#2163, cockatiel#86, tower#438   the delay before attempt 1 to 1,000,000         limits_and_clocks
//   aws-sdk-cpp PR#2275                   a limiter's clock, a circuit's clock            limits_and_clocks
//   Failsafe#393, resilience4j#682        a caller whose time, a call that is cancelled   cancellation
//   failsafe-go#139                       the floor of a retry budget                     limits_and_clocks
//   tower-resilience#363                  of the callers that wait                        stress
//   failsafe-go#134, cockatiel#69, #112   100,000 calls with one stop token               cancellation
//   Sentinel#1638                         a probe that an inner policy refuses            here
//   envoy#40697                           a circuit that closed again                     here
//   gobreaker#37                          an observer may ask the circuit                 here
//   termite PR#27, resilience4j#1090      every interleaving of three callers             model
//   gobreaker, distributed                no lock is held while the user's call runs      stress
//   Polly v8, cancelled and hung probes   a call that was cancelled, a probe that hangs   here
//   resilience4j, failsafe-go, permits    a result of an earlier call                     here
//   failsafe-go, Failsafe, budget         a retry budget that is spent                    limits_and_clocks
//   resilience4j, limiter                 a limiter that cannot serve in time             limits_and_clocks
//   aws-sdk-cpp, adaptive retry           while one caller waits for a permit             stress
//   kcenon, lost probes                   probes that are dropped, a success threshold    here
//   kcenon, memory                        failures recorded while a circuit is open       here
//   failsafe-go, .NET, Retry-After        a Retry-After as a date, beyond reason; a POST  http
//   libcurl, Retry-After                  a Retry-After of 0, a wrong local clock         http
//   interlock                             lost probes come back after their lease         here
//
// Not here, as we have no such part yet: adaptive limits (tower-resilience#368), coalescing (Haruki PR#59), and state
// shared between processes (pybreaker#24, the rest of gobreaker's distributed circuit and of interlock).
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Errc;
using bw::Outcome;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;
using Breaker = bw::CircuitBreaker<bw::AnyTrip, Store>;
using Permit = Breaker::Permit;

constexpr bw::ConsecutiveFailures first_failure{1};

struct World {
    bw::ManualClock clock{};
    Store store{clock};

    /// Opens at the first failure, for 60 s.
    Breaker breaker(bw::CircuitBreakerOptions<> options = {}) const {
        options.trip = first_failure;
        return Breaker{std::move(options), store};
    }
    /// A circuit whose time to be open is over; the next caller becomes a probe.
    Breaker ready_to_probe(bw::CircuitBreakerOptions<> options = {}) const {
        Breaker made = breaker(std::move(options));
        made.try_acquire().value().record(Outcome::failure);
        clock.advance(60s);
        return made;
    }
};

bw::Result<int> failing() { return bw::fail(Errc::failure); }

/// How many of `callers` are admitted at once.
std::size_t admitted_of(const Breaker& breaker, std::size_t callers) {
    std::vector<Permit> held;
    for (std::size_t i = 0; i < callers; ++i) {
        if (auto permit = breaker.try_acquire()) held.push_back(*std::move(permit));
    }
    return held.size();
}

}  // namespace

// Hystrix#1806, #2108: status and opening time were two atomics; OPEN with opening time -1 stayed shut for ever.
TEST_CASE("an open circuit knows when it opens again, whatever opened it") {
    const World world;
    const Breaker breaker = world.breaker();
    const auto opens_again = [&] {
        const auto seen = breaker.snapshot();
        return seen.state == CircuitState::open && seen.retry_after && *seen.retry_after > 0s &&
               *seen.retry_after <= 60s;
    };
    breaker.try_acquire().value().record(Outcome::failure);
    CHECK(opens_again());
    world.clock.advance(60s);
    breaker.try_acquire().value().record(Outcome::failure);  // a probe
    CHECK(opens_again());
    breaker.force_open(30s);
    CHECK(opens_again());
    breaker.reset();
    breaker.try_acquire().value().record(Outcome::failure);
    CHECK(opens_again());
    world.clock.advance(60s);
    CHECK(admitted_of(breaker, 1) == 1);
}

// Hystrix#1350, Polly#217, #218; Polly v8 (no generation): any late result closed or opened a half-open circuit.
TEST_CASE("a result from before the trip decides nothing about a half-open circuit") {
    const World world;
    const Breaker breaker = world.breaker();
    Permit late_success = breaker.try_acquire().value();
    Permit late_failure = breaker.try_acquire().value();
    breaker.try_acquire().value().record(Outcome::failure);
    world.clock.advance(60s);
    Permit probe = breaker.try_acquire().value();
    REQUIRE(probe.is_probe());

    CHECK_FALSE(late_success.record(Outcome::success));
    CHECK(breaker.state() == CircuitState::half_open);
    CHECK_FALSE(late_failure.record(Outcome::failure));
    CHECK(breaker.state() == CircuitState::half_open);
    CHECK(probe.record(Outcome::success));
    CHECK(breaker.state() == CircuitState::closed);
}

// resilience4j#544: an ignored exception while half-open never released its permission; the circuit was stuck.
TEST_CASE("an ignored error of a probe gives its slot back") {
    const World world;
    const Breaker breaker =
        world.ready_to_probe({.classify = [](const bw::Error&) { return std::optional{Outcome::neutral}; }});
    const bw::Pipeline guard{breaker};
    for (int i = 0; i < 100; ++i) CHECK(guard.run(failing).error().code() == Errc::failure);  // never refused
    CHECK(breaker.state() == CircuitState::half_open);
    CHECK(guard.run([] { return 1; }) == 1);
    CHECK(breaker.state() == CircuitState::closed);
}

// resilience4j#2038: going from open to half-open called itself, until the stack overflowed.
TEST_CASE("100,000 probes in one call, each of which opens the circuit again, need no more stack than one") {
    const World world;
    const bw::Pipeline guard{
        bw::Retry{{.max_retries = 100'000,
                   .backoff = {.base = 60s, .multiplier = 1, .cap = 60s, .jitter = bw::Jitter::none}}},
        world.breaker()};
    int calls = 0;
    std::uintptr_t at_retry = 0, deepest = 0;
    const auto result = guard.run([&]() -> bw::Result<int> {
        // Of the frame, not of a variable: AddressSanitizer keeps those elsewhere.
        const auto place = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        if (++calls == 2) at_retry = deepest = place;  // the first attempt goes another way
        deepest = std::min(deepest, place);
        return bw::fail(Errc::failure);
    });
    CHECK(result.error().attempts() == 100'001);
    CHECK(at_retry == deepest);
}

// resilience4j#1262: the count of slow and failed calls was not reset with its bucket.
TEST_CASE("slow failures leave a time window with everything else") {
    const World world;
    const bw::CircuitBreaker<bw::FailureRate, Store> breaker{{.trip = {.ratio = 1.0,
                                                                       .window = bw::TimeWindow{10s},
                                                                       .minimum_calls = 4,
                                                                       .slow_call = {.duration = 1s, .ratio = 0.75}}},
                                                             world.store};
    const bw::Pipeline guard{breaker};
    const auto slow_failure = [&]() -> bw::Result<int> {
        world.clock.advance(1100ms);
        return bw::fail(Errc::failure);
    };
    for (int round = 0; round < 5; ++round) {
        CHECK(guard.run(slow_failure).error().code() == Errc::failure);
        CHECK(guard.run(slow_failure).error().code() == Errc::failure);
        for (int i = 0; i < 2; ++i) CHECK(guard.run([] { return 1; }) == 1);
        CHECK(breaker.snapshot().counts.calls == 4);
        CHECK(breaker.snapshot().counts.failures == 2);
        world.clock.advance(20s);
        CHECK(breaker.snapshot().counts.calls == 0);
        CHECK(breaker.snapshot().counts.failures == 0);
    }
    CHECK(breaker.state() == CircuitState::closed);
}

// Sentinel#1638: a probe that a later rule blocked left the circuit half-open for ever.
TEST_CASE("a probe that an inner policy refuses leaves its slot to the next caller") {
    const World world;
    const Breaker breaker = world.ready_to_probe();
    const bw::RateLimiter limiter{bw::TokenBucket{.permits = 1, .period = 10s, .burst = 1}, world.store};
    REQUIRE(limiter.try_acquire());
    const bw::Pipeline guard{breaker, limiter};
    CHECK(guard.run([] { return 1; }).error().is_refusal(Errc::rate_limited));
    CHECK(breaker.snapshot().probes_in_flight == 0);
    world.clock.advance(10s);
    CHECK(guard.run([] { return 1; }) == 1);
    CHECK(breaker.state() == CircuitState::closed);
}

// envoy#40697: the count of failures was wrong once an endpoint had been let in again.
TEST_CASE("a circuit that closed again counts from nothing") {
    const World world;
    const Breaker breaker{{.trip = bw::ConsecutiveFailures{3}}, world.store};
    const bw::Pipeline guard{breaker};
    for (int round = 0; round < 5; ++round) {
        for (int i = 0; i < 3; ++i) {
            CHECK(breaker.snapshot().counts.failures == static_cast<std::uint64_t>(i));
            CHECK_FALSE(guard.run(failing));
        }
        REQUIRE(breaker.state() == CircuitState::open);
        world.clock.advance(60s);
        REQUIRE(guard.run([] { return 1; }));
        REQUIRE(breaker.state() == CircuitState::closed);
    }
}

// gobreaker#37: the callback ran under the mutex, and one that asked the circuit for its state never came back.
TEST_CASE("an observer may ask the circuit that reports to it, call through it, and command it") {
    const World world;
    const Breaker breaker = world.breaker();
    std::vector<CircuitState> seen;
    std::function<void()> call;
    const auto watch = [&](const bw::Event& event) {
        if (event.kind != bw::EventKind::circuit_opened && event.kind != bw::EventKind::circuit_half_opened &&
            event.kind != bw::EventKind::circuit_closed)
            return;
        seen.push_back(breaker.state());
        (void)breaker.snapshot();
        call();
        if (auto permit = breaker.try_acquire()) permit->record(Outcome::success);
        if (event.kind == bw::EventKind::circuit_closed) {
            breaker.force_open(1s);
            CHECK(breaker.reconfigure(breaker.options()));
            breaker.reset();
        }
    };
    const bw::Pipeline guard{bw::Observe{watch}, breaker};
    call = [&] { (void)guard.run([] { return 1; }); };
    CHECK_FALSE(guard.run(failing));
    world.clock.advance(60s);
    CHECK(guard.run([] { return 1; }) == 1);
    CHECK(seen == std::vector{CircuitState::open, CircuitState::half_open, CircuitState::closed});
}

// Polly v8: a call that was cancelled already could half-open the circuit, throw before the callback, be filed as a
// success, and so close the circuit although no probe was sent.
TEST_CASE("a call that was cancelled before it began moves no circuit") {
    const World world;
    const Breaker breaker = world.ready_to_probe();
    std::stop_source stop;
    stop.request_stop();
    int calls = 0;
    const bw::Pipeline guard{bw::Retry{}, breaker};
    const auto result = guard.run([&] { return ++calls; }, {.stop = stop.get_token()});
    CHECK(result.error().code() == Errc::cancelled);
    CHECK(calls == 0);
    CHECK(breaker.state() == CircuitState::open);
    CHECK(breaker.snapshot().probes_in_flight == 0);
}

// Polly v8: only a call that returns can end the half-open state, so a probe that hangs blocks all new calls.
TEST_CASE("a probe that hangs keeps others out for its lease and no longer") {
    const World world;
    const Breaker breaker = world.ready_to_probe({.probe_lease = 30s});
    Permit hung = breaker.try_acquire().value();
    CHECK(breaker.try_acquire().error().retry_after() == 30s);
    world.clock.advance(30s);
    Permit second = breaker.try_acquire().value();
    CHECK_FALSE(hung.record(Outcome::failure));  // it comes back after all
    CHECK(breaker.state() == CircuitState::half_open);
    CHECK(second.record(Outcome::success));
    CHECK(breaker.state() == CircuitState::closed);
}

// resilience4j HalfOpenState.releasePermission had no ceiling: an ignored error of a call begun while closed added a
// probe slot. failsafe-go, Failsafe#391: so did every result of an earlier call.
TEST_CASE("a result of an earlier call adds no probe slot, ignored or not") {
    for (const Outcome outcome : {Outcome::neutral, Outcome::success, Outcome::failure}) {
        const World world;
        const Breaker breaker = world.breaker({.half_open_probes = 2, .success_threshold = 2});
        std::vector<Permit> earlier;
        for (int i = 0; i < 20; ++i) earlier.push_back(breaker.try_acquire().value());
        breaker.try_acquire().value().record(Outcome::failure);
        world.clock.advance(60s);
        const Permit probe = breaker.try_acquire().value();
        for (Permit& permit : earlier) permit.record(outcome);
        CHECK(breaker.state() == CircuitState::half_open);
        CHECK(admitted_of(breaker, 100) == 1);
    }
}

// kcenon/common_system: three probes taken and dropped, and 0 of 100 callers were admitted from then on.
TEST_CASE("probes that are dropped without a verdict give their slots back at once") {
    const World world;
    const Breaker breaker = world.ready_to_probe({.half_open_probes = 3});
    for (int round = 0; round < 10; ++round) CHECK(admitted_of(breaker, 100) == 3);
    CHECK(breaker.snapshot().probes_in_flight == 0);
}

// interlock-cb: a probe that was lost with its process held its slot for 300 s, longer than most outages.
TEST_CASE("lost probes come back after their lease") {
    const World world;
    const Breaker breaker = world.ready_to_probe({.half_open_probes = 3, .probe_lease = 10s});
    std::vector<Permit> lost;
    for (int i = 0; i < 3; ++i) lost.push_back(breaker.try_acquire().value());
    CHECK(admitted_of(breaker, 100) == 0);
    world.clock.advance(10s);
    CHECK(admitted_of(breaker, 100) == 3);
}

// kcenon/common_system: a success threshold above the number of probes shut the circuit for good.
TEST_CASE("a success threshold above the number of probes can be reached") {
    const World world;
    const Breaker breaker = world.ready_to_probe({.half_open_probes = 1, .success_threshold = 5});
    for (int i = 0; i < 5; ++i) breaker.try_acquire().value().record(Outcome::success);
    CHECK(breaker.state() == CircuitState::closed);
}

// kcenon/common_system: failures recorded while the circuit was open made its list of them grow.
TEST_CASE("failures recorded while a circuit is open take no memory") {
    constexpr int many = 10'000;
    const World world;
    const Breaker breaker{
        {.trip = bw::FailureRate{.window = bw::TimeWindow{10s}, .minimum_calls = 1}, .recovery_timeout = 24h},
        world.store};
    std::vector<Permit> under_way;
    for (int i = 0; i < many; ++i) under_way.push_back(breaker.try_acquire().value());
    breaker.try_acquire().value().record(Outcome::failure);
    REQUIRE(breaker.state() == CircuitState::open);
    CHECK(test::allocations_in([&] {
              for (Permit& permit : under_way) permit.record(Outcome::failure);
          }) == 0);
    CHECK(breaker.snapshot().counts.failures <= 1);
    CHECK(breaker.snapshot().late_results == many);
}
