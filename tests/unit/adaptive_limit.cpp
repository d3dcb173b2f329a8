#include <breakwater/adaptive_limit.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/explain.hpp>
#include <breakwater/observe/log.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <optional>
#include <sstream>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Aimd;
using bw::Duration;
using bw::Errc;
using bw::Gradient2;
using bw::Instant;
using bw::LimitBaseline;
using bw::LimitSample;
using bw::ManualClock;
using bw::Vegas;

namespace {

/// The limit after one window, by an algorithm that has learned `baseline` (in µs).
constexpr double after(const auto& algorithm, double baseline, double limit, const LimitSample& sample) {
    LimitBaseline state{.rtt = baseline, .windows = 10};
    return algorithm.next(state, limit, sample);
}
constexpr bool is_near(double a, double b) { return a - b < 1e-9 && b - a < 1e-9; }

// Gradient2: 20 × 0.8 + (20 × gradient + 3) × 0.2.
static_assert(is_near(after(Gradient2{}, 1000, 20, {.rtt = 1000, .in_flight = 20}), 20.6));
static_assert(is_near(after(Gradient2{}, 1000, 20, {.rtt = 1250, .in_flight = 20}), 19.8));
static_assert(is_near(after(Gradient2{}, 1000, 20, {.rtt = 9000, .in_flight = 20}), 18.6));  // no less than half
static_assert(is_near(after(Gradient2{.tolerance = 1.25}, 1000, 20, {.rtt = 1250, .in_flight = 20}), 20.6));
static_assert(is_near(after(Gradient2{}, 1000, 20, {.rtt = 9000, .in_flight = 9}), 20));  // less than half of it used
static_assert(is_near(after(Gradient2{}, 1000, 20, {.rtt = 1000, .in_flight = 9, .dropped = true}), 18));
static_assert(is_near(after(Gradient2{}, 0, 20, {.in_flight = 20}), 20));  // nothing was answered

// Vegas: a queue of ⌈limit × (1 − shortest / latest)⌉ against s = 1, alpha = 2 and beta = 4.
static_assert(is_near(after(Vegas{}, 1000, 20, {.rtt = 1000, .in_flight = 20}), 24));
static_assert(is_near(after(Vegas{}, 951, 20, {.rtt = 1000, .in_flight = 20}), 24));
static_assert(is_near(after(Vegas{.alpha = 3}, 901, 20, {.rtt = 1000, .in_flight = 20}), 21));
static_assert(is_near(after(Vegas{}, 901, 20, {.rtt = 1000, .in_flight = 20}), 20));
static_assert(is_near(after(Vegas{}, 801, 20, {.rtt = 1000, .in_flight = 20}), 20));
static_assert(is_near(after(Vegas{}, 799, 20, {.rtt = 1000, .in_flight = 20}), 19));
static_assert(is_near(after(Vegas{}, 799, 100, {.rtt = 1000, .in_flight = 100}), 98));
static_assert(is_near(after(Vegas{.smoothing = 0.5}, 799, 20, {.rtt = 1000, .in_flight = 20}), 19.5));
static_assert(is_near(after(Vegas{}, 1000, 20, {.rtt = 1000, .in_flight = 9}), 20));
static_assert(is_near(after(Vegas{}, 1000, 20, {.in_flight = 9, .dropped = true}), 19));

static_assert(is_near(after(Aimd{}, 0, 20, {.rtt = 1000, .in_flight = 10}), 21));
static_assert(is_near(after(Aimd{}, 0, 20, {.rtt = 1000, .in_flight = 9}), 20));
static_assert(is_near(after(Aimd{}, 0, 20, {.rtt = 1000, .in_flight = 1, .dropped = true}), 18));
static_assert(is_near(after(Aimd{}, 0, 5, {.rtt = 1000, .in_flight = 1, .dropped = true}), 4));

/// A machine whose windows the test makes up: each holds 100 calls and takes 1 s.
template <class A>
struct Windows {
    using Machine = bw::AdaptiveLimitMachine<A>;
    using Options = typename Machine::Options;

    explicit Windows(Options given) : options{given}, state{Machine::make_state(given)} {}
    std::uint32_t limit() const { return Machine::limit(state, options); }

    /// `in_flight` calls at once that take `rtt` each, of which so many per cent are drops.
    void pass(Duration rtt, std::uint32_t in_flight, int drops = 0) {
        for (int i = 0; i < 100; ++i) {
            now += 11ms;
            Machine::apply(state, options, typename Machine::Record{rtt, in_flight, i < drops}, now);
        }
    }
    /// Of a service that does 20 calls at once and lets the rest queue, asked by callers who want more than that.
    void pass_overloaded(Duration alone = 10ms) { pass(alone * std::max(limit(), 20u) / 20, limit()); }

    Options options;
    typename Machine::State state;
    Instant now{1h};
};

/// The archetype of an algorithm.
struct TenAtMost {
    struct State {};
    constexpr double next(State&, double limit, const LimitSample& sample) const noexcept {
        return sample.in_flight * 2 < limit || limit >= 10 ? limit : limit + 1;
    }
    static constexpr double baseline(const State&) noexcept { return 0; }
    friend bw::Result<void> validate(const TenAtMost&, std::string_view) { return {}; }
};
static_assert(bw::LimitAlgorithm<TenAtMost> && !bw::ProbingLimitAlgorithm<TenAtMost>);
static_assert(bw::ProbingLimitAlgorithm<bw::AnyLimitAlgorithm> && !bw::ProbingLimitAlgorithm<Aimd>);

/// An adaptive limit in a pipeline whose clock only the test moves; calls take as long as it says. Ten to a window.
struct World {
    explicit World(bw::AdaptiveLimitOptions<> options) : limit{std::move(options)} {}

    static bw::AdaptiveLimitOptions<> quick(bw::AnyLimitAlgorithm algorithm) {
        return {.name = "ledger", .algorithm = algorithm, .initial_limit = 2, .window = 10ms, .minimum_samples = 10};
    }
    /// A window in which the only call in flight, one at a time, is half of the limit of two.
    void pass(Duration took, std::optional<Errc> error = {}) {
        for (int i = 0; i < 10; ++i) {
            (void)guard.run([&]() -> bw::Result<int> {
                clock.advance(took);
                if (error) return bw::fail(*error);
                return 1;
            });
        }
    }

    /// How many calls, each in the one before, are let through; neutral ones.
    std::uint32_t depth() const {
        std::uint32_t found = 0;
        (void)guard.run([&]() -> bw::Result<int> { return found = 1 + depth(), bw::fail(Errc::cancelled); });
        return found;
    }

    ManualClock clock{};
    bw::AdaptiveLimit<> limit;
    bw::Pipeline<bw::UseClock<ManualClock>, bw::AdaptiveLimit<>> guard{bw::UseClock{clock}, limit};
};

/// The same time by a clock of another kind, such as a shared store's: who asks it asks no call's.
struct StoreClock {
    ManualClock clock;
    Instant now() const noexcept { return clock.now(); }
    bw::Wait wait_until(Instant t, const std::stop_token& stop) const { return clock.wait_until(t, stop); }
    bool operator==(const StoreClock&) const = default;
};

constexpr auto one = [] { return 1; };

std::string refusal(const bw::AdaptiveLimitOptions<>& options) {
    const auto made = bw::AdaptiveLimit<>::make(options);
    return made ? "accepted" : made.error().message();
}

}  // namespace

TEST_CASE("mistakes in an adaptive limit's options are named by their field") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.algorithm = Gradient2{.tolerance = 0.9}}) ==
          "adaptive_limit.algorithm.tolerance: must be 1 to 10, got 0.9");
    CHECK(refusal({.algorithm = Gradient2{.queue_size = 0}}) ==
          "adaptive_limit.algorithm.queue_size: must be 1 to 1000, got 0");
    CHECK(refusal({.algorithm = Gradient2{.smoothing = 0}}) ==
          "adaptive_limit.algorithm.smoothing: must be > 0 and <= 1, got 0");
    CHECK(refusal({.algorithm = Gradient2{.long_windows = 9}}) ==
          "adaptive_limit.algorithm.long_windows: must be 10 to 100000, got 9");
    CHECK(refusal({.algorithm = Vegas{.alpha = 5, .beta = 4}}) ==
          "adaptive_limit.algorithm.beta: must be at least alpha, which is 5, and at most 1000, got 4");
    CHECK(refusal({.algorithm = Vegas{.probe_multiplier = 0}}) ==
          "adaptive_limit.algorithm.probe_multiplier: must be 1 to 1000, got 0");
    CHECK(refusal({.algorithm = Aimd{.backoff_ratio = 1}}) ==
          "adaptive_limit.algorithm.backoff_ratio: must be > 0 and < 1, got 1");
    CHECK(refusal({.max_limit = 0}) == "adaptive_limit.max_limit: must be 1 to 1000000, got 0");
    CHECK(refusal({.min_limit = 201}) == "adaptive_limit.min_limit: must be 1 to max_limit, which is 200, got 201");
    CHECK(refusal({.initial_limit = 4, .min_limit = 5}) ==
          "adaptive_limit.initial_limit: must be min_limit to max_limit, which are 5 and 200, got 4");
    CHECK(refusal({.window = 9ms}) == "adaptive_limit.window: must be 10ms to 1min, got 9ms");
    CHECK(refusal({.minimum_samples = 9}) == "adaptive_limit.minimum_samples: must be 10 to 100000, got 9");
    CHECK(refusal({.drop_ratio = 1}) == "adaptive_limit.drop_ratio: must be 0 to < 1, got 1");
    CHECK(refusal({.slow_after = 0s}) == "adaptive_limit.slow_after: must be 1ms to 24h, got 0s");
    CHECK(refusal({.max_queue = 1'000'001}) == "adaptive_limit.max_queue: must be 0 to 1000000, got 1000001");
    CHECK(refusal({.max_wait = 25h}) == "adaptive_limit.max_wait: must be 0s to 24h, got 25h");
    CHECK(refusal({.deadline_counts_after = -1s}) ==
          "adaptive_limit.deadline_counts_after: must be 0s to 24h, got -1s");
    CHECK_THROWS_AS(bw::AdaptiveLimit{{.min_limit = 0}}, bw::Exception);
}

// Netflix/concurrency-limits#137: the limit of a service that let every call time out grew to its maximum.
TEST_CASE("calls that all run into their time limit shrink the limit to its minimum, and are no measure of time") {
    for (const bw::AnyLimitAlgorithm algorithm : {bw::AnyLimitAlgorithm{Gradient2{}}, {Vegas{}}, {Aimd{}}}) {
        Windows<bw::AnyLimitAlgorithm> windows{{.algorithm = algorithm, .min_limit = 3}};
        for (int i = 0; i < 5; ++i) windows.pass(10ms, 1);
        const double baseline = windows.state.learned.rtt;
        for (int i = 0; i < 60; ++i) windows.pass(5s, windows.limit(), 100);
        CHECK(windows.limit() == 3);
        CHECK(windows.state.learned.rtt == baseline);
    }
}

// Netflix/concurrency-limits#165 and failsafe-go/failsafe-go#127: what a long overload made of the time without a queue
// grew, and the limit with it.
TEST_CASE("a day of unbroken overload does not make the limit creep up") {
    const auto check = [](auto algorithm, std::uint32_t least, std::uint32_t most) {
        Windows<decltype(algorithm)> windows{{.algorithm = algorithm, .initial_limit = 60}};
        for (int i = 0; i < 200; ++i) windows.pass_overloaded();
        std::uint32_t lowest = 1'000, highest = 0;
        for (int i = 0; i < 20'000; ++i) {
            windows.pass_overloaded();
            if (windows.state.phase != decltype(windows)::Machine::Phase::measuring) continue;
            lowest = std::min(lowest, windows.limit());
            highest = std::max(highest, windows.limit());
        }
        CHECK(lowest >= least);
        CHECK(highest <= most);
    };
    check(Gradient2{}, 22, 24);
    check(Vegas{}, 20, 25);
}

TEST_CASE("a service that gets twice as slow for good has its limit back after some probes") {
    const auto check = [](auto algorithm) {
        Windows<decltype(algorithm)> windows{{.algorithm = algorithm}};
        for (int i = 0; i < 400; ++i) windows.pass_overloaded();
        for (int i = 0; i < 30; ++i) windows.pass_overloaded(20ms);
        CHECK(windows.limit() < 21);
        for (int i = 0; i < 1'000; ++i) windows.pass_overloaded(20ms);
        CHECK(std::max(windows.limit(), static_cast<std::uint32_t>(windows.state.limit)) >= 20);
    };
    check(Gradient2{});
    check(Vegas{});
}

TEST_CASE("a probe lets half as many calls through for two windows and measures the second") {
    Windows<Gradient2> windows{{.initial_limit = 60}};
    while (windows.state.phase == decltype(windows)::Machine::Phase::measuring) windows.pass_overloaded();
    const double limit = windows.state.limit;
    CHECK(windows.limit() == static_cast<std::uint32_t>(limit) / 2);
    windows.pass(99ms, 20);
    CHECK(windows.limit() == static_cast<std::uint32_t>(limit) / 2);
    windows.pass(7ms, 20);
    CHECK(windows.limit() == static_cast<std::uint32_t>(limit));
    CHECK(windows.state.learned.rtt == 7'000);
}

TEST_CASE("a probe in which calls are dropped measures nothing and shrinks the limit") {
    Windows<Gradient2> windows{{.initial_limit = 60}};
    while (windows.state.phase == decltype(windows)::Machine::Phase::measuring) windows.pass_overloaded();
    const auto [limit, learned] = std::pair{windows.state.limit, windows.state.learned};
    windows.pass(7ms, 20, 50);
    CHECK(windows.state.limit == limit * 0.9);
    CHECK(windows.state.learned == learned);
    CHECK(windows.state.phase == decltype(windows)::Machine::Phase::measuring);
}

TEST_CASE("where the limit cannot be lowered there is no probe") {
    Windows<Gradient2> windows{{.min_limit = 20, .max_limit = 20}};
    for (int i = 0; i < 500; ++i) {
        windows.pass_overloaded();
        REQUIRE(windows.state.phase == decltype(windows)::Machine::Phase::measuring);
    }
}

// Netflix/concurrency-limits#37: one window that happened to be fast made the limit low for thousands.
TEST_CASE("a window that is fast by chance pulls the shortest time a tenth of the way") {
    LimitBaseline state{.rtt = 1'000};
    (void)Vegas{}.next(state, 20, {.rtt = 500, .in_flight = 20});
    CHECK(state.rtt == 950);
    (void)Vegas{}.next(state, 20, {.rtt = 2'000, .in_flight = 20});
    CHECK(state.rtt == 950);
    bw::LimitBaseline noise{.rtt = 1'000}, news{.rtt = 1'000};
    noise.rebase(1'200);
    news.rebase(1'300);
    CHECK(noise.rtt == 1'100);
    CHECK(news.rtt == 1'300);
}

TEST_CASE("the long-term mean is the plain one of the first ten windows, and slow afterwards") {
    LimitBaseline state;
    for (int i = 1; i <= 10; ++i) (void)Gradient2{}.next(state, 20, {.rtt = i * 100.0, .in_flight = 20});
    CHECK(state.rtt == Catch::Approx(550));
    (void)Gradient2{.long_windows = 99}.next(state, 20, {.rtt = 600, .in_flight = 1});
    CHECK(state.rtt == Catch::Approx(551));
    (void)Gradient2{.long_windows = 99}.next(state, 20, {.rtt = 600, .in_flight = 20});  // perhaps its own queue
    CHECK(state.rtt == Catch::Approx(551));
}

TEST_CASE("after a time of overload the long-term mean comes down faster than it would by averaging") {
    LimitBaseline state{.rtt = 10'000, .windows = 10};
    for (int i = 0; i < 20; ++i) (void)Gradient2{}.next(state, 20, {.rtt = 1'000, .in_flight = 1});
    CHECK(state.rtt < 2'000);
    CHECK(state.rtt > 1'500);
}

// helidon-io/helidon#9542: at 3 % of slow calls AIMD let 68 % of all calls fail.
TEST_CASE("a few drops among many calls shrink no limit, more than the ratio do") {
    Windows<Aimd> windows{{.initial_limit = 50}};
    windows.pass(10ms, 50, 10);
    CHECK(windows.limit() == 51);
    windows.pass(10ms, 51, 11);
    CHECK(windows.limit() == 45);
}

// Netflix/concurrency-limits#155: at its maximum the limit was halved.
TEST_CASE("a limit stays within its bounds and at its maximum") {
    Windows<Aimd> windows{{.min_limit = 4, .max_limit = 6, .initial_limit = 5}};
    for (int i = 0; i < 5; ++i) windows.pass(10ms, 50);
    CHECK(windows.limit() == 6);
    for (int i = 0; i < 5; ++i) windows.pass(10ms, 50, 100);
    CHECK(windows.limit() == 4);
}

TEST_CASE("a window lasts until it is long enough, has calls enough, and two answers fit in") {
    using Machine = bw::AdaptiveLimitMachine<Aimd>;
    const Machine::Options options{.window = 1s, .minimum_samples = 10};
    const auto calls_until_change = [&](Duration took, Duration apart) {
        Machine::State state = Machine::make_state(options);
        Instant now{1h};
        for (int calls = 1; calls <= 10'000; ++calls, now += apart)
            if (Machine::apply(state, options, Machine::Record{took, 20, false}, now)) return calls;
        return 0;
    };
    CHECK(calls_until_change(1ms, 10ms) == 101);
    CHECK(calls_until_change(1ms, 1s) == 10);
    CHECK(calls_until_change(1ms, 3s) == 10);
    CHECK(calls_until_change(2s, 10ms) == 401);
    CHECK(calls_until_change(1ms, 4s) == 0);  // ten take longer than thirty windows: the first are no news
}

TEST_CASE("a clock that is set back begins a new window") {
    using Machine = bw::AdaptiveLimitMachine<Aimd>;
    const Machine::Options options{.window = 1s, .minimum_samples = 10};
    Machine::State state = Machine::make_state(options);
    for (int i = 0; i < 9; ++i) Machine::apply(state, options, Machine::Record{1ms, 20, false}, Instant{24h});
    Machine::apply(state, options, Machine::Record{1ms, 20, false}, Instant{1h});
    CHECK(state.window.answers == 1);
    CHECK(state.window.began == Instant{1h});
}

TEST_CASE("calls beyond the limit are refused as by a bulkhead, and the retry loop ends") {
    World world{{.name = "ledger", .initial_limit = 1}};
    const bw::Pipeline retrying{bw::UseClock{world.clock}, bw::Retry{{.max_retries = 3}}, world.limit};
    const auto inner = world.guard.run([&]() -> bw::Result<int> { return retrying.run(one); });
    REQUIRE_FALSE(inner);
    CHECK(inner.error().is_refusal(Errc::bulkhead_full));
    CHECK(inner.error().policy() == "ledger");
    CHECK_FALSE(inner.error().retry_after());
    CHECK(world.clock.waits().empty());
    CHECK(world.limit.snapshot().in_flight == 0);
}

TEST_CASE("calls move the limit window by window, and the snapshot shows why") {
    World world{World::quick(Gradient2{})};
    for (int i = 0; i < 5; ++i) world.pass(4ms);
    bw::AdaptiveLimitSnapshot seen = world.limit.snapshot();
    CHECK(seen.name == "ledger");
    CHECK(seen.limit == 2);  // 2.6, of which the one in flight is less than half
    CHECK(seen.long_rtt == 4ms);
    CHECK(seen.short_rtt == 4ms);
    CHECK(seen.gradient == 1.0);
    CHECK_FALSE(seen.is_probing);

    World slower{World::quick(Aimd{})};
    slower.pass(4ms);
    CHECK(slower.limit.snapshot().limit == 3);
    CHECK(slower.limit.snapshot().long_rtt == 0s);
    CHECK(slower.depth() == 3);
    slower.pass(4ms, Errc::attempt_timeout);
    CHECK(slower.limit.snapshot().limit == 2);
    CHECK(slower.limit.snapshot().short_rtt == 4ms);
    CHECK(slower.depth() == 2);
}

TEST_CASE("what says nothing about the service does not move the limit") {
    for (const Errc code : {Errc::cancelled, Errc::rate_limited, Errc::circuit_open, Errc::invalid_request}) {
        CAPTURE(bw::to_string(code));
        World world{World::quick(Aimd{})};
        for (int i = 0; i < 5; ++i) world.pass(4ms, code);
        CHECK(world.limit.snapshot().limit == 2);
        CHECK(world.limit.snapshot().short_rtt == 0s);
    }
}

TEST_CASE("a call that takes too long is a drop, whatever comes of it") {
    auto options = World::quick(Aimd{});
    options.slow_after = 5ms;
    World world{options};
    world.pass(6ms);
    CHECK(world.limit.snapshot().limit == 1);
    world.pass(5ms);
    CHECK(world.limit.snapshot().limit == 2);
}

TEST_CASE("a classifier says what is a drop, and a deadline of the caller's is none if the attempt hardly ran") {
    auto options = World::quick(Aimd{});
    options.classify = [](const bw::Error& error) -> std::optional<bw::Outcome> {
        if (error.code() == Errc::bad_result) return bw::Outcome::success;
        return {};
    };
    World world{options};
    world.pass(4ms, Errc::bad_result);
    CHECK(world.limit.snapshot().limit == 3);
    for (int i = 0; i < 10; ++i) {
        (void)world.guard.run(
            [&]() -> bw::Result<int> {
                world.clock.advance(20ms);
                return bw::fail(Errc::deadline_exceeded);
            },
            {.deadline = 10ms});
    }
    CHECK(world.limit.snapshot().limit == 3);
}

TEST_CASE("a change of the limit is an event, and a line of the log") {
    World world{World::quick(Aimd{})};
    std::vector<bw::Event> seen;
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Observe{[&](const bw::Event& event) {
                                 if (event.kind == bw::EventKind::limit_changed) seen.push_back(event);
                             }},
                             world.limit};
    for (int i = 0; i < 20; ++i) (void)guard.run([&] { return world.clock.advance(4ms), 1; });
    REQUIRE(seen.size() == 1);  // of the limit of three one call in flight is less than half
    CHECK(seen[0].policy == "ledger");
    CHECK(seen[0].limit == 3u);
    CHECK(bw::log_line(seen[0]) == "limit ledger: 3 calls in flight");
    CHECK(bw::to_string(seen[0].kind) == "limit_changed");
}

TEST_CASE("waits for permits further in do not count as the service's time") {
    const ManualClock clock;
    const bw::AdaptiveLimit limit{World::quick(Gradient2{})};
    const bw::RateLimiter limiter{
        {.algorithm = bw::TokenBucket{.permits = 1, .period = 10ms, .burst = 1}, .max_wait = 1min},
        bw::MemoryStore{StoreClock{clock}}};
    const bw::Pipeline guard{bw::UseClock{clock}, limit, limiter};
    for (int i = 0; i < 10; ++i) CHECK(guard.run([&] { return clock.advance(4ms), 1; }));
    CHECK(clock.waits().size() == 9);
    CHECK(limit.snapshot().short_rtt == 4ms);
}

TEST_CASE("a call that queues has its turn when the limit grows, and its wait is not the service's time") {
    const ManualClock clock{ManualClock::Mode::blocking};
    auto options = World::quick(Aimd{});
    options.initial_limit = options.max_limit = 1;
    options.max_queue = 1;
    const bw::AdaptiveLimit limit{options};
    const bw::Pipeline guard{bw::UseClock{clock}, limit};
    std::future<bw::Result<int>> queued;
    const auto first = guard.run([&]() -> bw::Result<int> {
        queued = std::async(std::launch::async, [&] { return guard.run([&] { return clock.advance(1ms), 2; }); });
        clock.await_blocked();
        CHECK(guard.run(one).error().code() == Errc::bulkhead_full);  // the queue is full
        clock.advance(5s);
        auto more = options;
        more.max_limit = more.initial_limit = 2;
        more.min_limit = 2;
        CHECK(limit.reconfigure(more));
        CHECK(queued.get() == 2);  // while this call still has its permit
        return bw::fail(Errc::cancelled);
    });
    CHECK_FALSE(first);
    for (int i = 0; i < 10; ++i) CHECK(guard.run([&] { return clock.advance(1ms), 1; }));
    const auto seen = limit.snapshot();
    CHECK(seen.in_flight == 0);
    CHECK(seen.queued == 0);
    CHECK(seen.short_rtt == 1ms);
}

TEST_CASE("other options keep what was learned, as far as the new bounds allow") {
    World world{World::quick(Aimd{})};
    world.pass(4ms);
    CHECK(world.limit.snapshot().limit == 3);
    auto options = World::quick(Vegas{});
    options.min_limit = 5;
    options.initial_limit = 5;
    options.name = "other";
    CHECK(world.limit.reconfigure(options).error().message() ==
          "adaptive_limit.name: must be the limit's, \"ledger\", got \"other\"");
    options.name = "ledger";
    CHECK(world.limit.reconfigure(options));
    CHECK(world.limit.snapshot().limit == 5);
    CHECK(world.depth() == 5);
    CHECK(world.limit.snapshot().short_rtt == 4ms);
    options.max_limit = 0;
    CHECK_FALSE(world.limit.reconfigure(options));
    CHECK(world.limit.options().max_limit == 200);
}

TEST_CASE("a call within the limit allocates nothing, nor does one that is refused or moves the limit") {
    auto options = World::quick(Gradient2{});
    options.initial_limit = 1;
    World world{options};
    int sum = 0, refused = 0;
    CHECK(test::allocations_in([&] {
              for (int i = 0; i < 1'000; ++i) {
                  sum += world.guard
                             .run([&] {
                                 refused += !world.guard.run(one);
                                 world.clock.advance(1ms);
                                 return 1;
                             })
                             .value();
              }
          }) == 0);
    CHECK(sum == 1'000);
    CHECK(refused > 0);
    CHECK(world.limit.snapshot().limit > 1);
}

TEST_CASE("an algorithm of one's own moves the limit") {
    const ManualClock clock;
    const bw::AdaptiveLimit<TenAtMost> limit{{.initial_limit = 2, .window = 10ms, .minimum_samples = 10}};
    const bw::Pipeline guard{bw::UseClock{clock}, limit};
    for (int i = 0; i < 10; ++i) CHECK(guard.run([&] { return clock.advance(4ms), 1; }));
    CHECK(limit.snapshot().limit == 3);
    std::ostringstream page;
    page << bw::explain(bw::Pipeline{limit, bw::AdaptiveLimit{{.name = "ledger", .max_queue = 5}}});
    CHECK(page.str().starts_with(
        "  adaptive limit  1 to 200 calls in flight, by a rule of its own; refuses more at once\n"
        "  adaptive limit  ledger: 1 to 200 calls in flight, by the gradient of their times; 5 more wait up to 30 "
        "s\n"));
}

TEST_CASE("many threads at a limit that moves all the time lose no permit") {
    const bw::AdaptiveLimit limit{{.algorithm = Aimd{.backoff_ratio = 0.5},
                                   .initial_limit = 2,
                                   .max_limit = 4,
                                   .window = 10ms,
                                   .minimum_samples = 10,
                                   .max_queue = 2}};
    const bw::Pipeline guard{limit};
    std::atomic<std::uint32_t> running{0}, most{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 3'000; ++i) {
                (void)guard.run([&]() -> bw::Result<int> {
                    const std::uint32_t now = ++running;
                    std::uint32_t seen = most;
                    while (now > seen && !most.compare_exchange_weak(seen, now)) {
                    }
                    --running;
                    if ((i + t) % 40 < 10) return bw::fail(Errc::failure);
                    return 1;
                });
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(most <= 4);
    const auto seen = limit.snapshot();
    CHECK(seen.in_flight == 0);
    CHECK(seen.queued == 0);
    std::vector<std::future<bw::Result<int>>> none;
    std::uint32_t admitted = 0;  // exactly as many permits as the limit says
    const auto nest = [&](const auto& self, std::uint32_t depth) -> bw::Result<int> {
        if (depth == seen.limit) return 1;
        return guard.run([&]() -> bw::Result<int> { return ++admitted, self(self, depth + 1); });
    };
    CHECK(nest(nest, 0));
    CHECK(admitted == seen.limit);
}
