#include <breakwater/bulkhead.hpp>
#include <breakwater/coalesce.hpp>
#include <breakwater/explain.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;

namespace {

using Over = std::shared_ptr<std::optional<bw::Result<int>>>;

/// A service that answers each attempt after 100 ms by the test's clock, with the attempt's number.
struct World {
    bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    int attempts = 0;
    std::optional<bw::Error> error{};
    int coalesced = 0;

    bw::Task<bw::Result<int>> attempt(std::stop_token stop) {
        const int number = ++attempts;
        auto sleep = clock.sleep_until(clock.now() + 100ms, stop);
        if (co_await sleep == bw::Wait::stopped) co_return bw::fail(Errc::cancelled);
        if (error) co_return bw::fail(*error);
        co_return number;
    }
    template <class... P>
    Over start(const bw::Pipeline<P...>& guard, bw::CallOptions<int> options) {
        auto over = std::make_shared<std::optional<bw::Result<int>>>();
        auto call =
            guard.run_async([this](std::stop_token stop) { return attempt(std::move(stop)); }, std::move(options));
        bw::start(bw::Task<bw::Result<int>>{std::move(call)},
                  [over](bw::Result<int> result) { over->emplace(std::move(result)); });
        return over;
    }
    bw::Observe observe() {
        return bw::Observe{[this](const bw::Event& event) { coalesced += event.kind == bw::EventKind::coalesced; }};
    }
};

int value(const Over& over) { return (*over)->value_or(-1); }
Errc code(const Over& over) { return (*over)->error().code(); }

}  // namespace

TEST_CASE("calls with the same key that are under way at once share one run, which takes one permit") {
    World world;
    const bw::Coalesce<int> coalesce;
    const bw::Pipeline guard{bw::UseClock{world.clock}, world.observe(), coalesce, bw::Bulkhead{{.max_concurrent = 1}}};
    const Over leader = world.start(guard, {.key = "milk"});
    const Over follower = world.start(guard, {.key = "milk"});
    const Over another = world.start(guard, {.key = "milk"});
    CHECK(coalesce.in_flight() == 1);
    CHECK(world.attempts == 1);
    world.clock.advance(100ms);
    REQUIRE(leader->has_value());
    REQUIRE(follower->has_value());
    REQUIRE(another->has_value());
    CHECK(value(leader) == 1);
    CHECK(value(follower) == 1);
    CHECK(value(another) == 1);
    CHECK(world.coalesced == 2);
    CHECK(coalesce.in_flight() == 0);

    const Over later = world.start(guard, {.key = "milk"});
    world.clock.advance(100ms);
    REQUIRE(later->has_value());
    CHECK(value(later) == 2);
    CHECK(coalesce.in_flight() == 0);
}

TEST_CASE("other keys and calls without one go by themselves") {
    World world;
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Coalesce<int>{}};
    for (const std::string_view key : {"milk", "eggs", "", ""}) (void)world.start(guard, {.key = key});
    CHECK(world.attempts == 4);
    world.clock.advance(100ms);
}

TEST_CASE("an error is shared, and what stands outside is each call's own") {
    World world;
    world.error = bw::Error{Errc::http_status};
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Coalesce<int>{}};
    const Over leader = world.start(guard, {.key = "milk"});
    const Over follower = world.start(guard, {.fallback = [](const bw::Error&) { return 7; }, .key = "milk"});
    world.clock.advance(100ms);
    REQUIRE(leader->has_value());
    REQUIRE(follower->has_value());
    CHECK(code(leader) == Errc::http_status);
    CHECK(value(follower) == 7);
    CHECK(world.attempts == 1);
}

TEST_CASE("when the leader is cancelled the first of those who wait leads") {
    World world;
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Coalesce<int>{}};
    std::stop_source stop;
    const Over leader = world.start(guard, {.stop = stop.get_token(), .key = "milk"});
    const Over second = world.start(guard, {.key = "milk"});
    const Over third = world.start(guard, {.key = "milk"});
    world.clock.advance(50ms);
    stop.request_stop();
    REQUIRE(leader->has_value());
    CHECK(code(leader) == Errc::cancelled);
    CHECK(world.attempts == 2);
    CHECK_FALSE(third->has_value());
    world.clock.advance(100ms);
    REQUIRE(second->has_value());
    REQUIRE(third->has_value());
    CHECK(value(second) == 2);
    CHECK(value(third) == 2);
}

TEST_CASE("a leader that leaves is followed by nobody who has left before") {
    World world;
    const bw::Coalesce<int> coalesce;
    const bw::Pipeline guard{bw::UseClock{world.clock}, coalesce};
    std::stop_source first;
    std::stop_source second;
    const Over leader = world.start(guard, {.stop = first.get_token(), .key = "milk"});
    const Over gone = world.start(guard, {.stop = second.get_token(), .key = "milk"});
    second.request_stop();
    REQUIRE(gone->has_value());
    CHECK(code(gone) == Errc::cancelled);
    first.request_stop();
    REQUIRE(leader->has_value());
    CHECK(world.attempts == 1);
    CHECK(coalesce.in_flight() == 0);
}

TEST_CASE("a follower waits for no longer than it was told, then it goes alone") {
    World world;
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Coalesce<int>{{.max_wait = 30ms}}};
    const Over leader = world.start(guard, {.key = "milk"});
    const Over follower = world.start(guard, {.key = "milk"});
    const Over hurried = world.start(guard, {.deadline = 20ms, .key = "milk"});
    world.clock.advance(20ms);
    REQUIRE(hurried->has_value());
    CHECK(code(hurried) == Errc::deadline_exceeded);
    CHECK(world.attempts == 1);
    world.clock.advance(10ms);
    CHECK(world.attempts == 2);
    world.clock.advance(100ms);
    CHECK(value(leader) == 1);
    CHECK(value(follower) == 2);
}

TEST_CASE("threads that block share one run, too") {
    const bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    const bw::Coalesce<std::string> coalesce;
    const bw::Pipeline guard{bw::UseClock{clock}, coalesce};
    std::latch started{1};
    std::latch may_end{1};
    int runs = 0;
    auto work = [&]() -> std::string {
        ++runs;
        started.count_down();
        may_end.wait();
        return "fresh";
    };
    std::vector<std::jthread> threads;
    std::vector<std::string> answers(4);
    const auto call = [&](std::size_t i) { answers[i] = guard.run(work, {.key = "milk"}).value_or("none"); };
    threads.emplace_back(call, 0U);
    started.wait();
    for (std::size_t i = 1; i < 4; ++i) threads.emplace_back(call, i);
    clock.await_blocked(3);
    may_end.count_down();
    threads.clear();
    CHECK(runs == 1);
    CHECK(answers == std::vector<std::string>(4, "fresh"));
    CHECK(coalesce.in_flight() == 0);
}

TEST_CASE("the table's options are checked") {
    CHECK(validate(bw::CoalesceOptions{.max_wait = 0ms}).error().detail() ==
          "coalesce.max_wait: must be 1ms to 24h, got 0s");
    CHECK_FALSE(bw::Coalesce<int>::make({.max_wait = 0ms}));
}
