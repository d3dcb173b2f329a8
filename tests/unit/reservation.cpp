#include <breakwater/rate_limiter.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>
#include <unit/limiter_story.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::FixedWindow;
using bw::SlidingWindow;
using bw::TokenBucket;

namespace {

using test::at;
using ClockedStore = bw::MemoryStore<bw::ManualClock>;
using Limiter = bw::RateLimiter<bw::AnyAlgorithm, ClockedStore>;

static_assert(!std::is_copy_constructible_v<Limiter::Reservation> && !std::is_copy_assignable_v<Limiter::Reservation>);
static_assert(std::is_nothrow_move_constructible_v<Limiter::Reservation>);
static_assert(bw::ReservableAlgorithm<bw::AnyAlgorithm> && bw::ReservableAlgorithm<bw::NoLimit>);
static_assert(bw::ReservableAlgorithm<TokenBucket> && bw::ReservableAlgorithm<FixedWindow>);

struct World {
    bw::ManualClock clock{};  // begins at a full hour
    ClockedStore store{clock};

    Limiter limiter(bw::AnyAlgorithm algorithm) const { return Limiter{{.algorithm = algorithm}, store}; }
};

/// One permit a second, `burst` at once.
constexpr TokenBucket each_second(std::int64_t burst) { return {.permits = 1, .period = 1s, .burst = burst}; }

}  // namespace

TEST_CASE("a reservation tells how long its permits must wait, and takes them now") {
    const World world;
    const Limiter limiter = world.limiter(each_second(3));
    const auto first = limiter.reserve(2, 1min);
    REQUIRE(first);
    CHECK(first->wait() == 0s);
    CHECK(first->ready_at() == world.clock.now());
    const auto second = limiter.reserve(3, 1min);
    REQUIRE(second);
    CHECK(second->wait() == 2s);
    CHECK(second->ready_at() == world.clock.now() + 2s);
    CHECK(limiter.snapshot().available == 0);
    CHECK(limiter.retry_after() == 3s);
    world.clock.advance(1'500ms);
    CHECK(second->wait() == 500ms);
    CHECK(limiter.try_acquire().error().retry_after() == 1'500ms);
    world.clock.advance(5s);
    CHECK(second->wait() == 0s);
    CHECK(limiter.snapshot().available == 3);
}

TEST_CASE("a reservation that would wait too long is refused, takes nothing and says when to come back") {
    const World world;
    const Limiter limiter = world.limiter(each_second(3));
    CHECK(limiter.try_acquire(2));
    const auto refused = limiter.reserve(3, 2s - 1us);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::rate_limited);
    CHECK(refused.error().retry_after() == 2s);
    CHECK(limiter.snapshot().available == 1);
    CHECK(limiter.reserve(2, 0s).error().retry_after() == 1s);
    CHECK(limiter.reserve(2, -1s).error().retry_after() == 1s);
    CHECK(limiter.reserve(3, 2s));
    CHECK(limiter.snapshot().available == 0);
}

TEST_CASE("a reservation of more than the limiter ever holds is refused for good") {
    const World world;
    const bw::AnyAlgorithm algorithms[] = {each_second(3), FixedWindow{.permits = 3}, SlidingWindow{.permits = 3}};
    for (const bw::AnyAlgorithm& algorithm : algorithms) {
        const Limiter limiter = world.limiter(algorithm);
        CHECK(limiter.reserve(4, 5min).error().code() == Errc::exceeds_burst);
        CHECK(limiter.reserve(4, 5min).error().retry_after() == std::nullopt);
        CHECK(limiter.reserve(-1, 5min).error().code() == Errc::exceeds_burst);
        CHECK(limiter.snapshot().available == 3);
    }
}

TEST_CASE("no reservation lies further ahead than max_reserve, whatever is asked") {
    const World world;
    const Limiter limiter{{.algorithm = each_second(1), .max_reserve = 2s}, world.store};
    CHECK(limiter.reserve(1, 24h)->wait() == 0s);
    CHECK(limiter.reserve(1, 24h)->wait() == 1s);
    CHECK(limiter.reserve(1, 24h)->wait() == 2s);
    CHECK(limiter.reserve(1, bw::Duration::max()).error().retry_after() == 3s);
    const auto refusal = [](bw::Duration max_reserve) {
        const auto made = Limiter::make({.max_reserve = max_reserve});
        return made ? "accepted" : made.error().message();
    };
    CHECK(refusal(0s) == "accepted");
    CHECK(refusal(24h) == "accepted");
    CHECK(refusal(-1us) == "rate_limit.max_reserve: must be 0s to 24h, got -1us");
    CHECK(refusal(25h) == "rate_limit.max_reserve: must be 0s to 24h, got 25h");
}

TEST_CASE("reservations are served in the order made, and before all who only ask") {
    const World world;
    const bw::AnyAlgorithm algorithms[] = {TokenBucket{.permits = 4, .period = 10s, .burst = 4},
                                           FixedWindow{.permits = 4, .window = 10s},
                                           SlidingWindow{.permits = 4, .window = 10s}};
    for (const bw::AnyAlgorithm& algorithm : algorithms) {
        const Limiter limiter = world.limiter(algorithm);
        CHECK(limiter.try_acquire(2));
        const auto large = limiter.reserve(4, 1min);
        REQUIRE(large);
        CHECK(large->wait() > 0s);
        CHECK_FALSE(limiter.try_acquire(1));  // two were left; they are needed
        CHECK(limiter.snapshot().available == 0);
        CHECK(limiter.retry_after() > large->wait());
        const auto small = limiter.reserve(1, 1min);
        REQUIRE(small);
        CHECK(small->ready_at() > large->ready_at());
        CHECK(limiter.reserve(1, 1min)->ready_at() >= small->ready_at());
    }
}

TEST_CASE("cancelling the last reservation leaves the limiter as if it had never been made") {
    const World world;
    const bw::AnyAlgorithm algorithms[] = {TokenBucket{.permits = 4, .period = 10s, .burst = 4},
                                           FixedWindow{.permits = 4, .window = 10s},
                                           SlidingWindow{.permits = 4, .window = 10s}};
    for (const bw::AnyAlgorithm& algorithm : algorithms) {
        const Limiter limiter = world.limiter(algorithm);
        CHECK(limiter.try_acquire(2));
        auto first = limiter.reserve(4, 1min);
        const bw::Duration then = limiter.retry_after();
        auto second = limiter.reserve(3, 1min);
        CHECK(second->cancel());
        CHECK(limiter.retry_after() == then);
        CHECK(first->cancel());
        CHECK(limiter.snapshot().available == 2);
        CHECK_FALSE(first->cancel());
        CHECK(limiter.try_acquire(2));
        CHECK_FALSE(limiter.try_acquire());
    }
}

TEST_CASE("cancelling a reservation that others stand behind gives nothing back, and moves nobody") {
    const World world;
    const Limiter limiter = world.limiter(each_second(5));
    CHECK(limiter.try_acquire(5));
    auto first = limiter.reserve(5, 1min);
    const auto second = limiter.reserve(5, 1min);
    CHECK_FALSE(first->cancel());
    CHECK(second->wait() == 10s);
    CHECK(limiter.retry_after() == 11s);  // with 5 at 10 s and 5 more that moved up there would be 10 at once
}

TEST_CASE("a reservation can be cancelled until the moment it becomes usable") {
    const World world;
    const Limiter limiter = world.limiter(each_second(1));
    auto now = limiter.reserve(1, 1min);
    CHECK_FALSE(now->cancel());
    CHECK(limiter.retry_after() == 1s);
    auto early = limiter.reserve(1, 1min);
    world.clock.advance(1s - 1us);
    CHECK(early->cancel());
    auto late = limiter.reserve(1, 1min);
    CHECK(late->wait() == 1us);
    world.clock.advance(1us);
    CHECK_FALSE(late->cancel());
    CHECK(limiter.retry_after() == 1s);
}

TEST_CASE("a reservation that is dropped stays taken; one that is moved can be cancelled from its new place only") {
    const World world;
    const Limiter limiter = world.limiter(each_second(1));
    CHECK(limiter.try_acquire());
    {
        CHECK(limiter.reserve(1, 1min));
    }
    CHECK(limiter.retry_after() == 2s);
    auto made = limiter.reserve(1, 1min);
    Limiter::Reservation moved{std::move(*made)};
    CHECK(moved.wait() == 2s);
    CHECK(moved.cancel());
    CHECK(limiter.retry_after() == 2s);
}

TEST_CASE("a reservation outlives the limiter's handle") {
    const World world;
    auto reservation = [&] {
        const Limiter limiter = world.limiter(each_second(1));
        CHECK(limiter.try_acquire());
        return *limiter.reserve(1, 1min);
    }();
    CHECK(reservation.wait() == 1s);
    CHECK(reservation.cancel());
}

TEST_CASE("a reservation reckons with the pause known when it is made, not with a later one") {
    const World world;
    const Limiter limiter = world.limiter(each_second(2));
    CHECK(limiter.try_acquire(2));
    limiter.pause_for(10s);
    CHECK(limiter.reserve(1, 10s - 1us).error().retry_after() == 10s);
    CHECK(limiter.reserve(1, 11s - 1us).error().retry_after() == 11s);
    auto first = limiter.reserve(1, 11s);
    CHECK(first->wait() == 11s);  // nothing accrues in the pause
    limiter.pause_for(30s);
    CHECK(first->wait() == 11s);
    CHECK(limiter.reserve(1, 1min)->wait() == 32s);
    CHECK_FALSE(first->cancel());
}

TEST_CASE("a limiter that is off reserves at once, or for the end of a pause") {
    const World world;
    const Limiter limiter = world.limiter(bw::no_limit);
    CHECK(limiter.reserve(1'000'000, 0s)->wait() == 0s);
    limiter.pause_for(3s);
    CHECK_FALSE(limiter.reserve(1, 3s - 1us));
    CHECK(limiter.reserve(1, 3s)->wait() == 3s);
}

TEST_CASE("a reservation of a fixed window takes the first later window with room for all of it") {
    const World world;
    const Limiter limiter = world.limiter(FixedWindow{.permits = 4, .window = 10s});
    world.clock.advance(3s);
    CHECK(limiter.try_acquire(3));
    CHECK(limiter.reserve(2, 1min)->wait() == 7s);
    CHECK(limiter.reserve(2, 1min)->wait() == 7s);
    CHECK(limiter.reserve(1, 1min)->wait() == 17s);
    CHECK(limiter.reserve(4, 27s - 1us).error().retry_after() == 27s);
    CHECK(limiter.retry_after() == 17s);
    world.clock.advance(7s);
    CHECK(limiter.try_acquire().error().retry_after() == 10s);
    world.clock.advance(10s);
    CHECK(limiter.snapshot().available == 3);
}

TEST_CASE("a reservation of a sliding window waits until enough of the previous window is out of sight") {
    const World world;
    const Limiter limiter = world.limiter(SlidingWindow{.permits = 4, .window = 10s});
    CHECK(limiter.try_acquire(4));
    CHECK(limiter.reserve(1, 1min)->wait() == 12'500ms);
    CHECK(limiter.reserve(2, 1min)->wait() == 17'500ms);
    CHECK(limiter.reserve(4, 1min)->wait() == 30s);
    world.clock.advance(30s);
    CHECK(limiter.snapshot().available == 0);
    world.clock.advance(15s);
    CHECK(limiter.snapshot().available == 2);
}

TEST_CASE("a permit given back while a reservation holds a later window is not that window's") {
    const World world;
    const bw::AnyAlgorithm algorithms[] = {FixedWindow{.permits = 4, .window = 10s},
                                           SlidingWindow{.permits = 4, .window = 10s}};
    for (const bw::AnyAlgorithm& algorithm : algorithms) {
        const Limiter limiter = world.limiter(algorithm);
        CHECK(limiter.try_acquire(4));
        CHECK(limiter.reserve(4, 1min));
        const bw::Duration then = limiter.retry_after(4);
        limiter.give_back(4);
        CHECK(limiter.snapshot().available == 0);
        CHECK(limiter.retry_after(4) == then);
    }
}

TEST_CASE("where a microsecond is rounded up in a reservation no credit accrues") {
    // 7 permits in 3 µs, one at once: one that waits has 3/7 µs to wait, rounded up to 1.
    test::Story<TokenBucket> story{{.permits = 7, .period = 3us, .burst = 1}};
    using Bucket = TokenBucket;
    CHECK(story.take(1, at(1h)) == test::granted);
    CHECK(Bucket::reserve(story.state, story.rate, 1, at(1h), 1s).retry_after == 1us);
    CHECK(Bucket::reserve(story.state, story.rate, 1, at(1h), 1s).retry_after == 2us);  // not 1 µs: two at once
}

TEST_CASE("a static choice of the algorithm reserves as the run-time one does") {
    const World world;
    const bw::RateLimiter fixed{FixedWindow{.permits = 2, .window = 10s}, world.store};
    const Limiter chosen = world.limiter(FixedWindow{.permits = 2, .window = 10s});
    for (int i = 0; i < 5; ++i) CHECK(fixed.reserve(1, 1min)->wait() == chosen.reserve(1, 1min)->wait());
}
