// A rate limiter whose options change while it works, and one that goes on after a restart.
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <cstdint>
#include <limits>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::SavedLimiter;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;
using Limiter = bw::RateLimiter<bw::AnyAlgorithm, Store>;
using Options = bw::RateLimiterOptions<>;

/// A process: a clock of its own, and a limiter that is full.
struct Process {
    bw::ManualClock clock{};
    Store store{clock};
    Limiter limiter;

    explicit Process(bw::AnyAlgorithm algorithm) : limiter{{.algorithm = algorithm}, store} { clock.advance(1h); }
    std::int64_t available() const { return limiter.snapshot().available; }
};

constexpr bw::TokenBucket bucket(std::int64_t permits, std::int64_t burst) {
    return {.permits = permits, .period = 1s, .burst = burst};
}
constexpr bw::FixedWindow per_minute(std::int64_t permits) { return {.permits = permits, .window = 1min}; }

}  // namespace

TEST_CASE("what a limiter has spent stays spent at its new rate") {
    const Process p{bucket(10, 20)};
    REQUIRE(p.limiter.try_acquire(15));
    SECTION("with a larger burst") {
        CHECK(p.limiter.reconfigure({.algorithm = bucket(10, 40)}));
        CHECK(p.available() == 25);
    }
    SECTION("with a smaller burst") {
        CHECK(p.limiter.reconfigure({.algorithm = bucket(10, 10)}));
        CHECK(p.available() == 0);
    }
    SECTION("at another rate") {
        CHECK(p.limiter.reconfigure({.algorithm = bucket(100, 20)}));
        CHECK(p.available() == 5);
        p.clock.advance(100ms);
        CHECK(p.available() == 15);
    }
    SECTION("by another algorithm") {
        CHECK(p.limiter.reconfigure({.algorithm = per_minute(20)}));
        CHECK(p.available() == 5);
        CHECK(p.limiter.reconfigure({.algorithm = bw::SlidingWindow{.permits = 20, .window = 1s}}));
        CHECK(p.available() == 5);
        CHECK(p.limiter.reconfigure({.algorithm = bw::no_limit}));
        CHECK(p.limiter.try_acquire(1'000));
    }
}

TEST_CASE("a limiter that comes back to an earlier algorithm has spent what was spent, and that once") {
    const bw::ManualClock clock{};
    const Store store{clock};
    clock.advance(1h);
    // By name, the state of an earlier algorithm is found again.
    const Limiter limiter{{.name = "api", .algorithm = bucket(1, 20)}, store};
    const auto available = [&] { return limiter.snapshot().available; };
    REQUIRE(limiter.try_acquire(6));
    for (int i = 0; i < 3; ++i) {
        CHECK(limiter.reconfigure({.name = "api", .algorithm = per_minute(20)}));
        CHECK(available() == 14);
        CHECK(limiter.reconfigure({.name = "api", .algorithm = bucket(1, 20)}));
        CHECK(available() == 14);
    }
    CHECK(limiter.reconfigure({.name = "api", .algorithm = per_minute(20)}));
    REQUIRE(limiter.try_acquire(5));
    CHECK(limiter.reconfigure({.name = "api", .algorithm = bucket(1, 20)}));
    CHECK(available() == 9);
}

TEST_CASE("a pause goes on under other options, for no longer than they allow") {
    const Process p{bucket(10, 20)};
    CHECK(p.limiter.pause_for(4min) == 4min);
    CHECK(p.limiter.reconfigure({.algorithm = bucket(100, 20)}));
    CHECK(p.limiter.try_acquire().error().retry_after() == 4min);
    CHECK(p.limiter.reconfigure({.algorithm = bucket(100, 20), .max_pause = 1min}));
    CHECK(p.limiter.try_acquire().error().retry_after() == 1min);
    p.clock.advance(1min);
    CHECK(p.limiter.try_acquire());
}

TEST_CASE("a permit of the old options goes back to them") {
    const Process p{bucket(10, 20)};
    const Limiter inner{{.algorithm = bw::TokenBucket{.permits = 1, .period = 1h}}, p.store};
    REQUIRE(inner.try_acquire());
    const bw::Pipeline guard{p.limiter, bw::Observe{[&](const bw::Event&) {
                                 // Refused inside, while the permit is held.
                                 CHECK(p.limiter.reconfigure({.algorithm = per_minute(20)}));
                             }},
                             inner};
    CHECK(guard.run([] { return 1; }).error().code() == Errc::rate_limited);
    CHECK(p.available() == 19);  // spent when the options changed, and given back to the old ones
}

TEST_CASE("reconfiguring a limiter reaches every copy; wrong options change nothing") {
    const Process p{bucket(10, 20)};
    const bw::Pipeline guard{p.limiter};
    CHECK(Limiter{p.limiter}.reconfigure({.algorithm = per_minute(1)}));
    CHECK(guard.run([] { return 1; }) == 1);
    CHECK(guard.run([] { return 1; }).error().code() == Errc::rate_limited);
    const auto refused = p.limiter.reconfigure({.algorithm = per_minute(0)});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message() == "rate_limit.algorithm.permits: must be 1 to 2147483648, got 0");
    CHECK(p.limiter.reconfigure({.name = "other", .algorithm = per_minute(2)}).error().message() ==
          "rate_limit.name: must be the limiter's, \"\", got \"other\"");
    CHECK(p.limiter.options().algorithm == bw::AnyAlgorithm{per_minute(1)});
}

TEST_CASE("a reservation can be cancelled after its limiter has other options") {
    const Process p{bucket(1, 1)};
    REQUIRE(p.limiter.try_acquire());
    auto reservation = p.limiter.reserve(1, 10s);
    REQUIRE(reservation);
    CHECK(p.limiter.reconfigure({.algorithm = bucket(2, 1)}));
    CHECK(reservation->cancel());
}

TEST_CASE("a restart does not refill a limiter") {
    const auto [algorithm, refilled] =
        GENERATE(std::pair<bw::AnyAlgorithm, std::int64_t>{bucket(2, 20), 10},  // 5 s at two a second
                 std::pair<bw::AnyAlgorithm, std::int64_t>{per_minute(20), 0});
    const Process before{algorithm};
    REQUIRE(before.limiter.try_acquire(18));
    const SavedLimiter saved = before.limiter.save();
    CHECK(saved == SavedLimiter{.spent = 18});
    const Process after{algorithm};
    after.clock.advance(5s);
    after.limiter.restore(saved, 5s);
    CHECK(after.available() == 2 + refilled);
    CHECK_FALSE(after.limiter.try_acquire(3 + refilled));
}

TEST_CASE("a crash loop cannot spend a quota twice") {
    const bw::AnyAlgorithm algorithm{bw::TokenBucket{.permits = 10, .period = 1h}};
    SavedLimiter saved;
    int granted = 0;
    for (int crash = 0; crash < 30; ++crash) {
        const Process process{algorithm};
        process.limiter.restore(saved, 10s);
        for (int i = 0; i < 3; ++i) granted += process.limiter.try_acquire().has_value();
        saved = process.limiter.save();
    }
    CHECK(granted == 10);  // in five minutes of ten permits an hour
}

TEST_CASE("a pause lasts over a restart") {
    const Process before{bw::no_limit};
    before.limiter.pause_for(2min);
    const SavedLimiter saved = before.limiter.save();
    CHECK(saved.paused_for == 2min);
    const Process soon{bw::no_limit};
    soon.limiter.restore(saved, 30s);
    CHECK(soon.limiter.try_acquire().error().retry_after() == 90s);
    const Process late{bw::no_limit};
    late.limiter.restore(saved, 3min);
    CHECK(late.limiter.try_acquire());
}

TEST_CASE("nothing in a saved limiter can spend more than there is, or pause for longer than its options allow") {
    const Process p{bucket(10, 20)};
    p.limiter.restore({.spent = std::numeric_limits<std::int64_t>::max(), .paused_for = bw::Duration::max()}, -1h);
    CHECK(p.limiter.try_acquire().error().retry_after() == 5min);
    p.clock.advance(5min + 2s);
    CHECK(p.available() == 20);
    p.limiter.restore({.spent = -5, .paused_for = -1s}, bw::Duration::max());
    CHECK(p.available() == 20);
}
