#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <malloc.h>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::BulkheadPermits;
using bw::Errc;
using bw::ManualClock;

namespace {

const std::stop_token no_stop;

/// A bulkhead in a pipeline whose clock only the test moves.
struct World {
    explicit World(bw::BulkheadOptions options) : bulkhead{std::move(options)} {}

    /// Calls in another thread; returns when that call queues.
    template <class F>
    auto call_that_queues(F function, bw::CallOptions<int> options = {}) {
        const auto queued = bulkhead.snapshot().queued;
        auto call = std::async(std::launch::async, [this, function, options] { return guard.run(function, options); });
        while (bulkhead.snapshot().queued == queued) std::this_thread::yield();
        clock.await_blocked(queued + 1);
        return call;
    }
    bool is_empty() const { return bulkhead.snapshot().in_flight == 0 && bulkhead.snapshot().queued == 0; }

    ManualClock clock{ManualClock::Mode::blocking};
    bw::Bulkhead bulkhead;
    bw::Pipeline<bw::UseClock<ManualClock>, bw::Bulkhead> guard{bw::UseClock{clock}, bulkhead};
};

constexpr auto one = [] { return 1; };
bw::Result<int> failing() { return bw::fail(Errc::failure); }

/// A clock whose waits are over at once, although no time passes. Counts its readings and waits.
struct HastyClock {
    std::atomic<int>* readings;
    std::atomic<int>* waits;
    bw::Instant now() const noexcept { return ++*readings, bw::Instant{1h}; }
    bw::Wait wait_until(bw::Instant, const std::stop_token& stop) const {
        ++*waits;
        return stop.stop_requested() ? bw::Wait::stopped : bw::Wait::elapsed;
    }
    bool operator==(const HastyClock&) const = default;
};

std::string refusal(const bw::BulkheadOptions& options) {
    const auto made = bw::Bulkhead::make(options);
    return made ? "accepted" : made.error().message();
}

}  // namespace

TEST_CASE("a bulkhead admits as many calls at once as it may and refuses the next") {
    const bw::Bulkhead bulkhead{{.name = "ledger", .max_concurrent = 2}};
    const bw::Pipeline guard{bulkhead};
    auto first = bulkhead.try_acquire();
    auto second = bulkhead.try_acquire();
    REQUIRE((first && second));
    const auto refused = guard.run(one);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().is_refusal(Errc::bulkhead_full));
    CHECK(refused.error().policy() == "ledger");
    CHECK(refused.error().message() == "too many calls are in flight (ledger)");
    CHECK_FALSE(refused.error().retry_after());
    CHECK(refused.error().attempts() == 0);
    CHECK(bulkhead.try_acquire().error().code() == Errc::bulkhead_full);
    CHECK(bulkhead.acquire(0s).error().code() == Errc::bulkhead_full);
    CHECK(bulkhead.acquire(1h).error().code() == Errc::bulkhead_full);  // there is no queue
    {
        const auto moved = *std::move(first);
    }
    CHECK(guard.run(one) == 1);
    CHECK(bulkhead.snapshot().in_flight == 1);
}

TEST_CASE("a permit comes back on every way out of a call, exactly once") {
    const bw::Bulkhead bulkhead{{.max_concurrent = 1}};
    const bw::Pipeline guard{bw::Retry{{.max_retries = 2, .backoff = {.base = 1us, .cap = 1us}}}, bulkhead};
    const auto in_flight = [&] { return bulkhead.snapshot().in_flight; };
    CHECK(guard.run(in_flight) == 1u);
    CHECK(in_flight() == 0);
    CHECK(guard.run(failing).error().attempts() == 3);
    CHECK(in_flight() == 0);
    CHECK(guard.run([]() -> int { throw std::runtime_error{"no"}; }).error().code() == Errc::exception);
    CHECK(in_flight() == 0);
    std::stop_source source;
    source.request_stop();
    CHECK(guard.run(one, {.stop = source.get_token()}).error().code() == Errc::cancelled);
    CHECK(in_flight() == 0);

    const bw::Bulkhead inner{{.name = "inner", .max_concurrent = 1}};
    const auto taken = inner.try_acquire();
    CHECK(bw::Pipeline{bulkhead, inner}.run(one).error().policy() == "inner");
    CHECK(in_flight() == 0);
}

TEST_CASE("a permit is moved and not copied, and safe after the bulkhead is gone") {
    STATIC_REQUIRE_FALSE(std::copyable<bw::Bulkhead::Permit>);
    std::optional<bw::Bulkhead> bulkhead{std::in_place, bw::BulkheadOptions{.max_concurrent = 2}};
    const bw::Bulkhead copy = *bulkhead;
    auto first = bulkhead->try_acquire();
    auto second = bulkhead->try_acquire();
    REQUIRE((first && second));
    CHECK(copy.snapshot().in_flight == 2);
    *first = *std::move(second);
    CHECK(copy.snapshot().in_flight == 1);

    std::optional<bw::Bulkhead::Permit> survivor;
    {
        const bw::Bulkhead short_lived{{}};
        survivor.emplace(*short_lived.try_acquire());
    }
    survivor.reset();
}

TEST_CASE("mistakes in a bulkhead's options are named by their field") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.max_concurrent = 0}) == "bulkhead.max_concurrent: must be 1 to 1000000, got 0");
    CHECK(refusal({.max_concurrent = 1'000'001}) == "bulkhead.max_concurrent: must be 1 to 1000000, got 1000001");
    CHECK(refusal({.max_queue = 1'000'001}) == "bulkhead.max_queue: must be 0 to 1000000, got 1000001");
    CHECK(refusal({.max_wait = -1s}) == "bulkhead.max_wait: must be 0s to 24h, got -1s");
    CHECK(refusal({.max_wait = 25h}) == "bulkhead.max_wait: must be 0s to 24h, got 25h");
    CHECK(refusal({.max_concurrent = 1'000'000, .max_queue = 1'000'000, .max_wait = 24h}) == "accepted");
    CHECK_THROWS_AS(bw::Bulkhead{{.max_concurrent = 0}}, bw::Exception);
}

TEST_CASE("a snapshot tells who is in flight and who queues") {
    World world{{.name = "ledger", .max_concurrent = 1, .max_queue = 3}};
    auto permit = world.bulkhead.try_acquire();
    auto queued = world.call_that_queues(one);
    const bw::BulkheadSnapshot seen = world.bulkhead.snapshot();
    CHECK(seen.name == "ledger");
    CHECK(seen.in_flight == 1);
    CHECK(seen.queued == 1);
    CHECK(seen.max_concurrent == 1);
    CHECK(seen.max_queue == 3);
    {
        const auto gone = *std::move(permit);
    }
    CHECK(queued.get() == 1);
    CHECK(world.is_empty());
}

TEST_CASE("calls that queue have their turn in the order they came") {
    World world{{.max_concurrent = 1, .max_queue = 8}};
    std::optional permit{*world.bulkhead.try_acquire()};
    std::vector<int> order;  // only one call at a time adds to it
    std::vector<std::future<bw::Result<int>>> calls;
    for (int i = 0; i < 8; ++i) calls.push_back(world.call_that_queues([&order, i] { return order.push_back(i), i; }));
    permit.reset();
    for (auto& call : calls) CHECK(call.get());
    CHECK(order == std::vector{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(world.is_empty());
}

TEST_CASE("a full queue refuses at once") {
    World world{{.max_concurrent = 1, .max_queue = 1}};
    std::optional permit{*world.bulkhead.try_acquire()};
    auto queued = world.call_that_queues(one);
    CHECK(world.guard.run(one).error().code() == Errc::bulkhead_full);
    CHECK(world.bulkhead.acquire(1h).error().code() == Errc::bulkhead_full);
    CHECK(world.clock.waits().size() == 1);
    permit.reset();
    CHECK(queued.get() == 1);
}

TEST_CASE("whoever must not wait does not queue") {
    const World world{{.max_concurrent = 1, .max_queue = 5, .max_wait = 0s}};
    const auto permit = world.bulkhead.try_acquire();
    CHECK(world.guard.run(one).error().code() == Errc::bulkhead_full);
    CHECK(world.clock.waits().empty());
}

// Failsafe: a waiter that timed out stayed in the queue and was handed a permit, which was lost for ever
// (failsafe-lib/failsafe#393).
TEST_CASE("a caller whose wait is over has left the queue: the permit goes to the next, and none is lost") {
    World world{{.name = "ledger", .max_concurrent = 1, .max_queue = 2, .max_wait = 10s}};
    for (int round = 0; round < 20; ++round) {
        std::optional permit{*world.bulkhead.try_acquire()};
        bool ran = false;
        auto early = world.call_that_queues([&] { return ran = true, 1; });
        world.clock.advance(5s);
        auto late = world.call_that_queues([] { return 2; });
        world.clock.advance(5s);
        const auto refused = early.get();
        REQUIRE_FALSE(refused);
        REQUIRE(refused.error().is_refusal(Errc::bulkhead_full));
        REQUIRE(refused.error().policy() == "ledger");
        REQUIRE(world.bulkhead.snapshot().queued == 1);
        permit.reset();
        REQUIRE(late.get() == 2);
        REQUIRE_FALSE(ran);
        REQUIRE(world.is_empty());
    }
}

TEST_CASE("a caller that is cancelled leaves the queue at once and is handed no permit") {
    World world{{.max_concurrent = 1, .max_queue = 2}};
    std::optional permit{*world.bulkhead.try_acquire()};
    std::stop_source source;
    bool ran = false;
    auto cancelled = world.call_that_queues([&] { return ran = true, 1; }, {.stop = source.get_token()});
    auto next = world.call_that_queues([] { return 2; });
    source.request_stop();
    CHECK(cancelled.get().error().code() == Errc::cancelled);
    CHECK(world.bulkhead.snapshot().queued == 1);
    permit.reset();
    CHECK(next.get() == 2);
    CHECK_FALSE(ran);
    CHECK(world.is_empty());
}

TEST_CASE("a caller leaves the queue at its deadline, however long it may queue") {
    World world{{.max_concurrent = 1, .max_queue = 2, .max_wait = 1h}};
    std::optional permit{*world.bulkhead.try_acquire()};
    bool ran = false;
    auto late = world.call_that_queues([&] { return ran = true, 1; }, {.deadline = 3s});
    auto next = world.call_that_queues([] { return 2; });
    world.clock.advance(3s);
    const auto over = late.get();
    REQUIRE_FALSE(over);
    CHECK(over.error().code() == Errc::deadline_exceeded);
    CHECK(over.error().attempts() == 0);
    CHECK(world.clock.waits() == std::vector<bw::Duration>{3s, 1h});
    permit.reset();
    CHECK(next.get() == 2);
    CHECK_FALSE(ran);
    CHECK(world.is_empty());
}

// tower-resilience: a permit that came back woke the waiters, and one ran without a permit
// (joshrotenberg/tower-resilience#363, "herd").
TEST_CASE("one permit wakes one caller, and nobody runs without one") {
    World world{{.max_concurrent = 1, .max_queue = 3}};
    std::optional permit{*world.bulkhead.try_acquire()};
    std::promise<void> go;
    std::promise<void> entered;
    std::atomic<int> running = 0;
    auto first = world.call_that_queues([&] {
        ++running;
        entered.set_value();
        go.get_future().wait();
        return --running;
    });
    std::vector<std::future<bw::Result<int>>> others;
    for (int i = 0; i < 2; ++i) {
        others.push_back(world.call_that_queues([&] {
            const int with_me = ++running;
            --running;
            return with_me;
        }));
    }
    permit.reset();
    entered.get_future().wait();
    CHECK(world.bulkhead.snapshot().in_flight == 1);
    CHECK(world.bulkhead.snapshot().queued == 2);
    CHECK_FALSE(world.bulkhead.try_acquire());
    go.set_value();
    CHECK(first.get() == 0);
    for (auto& other : others) CHECK(other.get() == 1);
    CHECK(world.is_empty());
}

TEST_CASE("a permit that comes back belongs to the first in the queue before that one wakes") {
    BulkheadPermits permits{1, 2};
    CHECK(permits.take());
    BulkheadPermits::Waiter first, second;
    CHECK(permits.enqueue(first));
    CHECK(permits.enqueue(second));
    permits.give_back();
    CHECK_FALSE(permits.take());
    CHECK(permits.counts().queued == 1);
    CHECK(permits.settle(first));
    CHECK_FALSE(permits.settle(second));
    CHECK_FALSE(permits.take());
    permits.give_back();
    CHECK(permits.take());
}

TEST_CASE("a caller that is handed its permit as its time ends has it") {
    const ManualClock clock;
    BulkheadPermits permits{1, 1};
    CHECK(permits.take());
    BulkheadPermits::Waiter waiter;
    CHECK(permits.enqueue(waiter));
    clock.wait_until(clock.now(), waiter.turn().get_token());  // its time is over
    permits.give_back();
    CHECK(permits.settle(waiter));
    CHECK(permits.counts().in_flight == 1);
}

TEST_CASE("a permit that has become free before the caller is in the queue is its own at once") {
    const ManualClock clock;
    BulkheadPermits permits{1, 1};
    BulkheadPermits::Waiter waiter;
    CHECK(permits.enqueue(waiter));
    CHECK(permits.counts().queued == 0);
    clock.wait_until(clock.now() + 1h, waiter.turn().get_token());
    CHECK(clock.waits().empty());
    CHECK(permits.settle(waiter));
    CHECK_FALSE(permits.take());
}

TEST_CASE("callers may leave the queue from anywhere in it") {
    for (const unsigned leaving : {0u, 1u, 2u}) {
        BulkheadPermits permits{1, 3};
        CHECK(permits.take());
        BulkheadPermits::Waiter waiters[3];
        for (auto& waiter : waiters) CHECK(permits.enqueue(waiter));
        CHECK_FALSE(permits.settle(waiters[leaving]));
        for (unsigned i = 0; i < 3; ++i) {
            if (i == leaving) continue;
            permits.give_back();
            CHECK(permits.settle(waiters[i]));
        }
        CHECK(permits.counts().queued == 0);
        permits.give_back();
        CHECK(permits.counts().in_flight == 0);
    }
}

TEST_CASE("a wait that throws leaves the queue, with the permit it was handed in the meantime") {
    BulkheadPermits permits{1, 2};
    CHECK(permits.take());
    {
        BulkheadPermits::Waiter handed, left;
        CHECK(permits.enqueue(handed));
        CHECK(permits.enqueue(left));
        permits.give_back();
    }
    CHECK(permits.counts().in_flight == 0);
    CHECK(permits.counts().queued == 0);
}

TEST_CASE("more permits go to the first in the queue, fewer are given out when enough have come back") {
    World world{{.max_concurrent = 1, .max_queue = 4}};
    std::atomic<int> running{0};
    std::atomic<bool> leave{false};
    const auto stay = [&] {
        ++running;
        while (!leave) std::this_thread::yield();
        return 1;
    };
    auto held = *world.bulkhead.try_acquire();
    auto first = world.call_that_queues(stay);
    auto second = world.call_that_queues(stay);
    auto third = world.call_that_queues(stay);
    CHECK(world.bulkhead.reconfigure({.max_concurrent = 3, .max_queue = 4}));
    while (running < 2) std::this_thread::yield();
    CHECK(world.bulkhead.snapshot().in_flight == 3);
    CHECK(world.bulkhead.snapshot().queued == 1);

    CHECK(world.bulkhead.reconfigure({.max_concurrent = 1, .max_queue = 4}));
    leave = true;
    CHECK(first.get() == 1);
    CHECK(second.get() == 1);
    CHECK(world.bulkhead.snapshot().in_flight == 1);  // the one held, and so none for the third
    CHECK(world.bulkhead.snapshot().queued == 1);
    {
        const auto given_back = std::move(held);
    }
    CHECK(third.get() == 1);
    CHECK(world.is_empty());

    CHECK(world.bulkhead.reconfigure({.max_concurrent = 0}).error().message() ==
          "bulkhead.max_concurrent: must be 1 to 1000000, got 0");
    CHECK(world.bulkhead.options().max_concurrent == 1);
}

TEST_CASE("acquire queues by the clock it is given") {
    const ManualClock clock;
    const bw::Bulkhead bulkhead{{.name = "ledger", .max_concurrent = 1, .max_queue = 1}};
    const auto permit = bulkhead.acquire(10s, {}, clock);
    REQUIRE(permit);
    const auto refused = bulkhead.acquire(10s, {}, clock);
    CHECK(refused.error().code() == Errc::bulkhead_full);
    CHECK(refused.error().policy() == "ledger");
    CHECK(clock.waits() == std::vector<bw::Duration>{10s});
    std::stop_source source;
    source.request_stop();
    CHECK(bulkhead.acquire(10s, source.get_token(), clock).error().code() == Errc::cancelled);
    CHECK(bulkhead.acquire(1us).error().code() == Errc::bulkhead_full);  // by the steady clock
    CHECK(bulkhead.snapshot().queued == 0);
    auto waiting = std::async(std::launch::async, [&] { return bulkhead.acquire(24h).has_value(); });
    while (bulkhead.snapshot().queued == 0) std::this_thread::yield();
    {
        const auto gone = std::move(const_cast<bw::Result<bw::Bulkhead::Permit>&>(permit));
    }
    CHECK(waiting.get());
}

TEST_CASE("a half-open circuit's probe does not queue: it gives its slot back") {
    const ManualClock clock;
    const bw::CircuitBreaker breaker{{.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 5s},
                                     bw::MemoryStore{clock}};
    const bw::Bulkhead bulkhead{{.name = "ledger", .max_concurrent = 1, .max_queue = 5}};
    const bw::Pipeline guard{breaker, bulkhead};
    (void)guard.run(failing);
    clock.advance(5s);
    std::optional permit{*bulkhead.try_acquire()};
    const auto refused = guard.run(one);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::bulkhead_full);
    CHECK_FALSE(refused.error().retry_after());
    CHECK(breaker.state() == bw::CircuitState::half_open);
    CHECK(breaker.snapshot().probes_in_flight == 0);
    CHECK(bulkhead.snapshot().queued == 0);
    CHECK(clock.waits().empty());
    permit.reset();
    CHECK(guard.run(one) == 1);
    CHECK(breaker.state() == bw::CircuitState::closed);
}

TEST_CASE("after its turn has come the breaker is asked again, and if that refuses the permit goes back") {
    const ManualClock clock{ManualClock::Mode::blocking};
    const bw::CircuitBreaker breaker{{.trip = bw::ConsecutiveFailures{1}}, bw::MemoryStore{clock}};
    const bw::Bulkhead bulkhead{{.max_concurrent = 1, .max_queue = 5}};
    const bw::Pipeline guard{breaker, bulkhead};
    std::optional permit{*bulkhead.try_acquire()};
    auto queued = std::async(std::launch::async, [&] { return guard.run(one); });
    clock.await_blocked();
    CHECK(breaker.try_acquire()->record(bw::Outcome::failure));
    permit.reset();
    CHECK(queued.get().error().code() == Errc::circuit_open);
    CHECK(bulkhead.snapshot().in_flight == 0);
}

TEST_CASE("a guarded call inside a guarded call is refused, not deadlocked") {
    const bw::Bulkhead bulkhead{{.max_concurrent = 1}};
    const bw::Pipeline guard{bulkhead};
    const auto outer = guard.run([&] { return guard.run(one).error().code(); });
    CHECK(outer == Errc::bulkhead_full);
    CHECK(guard.run(one) == 1);

    const ManualClock clock;
    const bw::Bulkhead patient{{.max_concurrent = 1, .max_queue = 1, .max_wait = 2s}};
    const bw::Pipeline queueing{bw::UseClock{clock}, patient};
    CHECK(queueing.run([&] { return queueing.run(one).error().code(); }) == Errc::bulkhead_full);
    CHECK(clock.waits() == std::vector<bw::Duration>{2s});
}

TEST_CASE("queueing tells an observer how long, a refusal that it was one") {
    const ManualClock clock{ManualClock::Mode::blocking};
    const bw::Bulkhead bulkhead{{.name = "ledger", .max_concurrent = 1, .max_queue = 1, .max_wait = 4s}};
    std::vector<bw::Event> seen;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Observe{[&](const bw::Event& event) { seen.push_back(event); }},
                             bulkhead};
    std::optional permit{*bulkhead.try_acquire()};
    auto queued = std::async(std::launch::async, [&] { return guard.run(one); });
    clock.await_blocked();
    clock.advance(3s);
    permit.reset();
    CHECK(queued.get() == 1);
    REQUIRE(seen.size() == 4);
    CHECK(seen[0].kind == bw::EventKind::limiter_waited);
    CHECK(seen[0].policy == "ledger");
    CHECK(seen[0].delay == 3s);

    seen.clear();
    permit.emplace(*bulkhead.try_acquire());
    auto refused = std::async(std::launch::async, [&] { return guard.run(one); });
    clock.await_blocked();
    clock.advance(4s);
    CHECK_FALSE(refused.get());
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].kind == bw::EventKind::permit_refused);
    CHECK(seen[0].code == Errc::bulkhead_full);
}

TEST_CASE("a call that finds a permit free reads no clock and allocates nothing, nor does one that is refused") {
    std::atomic<int> readings = 0, waits = 0;
    const bw::Bulkhead bulkhead{{.name = "ledger of accounts", .max_concurrent = 1, .max_queue = 5}};
    const bw::Bulkhead taken{{.name = "taken", .max_concurrent = 1}};
    const auto permit = taken.try_acquire();
    const bw::Pipeline guard{bw::UseClock{HastyClock{&readings, &waits}}, bulkhead};
    const bw::Pipeline refusing{bw::UseClock{HastyClock{&readings, &waits}}, taken};
    int sum = 0, refused = 0;
    CHECK(test::allocations_in([&] {
              for (int i = 0; i < 1'000; ++i) {
                  sum += guard.run([&] { return i; }).value();
                  refused += !refusing.run(one);
              }
          }) == 0);
    CHECK(sum == 499'500);
    CHECK(refused == 1'000);
    CHECK(readings == 0);
    CHECK(waits == 0);
}

// failsafe-go and cockatiel: each call left a context or a listener behind on its caller's token
// (failsafe-go/failsafe-go#134, connor4312/cockatiel#69 and #112).
TEST_CASE("100,000 calls that queue in vain leave nothing behind") {
    std::atomic<int> readings = 0, waits = 0;
    const bw::Bulkhead bulkhead{{.max_concurrent = 1, .max_queue = 1}};
    const bw::Pipeline guard{bw::UseClock{HastyClock{&readings, &waits}}, bulkhead};
    std::optional permit{*bulkhead.try_acquire()};
    std::stop_source long_lived;
    const auto queue_in_vain = [&](int times) {
        int refused = 0;
        for (int i = 0; i < times; ++i) refused += !guard.run(one, {.stop = long_lived.get_token()});
        return refused;
    };
    CHECK(queue_in_vain(100) == 100);
    const std::size_t before = ::mallinfo2().uordblks;
    const int refused = queue_in_vain(100'000);
    const std::size_t after = ::mallinfo2().uordblks;
    CHECK(refused == 100'000);
    CHECK(waits == 100'100);
    CHECK(after <= before + 1'000);
    long_lived.request_stop();  // a listener left behind would be called now, in a frame that is gone
    CHECK(bulkhead.snapshot().queued == 0);
    permit.reset();
    CHECK(guard.run(one) == 1);
}
