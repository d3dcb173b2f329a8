#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <string>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;

namespace {

using Delays = std::vector<bw::Duration>;

constexpr bw::Backoff<> steady{.base = 1s, .multiplier = 1.0, .cap = 1s, .jitter = bw::Jitter::none};

std::string refusal(bw::Duration limit) {
    try {
        const bw::Deadline deadline{limit};
        return "accepted";
    } catch (const bw::Exception& e) {
        CHECK(e.error().code() == Errc::invalid_options);
        return e.what();
    }
}

/// What is left of the deadline when the callable runs, in a pipeline of these.
template <class... P>
bw::Duration left_inside(const bw::CallOptions<bw::Duration>& options, P... policies) {
    const bw::ManualClock clock;
    return bw::Pipeline{bw::UseClock{clock}, policies...}
        .run([](auto& call) { return call.remaining(); }, options)
        .value();
}

}  // namespace

TEST_CASE("a deadline must be more than nothing") {
    CHECK(refusal(1us) == "accepted");
    CHECK(refusal(0s) == "deadline: must be > 0s, got 0s");
    CHECK(refusal(-5s) == "deadline: must be > 0s, got -5s");
}

TEST_CASE("the callable can ask how much time is left") {
    CHECK(left_inside({}, bw::Deadline{2s}) == 2s);
    CHECK(left_inside({}) == bw::Duration::max());
    CHECK(left_inside({}, bw::Deadline{bw::Duration::max()}) == bw::Duration::max());
}

TEST_CASE("the nearest of several deadlines holds") {
    CHECK(left_inside({}, bw::Deadline{2s}, bw::Deadline{5s}) == 2s);
    CHECK(left_inside({}, bw::Deadline{5s}, bw::Deadline{2s}) == 2s);
    CHECK(left_inside({.deadline = 1s}, bw::Deadline{2s}) == 1s);
    CHECK(left_inside({.deadline = 3s}, bw::Deadline{2s}) == 2s);
    CHECK(left_inside({.deadline = 3s}) == 3s);
}

TEST_CASE("one deadline holds for all attempts and delays together") {
    const bw::ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Deadline{10s},
                             bw::Retry{{.max_retries = 100, .backoff = steady}}};
    const bw::Instant start = clock.now();
    Delays left;
    const auto result = guard.run([&](auto& call) -> bw::Result<int> {
        left.push_back(call.remaining());
        clock.advance(2s);
        return bw::fail(Errc::receive_failed);
    });
    CHECK(left == Delays{10s, 7s, 4s, 1s});
    CHECK(result.error().code() == Errc::receive_failed);
    CHECK(result.error().stopped_by() == Errc::deadline_exceeded);
    CHECK(clock.now() - start == 11s);  // the last attempt ran over; no delay was begun
}

TEST_CASE("a deadline inside retry holds for each attempt") {
    const bw::ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Retry{{.max_retries = 1, .backoff = steady}}};
    const bw::Pipeline each{bw::UseClock{clock}, bw::Deadline{1s}};
    int calls = 0;
    CHECK(guard.run([&] {
        return each.run([&](auto& call) -> bw::Result<int> {
            if (++calls == 1) return bw::fail(Errc::receive_failed);
            CHECK(call.remaining() == 1s);
            return 7;
        });
    }) == 7);
}

TEST_CASE("a call whose deadline has passed makes no attempt") {
    const bw::ManualClock clock;
    int calls = 0;
    const bw::Pipeline guard{bw::UseClock{clock}};
    const auto result = guard.run([&] { return ++calls; }, {.deadline = 0s});
    CHECK(result.error().code() == Errc::deadline_exceeded);
    CHECK(result.error().attempts() == 0);
    CHECK(calls == 0);
}

TEST_CASE("a wait for a permit that would pass the deadline is refused at once") {
    const bw::ManualClock clock;
    const bw::RateLimiter limiter{
        bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = 10s}, .max_wait = 1min},
        bw::MemoryStore{clock}};
    CHECK(limiter.try_acquire());
    const auto result = bw::Pipeline{bw::Deadline{5s}, limiter}.run([] { return 1; });
    CHECK(result.error().code() == Errc::rate_limited);
    CHECK(result.error().retry_after() == 10s);
    CHECK(clock.waits().empty());
    CHECK(bw::Pipeline{bw::Deadline{11s}, limiter}.run([] { return 1; }) == 1);
    CHECK(clock.waits() == Delays{10s});
}

TEST_CASE("an answer that arrives after the deadline is still the answer") {
    const bw::ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Deadline{1s}};
    CHECK(guard.run([&] {
        clock.advance(1h);
        return 7;
    }) == 7);
}
