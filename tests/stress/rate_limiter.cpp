#include <breakwater/rate_limiter.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>
#include <stress/on_threads.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

using test::on_threads;

using Store = bw::MemoryStore<bw::ManualClock>;

/// How many of the threads' attempts get a permit at one instant.
template <class Limiter>
std::int64_t taken_now(const Limiter& limiter) {
    std::atomic<std::int64_t> taken{0};
    on_threads(4, [&](unsigned) {
        for (int n = 0; n < 200; ++n) taken += limiter.try_acquire().has_value();
    });
    return taken;
}

/// One permit taken at an instant that only lies between two readings of the clock.
struct Taken {
    std::int64_t earliest;
    std::int64_t latest;
};

template <class Limiter>
std::int64_t micros_now(const Limiter& limiter) {
    return limiter.clock().now().time_since_epoch().count();
}

/// What one thread may use.
class Takings {
public:
    template <class Limiter>
    void take(const Limiter& limiter) {
        const std::int64_t earliest = micros_now(limiter);
        if (limiter.try_acquire()) taken_.push_back({earliest, micros_now(limiter)});
    }
    std::vector<Taken> all() && { return std::move(taken_); }

protected:
    std::vector<Taken> taken_;
};

/// Reserves as well, and cancels every other reservation, some at once and some when others stand behind it.
template <class Limiter>
class Reservations : public Takings {
public:
    void take(const Limiter& limiter) {
        if (++turn_ % 3 == 0) return Takings::take(limiter);
        if (turn_ % 5 == 0) cancel();
        if (auto made = limiter.reserve(1, 4ms)) {
            const std::int64_t ready_at = made->ready_at().time_since_epoch().count();
            taken_.push_back({ready_at, ready_at});
            if (turn_ % 4 == 0) waiting_.emplace(std::move(*made), taken_.size() - 1);
        }
        if (turn_ % 7 == 0) cancel();
    }

private:
    void cancel() {
        if (waiting_ && waiting_->first.cancel())
            taken_.erase(taken_.begin() + static_cast<std::ptrdiff_t>(waiting_->second));
        waiting_.reset();
    }

    std::optional<std::pair<typename Limiter::Reservation, std::size_t>> waiting_;
    unsigned turn_ = 0;
};

/// Four threads take what they get, while this one moves the clock `steps` times.
template <class Own = Takings, class Limiter>
std::vector<Taken> take_while_time_passes(const Limiter& limiter, const bw::ManualClock& clock, std::uint64_t seed,
                                          int steps) {
    std::array<Own, 4> taken;
    std::atomic<std::uint64_t> asked{0};
    std::atomic<bool> over{false};
    {
        const std::jthread time{[&] {
            std::mt19937_64 random{seed};
            for (int step = 0; step < steps; ++step) {
                const std::uint64_t until = asked + random() % 64;
                while (asked < until) std::this_thread::yield();
                const std::uint64_t most = random() % 64 == 0 ? 20'000 : 1'500;
                clock.advance(bw::Duration{static_cast<std::int64_t>(random() % most)});
            }
            over = true;
        }};
        on_threads(4, [&](unsigned i) {
            while (!over) {
                taken[i].take(limiter);
                if (++asked % 4 == 0) std::this_thread::yield();  // time must pass on one core too
            }
        });
    }
    std::vector<Taken> all;
    for (Own& own : taken) {
        const auto part = std::move(own).all();
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

/// Over how many intervals [from, to] more permits were certainly taken than `bound(from, to)`. All intervals matter
/// that begin and end with a permit.
template <class Bound>
int intervals_above(std::vector<Taken> taken, Bound bound) {
    std::ranges::sort(taken, {}, &Taken::latest);
    std::vector<std::int64_t> begins;
    for (const Taken& one : taken) begins.push_back(one.earliest);
    std::ranges::sort(begins);
    begins.erase(std::ranges::unique(begins).begin(), begins.end());
    int above = 0;
    for (const std::int64_t from : begins) {
        std::int64_t count = 0;
        for (const Taken& one : taken) {
            if (one.earliest >= from && ++count > bound(from, one.latest)) ++above;
        }
    }
    return above;
}

}  // namespace

TEST_CASE("a token bucket grants its burst, then exactly what accrues, to any number of threads") {
    bw::ManualClock clock;
    const bw::RateLimiter<bw::TokenBucket, Store> limiter{bw::TokenBucket{.permits = 100, .period = 1s, .burst = 50},
                                                          Store{clock}};
    REQUIRE(taken_now(limiter) == 50);
    for (int round = 0; round < 200; ++round) {
        clock.advance(100ms);
        REQUIRE(taken_now(limiter) == 10);
    }
}

TEST_CASE("a fixed window grants its permits in each window, to any number of threads") {
    bw::ManualClock clock;
    const bw::RateLimiter<bw::FixedWindow, Store> limiter{bw::FixedWindow{.permits = 20, .window = 1s}, Store{clock}};
    for (int round = 0; round < 200; ++round) {
        REQUIRE(taken_now(limiter) == 20);
        clock.advance(1s);
    }
}

TEST_CASE("permits taken and given back by many threads are all there again") {
    bw::ManualClock clock;
    const bw::RateLimiter<bw::TokenBucket, Store> limiter{bw::TokenBucket{.permits = 1, .period = 1h, .burst = 8},
                                                          Store{clock}};
    std::atomic<int> out{0};
    std::atomic<bool> too_many{false};
    on_threads(4, [&](unsigned) {
        for (int n = 0; n < 250'000; ++n) {
            if (!limiter.try_acquire()) continue;
            if (++out > 8) too_many = true;
            --out;
            limiter.give_back();
        }
    });
    REQUIRE_FALSE(too_many);
    REQUIRE(limiter.snapshot().available == 8);
}

TEST_CASE("over no interval does a token bucket grant more than its burst and what accrues") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    const bw::ManualClock clock;
    const bw::RateLimiter<bw::TokenBucket, Store> limiter{bw::TokenBucket{.permits = 7, .period = 3ms, .burst = 10},
                                                          Store{clock}};
    const auto taken = take_while_time_passes(limiter, clock, seed, 2'000);
    CHECK(taken.size() > 500);
    CHECK(intervals_above(taken, [](std::int64_t from, std::int64_t to) { return 10 + (to - from) * 7 / 3'000; }) == 0);
}

TEST_CASE("over no interval does a fixed window grant more than its permits for each window it touches") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    const bw::ManualClock clock;
    const bw::RateLimiter<bw::FixedWindow, Store> limiter{bw::FixedWindow{.permits = 10, .window = 5ms}, Store{clock}};
    const auto taken = take_while_time_passes(limiter, clock, seed, 2'000);
    CHECK(taken.size() > 500);
    CHECK(intervals_above(
              taken, [](std::int64_t from, std::int64_t to) { return 10 * (to / 5'000 - from / 5'000 + 1); }) == 0);
}

TEST_CASE("over no interval does a sliding window grant more than its permits and their share of the interval") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    const bw::ManualClock clock;
    const bw::RateLimiter<bw::SlidingWindow, Store> limiter{bw::SlidingWindow{.permits = 10, .window = 5ms},
                                                            Store{clock}};
    const auto taken = take_while_time_passes(limiter, clock, seed, 2'000);
    CHECK(taken.size() > 500);
    CHECK(intervals_above(taken, [](std::int64_t from, std::int64_t to) { return 10 + (to - from) * 10 / 5'000; }) ==
          0);
}

TEST_CASE("reserved, cancelled and taken at random, permits stay within the bound over every interval") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    const auto above = [&](auto algorithm, auto bound) {
        const bw::ManualClock clock;
        const bw::RateLimiter<decltype(algorithm), Store> limiter{algorithm, Store{clock}};
        const auto taken =
            take_while_time_passes<Reservations<std::remove_const_t<decltype(limiter)>>>(limiter, clock, seed, 1'000);
        CHECK(taken.size() > 500);
        return intervals_above(taken, bound);
    };
    CHECK(above(bw::TokenBucket{.permits = 7, .period = 3ms, .burst = 10},
                [](std::int64_t from, std::int64_t to) { return 10 + (to - from) * 7 / 3'000; }) == 0);
    CHECK(above(bw::FixedWindow{.permits = 4, .window = 2ms},
                [](std::int64_t from, std::int64_t to) { return 4 * (to / 2'000 - from / 2'000 + 1); }) == 0);
    CHECK(above(bw::SlidingWindow{.permits = 4, .window = 2ms},
                [](std::int64_t from, std::int64_t to) { return 4 + (to - from) * 4 / 2'000; }) == 0);
}

TEST_CASE("permits that many threads reserve and cancel are all there again but for those that stayed taken") {
    const bw::ManualClock clock;
    const bw::RateLimiter<bw::TokenBucket, Store> limiter{
        {.algorithm = bw::TokenBucket{.permits = 1, .period = 1ms, .burst = 8}, .max_reserve = 24h}, Store{clock}};
    REQUIRE(limiter.try_acquire(8));
    std::atomic<std::int64_t> kept{0};
    std::atomic<std::int64_t> cancelled{0};
    on_threads(4, [&](unsigned) {
        for (int n = 0; n < 50'000; ++n) {
            auto made = limiter.reserve(1, 24h);
            (made->cancel() ? cancelled : kept) += 1;
        }
    });
    CHECK(cancelled > 0);
    CHECK(cancelled + kept == 200'000);
    CHECK(limiter.reserve(1, 24h)->wait() == (kept + 1) * 1ms);
}

TEST_CASE("limiters keep their bounds by the steady clock") {
    const bw::RateLimiter bucket{bw::TokenBucket{.permits = 5'000, .period = 1s, .burst = 50}};
    const bw::RateLimiter fixed{bw::FixedWindow{.permits = 50, .window = 10ms}};
    std::atomic<std::int64_t> from_bucket{0}, from_fixed{0};
    const std::int64_t begin = micros_now(bucket);
    on_threads(4, [&](unsigned) {
        while (micros_now(bucket) - begin < 1'000'000) {
            from_bucket += bucket.try_acquire().has_value();
            from_fixed += fixed.try_acquire().has_value();
        }
    });
    const std::int64_t end = micros_now(bucket);
    CHECK(from_bucket > 50);
    CHECK(from_bucket <= 50 + (end - begin) * 5'000 / 1'000'000);
    CHECK(from_fixed > 50);
    CHECK(from_fixed <= 50 * (end / 10'000 - begin / 10'000 + 1));
}

TEST_CASE("once pause_until has returned no thread is granted a permit inside the pause") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    const bw::ManualClock clock;
    const bw::RateLimiter<bw::TokenBucket, Store> limiter{
        bw::TokenBucket{.permits = 1'000, .period = 1ms, .burst = 1'000'000}, Store{clock}};
    std::atomic<std::int64_t> paused_until{0};  // the end of a pause that has been asked for and confirmed
    std::atomic<std::uint64_t> asked{0};
    std::atomic<bool> over{false};
    std::atomic<int> granted{0}, granted_in_pause{0}, refused_in_pause{0}, cut_short{0};
    {
        const std::jthread pauser{[&] {
            std::mt19937_64 random{seed};
            const auto pass = [&](std::uint64_t most) {
                const std::uint64_t until = asked + random() % 16;
                while (asked < until) std::this_thread::yield();
                clock.advance(bw::Duration{static_cast<std::int64_t>(random() % most)});
            };
            for (int round = 0; round < 500; ++round) {
                const bw::Instant until = clock.now() + bw::Duration{static_cast<std::int64_t>(1 + random() % 5'000)};
                cut_short += limiter.pause_until(until) < until - clock.now();
                paused_until = until.time_since_epoch().count();
                for (int n = 0; n < 4; ++n) pass(2'000);
            }
            over = true;
        }};
        on_threads(4, [&](unsigned) {
            while (!over) {
                const std::int64_t until = paused_until;
                const bool got = limiter.try_acquire().has_value();
                const bool inside = micros_now(limiter) < until;  // so was the limiter's own reading
                granted += got;
                granted_in_pause += got && inside;
                refused_in_pause += !got && inside;
                if (++asked % 4 == 0) std::this_thread::yield();  // time must pass on one core too
            }
        });
    }
    CHECK(granted_in_pause == 0);
    CHECK(cut_short == 0);
    CHECK(granted > 100);
    CHECK(refused_in_pause > 100);
}
