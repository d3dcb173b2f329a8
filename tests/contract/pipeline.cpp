#include <catch_shim.hpp>
#include <drivers.hpp>

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <allocations.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using bw::test::run;
using bw::test::through_both_drivers;
using namespace std::chrono_literals;

namespace {

using Journal = std::vector<std::string>;

/// Writes down when it is asked.
class Scribe {
public:
    struct Lane {};
    Scribe(std::string name, Journal& journal) : name_{std::move(name)}, journal_{&journal} {}
    bw::Before before(Lane&, auto&) const {
        journal_->push_back(name_ + " before");
        return bw::proceed;
    }
    bw::After after(Lane&, auto&, auto& result) const {
        journal_->push_back(name_ + (result ? " after success" : " after failure"));
        return bw::done;
    }

private:
    std::string name_;
    Journal* journal_;
};

struct Overdrawn : std::runtime_error {
    using std::runtime_error::runtime_error;
};

const bw::RetryOptions<> steady_retry{.max_retries = 3,
                                      .backoff = {.base = 1s, .multiplier = 2, .cap = 1h, .jitter = bw::Jitter::none}};

bw::Result<int> failing() { return bw::fail(bw::Errc::failure); }

}  // namespace

TEST_CASE("policies are asked from the outermost inwards, and back") {
    through_both_drivers();
    Journal journal;
    const bw::Pipeline guard{Scribe{"outer", journal}, Scribe{"inner", journal}};
    CHECK(run(guard, [&] { return journal.push_back("call"), 7; }).value() == 7);
    CHECK(journal == Journal{"outer before", "inner before", "call", "inner after success", "outer after success"});
}

TEST_CASE("a callable may return a value, nothing or a result, and may take the call") {
    through_both_drivers();
    const bw::Pipeline guard{bw::Deadline{2s}};
    CHECK(run(guard, [] { return std::string{"x"}; }).value() == "x");
    bool ran = false;
    const bw::Result<void> nothing = run(guard, [&] { ran = true; });
    CHECK((nothing && ran));
    CHECK(run(guard, []() -> bw::Result<int> { return 3; }).value() == 3);
    CHECK(run(guard, [](auto& call) { return call.attempt; }).value() == 1);
    const auto left = run(guard, [](auto& call) { return call.remaining(); });
    REQUIRE(left);
    CHECK((*left > 1s && *left <= 2s));
    const auto moved = run(guard, [] { return std::make_unique<int>(5); });
    REQUIRE(moved);
    CHECK(**moved == 5);
}

TEST_CASE("what a callable throws becomes an error and comes back unchanged from value_or_throw") {
    through_both_drivers();
    const bw::Pipeline guard{bw::Deadline{2s}};
    const bw::Result<int> result = run(guard, []() -> int { throw Overdrawn{"by 5"}; });
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == bw::Errc::exception);
    CHECK(result.error().detail() == "by 5");
    CHECK(result.error().attempts() == 1);
    CHECK_THROWS_AS(bw::value_or_throw(result), Overdrawn);
    CHECK(run(guard, []() -> int { throw 42; }).error().code() == bw::Errc::exception);
    const auto nested = run(guard, []() -> int { throw bw::Exception{bw::Error{bw::Errc::circuit_open}}; });
    CHECK(nested.error().is_refusal(bw::Errc::circuit_open));
}

TEST_CASE("retries wait by the clock of the policies") {
    through_both_drivers();
    bw::ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Retry{steady_retry}};
    int calls = 0;
    CHECK(run(guard, [&]() -> bw::Result<int> { return ++calls < 4 ? failing() : 9; }).value() == 9);
    CHECK(clock.waits() == std::vector<bw::Duration>{1s, 2s, 4s});
}

TEST_CASE("a wait that would pass the deadline is not begun") {
    through_both_drivers();
    bw::ManualClock clock;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Deadline{2500ms}, bw::Retry{steady_retry}};
    const auto result = run(guard, failing);
    CHECK(result.error().code() == bw::Errc::failure);
    CHECK(result.error().stopped_by() == bw::Errc::deadline_exceeded);
    CHECK(result.error().attempts() == 2);
    CHECK(clock.waits() == std::vector<bw::Duration>{1s});
}

TEST_CASE("a refusal ends the retries, and the last real error says who refused") {
    through_both_drivers();
    bw::ManualClock clock;
    const bw::CircuitBreaker breaker{{.name = "b", .trip = bw::ConsecutiveFailures{2}}, bw::MemoryStore{clock}};
    const bw::Pipeline guard{bw::Retry{steady_retry}, breaker};
    const auto result = run(guard, failing);
    CHECK(result.error().code() == bw::Errc::failure);
    CHECK(result.error().stopped_by() == bw::Errc::circuit_open);
    CHECK(result.error().is_refusal(bw::Errc::circuit_open));
    CHECK(result.error().retry_after() == 58s);  // 60 s, less the 2 s of the second retry's delay
    CHECK(result.error().attempts() == 2);

    const auto refused = run(guard, failing);
    CHECK(refused.error().code() == bw::Errc::circuit_open);
    CHECK_FALSE(refused.error().stopped_by());
    CHECK(refused.error().attempts() == 0);
}

TEST_CASE("a call that is cancelled does not run, and one that waits ends") {
    through_both_drivers();
    std::stop_source source;
    source.request_stop();
    const bw::Pipeline guard{bw::Retry{steady_retry}};
    bool ran = false;
    const auto unborn = run(guard, [&] { ran = true; }, {.stop = source.get_token()});
    CHECK(unborn.error().code() == bw::Errc::cancelled);
    CHECK_FALSE(ran);

    bw::ManualClock clock;
    std::stop_source later;
    const bw::Pipeline patient{bw::UseClock{clock}, bw::Retry{steady_retry}};
    const auto cut = run(patient, [&] { return later.request_stop(), failing(); }, {.stop = later.get_token()});
    CHECK(cut.error().code() == bw::Errc::cancelled);
    CHECK(cut.error().attempts() == 1);
}

TEST_CASE("a cancelled call does not turn an open circuit half-open") {
    through_both_drivers();
    bw::ManualClock clock;
    const bw::CircuitBreaker breaker{{.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 10s},
                                     bw::MemoryStore{clock}};
    const bw::Pipeline guard{breaker};
    (void)run(guard, failing);
    clock.advance(10s);
    std::stop_source source;
    source.request_stop();
    CHECK(run(guard, [] { return 1; }, {.stop = source.get_token()}).error().code() == bw::Errc::cancelled);
    CHECK(breaker.state() == bw::CircuitState::open);
}

TEST_CASE("after a wait for a permit the breaker is asked again") {
    through_both_drivers();
    bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::CircuitBreaker breaker{{.name = "b", .trip = bw::ConsecutiveFailures{1}}, store};
    const bw::RateLimiter limiter{
        {.algorithm = bw::TokenBucket{.permits = 1, .period = 1s, .burst = 1}, .max_wait = 10s}, store};
    bool opened = false;
    const bw::Pipeline guard{bw::Observe{[&](const bw::Event& event) {
                                 if (event.kind != bw::EventKind::limiter_waited || opened) return;
                                 opened = true;  // somebody else finds the service dead while this call waits
                                 auto permit = breaker.try_acquire();
                                 (void)permit->record(bw::Outcome::failure);
                             }},
                             breaker, limiter};
    CHECK(run(guard, [] { return 1; }).value() == 1);
    const auto refused = run(guard, [] { return 2; });
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == bw::Errc::circuit_open);
    CHECK(opened);
}

TEST_CASE("a half-open probe does not wait: it gives its slot back and tells how long") {
    through_both_drivers();
    bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::CircuitBreaker breaker{{.name = "b", .trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 5s}, store};
    const bw::RateLimiter limiter{{.algorithm = bw::FixedWindow{.permits = 1, .window = 1h}, .max_wait = 2h}, store};
    const bw::Pipeline guard{breaker, limiter};
    (void)run(guard, failing);  // takes the hour's only permit and opens the circuit
    clock.advance(5s);
    const auto refused = run(guard, [] { return 1; });
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == bw::Errc::rate_limited);
    CHECK(refused.error().retry_after().value() > 0s);
    CHECK(breaker.state() == bw::CircuitState::half_open);
    CHECK(breaker.snapshot().probes_in_flight == 0);
    CHECK(clock.waits().empty());
}

TEST_CASE("a call's own options replace the pipeline's fallback and shorten its deadline") {
    through_both_drivers();
    const bw::Pipeline guard{bw::Fallback{1}, bw::Deadline{1h}};
    CHECK(run(guard, failing).value() == 1);
    CHECK(run(guard, failing, {.fallback = [](const bw::Error&) { return 2; }}).value() == 2);
    CHECK(run(guard, [](auto& call) { return call.remaining() <= 1s; }, {.deadline = 1s}).value());
    const auto cancelled = run(guard, []() -> bw::Result<int> { return bw::fail(bw::Errc::cancelled); },
                               {.fallback = [](const bw::Error&) { return 2; }});
    CHECK_FALSE(cancelled);
}

TEST_CASE("the decorator form owns its callable and passes arguments on") {
    const bw::Pipeline guard{bw::Retry{{.max_retries = 1, .backoff = {.base = 1us, .cap = 1us}}}};
    auto join = guard.wrap([greeting = std::string{"hello "}](const std::string& name, int times) {
        std::string text;
        for (int i = 0; i < times; ++i) text += greeting + name;
        return text;
    });
    CHECK(join("you ", 2).value() == "hello you hello you ");
}

TEST_CASE("a call that succeeds allocates nothing") {
    const bw::Pipeline guard{bw::Deadline{2s}, bw::Retry{{.max_retries = 3}},
                             bw::CircuitBreaker<bw::ConsecutiveFailures>{{}},
                             bw::RateLimiter{bw::TokenBucket{.permits = 1'000'000}}};
    int sum = 0;
    CHECK(test::allocations_in([&] {
              for (int i = 0; i < 1'000; ++i) sum += guard.run([&] { return i; }).value();
          }) == 0);
    CHECK(sum == 499'500);
}

TEST_CASE("a refusal neither throws nor allocates") {
    const bw::CircuitBreaker<bw::ConsecutiveFailures> breaker{{.name = "ledger of accounts, a long name", .trip = {1}}};
    const bw::Pipeline guard{bw::Retry{{.max_retries = 3}}, breaker};
    (void)bw::Pipeline{breaker}.run(failing);
    bool refused = true;
    CHECK(test::allocations_in([&] {
              for (int i = 0; i < 100; ++i) refused = refused && !guard.run([] { return 1; });
          }) == 0);
    CHECK(refused);
}

TEST_CASE("events tell the way of a call, and an observer that throws breaks nothing") {
    through_both_drivers();
    bw::ManualClock clock;
    std::vector<bw::EventKind> seen;
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Observe{[&](const bw::Event& event) {
                                 seen.push_back(event.kind);
                                 throw std::runtime_error{"an observer's own trouble"};
                             }},
                             bw::Retry{steady_retry}};
    int calls = 0;
    CHECK(run(guard, [&]() -> bw::Result<int> { return ++calls < 2 ? failing() : 1; }));
    using enum bw::EventKind;
    CHECK(seen ==
          std::vector{attempt_started, attempt_ended, retry_scheduled, attempt_started, attempt_ended, call_ended});
}

namespace {

/// Notes whether a circuit further out calls the attempt a probe.
struct Look {
    struct Lane {};
    std::vector<bool>* seen;
    bw::Before before(Lane&, auto& call) const { return seen->push_back(call.probing), bw::proceed; }
    bw::After after(Lane&, auto& call, auto&) const { return seen->push_back(call.probing), bw::done; }
};

}  // namespace

TEST_CASE("an inner circuit's verdict leaves the outer circuit's probe a probe") {
    through_both_drivers();
    bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const bw::CircuitBreakerOptions<> options{.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 5s};
    const bw::CircuitBreaker outer{options, store};
    const bw::CircuitBreaker inner{options, store};
    (void)run(bw::Pipeline{outer, inner}, failing);
    clock.advance(5s);
    std::vector<bool> probing;
    const Look look{&probing};
    CHECK(run(bw::Pipeline{outer, look, inner, look}, [] { return 1; }));
    CHECK(probing == std::vector{true, true, true, true});
    CHECK(run(bw::Pipeline{look, outer}, [] { return 1; }));
    CHECK(probing.back() == false);
}
