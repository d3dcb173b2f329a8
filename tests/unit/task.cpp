#include <catch_shim.hpp>

#include <breakwater/clock.hpp>
#include <breakwater/event_loop.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/now_or_later.hpp>
#include <breakwater/task/resume_on.hpp>
#include <breakwater/task/sleep.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/task/when_all.hpp>
#include <breakwater/task/when_any.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <allocations.hpp>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

bw::Task<int> value(int i) { co_return i; }
bw::Task<> nothing() { co_return; }
bw::Task<int> thrown(std::string words) {
    throw std::runtime_error{words};
    co_return 0;
}
bw::Task<long> sum_of(int n) {
    long sum = 0;
    for (int i = 0; i < n; ++i) sum += co_await value(i);
    co_return sum;
}
#ifdef __clang__
bw::Task<int> depth(int n) {
    if (n == 0) co_return 0;
    co_return 1 + co_await depth(n - 1);
}
#endif

bw::Task<bw::Wait> nap(bw::ManualClock clock, bw::Duration span) {
    const auto stop = co_await bw::current_stop_token();
    co_return co_await bw::sleep_until(clock, clock.now() + span, stop);
}
const bw::ManualClock::Mode blocking = bw::ManualClock::Mode::blocking;

/// A coroutine of somebody else's library, which may be destroyed while it waits.
struct Foreign {
    struct promise_type {
        Foreign get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        static std::suspend_never initial_suspend() noexcept { return {}; }
        static std::suspend_always final_suspend() noexcept { return {}; }
        static void return_void() {}
        static void unhandled_exception() { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
};
Foreign await_elsewhere(bw::Task<bw::Wait> task, bw::Wait& result) { result = co_await task; }

}  // namespace

TEST_CASE("a task does nothing until it is awaited, and then gives its value") {
    bool ran = false;
    auto make = [](bool& flag) -> bw::Task<std::unique_ptr<int>> {
        flag = true;
        co_return std::make_unique<int>(7);
    };
    {
        const auto never = make(ran);
        CHECK_FALSE(ran);
    }
    CHECK_FALSE(ran);
    CHECK(*bw::sync_wait(make(ran)) == 7);
    CHECK(ran);
    bw::sync_wait(nothing());
}

TEST_CASE("an exception is carried to whoever awaits") {
    CHECK_THROWS_WITH(bw::sync_wait(thrown("one")), "one");
    CHECK_THROWS_WITH(bw::as_future(thrown("two")).get(), "two");
    auto outer = []() -> bw::Task<std::string> {
        try {
            co_await thrown("three");
        } catch (const std::runtime_error& error) {
            co_return error.what();
        }
        co_return "none";
    };
    CHECK(bw::sync_wait(outer()) == "three");
}

TEST_CASE("a task has one continuation: it cannot be awaited twice") {
    auto twice = []() -> bw::Task<int> {
        auto task = value(3);
        const int once = co_await task;
        co_return once + co_await task;
    };
    CHECK_THROWS_AS(bw::sync_wait(twice()), bw::Exception);
}

TEST_CASE("a million tasks that are over at once do not deepen the stack") {
    CHECK(bw::sync_wait(sum_of(1'000'000)) == 499'999'500'000);
}

#ifdef __clang__
TEST_CASE("tasks may be nested a million deep where a jump is one") {
    CHECK(bw::sync_wait(depth(1'000'000)) == 1'000'000);
}
#endif

TEST_CASE("an awaited task costs one allocation at most") {
    auto loop = [](int n) -> bw::Task<long> {
        long sum = 0;
        for (int i = 0; i < n; ++i) sum += co_await value(i);
        co_return sum;
    };
    const auto few = test::allocations_in([&] { (void)bw::sync_wait(loop(10)); });
    const auto many = test::allocations_in([&] { (void)bw::sync_wait(loop(110)); });
    CHECK(many <= few + 100);
}

TEST_CASE("when_all waits for all, in any order, and gives all their values") {
    const bw::ManualClock clock{blocking};
    auto future = bw::as_future(bw::when_all(nap(clock, 2s), value(4), nothing(), nap(clock, 1s)));
    clock.advance(1s);
    CHECK(future.wait_for(0s) == std::future_status::timeout);
    clock.advance(1s);
    CHECK(std::get<1>(future.get()) == 4);

    std::vector<bw::Task<int>> tasks;
    for (int i = 0; i < 100; ++i) tasks.push_back(value(i));
    const auto values = bw::sync_wait(bw::when_all(std::move(tasks)));
    REQUIRE(values.size() == 100);
    CHECK(values[99] == 99);
    CHECK(bw::sync_wait(bw::when_all(std::vector<bw::Task<int>>{})).empty());
    CHECK_THROWS_WITH(bw::sync_wait(bw::when_all(value(1), thrown("first"), thrown("second"))), "first");
}

TEST_CASE("when_any gives what is over first; the others are cancelled and awaited") {
    const bw::ManualClock clock{blocking};
    std::vector<std::string> story;
    auto told = [](bw::Task<bw::Wait> task, std::string name, std::vector<std::string>& into) -> bw::Task<std::string> {
        const bw::Wait how = co_await task;
        into.push_back(name + (how == bw::Wait::stopped ? " stopped" : " elapsed"));
        co_return name;
    };
    auto future = bw::as_future(bw::when_any(told(nap(clock, 3s), "slow", story), told(nap(clock, 1s), "fast", story),
                                             told(nap(clock, 2s), "middle", story)));
    clock.advance(1s);
    const auto [index, name] = future.get();
    CHECK(index == 1);
    CHECK(name == "fast");
    CHECK(story.front() == "fast elapsed");
    CHECK(std::multiset<std::string>{story.begin(), story.end()} ==
          std::multiset<std::string>{"fast elapsed", "middle stopped", "slow stopped"});
    CHECK_THROWS_WITH(bw::sync_wait(bw::when_any(thrown("at once"), value(1))), "at once");
}

TEST_CASE("a stop request reaches the innermost wait through all that awaits it") {
    const bw::ManualClock clock{blocking};
    std::stop_source stop;
    auto outer = [](bw::ManualClock own) -> bw::Task<bw::Wait> { co_return co_await nap(own, 1h); };
    auto future = bw::as_future(outer(clock), stop.get_token());
    stop.request_stop();
    CHECK(future.get() == bw::Wait::stopped);
}

TEST_CASE("a task sleeps on its scheduler's thread, and is woken there early by a stop request") {
    CHECK(bw::sync_wait(bw::sleep_for(2ms)) == bw::Wait::elapsed);
    for (int i = 0; i < 200; ++i) {  // the request comes before, in and after the wait
        std::stop_source stop;
        std::jthread asker{[&] {
            if (i % 2) std::this_thread::sleep_for(std::chrono::microseconds{i * 5});
            stop.request_stop();
        }};
        const auto how = bw::sync_wait(bw::sleep_for(i % 3 == 0 ? 1h : 500us), stop.get_token());
        if (i % 3 == 0) CHECK(how == bw::Wait::stopped);
    }
}

TEST_CASE("everything may go on one thread: that of a loop one runs oneself") {
    bw::EventLoop loop;
    std::vector<std::thread::id> threads;
    bool over = false;
    auto work = [](std::vector<std::thread::id>& seen) -> bw::Task<> {
        for (int i = 0; i < 3; ++i) {
            seen.push_back(std::this_thread::get_id());
            (void)co_await bw::sleep_for(1ms);
        }
    };
    bw::start(
        bw::when_all(work(threads), work(threads)), [&](auto&&) { over = true; },
        bw::TaskContext{std::stop_token{}, &loop});
    loop.run_until([&] { return over; });
    CHECK(threads == std::vector(6, std::this_thread::get_id()));
}

TEST_CASE("a coroutine goes on where an executor runs it") {
    struct Pool {
        std::vector<std::function<void()>> posted;
        void post(std::function<void()> f) { posted.push_back(std::move(f)); }
    } pool;
    auto work = [](Pool& own) -> bw::Task<int> {
        co_await bw::resume_on(own);
        co_return 5;
    };
    auto future = bw::as_future(work(pool));
    CHECK(future.wait_for(0s) == std::future_status::timeout);
    REQUIRE(pool.posted.size() == 1);
    pool.posted.front()();
    CHECK(future.get() == 5);
}

TEST_CASE("what awaits a task goes on on the thread where it ends, however soon that is") {
    // Its thread looks for work all the time, so that a task is often over before its starter has suspended it.
    struct Eager {
        std::atomic<std::coroutine_handle<>> next{};
        std::jthread thread{[this](const std::stop_token& stop) {
            while (!stop.stop_requested())
                if (auto job = next.exchange({})) job.resume();
        }};
        struct Hop {
            Eager& to;
            static bool await_ready() noexcept { return false; }
            void await_suspend(std::coroutine_handle<> caller) const {
                to.next = caller;
                std::this_thread::yield();  // not quite suspended yet
            }
            static void await_resume() noexcept {}
        };
    } eager;
    auto hop = [](Eager& to) -> bw::Task<> { co_await Eager::Hop{to}; };
    auto outer = [&hop](Eager& to) -> bw::Task<std::thread::id> {
        co_await hop(to);
        co_return std::this_thread::get_id();
    };
    for (int i = 0; i < 10'000; ++i) {
        std::promise<std::pair<std::thread::id, std::thread::id>> threads;
        bw::start(outer(eager), [&](std::thread::id inner) { threads.set_value({inner, std::this_thread::get_id()}); });
        const auto [inner, callback] = threads.get_future().get();
        REQUIRE(inner == eager.thread.get_id());
        REQUIRE(callback == eager.thread.get_id());
    }
}

TEST_CASE("start calls back where the task ends") {
    int got = 0;
    bw::start(value(4), [&](int i) { got = i; });
    CHECK(got == 4);
    bw::start(nothing(), [&] { got = 5; });
    CHECK(got == 5);
}

TEST_CASE("a task whose awaiting coroutine is destroyed is asked to stop and ends by itself") {
    const bw::ManualClock clock{blocking};
    auto result = bw::Wait::elapsed;
    bool ended = false;
    auto watched = [](bw::ManualClock own, bool& flag) -> bw::Task<bw::Wait> {
        const bw::Wait how = co_await nap(own, 1h);
        flag = how == bw::Wait::stopped;
        co_return how;
    };
    await_elsewhere(watched(clock, ended), result).handle.destroy();
    CHECK(ended);
    CHECK(result == bw::Wait::elapsed);

    auto other = await_elsewhere(nap(clock, 1s), result);
    clock.advance(1s);
    CHECK(other.handle.done());
    other.handle.destroy();
}

TEST_CASE("a task that only sleeps can be run on the thread that wants its value") {
    const auto here = std::this_thread::get_id();
    const auto nap = [](bw::Duration span) -> bw::Task<std::thread::id> {
        auto sleeping = bw::sleep_for(span);
        co_await sleeping;
        co_return std::this_thread::get_id();
    };
    const auto began = std::chrono::steady_clock::now();
    CHECK(bw::run_here(nap(2ms)) == here);
    CHECK(std::chrono::steady_clock::now() - began >= 2ms);

    const bw::ManualClock clock;
    const auto wait = [](bw::ManualClock by, std::stop_token stop) -> bw::Task<bw::Wait> {
        auto sleeping = bw::sleep_until(by, by.now() + 5s, stop);
        co_return co_await sleeping;
    };
    CHECK(bw::run_here(wait(clock, {})) == bw::Wait::elapsed);
    CHECK(clock.waits() == std::vector<bw::Duration>{5s});
    std::stop_source stop;
    stop.request_stop();
    CHECK(bw::run_here(wait(bw::ManualClock{bw::ManualClock::Mode::blocking}, stop.get_token())) == bw::Wait::stopped);
}

TEST_CASE("what is there now or comes later is used alike") {
    const auto come = [](int n) -> bw::Task<int> { co_return n; };
    const auto twice = [](int n) { return 2 * n; };
    bw::NowOrLater<int> now = bw::then(bw::NowOrLater{21}, twice);
    REQUIRE(now.value() != nullptr);
    CHECK(*now.value() == 42);
    bw::NowOrLater<int> soon = bw::then(bw::NowOrLater<int>{come(21)}, twice);
    CHECK(soon.value() == nullptr);
    CHECK(bw::run_here(std::move(soon)) == 42);
    CHECK(bw::run_here(std::move(now)) == 42);
    CHECK(bw::sync_wait(bw::later(bw::NowOrLater{7})) == 7);
    CHECK(bw::sync_wait(bw::later(bw::NowOrLater<int>{come(7)})) == 7);
}
