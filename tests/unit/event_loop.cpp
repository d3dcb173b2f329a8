#include <breakwater/event_loop.hpp>
#include <breakwater/event_loop/loop_thread.hpp>
#include <breakwater/event_loop/process_loop.hpp>

#include <catch_shim.hpp>
#include <sanitized.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

struct Job final : bw::Work {
    explicit Job(std::function<void()> f) : function{std::move(f)} {}
    void run() noexcept override { function(); }
    std::function<void()> function;
};

struct Alarm final : bw::Timer {
    explicit Alarm(std::function<void()> f) : function{std::move(f)} {}
    void on_time() noexcept override { function(); }
    std::function<void()> function;
};

struct Seen final : bw::Watcher {
    void on_ready(int descriptor, bw::Ready ready) noexcept override {
        ++count;
        last = ready;
        if (then) then(descriptor);
    }
    int count = 0;
    bw::Ready last{};
    std::function<void(int)> then{};
};

class Pipe {
public:
    Pipe() { REQUIRE(::pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK) == 0); }
    ~Pipe() {
        for (const int end : ends_) ::close(end);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    int reader() const { return ends_[0]; }
    int writer() const { return ends_[1]; }
    void write() { REQUIRE(::write(writer(), "x", 1) == 1); }
    void read() {
        char byte = 0;
        REQUIRE(::read(reader(), &byte, 1) == 1);
    }

private:
    std::array<int, 2> ends_{};
};

/// Some turns of the loop, each of which may sleep a little.
void take_turns(bw::EventLoop& loop, int turns) {
    for (; turns > 0; --turns) {
        bool is_over = false;
        Alarm end{[&] { is_over = true; }};
        loop.set(end, bw::SteadyClock{}.now() + 1ms);
        loop.run_until([&] { return is_over; });
    }
}

struct Guest {
    explicit Guest(std::atomic<int>& count) : ends{count} {}
    bw::EventLoop& loop() noexcept { return own; }
    void end() noexcept { ++ends; }
    bw::EventLoop own{};
    std::atomic<int>& ends;
};

}  // namespace

TEST_CASE("work runs in the order it was posted, and work it posts after it") {
    bw::EventLoop loop;
    std::string order;
    Job third{[&] {
        order += '3';
        loop.stop();
    }};
    Job first{[&] {
        order += '1';
        CHECK(loop.is_here());
        loop.post(third);
    }};
    Job second{[&] { order += '2'; }};
    loop.post(first);
    loop.post(second);
    CHECK(order.empty());
    CHECK_FALSE(loop.is_here());
    loop.run();
    CHECK(order == "123");
    CHECK_FALSE(loop.is_here());
}

TEST_CASE("posts of many threads all run, and need not wake a loop that is awake") {
    constexpr std::size_t threads = 4;
    constexpr std::size_t each = 2'000;
    bw::EventLoop loop;
    std::atomic<std::size_t> ran{0};
    std::vector<std::unique_ptr<Job>> jobs;
    jobs.reserve(threads * each);
    for (std::size_t i = 0; i < threads * each; ++i) jobs.push_back(std::make_unique<Job>([&] { ++ran; }));
    Job hold{[&] {  // what is posted while the loop is awake wakes nobody
        std::vector<std::jthread> posters;
        posters.reserve(threads);
        for (std::size_t t = 0; t < threads; ++t) {
            posters.emplace_back([&, t] {
                for (std::size_t i = 0; i < each; ++i) loop.post(*jobs[t * each + i]);
            });
        }
    }};
    loop.post(hold);
    loop.run_until([&] { return ran == threads * each; });
    CHECK(loop.wake_ups() == 0);
}

TEST_CASE("a sleeping loop is woken by a post, by a timer and by a stop") {
    bw::EventLoop loop;
    bool ran = false;
    Job job{[&] { ran = true; }};
    {
        const std::jthread poster{[&] {
            std::this_thread::sleep_for(5ms);  // most likely it sleeps by then
            loop.post(job);
        }};
        loop.run_until([&] { return ran; });
    }
    {
        const std::jthread stopper{[&] {
            std::this_thread::sleep_for(5ms);
            loop.stop();
        }};
        loop.run();
    }

    const auto due = bw::SteadyClock{}.now() + 5ms;
    std::optional<bw::Instant> fired;
    Alarm alarm{[&] { fired = bw::SteadyClock{}.now(); }};
    loop.set(alarm, due);
    loop.run_until([&] { return fired.has_value(); });
    CHECK(*fired >= due);
    CHECK(*fired < due + 10s);
}

TEST_CASE("a timer that is taken back does not fire") {
    bw::EventLoop loop;
    bool fired = false;
    Alarm alarm{[&] { fired = true; }};
    loop.set(alarm, bw::SteadyClock{}.now() + 1ms);
    loop.cancel(alarm);
    take_turns(loop, 3);
    CHECK_FALSE(fired);
}

TEST_CASE("a watcher is told for as long as its descriptor is ready and wanted, and costs no system call between") {
    bw::EventLoop loop;
    Pipe pipe;
    Seen seen;
    seen.then = [&](int) { pipe.read(); };
    loop.watch(pipe.reader(), bw::Interest::read, seen);
    pipe.write();
    pipe.write();
    loop.run_until([&] { return seen.count == 2; });
    CHECK(seen.last.to_read);
    CHECK_FALSE(seen.last.to_write);

#ifdef BREAKWATER_POLL
    constexpr unsigned told = 0;  // the kernel is told anew with every wait
#else
    constexpr unsigned told = 1;
#endif
    const auto before = loop.controls();
    for (int i = 0; i < 10; ++i) {  // as libcurl does it for every request
        loop.watch(pipe.reader(), bw::Interest::none, seen);
        take_turns(loop, 1);
        loop.watch(pipe.reader(), bw::Interest::read, seen);
        pipe.write();
        loop.run_until([&] { return seen.count == 3 + i; });
    }
    CHECK(loop.controls() == before);

    loop.watch(pipe.reader(), bw::Interest::none, seen);
    pipe.write();
    take_turns(loop, 3);
    CHECK(seen.count == 12);
    CHECK(loop.controls() == before + told);  // once it was ready: else the loop would never sleep again
    loop.watch(pipe.reader(), bw::Interest::read, seen);
    loop.run_until([&] { return seen.count == 13; });
    CHECK(loop.controls() == before + 2 * told);
    loop.forget(pipe.reader());
}

TEST_CASE("what a descriptor is wanted for may change at any time") {
    bw::EventLoop loop;
    Pipe pipe;
    Seen seen;
    loop.watch(pipe.writer(), bw::Interest::both, seen);
    loop.run_until([&] { return seen.count > 0; });
    CHECK(seen.last.to_write);
    loop.watch(pipe.writer(), bw::Interest::read, seen);
    const int before = seen.count;
    take_turns(loop, 2);
    CHECK(seen.count == before);  // it can be written to, but nobody wants to
    loop.watch(pipe.writer(), bw::Interest::write, seen);
    loop.run_until([&] { return seen.count > before; });
    loop.forget(pipe.writer());
}

TEST_CASE("a number that is closed and opened again is the new descriptor's, even in the same turn") {
    bw::EventLoop loop;
    std::optional<Pipe> first{std::in_place};
    std::optional<Pipe> second{std::in_place};
    Seen of_first;
    Seen of_new;
    std::optional<Pipe> third;
    const int number = second->reader();
    of_first.then = [&](int) {
        first->read();
        loop.forget(number);
        second.reset();
        third.emplace();
        loop.watch(number, bw::Interest::read, of_new);
    };
    Seen of_second;
    loop.watch(first->reader(), bw::Interest::read, of_first);
    loop.watch(number, bw::Interest::read, of_second);
    first->write();
    second->write();
    loop.run_until([&] { return of_first.count == 1; });
    REQUIRE(third->reader() == number);
    take_turns(loop, 2);
    CHECK(of_new.count == 0);
    third->write();
    of_new.then = [&](int) { third->read(); };
    loop.run_until([&] { return of_new.count == 1; });
    loop.forget(number);
    loop.forget(first->reader());
}

TEST_CASE("a descriptor that cannot be waited for is reported as broken") {
    bw::EventLoop loop;
    Seen seen;
    const int closed = ::open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    ::close(closed);
    loop.watch(closed, bw::Interest::read, seen);
    loop.run_until([&] { return seen.count == 1; });
    CHECK(seen.last.is_broken);
    CHECK(seen.last.to_read);
}

TEST_CASE("a thread's loop starts on first use, ends with its owner, and runs what is posted at the end") {
    std::atomic<int> ends{0};
    std::atomic<int> ran{0};
    Job job{[&] { ++ran; }};
    {
        bw::LoopThread<Guest> thread{[&] { return std::make_shared<Guest>(ends); }};
        CHECK_FALSE(thread.is_here());
        thread.get().loop().post(job);
        CHECK(&thread.get() == &thread.get());
    }
    CHECK(ran == 1);
    CHECK(ends == 1);
    bw::LoopThread<Guest>{[&] { return std::make_shared<Guest>(ends); }};
    CHECK(ends == 1);
}

TEST_CASE("many threads that use a loop first at the same time use the same one") {
    std::atomic<int> ends{0};
    bw::LoopThread<Guest> thread{[&] { return std::make_shared<Guest>(ends); }};
    std::array<Guest*, 4> got{};
    {
        std::vector<std::jthread> users;
        users.reserve(got.size());
        for (Guest*& guest : got) users.emplace_back([&] { guest = &thread.get(); });
    }
    CHECK(std::ranges::all_of(got, [&](Guest* guest) { return guest == got[0]; }));
}

TEST_CASE("the owner of a thread's loop may go on that thread") {
    std::atomic<int> ends{0};
    auto thread = std::make_unique<bw::LoopThread<Guest>>([&] { return std::make_shared<Guest>(ends); });
    std::latch gone{1};
    Job drop{[&] {
        CHECK(thread->is_here());
        thread.reset();
        gone.count_down();
    }};
    thread->get().loop().post(drop);
    gone.wait();
    while (ends == 0) std::this_thread::yield();
    std::this_thread::sleep_for(5ms);  // until its last look at `ends` is over
}

TEST_CASE("a forked process has a loop of its own") {
    if (test::under_thread_sanitizer) {
        WARN("ThreadSanitizer lets no thread be started after a fork");
        return;
    }
    const auto answers = [] {
        std::latch done{1};
        Job job{[&] { done.count_down(); }};
        bw::process_loop().post(job);
        done.wait();
    };
    bw::EventLoop* const parents = &bw::process_loop();
    answers();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        answers();
        ::_exit(&bw::process_loop() != parents ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK(&bw::process_loop() == parents);
    answers();
}
