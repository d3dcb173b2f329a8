#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/hedge.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/simulation.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::testing::SimulatedClock;
using bw::testing::Simulation;

static_assert(bw::Clock<SimulatedClock>);
static_assert(bw::detail::HasOwnSleep<SimulatedClock>);

namespace {

bw::Duration since_start(const Simulation& world) { return world.now() - bw::Instant{1h}; }

bw::Task<> note_at(Simulation& world, std::string& notes, bw::Duration at, char note) {
    const SimulatedClock clock = world.clock();
    co_await clock.sleep_until(bw::Instant{1h} + at);
    notes += note;
}

}  // namespace

TEST_CASE("a simulation runs what sleeps in the order of time, and of one instant in the order of its beginning") {
    Simulation world;
    std::string notes;
    world.start(note_at(world, notes, 2h, 'd'));
    world.start(note_at(world, notes, 1us, 'a'));
    world.start(note_at(world, notes, 70ms, 'b'));
    world.start(note_at(world, notes, 70ms, 'c'));
    world.start(note_at(world, notes, 30 * 24h, 'e'));
    world.run();
    CHECK(notes == "abcde");
    CHECK(since_start(world) == 30 * 24h);
}

TEST_CASE("many timers set and stopped at random come at their instants") {
    Simulation world{5};
    bw::Random random{world.seed()};
    int late = 0, stopped = 0, elapsed = 0;
    const auto sleep = [](Simulation& at, bw::Duration span, std::stop_token stop, int& wrong, int& stops,
                          int& ends) -> bw::Task<> {
        const bw::Instant due = at.now() + span;
        const auto end = co_await at.clock().sleep_until(due, stop);
        if (end == bw::Wait::stopped)
            ++stops;
        else
            ++ends, wrong += at.now() != due;
    };
    const auto stop_at = [](Simulation& at, bw::Duration span, std::stop_source stop) -> bw::Task<> {
        co_await at.clock().sleep_for(span);
        stop.request_stop();
    };
    for (int i = 0; i < 20'000; ++i) {
        const bw::Duration longest = i % 2 == 0 ? bw::Duration{100ms} : bw::Duration{300s};
        const auto span = [&] {
            return bw::Duration{
                static_cast<std::int64_t>(bw::uniform(random(), static_cast<std::uint64_t>(longest.count())))};
        };
        std::stop_source stop;
        world.start(sleep(world, span(), stop.get_token(), late, stopped, elapsed));
        if (i % 3 == 0) world.start(stop_at(world, span(), stop));
        if (i % 1'000 == 0) world.run_until(world.now() + 10s);
    }
    world.run();
    CHECK(late == 0);
    CHECK(stopped + elapsed == 20'000);
    CHECK(stopped > 3'000);
    CHECK(stopped < 3'700);  // half of a third
}

TEST_CASE("a simulation runs until an instant, that one included, and goes on from there") {
    Simulation world;
    std::string notes;
    world.start(note_at(world, notes, 1s, 'a'));
    world.start(note_at(world, notes, 1s + 1us, 'b'));
    world.run_until(bw::Instant{1h + 1s});
    CHECK(notes == "a");
    CHECK(since_start(world) == 1s);
    world.run_until(bw::Instant{1h + 1min});
    CHECK(notes == "ab");
    CHECK(since_start(world) == 1min);
}

TEST_CASE("a task that is run gives its value or throws, and time has passed") {
    Simulation world;
    const auto answer = [](SimulatedClock clock) -> bw::Task<int> {
        co_await clock.sleep_for(3s);
        co_return 42;
    };
    CHECK(world.run(answer(world.clock())) == 42);
    CHECK(since_start(world) == 3s);
    const auto fail = [](SimulatedClock clock) -> bw::Task<> {
        co_await clock.sleep_for(1s);
        throw std::runtime_error{"broken"};
    };
    CHECK_THROWS_WITH(world.run(fail(world.clock())), "broken");
    std::stop_source stop;
    const auto wait = [](SimulatedClock clock, std::stop_token token) -> bw::Task<> {
        co_await clock.sleep_until(bw::Instant::max(), token);
    };
    CHECK_THROWS_AS(world.run(wait(world.clock(), stop.get_token())), bw::Exception);
    stop.request_stop();
    world.run();
}

TEST_CASE("a stop request ends a simulated wait at once, after what asks for it") {
    Simulation world;
    std::string notes;
    std::stop_source stop;
    const auto wait = [](SimulatedClock clock, std::stop_token token, std::string& into) -> bw::Task<> {
        const auto end = co_await clock.sleep_until(bw::Instant::max(), token);
        into += end == bw::Wait::stopped ? "stopped" : "elapsed";
    };
    const auto ask = [](SimulatedClock clock, std::stop_source source, std::string& into) -> bw::Task<> {
        co_await clock.sleep_for(1s);
        source.request_stop();
        into += "asked ";
    };
    world.start(wait(world.clock(), stop.get_token(), notes));
    world.start(ask(world.clock(), stop, notes));
    world.run();
    CHECK(notes == "asked stopped");
    CHECK(since_start(world) == 1s);
}

TEST_CASE("code that blocks outside of a simulation moves it; inside, it is refused") {
    Simulation world;
    std::string notes;
    world.start(note_at(world, notes, 300ms, 'a'));
    const bw::Pipeline guard{bw::UseClock{world.clock()},
                             bw::Retry{bw::RetryOptions<>{.backoff = bw::constant_backoff(200ms)}}};
    const auto result = guard.run([]() -> bw::Result<void> { return bw::fail(bw::Errc::failure); });
    CHECK(!result);
    CHECK(since_start(world) == 600ms);
    CHECK(notes == "a");

    bool is_refused = false;
    const auto block = [](SimulatedClock clock, bool& refused) -> bw::Task<> {
        co_await clock.sleep_for(1s);
        try {
            (void)clock.wait_until(clock.now() + 1s, {});
        } catch (const bw::Exception& error) {
            refused = error.error().code() == bw::Errc::would_deadlock;
        }
    };
    world.start(block(world.clock(), is_refused));
    world.run();
    CHECK(is_refused);
}

TEST_CASE("retries, circuit breaker and bulkhead keep their times in a simulation") {
    Simulation world;
    const bw::MemoryStore store{world.clock()};
    const bw::CircuitBreaker breaker{bw::CircuitBreakerOptions<>{.trip = bw::ConsecutiveFailures{3}}, store};
    const bw::Pipeline guard{bw::UseClock{world.clock()},
                             bw::Retry{bw::RetryOptions<>{.max_retries = 2, .backoff = bw::constant_backoff(500ms)}},
                             breaker, bw::Bulkhead{{.max_concurrent = 1, .max_queue = 10, .max_wait = 10s}}};
    bool works = false;
    std::vector<bw::Duration> attempts;
    const auto call = [](Simulation& at, auto& by, bool& good, std::vector<bw::Duration>& log) -> bw::Task<bool> {
        auto attempt = [&]() -> bw::Task<bw::Result<void>> {
            log.push_back(since_start(at));
            co_await at.clock().sleep_for(1s);
            if (!good) co_return bw::fail(bw::Errc::failure);
            co_return bw::Result<void>{};
        };
        auto guarded = by.run_async(attempt);
        const auto result = co_await guarded;
        co_return result.has_value();
    };
    CHECK(!world.run(call(world, guard, works, attempts)));
    CHECK(attempts == std::vector<bw::Duration>{0s, 1500ms, 3s});
    CHECK(breaker.state() == bw::CircuitState::open);
    works = true;
    CHECK(!world.run(call(world, guard, works, attempts)));
    world.run_until(bw::Instant{1h + 64s});
    CHECK(world.run(call(world, guard, works, attempts)));
    CHECK(breaker.state() == bw::CircuitState::closed);

    attempts.clear();
    const auto both = [&call](Simulation& at, auto& by, bool& good, std::vector<bw::Duration>& log) -> bw::Task<> {
        (void)co_await call(at, by, good, log);
    };
    world.start(both(world, guard, works, attempts));
    world.start(both(world, guard, works, attempts));
    world.run();
    CHECK(attempts == std::vector<bw::Duration>{65s, 66s});  // one after the other
}

TEST_CASE("a hedge is sent in virtual time, and the loser stopped") {
    Simulation world;
    const bw::MemoryStore store{world.clock()};
    const bw::Pipeline guard{bw::UseClock{world.clock()}, bw::Hedge{{.after = 50ms}, store}};
    int begun = 0, stopped = 0;
    auto call = [](Simulation& at, auto& by, int& count, int& stops) -> bw::Task<bool> {
        auto attempt = [&](std::stop_token stop) -> bw::Task<bw::Result<void>> {
            const bw::Duration takes = count++ == 0 ? bw::Duration{10s} : bw::Duration{20ms};
            const auto end = co_await at.clock().sleep_until(at.now() + takes, stop);
            if (end == bw::Wait::stopped) {
                ++stops;
                co_return bw::fail(bw::Errc::cancelled);
            }
            co_return bw::Result<void>{};
        };
        auto guarded = by.run_async(attempt);
        const auto result = co_await guarded;
        co_return result.has_value();
    };
    CHECK(world.run(call(world, guard, begun, stopped)));
    CHECK(since_start(world) == 70ms);
    CHECK(begun == 2);
    CHECK(stopped == 1);
}

TEST_CASE("the seeds of a simulation follow from its own") {
    Simulation a{7}, b{7}, c{8};
    const auto seeds = [](Simulation& world) {
        return std::vector<std::uint64_t>{world.seed(), world.seed(), world.seed()};
    };
    const auto of_a = seeds(a);
    CHECK(of_a == seeds(b));
    CHECK(of_a != seeds(c));
    CHECK(of_a[0] != of_a[1]);
}
