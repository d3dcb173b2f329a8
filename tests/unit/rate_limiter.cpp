#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Error;
using bw::FixedWindow;
using bw::TokenBucket;

namespace {

using Delays = std::vector<bw::Duration>;
using ClockedStore = bw::MemoryStore<bw::ManualClock>;
using Limiter = bw::RateLimiter<bw::AnyAlgorithm, ClockedStore>;
using Options = bw::RateLimiterOptions<>;

struct World {
    bw::ManualClock clock{};
    ClockedStore store{clock};

    Limiter limiter(Options options) const { return Limiter{std::move(options), store}; }
};

/// One permit a second, `burst` at once.
constexpr TokenBucket each_second(std::int64_t burst) { return {.permits = 1, .period = 1s, .burst = burst}; }

Error status_error(int status, std::optional<bw::Duration> retry_after = {}) {
    return Error{Errc::http_status}.set_status(status).set_retry_after(retry_after);
}
auto failing(Error error) {
    return [error]() -> bw::Result<int> { return bw::fail(error); };
}

std::string refusal(const Options& options) {
    const auto made = bw::RateLimiter<>::make(options);
    return made ? "accepted" : made.error().message();
}

}  // namespace

TEST_CASE("permits are taken at once or not at all, and a refusal says when to come back") {
    const World world;
    const Limiter limiter = world.limiter({.name = "supplier", .algorithm = each_second(3)});
    CHECK(limiter.try_acquire(2));
    const auto refused = limiter.try_acquire(2);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::rate_limited);
    CHECK(refused.error().policy() == "supplier");
    CHECK(refused.error().retry_after() == 1s);
    CHECK(refused.error().message() == "the rate limit is reached (supplier); try again in 1 s");
    CHECK(limiter.try_acquire());  // the refused request took nothing
    CHECK_FALSE(limiter.try_acquire());
    world.clock.advance(2s);
    CHECK(limiter.try_acquire(2));
    CHECK_FALSE(limiter.try_acquire());
}

TEST_CASE("more than the limiter can ever hold is refused for good, without a retry_after") {
    const World world;
    const Limiter bucket = world.limiter({.algorithm = each_second(3)});
    const Limiter window = world.limiter({.algorithm = FixedWindow{.permits = 20, .window = 60s}});
    CHECK(bucket.try_acquire(4).error().code() == Errc::exceeds_burst);
    CHECK(bucket.try_acquire(4).error().retry_after() == std::nullopt);
    CHECK(bucket.try_acquire(-1).error().code() == Errc::exceeds_burst);
    CHECK(window.try_acquire(21).error().code() == Errc::exceeds_burst);
    CHECK(bucket.acquire(4, 1h).error().code() == Errc::exceeds_burst);
    CHECK(bucket.retry_after(4) == bw::Duration::max());
    CHECK(world.clock.waits().empty());
    CHECK(bucket.try_acquire(3));  // nothing was taken
}

TEST_CASE("asking when takes nothing") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(2)});
    CHECK(limiter.retry_after() == 0s);
    CHECK(limiter.retry_after(2) == 0s);
    for (int i = 0; i < 100; ++i) CHECK(limiter.retry_after(2) == 0s);
    CHECK(limiter.try_acquire(2));
    CHECK(limiter.retry_after() == 1s);
    CHECK(limiter.retry_after(2) == 2s);
    world.clock.advance(500ms);
    CHECK(limiter.retry_after() == 500ms);
    CHECK(limiter.snapshot().available == 0);
}

TEST_CASE("acquire waits exactly as long as it must, and not at all if that is too long") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(2)});
    CHECK(limiter.acquire(2, 0s));
    CHECK(limiter.acquire(1, 1s));
    CHECK(world.clock.waits() == Delays{1s});
    const auto refused = limiter.acquire(2, 1999ms);
    CHECK(refused.error().code() == Errc::rate_limited);
    CHECK(refused.error().retry_after() == 2s);
    CHECK(world.clock.waits() == Delays{1s});
    CHECK(limiter.acquire(2, 2s));
    CHECK(world.clock.waits() == Delays{1s, 2s});
}

TEST_CASE("acquire ends when a stop is requested, and takes nothing") {
    const bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    const Limiter limiter{{.algorithm = each_second(1)}, ClockedStore{clock}};
    CHECK(limiter.try_acquire());
    std::stop_source source;
    bw::Result<void> result;
    {
        const std::jthread waiter{[&] { result = limiter.acquire(1, 1h, source.get_token()); }};
        clock.await_blocked();
        source.request_stop();
    }
    CHECK(result.error().code() == Errc::cancelled);
    clock.advance(1s);
    CHECK(limiter.try_acquire());
}

TEST_CASE("a waiter who finds the permit taken waits again") {
    const bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    const Limiter limiter{{.algorithm = each_second(1)}, ClockedStore{clock}};
    CHECK(limiter.try_acquire());
    std::atomic<int> served = 0;
    {
        std::vector<std::jthread> waiters;
        for (int i = 0; i < 3; ++i) waiters.emplace_back([&] { served += limiter.acquire(1, 1h).has_value(); });
        for (std::size_t left = 3; left > 0; --left) {
            clock.await_blocked(left);
            CHECK(served == 3 - static_cast<int>(left));
            clock.advance(1s);
            while (served < 4 - static_cast<int>(left)) std::this_thread::yield();
        }
    }
    CHECK(served == 3);
}

TEST_CASE("a pause refuses everything until it is over, and nothing accrues meanwhile") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(2)});
    CHECK(limiter.try_acquire(2));
    CHECK(limiter.pause_for(10s) == 10s);
    CHECK(limiter.try_acquire().error().retry_after() == 10s);
    CHECK(limiter.retry_after() == 11s);
    CHECK(limiter.snapshot().paused_for == 10s);
    CHECK(limiter.snapshot().available == 0);
    world.clock.advance(10s);
    CHECK(limiter.try_acquire().error().retry_after() == 1s);
    CHECK(limiter.snapshot().paused_for == 0s);
    world.clock.advance(1s);
    CHECK(limiter.try_acquire());
}

TEST_CASE("a pause is prolonged but never shortened, and at most as long as allowed") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(2), .max_pause = 60s});
    CHECK(limiter.pause_for(30s) == 30s);
    CHECK(limiter.snapshot().available == 0);
    CHECK(limiter.pause_for(5s) == 30s);
    CHECK(limiter.pause_for(40s) == 40s);
    CHECK(limiter.pause_until(world.clock.now() + 45s) == 45s);
    CHECK(limiter.pause_until(world.clock.now() - 1h) == 45s);
    CHECK(world.limiter({.max_pause = 60s}).pause_until(world.clock.now() + 24h) == 60s);
    CHECK(limiter.pause_for(24h) == 60s);
    CHECK(world.limiter({.max_pause = 60s}).pause_for(bw::Duration::max()) == 60s);
    world.clock.advance(60s);
    CHECK(limiter.try_acquire());
    CHECK(limiter.pause_for(0s) == 0s);
    CHECK(limiter.try_acquire());
}

TEST_CASE("a limiter that is off heeds pauses still") {
    const World world;
    const Limiter limiter = world.limiter({});
    for (int i = 0; i < 1'000; ++i) CHECK(limiter.try_acquire(1'000'000));
    limiter.pause_for(3s);
    CHECK(limiter.snapshot().available == 0);
    CHECK(limiter.try_acquire().error().retry_after() == 3s);
}

TEST_CASE("copies, and limiters of one name in one store, share permits and pauses") {
    const World world;
    const Limiter limiter = world.limiter({.name = "supplier", .algorithm = each_second(2)});
    const Limiter copy = limiter;
    const Limiter same = world.limiter({.name = "supplier", .algorithm = each_second(2)});
    const Limiter other = world.limiter({.name = "other", .algorithm = each_second(2)});
    CHECK(limiter.try_acquire());
    CHECK(copy.snapshot().available == 1);
    CHECK(same.try_acquire());
    CHECK_FALSE(limiter.try_acquire());
    CHECK(other.snapshot().available == 2);
    same.pause_for(7s);
    CHECK(copy.snapshot().paused_for == 7s);
    CHECK(other.snapshot().paused_for == 0s);
}

TEST_CASE("the snapshot tells what is free and when, and taking it changes nothing") {
    const World world;
    const Limiter limiter = world.limiter({.name = "supplier", .algorithm = each_second(3)});
    CHECK(limiter.snapshot().name == "supplier");
    CHECK(limiter.snapshot().available == 3);
    CHECK(limiter.try_acquire(3));
    CHECK(limiter.snapshot().available == 0);
    CHECK(limiter.snapshot().retry_after == 1s);
    world.clock.advance(2s);
    CHECK(limiter.snapshot().available == 2);
    CHECK(limiter.snapshot().retry_after == 0s);
}

TEST_CASE("a given-back permit can be taken again, and never makes more than full") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(2)});
    CHECK(limiter.try_acquire(2));
    limiter.give_back();
    CHECK(limiter.try_acquire());
    CHECK_FALSE(limiter.try_acquire());
    limiter.give_back(50);
    CHECK(limiter.snapshot().available == 2);
}

TEST_CASE("in a pipeline each attempt takes a permit, and a refused call is not made") {
    const World world;
    const Limiter limiter = world.limiter({.name = "supplier", .algorithm = each_second(2)});
    const bw::Pipeline guard{limiter};
    int calls = 0;
    for (int i = 0; i < 2; ++i) CHECK(guard.run([&] { return ++calls; }));
    const auto refused = guard.run([&] { return ++calls; });
    CHECK(refused.error().is_refusal(Errc::rate_limited));
    CHECK(refused.error().retry_after() == 1s);
    CHECK(refused.error().policy() == "supplier");
    CHECK(calls == 2);
    CHECK(world.clock.waits().empty());
}

TEST_CASE("a call waits for its permit up to max_wait in all") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(1), .max_wait = 2s});
    const bw::Pipeline guard{limiter};
    for (int i = 0; i < 4; ++i) CHECK(guard.run([] { return 1; }));
    CHECK(world.clock.waits() == Delays{1s, 1s, 1s});

    // Somebody else takes the permit during each wait: after two seconds the call gives up.
    const bw::Pipeline robbed{bw::Observe{[&](const bw::Event& event) {
                                  if (event.kind == bw::EventKind::limiter_waited) (void)limiter.try_acquire();
                              }},
                              limiter};
    const auto refused = robbed.run([] { return 1; });
    CHECK(refused.error().code() == Errc::rate_limited);
    CHECK(refused.error().retry_after() == 1s);
    CHECK(world.clock.waits() == Delays{1s, 1s, 1s, 1s, 1s});
}

TEST_CASE("a stop request ends the wait for a permit") {
    const bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    const Limiter limiter{{.algorithm = each_second(1), .max_wait = 1h}, ClockedStore{clock}};
    CHECK(limiter.try_acquire());
    std::stop_source source;
    bw::Result<int> result;
    {
        const std::jthread caller{
            [&] { result = bw::Pipeline{limiter}.run([] { return 1; }, {.stop = source.get_token()}); }};
        clock.await_blocked();
        source.request_stop();
    }
    CHECK(result.error().code() == Errc::cancelled);
    clock.advance(1s);
    CHECK(limiter.try_acquire());
}

TEST_CASE("Retry-After of a 429 or 503 pauses everybody who shares the limiter") {
    const World world;
    const Limiter limiter = world.limiter({.name = "supplier", .max_pause = 60s});
    const Limiter copy = limiter;
    const bw::Pipeline guard{limiter};
    CHECK_FALSE(guard.run(failing(status_error(429, 10s))));
    CHECK(copy.snapshot().paused_for == 10s);
    const auto refused = bw::Pipeline{copy}.run([] { return 1; });
    CHECK(refused.error().code() == Errc::rate_limited);
    CHECK(refused.error().retry_after() == 10s);
    world.clock.advance(10s);
    CHECK_FALSE(guard.run(failing(status_error(503, 24h))));
    CHECK(copy.snapshot().paused_for == 60s);
}

TEST_CASE("nothing else pauses") {
    const World world;
    const Limiter limiter = world.limiter({});
    const bw::Pipeline guard{limiter};
    for (const Error& error :
         {status_error(429), status_error(503), status_error(500, 9s), status_error(404, 9s),
          Error{Errc::receive_failed}.set_retry_after(9s), Error::refusal(Errc::circuit_open, "inner", 9s)}) {
        CHECK_FALSE(guard.run(failing(error)));
        CHECK(limiter.snapshot().paused_for == 0s);
    }
}

TEST_CASE("a short Retry-After does not shorten a longer pause") {
    const World world;
    const Limiter limiter = world.limiter({});
    const Limiter copy = limiter;
    limiter.pause_for(60s);
    // A call that was under way when the pause began.
    copy.heed(status_error(429, 5s), *std::make_unique<bw::Call<bw::ManualClock>>(world.clock));
    CHECK(limiter.snapshot().paused_for == 60s);
}

TEST_CASE("a retry waits out the pause that its own attempt brought about") {
    const World world;
    const Limiter limiter = world.limiter({.max_wait = 1min});
    const bw::Pipeline guard{bw::Retry{{.backoff = {.base = 1s, .cap = 1s, .jitter = bw::Jitter::none}}}, limiter};
    int calls = 0;
    CHECK(guard.run([&]() -> bw::Result<int> {
        if (++calls == 1) return bw::fail(status_error(503, 10s));
        return calls;
    }) == 2);
    CHECK(world.clock.waits() == Delays{11s});  // delay and Retry-After; the pause is over by then
}

TEST_CASE("a pause that is asked for is told") {
    const World world;
    std::vector<bw::Event> seen;
    const bw::Pipeline guard{bw::Observe{[&](const bw::Event& event) {
                                 if (event.kind == bw::EventKind::limiter_paused) seen.push_back(event);
                             }},
                             world.limiter({.max_pause = 60s})};
    CHECK_FALSE(guard.run(failing(status_error(429, 10min))));
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].delay == 60s);
}

TEST_CASE("what a service still allows is spent, then waited out, whatever the limiter's own limit is") {
    for (const bw::AnyAlgorithm& algorithm :
         std::vector<bw::AnyAlgorithm>{bw::no_limit, each_second(100), FixedWindow{.permits = 100, .window = 1s},
                                       bw::SlidingWindow{.permits = 100, .window = 1s}}) {
        const World world;
        const Limiter limiter = world.limiter({.name = "supplier", .algorithm = algorithm});
        CHECK(limiter.limit_to(3, 20s) == 0s);
        CHECK(limiter.snapshot().available == 3);
        CHECK(limiter.try_acquire(2));
        CHECK(limiter.retry_after(1) == 0s);
        CHECK(limiter.retry_after(2) == 20s);
        CHECK(limiter.try_acquire(2).error().retry_after() == 20s);
        CHECK(limiter.try_acquire());
        const auto refused = limiter.try_acquire();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code() == Errc::rate_limited);
        CHECK(refused.error().retry_after() == 20s);
        CHECK(limiter.snapshot().available == 0);
        CHECK(limiter.snapshot().paused_for == 20s);
        world.clock.advance(19s);
        CHECK_FALSE(limiter.try_acquire());
        world.clock.advance(1s);
        CHECK(limiter.try_acquire(50));
        CHECK(limiter.snapshot().paused_for == 0s);
    }
}

TEST_CASE("what a service allows never makes a limiter faster than its own limit") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(2)});
    limiter.limit_to(2'046, 1min);
    CHECK(limiter.snapshot().available == 2);
    CHECK(limiter.try_acquire(2));
    CHECK(limiter.try_acquire().error().retry_after() == 1s);
    world.clock.advance(1s);
    CHECK(limiter.try_acquire());
}

TEST_CASE("a permit that the limiter's own limit refuses is not spent of what the service allows") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(1)});
    limiter.limit_to(2, 1min);
    CHECK(limiter.try_acquire());
    for (int i = 0; i < 10; ++i) CHECK_FALSE(limiter.try_acquire());
    world.clock.advance(1s);
    CHECK(limiter.try_acquire());
    world.clock.advance(1s);
    CHECK(limiter.try_acquire().error().retry_after() == 58s);
}

TEST_CASE("a higher number from a service changes nothing until the time of the lower one is over") {
    const World world;
    const Limiter limiter = world.limiter({});
    limiter.limit_to(5, 10s);
    limiter.limit_to(9, 1min);  // an answer that was long under way
    limiter.limit_to(2'047, 1min);
    limiter.limit_to(std::numeric_limits<std::int64_t>::max(), 1min);
    CHECK(limiter.snapshot().available == 5);
    CHECK(limiter.retry_after(6) == 10s);
    limiter.limit_to(4, 2s);  // of two limits the tighter one
    CHECK(limiter.retry_after(5) == 2s);
    world.clock.advance(2s);
    CHECK(limiter.snapshot().available == std::numeric_limits<std::int64_t>::max());
    limiter.limit_to(9, 1min);
    CHECK(limiter.snapshot().available == 9);
}

TEST_CASE("nothing left is a pause, which nothing shortens and which is told once") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(5), .max_pause = 1min});
    limiter.limit_to(7, 5s);
    CHECK(limiter.limit_to(0, 20s) == 20s);
    CHECK(limiter.limit_to(0, 21s) == 0s);  // the next answer to the same effect
    CHECK(limiter.limit_to(3, 1s) == 0s);
    CHECK(limiter.limit_to(-1, 1s) == 0s);
    CHECK(limiter.snapshot().paused_for == 21s);
    world.clock.advance(21s);
    CHECK(limiter.try_acquire(5));
    CHECK(limiter.limit_to(0, 24h * 365) == 1min);
    world.clock.advance(1min);
    CHECK(limiter.limit_to(0, 0s) == 0s);
    CHECK(limiter.limit_to(0, -1s) == 0s);
    CHECK(limiter.limit_to(1, -1s) == 0s);
    CHECK(limiter.retry_after() == 1s);  // nothing accrued during the pause
}

TEST_CASE("a pause does not let the rest of a quota through") {
    const World world;
    const Limiter limiter = world.limiter({});
    limiter.limit_to(7, 1min);
    limiter.pause_for(10s);
    CHECK(limiter.try_acquire().error().retry_after() == 10s);
    CHECK_FALSE(limiter.try_acquire(-1));
}

TEST_CASE("a reservation is spent of what the service allows, and waits for what it does not") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(5)});
    limiter.limit_to(3, 10s);
    CHECK(limiter.reserve(2, 0s));
    CHECK(limiter.snapshot().available == 1);
    const auto later = limiter.reserve(2, 1min);
    REQUIRE(later);
    CHECK(later->ready_at() == world.clock.now() + 10s);
}

TEST_CASE("threads together never take more than a service still allows") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(5'000)});
    limiter.limit_to(50, 1min);
    std::atomic<int> granted = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                for (int n = 0; n < 1'000; ++n) granted += limiter.try_acquire().has_value();
            });
    }
    CHECK(granted == 50);
}

namespace {

/// Grants everything, and lets something happen in the middle of it.
struct Interrupted {
    using State = bw::LimiterState;
    struct Prepared {};
    static inline std::function<void()> interrupt;
    static inline int given_back = 0;

    constexpr Prepared prepare(bw::Duration) const noexcept { return {}; }
    static bw::Grant take(State&, const Prepared&, std::int64_t, bw::Instant) noexcept {
        if (const auto now = std::exchange(interrupt, nullptr)) now();
        return {.granted = true};
    }
    static bw::Grant peek(const State&, const Prepared&, std::int64_t, bw::Instant) noexcept {
        return {.granted = true};
    }
    static void pause(State&, const Prepared&, bw::Instant, bw::Instant) noexcept {}
    static void give_back(State&, const Prepared&, std::int64_t n, bw::Instant) noexcept {
        given_back += static_cast<int>(n);
    }
    static std::int64_t available(const State&, const Prepared&, bw::Instant) noexcept { return 1; }
    friend bw::Result<void> validate(const Interrupted&, std::string_view) { return {}; }
};

}  // namespace

TEST_CASE("a permit taken while the service says that none is left goes back") {
    const World world;
    const bw::RateLimiter<Interrupted, ClockedStore> limiter{Interrupted{}, world.store};
    Interrupted::interrupt = [&] { limiter.limit_to(0, 10s); };
    limiter.limit_to(9, 1min);
    const auto refused = limiter.try_acquire(2);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().retry_after() == 10s);
    CHECK(Interrupted::given_back == 2);
}

TEST_CASE("a permit goes back if nothing was sent, and stays spent if an attempt was made") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(3)});
    const bw::CircuitBreaker breaker{bw::CircuitBreakerOptions<>{.trip = bw::ConsecutiveFailures{1}}, world.store};
    const bw::Pipeline guard{limiter, breaker};  // the other way round than usual
    CHECK_FALSE(guard.run(failing(status_error(500))));
    CHECK(limiter.snapshot().available == 2);
    for (int i = 0; i < 10; ++i) CHECK(guard.run([] { return 1; }).error().code() == Errc::circuit_open);
    CHECK(limiter.snapshot().available == 2);
}

TEST_CASE("each retry of an attempt that was made takes a permit of its own") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(10)});
    const bw::Pipeline guard{
        bw::Retry{{.max_retries = 2, .backoff = {.base = 1us, .cap = 1us, .jitter = bw::Jitter::none}}}, limiter};
    CHECK_FALSE(guard.run(failing(status_error(500))));
    CHECK(limiter.snapshot().available == 7);
}

TEST_CASE("a static choice of the algorithm is deduced") {
    const bw::RateLimiter limiter{TokenBucket{.permits = 100, .period = 1s, .burst = 20}};
    static_assert(std::is_same_v<decltype(limiter), const bw::RateLimiter<TokenBucket>>);
    CHECK(limiter.try_acquire(20));
    CHECK(limiter.try_acquire(21).error().code() == Errc::exceeds_burst);
    const World world;
    const bw::RateLimiter by_window{FixedWindow{.permits = 2, .window = 60s}, world.store};
    CHECK(by_window.try_acquire(2));
    CHECK(by_window.retry_after() == 60s);  // the clock starts at a full hour
}

TEST_CASE("mistaken limiter options are named by their path, legal range and value") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.max_wait = -1s}) == "rate_limit.max_wait: must be 0s to 24h, got -1s");
    CHECK(refusal({.max_pause = 25h}) == "rate_limit.max_pause: must be 0s to 24h, got 25h");
    CHECK(refusal({.algorithm = TokenBucket{.permits = 0}}) == "rate_limit.algorithm.permits: must be >= 1, got 0");
    CHECK_THROWS_AS((bw::RateLimiter{FixedWindow{.permits = 0}}), bw::Exception);
    CHECK(bw::RateLimiter<>::make({.name = "fine"})->name() == "fine");
}

TEST_CASE("threads taking permits together never get more than the burst") {
    const World world;
    const Limiter limiter = world.limiter({.algorithm = each_second(50)});
    std::atomic<int> granted = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                for (int n = 0; n < 1'000; ++n) granted += limiter.try_acquire().has_value();
            });
    }
    CHECK(granted == 50);
}

TEST_CASE("a thread whose reading of the clock is a little old does not shorten the longest pause") {
    const bw::PauseMachine::Options options{.max_pause = 1min};
    const bw::Instant now{1h};
    bw::PauseMachine::State state;
    bw::PauseMachine::apply(state, options, bw::PauseMachine::Extend{now + 1min}, now);
    CHECK(bw::PauseMachine::apply(state, options, bw::PauseMachine::Check{}, now - 5us) == 1min + 5us);
    CHECK(bw::PauseMachine::apply(state, options, bw::PauseMachine::Check{}, now) == 1min);
    // A clock set back is another matter: the pause is no longer than the option says.
    CHECK(bw::PauseMachine::apply(state, options, bw::PauseMachine::Check{}, now - 10min) == 1min);
}
