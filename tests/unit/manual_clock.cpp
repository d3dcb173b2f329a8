#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <chrono>
#include <future>
#include <stop_token>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::ManualClock;
using bw::Wait;

namespace {

const std::stop_token no_stop;

/// Waits in another thread, whose answer the future holds.
std::future<Wait> wait_elsewhere(const ManualClock& clock, bw::Instant t, std::stop_token stop = {}) {
    return std::async(std::launch::async, [=] { return clock.wait_until(t, stop); });
}

bool is_done(const std::future<Wait>& wait) { return wait.wait_for(0s) == std::future_status::ready; }

}  // namespace

TEST_CASE("a manual clock starts away from zero and stands still") {
    const ManualClock clock;
    CHECK(clock.now() == bw::Instant{1h});
    CHECK(clock.now() == bw::Instant{1h});
    CHECK(ManualClock{ManualClock::Mode::advancing, bw::Instant{5s}}.now() == bw::Instant{5s});
}

TEST_CASE("threads that advance a manual clock together all move it on") {
    const ManualClock clock;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                for (int n = 0; n < 10'000; ++n) clock.advance(1us);
            });
        }
    }
    CHECK(clock.now() == bw::Instant{1h + 40ms});
}

TEST_CASE("a wait moves the clock to its end without blocking and is noted") {
    const ManualClock clock;
    CHECK(clock.wait_until(clock.now() + 200ms, no_stop) == Wait::elapsed);
    CHECK(clock.wait_until(clock.now() + 2h, no_stop) == Wait::elapsed);
    CHECK(clock.now() == bw::Instant{3h + 200ms});
    CHECK(clock.waits() == std::vector<bw::Duration>{200ms, 2h});
}

TEST_CASE("a wait for an instant of the past leaves the clock alone") {
    const ManualClock clock;
    CHECK(clock.wait_until(clock.now() - 1s, no_stop) == Wait::elapsed);
    CHECK(clock.now() == bw::Instant{1h});
    CHECK(clock.waits() == std::vector<bw::Duration>{0s});
}

TEST_CASE("a wait whose stop is requested already does not move the clock") {
    const ManualClock clock;
    std::stop_source stop;
    stop.request_stop();
    CHECK(clock.wait_until(clock.now() + 1s, stop.get_token()) == Wait::stopped);
    CHECK(clock.now() == bw::Instant{1h});
    CHECK(clock.waits().empty());
}

TEST_CASE("the clock is advanced and set by hand, backwards too") {
    const ManualClock clock;
    clock.advance(5s);
    CHECK(clock.now() == bw::Instant{1h + 5s});
    clock.set(bw::Instant{10s});
    CHECK(clock.now() == bw::Instant{10s});
}

TEST_CASE("copies of a manual clock are one clock") {
    const ManualClock clock;
    const ManualClock copy = clock;
    const ManualClock other;
    copy.advance(5s);
    CHECK(clock.now() == bw::Instant{1h + 5s});
    CHECK(copy == clock);
    CHECK(other != clock);
    CHECK(other.now() == bw::Instant{1h});
}

TEST_CASE("in blocking mode a wait lasts until another thread moves the clock far enough") {
    const ManualClock clock{ManualClock::Mode::blocking};
    auto wait = wait_elsewhere(clock, clock.now() + 10s);
    clock.await_blocked();
    clock.advance(10s - 1us);
    clock.await_blocked();
    CHECK_FALSE(is_done(wait));
    clock.advance(1us);
    CHECK(wait.get() == Wait::elapsed);
    CHECK(clock.now() == bw::Instant{1h + 10s});
    CHECK(clock.waits() == std::vector<bw::Duration>{10s});
}

TEST_CASE("in blocking mode one move wakes every thread whose time has come") {
    const ManualClock clock{ManualClock::Mode::blocking};
    auto early = wait_elsewhere(clock, clock.now() + 1s);
    auto late = wait_elsewhere(clock, clock.now() + 1min);
    clock.await_blocked(2);
    clock.set(clock.now() + 30s);
    CHECK(early.get() == Wait::elapsed);
    CHECK_FALSE(is_done(late));
    clock.set(clock.now() + 30s);
    CHECK(late.get() == Wait::elapsed);
}

TEST_CASE("in blocking mode a stop request ends the wait and leaves the clock alone") {
    const ManualClock clock{ManualClock::Mode::blocking};
    std::stop_source stop;
    auto wait = wait_elsewhere(clock, clock.now() + 10s, stop.get_token());
    clock.await_blocked();
    stop.request_stop();
    CHECK(wait.get() == Wait::stopped);
    CHECK(clock.now() == bw::Instant{1h});
}
