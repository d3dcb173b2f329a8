// Calls of which nothing is told: the straight way through all policies, and off it. That it decides as the blocking
// driver does is tested in model/drivers.
#include <catch_shim.hpp>

#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <chrono>
#include <stdexcept>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

/// Lets calls through at a glance while it is told to, and notes what it is asked.
class Notes {
public:
    struct Glimpse {
        int noted = 0;
    };
    struct Lane : Glimpse {
        Lane() { ++lanes; }
        static inline int lanes = 0;
    };
    struct Says {
        bool lets_through = true;
        bool is_done = true;
        std::string asked{};
    };

    Notes(int number, Says& says) : number_{number}, says_{&says} {}

    bool glance(Glimpse& lane, const auto&) const {
        lane.noted = number_;
        return says_->lets_through;
    }
    bool glance_back(Glimpse&, const auto& result) const { return says_->is_done && result.has_value(); }
    bw::Before before(Lane& lane, auto&) const {
        tell("before", lane);
        lane.noted = number_;
        return bw::proceed;
    }
    bw::After after(Lane& lane, auto&, auto&) const {
        tell("after", lane);
        return bw::done;
    }

private:
    void tell(const std::string& what, const Lane& lane) const {
        says_->asked += what + " " + std::to_string(number_) + (lane.noted == number_ ? "" : " anew") + ", ";
    }

    int number_;
    Says* says_;
};

constexpr auto fails = []() -> bw::Result<int> { return bw::fail(bw::Errc::failure); };

}  // namespace

TEST_CASE("a plain call that succeeds makes no lanes") {
    Notes::Says says;
    const bw::Pipeline guard{Notes{1, says}, Notes{2, says}};
    Notes::Lane::lanes = 0;
    CHECK(guard.run([] { return 7; }) == 7);
    CHECK(guard.run([] {}).has_value());
    CHECK(Notes::Lane::lanes == 0);
    CHECK(says.asked.empty());
}

TEST_CASE("no policies are a pipeline, too") {
    const bw::Pipeline guard{};
    CHECK(guard.run([] { return 7; }) == 7);
    CHECK(guard.run(fails).error().attempts() == 1);
}

TEST_CASE("a plain call that is not let through at a glance is asked for there, and inside as ever") {
    Notes::Says outer, middle{.lets_through = false}, inner;
    const bw::Pipeline guard{Notes{1, outer}, Notes{2, middle}, Notes{3, inner}};
    Notes::Lane::lanes = 0;
    CHECK(guard.run([] { return 7; }) == 7);
    CHECK(Notes::Lane::lanes == 3);
    CHECK(outer.asked.empty());
    CHECK(middle.asked == "before 2 anew, ");
    CHECK(inner.asked.empty());
}

TEST_CASE("after a plain call only those policies are asked that have more to do, and those outside them glance") {
    Notes::Says outer, middle{.is_done = false}, inner;
    const bw::Pipeline guard{Notes{1, outer}, Notes{2, middle}, Notes{3, inner}};
    Notes::Lane::lanes = 0;
    CHECK(guard.run([] { return 7; }) == 7);
    CHECK(Notes::Lane::lanes == 2);
    CHECK(outer.asked.empty());
    CHECK(middle.asked == "after 2, ");
    CHECK(inner.asked.empty());
}

TEST_CASE("of a plain call that fails or throws every policy is told, with what it has noted") {
    Notes::Says says;
    const bw::Pipeline guard{Notes{1, says}, Notes{2, says}};
    const auto failed = guard.run(fails);
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error().attempts() == 1);
    CHECK(says.asked == "after 2, after 1, ");

    says.asked.clear();
    const auto threw = guard.run([]() -> int { throw std::runtime_error{"no"}; });
    REQUIRE_FALSE(threw.has_value());
    CHECK(threw.error().code() == bw::Errc::exception);
    CHECK(threw.error().attempts() == 1);
    CHECK(says.asked == "after 2, after 1, ");
}

TEST_CASE("a plain call's error says how many attempts were made, whoever stands around it") {
    CHECK(bw::Pipeline{bw::Deadline{1s}}.run(fails).error().attempts() == 1);
    CHECK(bw::Pipeline{bw::Bulkhead{{}}}.run(fails).error().attempts() == 1);
    CHECK(bw::Pipeline{bw::RateLimiter{bw::TokenBucket{}}}.run(fails).error().attempts() == 1);
    CHECK(bw::Pipeline{bw::CircuitBreaker{{}}}.run(fails).error().attempts() == 1);

    const bw::CircuitBreaker open{{}};
    open.force_open();
    CHECK(bw::Pipeline{open}.run(fails).error().attempts() == 0);
    CHECK(bw::Pipeline{bw::Deadline{1s}, bw::Retry<>{}, open}.run(fails).error().attempts() == 0);
}

TEST_CASE("what a plain call has taken on its way goes back if it is refused further in") {
    bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::Bulkhead bulkhead{{.max_concurrent = 2}};
    const bw::RateLimiter limiter{{.algorithm = bw::TokenBucket{.permits = 5, .period = 1h}}, store};
    const bw::CircuitBreaker breaker{{.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 10s}, store};
    const bw::Pipeline guard{bw::Deadline{1s}, bulkhead, limiter, breaker};

    CHECK(guard.run([] { return 1; }) == 1);
    CHECK(limiter.snapshot().available == 4);
    CHECK_FALSE(guard.run(fails).has_value());
    CHECK(limiter.snapshot().available == 3);
    for (int i = 0; i < 10; ++i) {
        const auto refused = guard.run([] { return 1; });
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code() == bw::Errc::circuit_open);
        CHECK(refused.error().circuit_state() == bw::CircuitState::open);
        CHECK(refused.error().retry_after() == bw::Duration{10s});
    }
    CHECK(limiter.snapshot().available == 3);
    CHECK(bulkhead.snapshot().in_flight == 0);

    clock.advance(10s);
    CHECK(guard.run([] { return 1; }) == 1);  // the probe
    CHECK(breaker.state() == bw::CircuitState::closed);
    CHECK(limiter.snapshot().available == 2);
    CHECK(bulkhead.snapshot().in_flight == 0);
}

TEST_CASE("a plain call holds its permits while it runs, and gives them back when it throws") {
    const bw::Bulkhead bulkhead{{.max_concurrent = 1}};
    const bw::Pipeline guard{bulkhead};
    const auto nested = guard.run([&] { return guard.run([] { return 1; }); });
    REQUIRE_FALSE(nested.has_value());
    CHECK(nested.error().code() == bw::Errc::bulkhead_full);
    CHECK(bulkhead.snapshot().in_flight == 0);
    (void)guard.run([]() -> int { throw 1; });
    CHECK(bulkhead.snapshot().in_flight == 0);
    CHECK(guard.run([] { return 1; }) == 1);
}

TEST_CASE("a plain call's deadline counts from its beginning, waits and attempts together") {
    bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::RateLimiter limiter{{.algorithm = bw::TokenBucket{.permits = 1, .period = 2s}, .max_wait = 1h}, store};
    const bw::Pipeline guard{bw::Deadline{3s}, bw::Retry{{.max_retries = 9, .backoff = {.base = 1ms}}}, limiter};
    CHECK(guard.run([] { return 1; }) == 1);
    const auto began = clock.now();
    int attempts = 0;
    const auto late = guard.run([&]() -> bw::Result<int> {
        ++attempts;
        return bw::fail(bw::Errc::failure);
    });
    REQUIRE_FALSE(late.has_value());
    CHECK(attempts == 1);  // after 2 s; for the second there would be a permit after 4
    CHECK(late.error().attempts() == 1);
    CHECK(clock.now() - began < 3s);
}

TEST_CASE("a window of time counts the successes of plain calls") {
    bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::CircuitBreaker<bw::FailureRate, bw::MemoryStore<bw::ManualClock>> breaker{
        {.trip = bw::FailureRate{.ratio = 0.5, .window = bw::TimeWindow{10s}, .minimum_calls = 4}}, store};
    const bw::Pipeline guard{breaker};
    for (int i = 0; i < 3; ++i) CHECK(guard.run([] { return 1; }) == 1);
    CHECK(breaker.snapshot().counts.calls == 3);
    for (int i = 0; i < 2; ++i) CHECK_FALSE(guard.run(fails).has_value());
    CHECK(breaker.snapshot().counts.failures == 2);
    CHECK(breaker.state() == bw::CircuitState::closed);
    CHECK_FALSE(guard.run(fails).has_value());
    CHECK(breaker.state() == bw::CircuitState::open);
}
