#include <breakwater/attempt_timeout.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <malloc.h>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::AttemptTimeout;
using bw::Errc;
using bw::ManualClock;

namespace {

const bw::RetryOptions<> steady_retry{.max_retries = 2,
                                      .backoff = {.base = 1s, .multiplier = 2, .cap = 1h, .jitter = bw::Jitter::none}};

bw::Result<int> failing() { return bw::fail(Errc::receive_failed, "reset"); }

/// A callable that waits an hour, or fails when it is asked to stop.
auto patient(const ManualClock& clock) {
    return [clock](std::stop_token stop) -> bw::Result<int> {
        if (clock.wait_until(clock.now() + 1h, stop) == bw::Wait::stopped) return failing();
        return 1;
    };
}

void await(const std::stop_token& stop) {
    while (!stop.stop_requested()) std::this_thread::yield();
}

/// Notes how much time the attempt has left once what is inside has come back.
struct Look {
    struct Lane {};
    std::vector<bw::Duration>* seen;
    bw::Before before(Lane&, auto&) const { return bw::proceed; }
    bw::After after(Lane&, auto& call, auto&) const { return seen->push_back(call.attempt_remaining()), bw::done; }
};

template <class F>
std::string message_of(F make) {
    try {
        make();
        return "accepted";
    } catch (const bw::Exception& exception) {
        return exception.error().message();
    }
}

}  // namespace

TEST_CASE("an attempt is asked to stop when its time is up, and has timed out") {
    const ManualClock clock{ManualClock::Mode::blocking};
    const bw::Pipeline guard{bw::UseClock{clock}, AttemptTimeout{1s}};
    auto call = std::async(std::launch::async, [&] { return guard.run(patient(clock)); });
    clock.await_blocked();
    clock.advance(1s);
    const auto result = call.get();
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == Errc::attempt_timeout);
    CHECK(result.error().detail() == "the attempt ended with: the connection broke: reset");
    CHECK(result.error().attempts() == 1);
    CHECK(result.error().sent() == bw::Sent::maybe);
}

TEST_CASE("an attempt is asked to stop by the steady clock, not before its time") {
    const bw::Pipeline guard{AttemptTimeout{20ms}};
    const bw::SteadyClock clock;
    const bw::Instant began = clock.now();
    const auto result = guard.run([&](std::stop_token stop) -> bw::Result<int> {
        clock.wait_until(began + 1min, stop);
        return failing();
    });
    CHECK(result.error().code() == Errc::attempt_timeout);
    CHECK(clock.now() - began >= 20ms);
    CHECK(clock.now() - began < 1min);
}

TEST_CASE("a callable may hear of the stop and the time left from the call") {
    const ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Deadline{10s}, AttemptTimeout{4s}};
    std::vector<bw::Duration> left;
    const auto result = guard.run([&](auto& call) -> bw::Result<int> {
        left.push_back(call.attempt_remaining());
        clock.advance(3s);
        left.push_back(call.attempt_remaining());
        clock.advance(2s);
        left.push_back(call.attempt_remaining());
        await(call.stop_token());
        return failing();
    });
    CHECK(result.error().code() == Errc::attempt_timeout);
    CHECK(left == std::vector<bw::Duration>{4s, 1s, 0s});

    const bw::Pipeline unbounded{bw::UseClock{clock}, bw::Deadline{2s}};
    CHECK(unbounded.run([](auto& call) { return call.attempt_remaining(); }) == 2s);
    const bw::Pipeline free{bw::UseClock{clock}};
    CHECK(free.run([](auto& call) { return call.attempt_remaining(); }) == bw::Duration::max());
}

TEST_CASE("a callable that ignores the stop is not interrupted: its late success is kept, its late error a timeout") {
    const ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, AttemptTimeout{1s}};
    CHECK(guard.run([&](std::stop_token) { return clock.advance(1min), 7; }) == 7);
    const auto late = guard.run([&](std::stop_token) { return clock.advance(1s), failing(); });
    CHECK(late.error().code() == Errc::attempt_timeout);
    const auto thrown = guard.run([&](std::stop_token) -> int { throw(clock.advance(1s), std::runtime_error{"x"}); });
    CHECK(thrown.error().code() == Errc::attempt_timeout);
    CHECK(thrown.error().exception() == nullptr);
    const auto unsent = guard.run([&](std::stop_token) -> bw::Result<int> {
        clock.advance(1s);
        return bw::fail(Errc::connect_failed);
    });
    CHECK(unsent.error().code() == Errc::attempt_timeout);
    CHECK(unsent.error().sent() == bw::Sent::no);
}

TEST_CASE("an error in time stays what it is") {
    const ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, AttemptTimeout{1s}};
    const auto result = guard.run([&](std::stop_token) { return clock.advance(1s - 1us), failing(); });
    CHECK(result.error().code() == Errc::receive_failed);
    CHECK(result.error().detail() == "reset");
}

TEST_CASE("the caller's own stop request reaches the attempt and stays a cancellation") {
    const ManualClock clock{ManualClock::Mode::blocking};
    const bw::Pipeline guard{bw::UseClock{clock}, AttemptTimeout{1s}};
    std::stop_source source;
    auto call = std::async(std::launch::async, [&] { return guard.run(patient(clock), {.stop = source.get_token()}); });
    clock.await_blocked();
    source.request_stop();
    const auto result = call.get();
    CHECK(result.error().code() == Errc::cancelled);
    CHECK(result.error().attempts() == 1);
}

TEST_CASE("the deadline reaches the attempt and stays a passed deadline") {
    const ManualClock clock{ManualClock::Mode::blocking};
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Retry{steady_retry}, AttemptTimeout{1s}};
    auto call = std::async(std::launch::async, [&] { return guard.run(patient(clock), {.deadline = 300ms}); });
    clock.await_blocked();
    clock.advance(300ms);
    CHECK(call.get().error().code() == Errc::deadline_exceeded);
}

TEST_CASE("each attempt has its own time, and one that timed out is retried and counted") {
    const ManualClock clock;
    const bw::CircuitBreaker breaker{{.trip = bw::ConsecutiveFailures{3}}, bw::MemoryStore{clock}};
    const bw::Pipeline guard{bw::Deadline{1h}, bw::Retry{steady_retry}, breaker, AttemptTimeout{2s}};
    int attempts = 0;
    const auto result = guard.run([&](std::stop_token stop) -> bw::Result<int> {
        CHECK_FALSE(stop.stop_requested());
        if (++attempts < 3) clock.advance(2s);
        return attempts < 3 ? failing() : 5;
    });
    CHECK(result == 5);
    CHECK(attempts == 3);

    const auto timed_out = guard.run([&](std::stop_token) { return clock.advance(2s), failing(); });
    CHECK(timed_out.error().code() == Errc::attempt_timeout);
    CHECK(timed_out.error().attempts() == 3);
    CHECK(breaker.state() == bw::CircuitState::open);
}

TEST_CASE("of two attempt timeouts the shorter one holds, and what was outside is restored") {
    const ManualClock clock;
    const auto left = [](auto& call) { return call.attempt_remaining(); };
    CHECK(bw::Pipeline{bw::UseClock{clock}, AttemptTimeout{1s}, AttemptTimeout{5s}}.run(left) == 1s);
    CHECK(bw::Pipeline{bw::UseClock{clock}, AttemptTimeout{5s}, AttemptTimeout{1s}}.run(left) == 1s);
    std::vector<bw::Duration> seen;
    const Look look{&seen};
    std::stop_source source;
    CHECK(bw::Pipeline{bw::UseClock{clock}, look, AttemptTimeout{5s}, look, AttemptTimeout{1s}, look}.run(
        left, {.stop = source.get_token()}));
    CHECK(seen == std::vector<bw::Duration>{1s, 5s, bw::Duration::max()});
}

TEST_CASE("the decorator form hands the attempt's stop token over before the arguments") {
    const bw::Pipeline guard{AttemptTimeout{1s}};
    auto add = guard.wrap([](std::stop_token stop, int a, int b) { return stop.stop_possible() ? a + b : 0; });
    CHECK(add(2, 3) == 5);
}

TEST_CASE("without an attempt timeout a callable that takes a stop token hears of the caller's") {
    const bw::Pipeline guard{bw::Deadline{1s}};
    const auto may_stop = [](std::stop_token stop) { return stop.stop_possible(); };
    CHECK(guard.run(may_stop) == false);
    std::stop_source source;
    CHECK(guard.run(may_stop, {.stop = source.get_token()}) == true);
}

TEST_CASE("an attempt timeout that cannot be is refused, naming both numbers") {
    CHECK(message_of([] { AttemptTimeout{0s}; }) == "attempt_timeout: must be > 0s, at most 24h, got 0s");
    CHECK(message_of([] { AttemptTimeout{25h}; }) == "attempt_timeout: must be > 0s, at most 24h, got 25h");
    const bw::CircuitBreaker breaker{{.probe_lease = 3s}};
    CHECK(message_of([] { bw::Pipeline{bw::Deadline{2s}, AttemptTimeout{5s}}; }) ==
          "attempt_timeout: must be at most the pipeline's deadline of 2s, got 5s");
    CHECK(message_of([] { bw::Pipeline{AttemptTimeout{5s}, bw::Deadline{2s}}; }) ==
          "attempt_timeout: must be at most the pipeline's deadline of 2s, got 5s");
    CHECK(message_of([&] { bw::Pipeline{bw::Deadline{10s}, breaker, AttemptTimeout{5s}}; }) ==
          "attempt_timeout: must be at most the pipeline's probe lease of 3s, got 5s");
    CHECK(message_of([&] { bw::Pipeline{bw::Deadline{3s}, breaker, AttemptTimeout{3s}}; }) == "accepted");
}

TEST_CASE("an attempt timeout stands inside all that admits") {
    const ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::Pipeline guard{
        bw::Deadline{1min},
        bw::Retry{steady_retry},
        bw::CircuitBreaker{{}, store},
        bw::Bulkhead{{}},
        bw::RateLimiter{{.algorithm = bw::TokenBucket{.permits = 1, .period = 1s, .burst = 1}, .max_wait = 5s}, store},
        AttemptTimeout{1s}};
    const auto left = [](auto& call) { return call.attempt_remaining(); };
    CHECK(guard.run(left) == 1s);
    CHECK(guard.run(left) == 1s);  // it waited for its permit before its time began
    CHECK(clock.waits() == std::vector<bw::Duration>{1s});
}

// failsafe-go and cockatiel: each call left a context, a timer or a listener behind on its caller's token
// (failsafe-go/failsafe-go#134, connor4312/cockatiel#69 and #112).
TEST_CASE("100,000 attempts leave nothing behind, and cost one allocation each") {
    const bw::Pipeline guard{AttemptTimeout{1h}};
    const bw::Alarms& alarms = bw::Alarms::shared();
    std::stop_source long_lived;
    const auto run = [&](int times) {
        int sum = 0;
        for (int i = 0; i < times; ++i)
            sum += guard.run([](std::stop_token) { return 1; }, {.stop = long_lived.get_token()}).value();
        return sum;
    };
    CHECK(run(100) == 100);
    std::size_t before = 0, after = 0;
    int sum = 0;
    const auto allocations = test::allocations_in([&] {
        before = ::mallinfo2().uordblks;
        sum = run(100'000);
        after = ::mallinfo2().uordblks;
    });
    CHECK(sum == 100'000);
    CHECK(allocations <= 100'000);
    CHECK(after <= before + 1'000);
    CHECK(alarms.count() == 0);
    long_lived.request_stop();  // a listener left behind would be called now, in a frame that is gone
}

TEST_CASE("alarms go off when they are due, whatever the order they were set in") {
    const ManualClock clock, other;
    bw::Alarms alarms;
    bw::Alarms::Alarm late, early, never, steady, elsewhere;
    std::stop_source stops[5];
    alarms.set(late, clock, clock.now() + 2s, stops[0]);
    alarms.set(early, clock, clock.now() + 1s, stops[1]);
    alarms.set(never, bw::SteadyClock{}, bw::SteadyClock{}.now() + 1h, stops[2]);
    alarms.set(steady, bw::SteadyClock{}, bw::SteadyClock{}.now() + 1ms, stops[3]);
    await(stops[3].get_token());
    alarms.set(elsewhere, other, other.now() + 10s, stops[4]);
    other.advance(10s);
    await(stops[4].get_token());
    CHECK_FALSE(stops[1].stop_requested());
    clock.advance(1s);
    await(stops[1].get_token());
    CHECK_FALSE(stops[0].stop_requested());
    clock.advance(1s);
    await(stops[0].get_token());
    CHECK(alarms.count() == 1);
    alarms.cancel(never);
    CHECK(alarms.count() == 0);
    CHECK_FALSE(stops[2].stop_requested());
}

TEST_CASE("alarms keep their order, and any of them may be cancelled") {
    using Callback = std::stop_callback<std::function<void()>>;
    for (unsigned cancelled = 0; cancelled < 3; ++cancelled) {
        const bw::Instant now = bw::SteadyClock{}.now();
        bw::Alarms alarms;
        bw::Alarms::Alarm gate, alarm[3];
        std::stop_source at_gate, stops[3];
        std::promise<void> open;
        const Callback hold{at_gate.get_token(), [&] { open.get_future().wait(); }};  // the alarms' thread
        alarms.set(gate, bw::SteadyClock{}, now, at_gate);
        await(at_gate.get_token());

        std::vector<unsigned> order;
        std::atomic<std::size_t> heard = 0;
        std::vector<std::unique_ptr<Callback>> notes;
        for (const unsigned i : {1u, 0u, 2u}) {
            notes.push_back(std::make_unique<Callback>(stops[i].get_token(), [&, i] { order.push_back(i), ++heard; }));
            alarms.set(alarm[i], bw::SteadyClock{}, now - 1ms + i * 1us, stops[i]);
        }
        alarms.cancel(alarm[cancelled]);
        open.set_value();
        while (heard < 2) std::this_thread::yield();
        CHECK(order.size() == 2);
        CHECK(order.front() < order.back());
        CHECK_FALSE(stops[cancelled].stop_requested());
    }
}

TEST_CASE("what hears of a stop may make guarded calls itself") {
    const ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, AttemptTimeout{1s}};
    const bw::Pipeline other{AttemptTimeout{1s}};
    std::atomic<int> answer = 0;
    const auto result = guard.run([&](std::stop_token stop) -> bw::Result<int> {
        const std::stop_callback nested{stop, [&] { answer = other.run([](std::stop_token) { return 9; }).value(); }};
        clock.advance(1s);
        while (answer == 0) std::this_thread::yield();
        return failing();
    });
    CHECK(result.error().code() == Errc::attempt_timeout);
    CHECK(answer == 9);
}
