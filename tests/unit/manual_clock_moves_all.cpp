// What waits by a `ManualClock` where nobody blocks: suspended coroutines. Other tests show it of threads, hedges,
// coalesced calls, caches, circuits, keyed and shared state, and of what a memory store forgets.
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/task/sleep.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;

namespace {

using Over = std::shared_ptr<std::optional<bw::Result<int>>>;

/// A clock that only the test moves, and a service whose attempts fail at first.
struct World {
    bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    bw::MemoryStore<bw::ManualClock> store{clock};
    int failures = 0;
    int attempts = 0;

    bw::Task<bw::Result<int>> attempt() {
        if (++attempts <= failures) co_return bw::fail(Errc::failure);
        co_return attempts;
    }
    /// Begins a call; its result is there when it is over.
    template <class Guard>
    Over start(const Guard& guard, bw::CallOptions<int> options = {}) {
        auto over = std::make_shared<std::optional<bw::Result<int>>>();
        auto call = guard.run_async([this] { return attempt(); }, std::move(options));
        bw::start(bw::Task<bw::Result<int>>{std::move(call)},
                  [over](bw::Result<int> result) { over->emplace(std::move(result)); });
        return over;
    }
};

/// "waits", the value, or the error's name.
std::string state(const Over& over) {
    if (!over->has_value()) return "waits";
    return **over ? std::to_string((*over)->value()) : std::string{to_string((*over)->error().code())};
}

}  // namespace

TEST_CASE("coroutines that sleep wake when the clock has come to their time, the earliest first") {
    const bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    std::vector<std::string> woken;
    const auto sleep = [&](std::string name, bw::Duration span, std::stop_token stop) -> bw::Task<> {
        auto sleeping = bw::sleep_until(clock, clock.now() + span, stop);
        if (co_await sleeping == bw::Wait::stopped) name += " stopped";
        woken.push_back(name);
    };
    std::stop_source stop;
    bw::start(sleep("third", 3s, {}), [] {});
    bw::start(sleep("second", 2s, {}), [] {});
    bw::start(sleep("first", 1s, {}), [] {});
    bw::start(sleep("never", 1h, stop.get_token()), [] {});
    clock.advance(1s - 1us);
    CHECK(woken.empty());
    clock.advance(1us);
    CHECK(woken == std::vector<std::string>{"first"});
    stop.request_stop();
    clock.advance(1min);
    CHECK(woken == std::vector<std::string>{"first", "never stopped", "second", "third"});
}

TEST_CASE("a coroutine's retries begin when their delays are over by the clock") {
    World world{.failures = 2};
    const bw::Pipeline guard{bw::UseClock{world.clock},
                             bw::Retry{{.backoff = {.base = 1s, .multiplier = 2, .jitter = bw::Jitter::none}}}};
    const Over call = world.start(guard);
    world.clock.advance(1s - 1us);
    CHECK(world.attempts == 1);
    world.clock.advance(1us);
    CHECK(world.attempts == 2);
    world.clock.advance(2s - 1us);
    CHECK(state(call) == "waits");
    world.clock.advance(1us);
    CHECK(state(call) == "3");
}

TEST_CASE("a coroutine waits for its permit by the clock of the limiter's store") {
    World world;
    const bw::RateLimiter limiter{
        bw::RateLimiterOptions<bw::FixedWindow>{.algorithm = {.permits = 1, .window = 10s}, .max_wait = 1min},
        world.store};
    const bw::Pipeline guard{limiter};
    CHECK(state(world.start(guard)) == "1");
    const Over call = world.start(guard);
    const auto left = limiter.retry_after();
    REQUIRE(left > 0s);
    world.clock.advance(left - 1us);
    CHECK(state(call) == "waits");
    world.clock.advance(1us);
    CHECK(state(call) == "2");
}

TEST_CASE("a coroutine queues for a bulkhead until its wait or its deadline is over by the clock") {
    World world;
    const bw::Bulkhead bulkhead{{.max_concurrent = 1, .max_queue = 3, .max_wait = 30s}};
    std::optional permit{*bulkhead.try_acquire()};
    const bw::Pipeline guard{bw::UseClock{world.clock}, bulkhead};
    const Over patient = world.start(guard);
    const Over hurried = world.start(guard, {.deadline = 5s});
    world.clock.advance(5s - 1us);
    CHECK(state(hurried) == "waits");
    world.clock.advance(1us);
    CHECK(state(hurried) == "deadline_exceeded");
    const Over later = world.start(guard);
    world.clock.advance(25s);
    CHECK(state(patient) == "bulkhead_full");
    CHECK(state(later) == "waits");
    permit.reset();
    CHECK(state(later) == "1");
}

TEST_CASE("a coroutine's attempt is asked to stop when the clock says that its time is up") {
    const World world;
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::AttemptTimeout{1s}};
    const auto attempt = [&](std::stop_token stop) -> bw::Task<bw::Result<int>> {
        auto sleep = world.clock.sleep_until(world.clock.now() + 1h, stop);
        if (co_await sleep == bw::Wait::stopped) co_return bw::fail(Errc::cancelled);
        co_return 1;
    };
    auto later = bw::as_future(bw::Task<bw::Result<int>>{guard.run_async(attempt)});
    world.clock.advance(1s);
    CHECK(later.get().error().code() == Errc::attempt_timeout);  // a thread of its own looks at the clock
}

TEST_CASE("a coroutine's deadline is kept by the clock: a delay that would pass it is not begun") {
    World world{.failures = 9};
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Deadline{2500ms},
                             bw::Retry{{.backoff = {.base = 1s, .multiplier = 1, .jitter = bw::Jitter::none}}}};
    const Over call = world.start(guard);
    world.clock.advance(1s);
    CHECK(state(call) == "waits");
    world.clock.advance(1s);
    REQUIRE(state(call) == "failure");
    CHECK((*call)->error().stopped_by() == Errc::deadline_exceeded);
    CHECK(world.attempts == 3);
}
