#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Errc;
using bw::Error;
using bw::Outcome;

namespace {

using ClockedStore = bw::MemoryStore<bw::ManualClock>;
using Breaker = bw::CircuitBreaker<bw::AnyTrip, ClockedStore>;
using Options = bw::CircuitBreakerOptions<>;

/// A breaker whose time the test moves.
struct World {
    bw::ManualClock clock{};
    ClockedStore store{clock};

    Breaker breaker(Options options) const { return Breaker{std::move(options), store}; }
};

/// Opens a circuit that opens at the first failure.
void open(const Breaker& breaker) {
    auto permit = breaker.try_acquire();
    REQUIRE(permit);
    permit->record(Outcome::failure);
    REQUIRE(breaker.state() == CircuitState::open);
}

Error status_error(int status, std::optional<bw::Duration> retry_after = {}) {
    return Error{Errc::http_status}.set_status(status).set_retry_after(retry_after);
}

/// A callable that fails with `error`.
auto failing(Error error) {
    return [error]() -> bw::Result<int> { return bw::fail(error); };
}

constexpr bw::ConsecutiveFailures first_failure{1};

/// Calls `breaker` once with a callable that fails with `error`, and says whether that opened the circuit.
bool opens(Options options, Error error) {
    const World world;
    options.trip = first_failure;
    const Breaker breaker = world.breaker(std::move(options));
    const auto result = bw::Pipeline{breaker}.run(failing(std::move(error)));
    CHECK_FALSE(result);
    return breaker.state() == CircuitState::open;
}

std::string refusal(const Options& options) {
    const auto made = bw::CircuitBreaker<>::make(options);
    return made ? "accepted" : made.error().message();
}

static_assert(!std::is_copy_constructible_v<Breaker::Permit> && !std::is_copy_assignable_v<Breaker::Permit>);
static_assert(std::is_nothrow_move_constructible_v<Breaker::Permit>);

}  // namespace

TEST_CASE("a permit records its outcome, and the one that trips the circuit says so") {
    const World world;
    const Breaker breaker = world.breaker({.trip = bw::ConsecutiveFailures{2}});
    CHECK(breaker.state() == CircuitState::closed);
    CHECK(breaker.try_acquire()->record(Outcome::failure) == std::nullopt);
    CHECK(breaker.try_acquire()->record(Outcome::failure) ==
          bw::CircuitTransition{CircuitState::closed, CircuitState::open});
    CHECK(breaker.state() == CircuitState::open);
}

TEST_CASE("a refusal tells the circuit's name and state and when to come back") {
    const World world;
    const Breaker breaker =
        world.breaker({.name = "ledger", .trip = first_failure, .recovery_timeout = 20s, .probe_lease = 7s});
    open(breaker);
    world.clock.advance(5s);
    const auto refused = breaker.try_acquire();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::circuit_open);
    CHECK(refused.error().circuit_state() == CircuitState::open);
    CHECK(refused.error().retry_after() == 15s);
    CHECK(refused.error().policy() == "ledger");
    CHECK(refused.error().attempts() == 0);
    CHECK(refused.error().message() == "the circuit is open (ledger); try again in 15 s");

    world.clock.advance(15s);
    const auto probe = breaker.try_acquire();
    REQUIRE(probe);
    CHECK(probe->is_probe());
    const auto second = breaker.try_acquire();
    REQUIRE_FALSE(second);
    CHECK(second.error().circuit_state() == CircuitState::half_open);
    CHECK(second.error().retry_after() == 7s);
    CHECK(second.error().message() == "the circuit is half-open and its probes are taken (ledger); try again in 7 s");
}

TEST_CASE("a permit that is dropped gives its probe slot back and counts nothing") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .recovery_timeout = 1s});
    {
        const auto unused = breaker.try_acquire();
    }
    CHECK(breaker.snapshot().counts == bw::TripCounts{});
    open(breaker);
    world.clock.advance(1s);
    {
        const auto probe = breaker.try_acquire();
        REQUIRE(probe);
        CHECK(breaker.snapshot().probes_in_flight == 1);
    }
    CHECK(breaker.snapshot().probes_in_flight == 0);
    CHECK(breaker.state() == CircuitState::half_open);
    CHECK(breaker.try_acquire()->record(Outcome::success) ==
          bw::CircuitTransition{CircuitState::half_open, CircuitState::closed});
}

TEST_CASE("a neutral outcome gives the probe slot back and closes nothing") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .recovery_timeout = 1s});
    open(breaker);
    world.clock.advance(1s);
    CHECK_FALSE(breaker.try_acquire()->record(Outcome::neutral));
    CHECK(breaker.state() == CircuitState::half_open);
    auto slow = *breaker.try_acquire();
    world.clock.advance(1h);
    slow.record(Outcome::neutral);
    CHECK(breaker.snapshot().late_results == 0);  // a result that says nothing is not a late one
}

TEST_CASE("a permit speaks once, and a moved-from one never") {
    const World world;
    const Breaker breaker = world.breaker({.trip = bw::ConsecutiveFailures{3}});
    auto permit = *breaker.try_acquire();
    permit.record(Outcome::failure);
    permit.record(Outcome::failure);
    CHECK(breaker.snapshot().counts.failures == 1);

    auto first = *breaker.try_acquire();
    auto second = std::move(first);
    first.record(Outcome::failure);  // NOLINT(bugprone-use-after-move)
    CHECK(breaker.snapshot().counts.failures == 1);
    second.record(Outcome::failure);
    CHECK(breaker.snapshot().counts.failures == 2);
}

TEST_CASE("assigning to a permit gives back the one it held") {
    const World world;
    const Breaker breaker =
        world.breaker({.trip = first_failure, .recovery_timeout = 1s, .half_open_probes = 2, .success_threshold = 2});
    open(breaker);
    world.clock.advance(1s);
    auto held = *breaker.try_acquire();
    auto other = *breaker.try_acquire();
    CHECK(breaker.snapshot().probes_in_flight == 2);
    held = std::move(other);
    CHECK(breaker.snapshot().probes_in_flight == 1);
    held.record(Outcome::success);
    CHECK(breaker.snapshot().probes_in_flight == 0);
    CHECK(breaker.snapshot().probe_successes == 1);
}

TEST_CASE("a permit may outlive its breaker and its store") {
    std::optional<World> world{std::in_place};
    std::optional<Breaker> breaker{world->breaker({.trip = first_failure, .recovery_timeout = 1s})};
    open(*breaker);
    world->clock.advance(1s);
    std::optional<Breaker::Permit> recorded{*breaker->try_acquire()};
    breaker.reset();
    world.reset();
    CHECK(recorded->record(Outcome::success) == bw::CircuitTransition{CircuitState::half_open, CircuitState::closed});
    recorded.reset();

    world.emplace();
    breaker.emplace(world->breaker({.trip = first_failure, .recovery_timeout = 1s}));
    open(*breaker);
    world->clock.advance(1s);
    std::optional<Breaker::Permit> dropped{*breaker->try_acquire()};
    breaker.reset();
    world.reset();
    dropped.reset();
}

TEST_CASE("the snapshot tells name, state, counts and times, and taking it changes nothing") {
    const World world;
    const Breaker breaker = world.breaker({.name = "n",
                                           .trip = bw::FailureRate{.ratio = 1.0, .minimum_calls = 2},
                                           .recovery_timeout = 60s,
                                           .half_open_probes = 2,
                                           .success_threshold = 2});
    breaker.try_acquire()->record(Outcome::failure);
    auto seen = breaker.snapshot();
    CHECK(seen.name == "n");
    CHECK(breaker.name() == "n");
    CHECK(seen.state == CircuitState::closed);
    CHECK(seen.counts == bw::TripCounts{1, 1});
    CHECK(seen.retry_after == std::nullopt);

    breaker.try_acquire()->record(Outcome::failure);
    world.clock.advance(10s);
    seen = breaker.snapshot();
    CHECK(seen.state == CircuitState::open);
    CHECK(seen.in_state == 10s);
    CHECK(seen.retry_after == 50s);

    world.clock.advance(1h);
    CHECK(breaker.snapshot().state == CircuitState::open);
    CHECK(breaker.snapshot().retry_after == 0s);
    CHECK(breaker.state() == CircuitState::open);  // reading lets nobody through
    breaker.try_acquire()->record(Outcome::success);
    seen = breaker.snapshot();
    CHECK(seen.state == CircuitState::half_open);
    CHECK(seen.probe_successes == 1);
}

TEST_CASE("copies of a breaker share one circuit") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure});
    const Breaker copy = breaker;
    open(breaker);
    CHECK(copy.state() == CircuitState::open);
    CHECK_FALSE(copy.try_acquire());
}

TEST_CASE("within a store the same name and form is the same circuit") {
    const World world;
    const Breaker one = world.breaker({.name = "ledger", .trip = first_failure});
    const Breaker same = world.breaker({.name = "ledger", .trip = bw::ConsecutiveFailures{7}});
    const Breaker other_name = world.breaker({.name = "orders", .trip = first_failure});
    const Breaker other_form = world.breaker({.name = "ledger", .trip = bw::FailureRate{}});
    const Breaker other_store = World{}.breaker({.name = "ledger", .trip = first_failure});
    const Breaker nameless = world.breaker({.trip = first_failure});
    const Breaker nameless_too = world.breaker({.trip = first_failure});
    open(one);
    open(nameless);
    CHECK(same.state() == CircuitState::open);
    CHECK(other_name.state() == CircuitState::closed);
    CHECK(other_form.state() == CircuitState::closed);
    CHECK(other_store.state() == CircuitState::closed);
    CHECK(nameless_too.state() == CircuitState::closed);
}

TEST_CASE("mistaken breaker options are named by their path, legal range and value") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.recovery_timeout = -5s}) == "circuit_breaker.recovery_timeout: must be > 0s, got -5s");
    CHECK(refusal({.recovery_timeout = 0s}) == "circuit_breaker.recovery_timeout: must be > 0s, got 0s");
    CHECK(refusal({.recovery_timeout = 999us}) == "circuit_breaker.recovery_timeout: must be 1ms to 24h, got 999us");
    CHECK(refusal({.recovery_timeout = 25h}) == "circuit_breaker.recovery_timeout: must be 1ms to 24h, got 25h");
    CHECK(refusal({.recovery_timeout = 24h}) == "accepted");
    CHECK(refusal({.recovery_timeout = 1ms}) == "accepted");
    CHECK(refusal({.half_open_probes = 0}) == "circuit_breaker.half_open_probes: must be 1 to 32, got 0");
    CHECK(refusal({.half_open_probes = 33}) == "circuit_breaker.half_open_probes: must be 1 to 32, got 33");
    CHECK(refusal({.half_open_probes = 32}) == "accepted");
    CHECK(refusal({.success_threshold = 0}) == "circuit_breaker.success_threshold: must be >= 1, got 0");
    CHECK(refusal({.success_threshold = 100}) == "accepted");
    CHECK(refusal({.probe_lease = 0s}) == "circuit_breaker.probe_lease: must be 1ms to 24h, got 0s");
    CHECK(refusal({.deadline_counts_after = -1ms}) ==
          "circuit_breaker.deadline_counts_after: must be 0s to 24h, got -1ms");
    CHECK(refusal({.deadline_counts_after = 0s}) == "accepted");
    CHECK(refusal({.trip = bw::ConsecutiveFailures{0}}) ==
          "circuit_breaker.trip.count: must be 1 to 2147483647, got 0");
    CHECK(validate(Options{.success_threshold = 0}, "hosts.a").error().message() ==
          "hosts.a.success_threshold: must be >= 1, got 0");
    CHECK(validate(Options{.trip = bw::ConsecutiveFailures{0}}, "").error().message() ==
          "trip.count: must be 1 to 2147483647, got 0");
}

TEST_CASE("bad options throw from the constructor and come back from make") {
    try {
        const bw::CircuitBreaker breaker{{.recovery_timeout = -5s}};
        FAIL("accepted");
    } catch (const bw::Exception& e) {
        CHECK(e.error().code() == Errc::invalid_options);
        CHECK(std::string{e.what()} == "circuit_breaker.recovery_timeout: must be > 0s, got -5s");
    }
    CHECK(bw::CircuitBreaker<>::make({.recovery_timeout = -5s}).error().code() == Errc::invalid_options);
    CHECK(bw::CircuitBreaker<>::make({.name = "fine"})->name() == "fine");
}

TEST_CASE("a guarded callable that fails opens the circuit, gets its own error, and is then spared") {
    const World world;
    const Breaker breaker = world.breaker({.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 60s});
    const bw::Pipeline guard{breaker};
    int calls = 0;
    const auto call = [&]() -> int {
        ++calls;
        throw std::runtime_error{"broken"};
    };
    for (int i = 0; i < 3; ++i) CHECK(guard.run(call).error().code() == Errc::exception);
    CHECK(breaker.state() == CircuitState::open);
    const auto refused = guard.run(call);
    CHECK(refused.error().is_refusal(Errc::circuit_open));
    CHECK(refused.error().retry_after() == 60s);
    CHECK(refused.error().circuit_state() == CircuitState::open);
    CHECK(calls == 3);
    world.clock.advance(60s);
    CHECK(guard.run([] { return 7; }) == 7);
    CHECK(breaker.state() == CircuitState::closed);
}

TEST_CASE("the classifier overrides what an outcome means, and decides nothing when it is silent or throws") {
    CHECK(opens({}, status_error(503)));
    CHECK_FALSE(opens({}, status_error(404)));
    CHECK(opens({.classify = [](const Error&) { return Outcome::failure; }}, status_error(404)));
    CHECK_FALSE(opens({.classify = [](const Error&) { return Outcome::neutral; }}, status_error(503)));
    CHECK_FALSE(opens({.classify = [](const Error&) { return Outcome::success; }}, status_error(503)));
    CHECK(opens({.classify = [](const Error&) { return std::nullopt; }}, status_error(503)));
    CHECK(opens({.classify = [](const Error&) { return Outcome::failure; }}, Error{Errc::cancelled}));
    const auto throwing = [](const Error&) -> std::optional<Outcome> { throw std::runtime_error{"broken rule"}; };
    CHECK(opens({.classify = throwing}, status_error(503)));
    CHECK_FALSE(opens({.classify = throwing}, status_error(404)));
}

TEST_CASE("a 429 with Retry-After is neutral: nothing is counted and a probe's slot goes back") {
    CHECK(opens({}, status_error(429)));
    CHECK_FALSE(opens({}, status_error(429, 1s)));
    CHECK(opens({}, status_error(503, 1s)));

    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .recovery_timeout = 1s});
    open(breaker);
    world.clock.advance(1s);
    CHECK_FALSE(bw::Pipeline{breaker}.run(failing(status_error(429, 1s))));
    CHECK(breaker.state() == CircuitState::half_open);
    CHECK(breaker.snapshot().probes_in_flight == 0);
    CHECK(breaker.try_acquire().has_value());
}

TEST_CASE("an attempt cut by the deadline counts as a failure only if it ran long enough") {
    const auto opens_after = [](bw::Duration ran, bw::Duration counts_after) {
        const World world;
        const Breaker breaker = world.breaker({.trip = first_failure, .deadline_counts_after = counts_after});
        const bw::Pipeline guard{bw::Deadline{1min}, breaker};
        const auto result = guard.run([&]() -> bw::Result<int> {
            world.clock.advance(ran);
            return bw::fail(Errc::deadline_exceeded);
        });
        CHECK(result.error().code() == Errc::deadline_exceeded);
        return breaker.state() == CircuitState::open;
    };
    CHECK_FALSE(opens_after(1s - 1us, 1s));
    CHECK(opens_after(1s, 1s));
    CHECK(opens_after(0s, 0s));
    CHECK_FALSE(opens_after(10s, 20s));

    const World world;
    const Breaker breaker =
        world.breaker({.trip = first_failure, .classify = [](const Error&) { return Outcome::failure; }});
    CHECK_FALSE(bw::Pipeline{bw::Deadline{1min}, breaker}.run(failing(Error{Errc::deadline_exceeded})));
    CHECK(breaker.state() == CircuitState::open);  // the classifier's word is the last
}

TEST_CASE("a deadline that passed before an attempt began is neutral") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .deadline_counts_after = 0s});
    // The observer takes so long that the deadline passes between the breaker and the callable.
    const bw::Pipeline guard{
        bw::Observe{[&](const bw::Event& event) {
            if (event.kind == bw::EventKind::limiter_waited) world.clock.advance(1min);
        }},
        bw::Deadline{10s}, breaker,
        bw::RateLimiter{
            bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = 1s}, .max_wait = 5s},
            world.store}};
    CHECK(guard.run([] { return 1; }));
    int calls = 0;
    CHECK(guard.run([&] { return ++calls; }).error().code() == Errc::deadline_exceeded);
    CHECK(calls == 0);
    CHECK(breaker.state() == CircuitState::closed);
}

TEST_CASE("a deadline that passed before the next attempt began is not the attempt's before it") {
    const World world;
    const Breaker breaker = world.breaker({.trip = bw::ConsecutiveFailures{2}});
    const bw::Pipeline guard{
        bw::Observe{[&](const bw::Event& event) {
            if (event.kind == bw::EventKind::limiter_waited) world.clock.advance(1min);
        }},
        bw::Deadline{30s}, bw::Retry{{.backoff = {.base = 1us, .cap = 1us}}}, breaker,
        bw::RateLimiter{
            bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = 20s}, .max_wait = 30s},
            world.store}};
    int calls = 0;
    const auto result = guard.run([&]() -> bw::Result<int> {
        ++calls;
        world.clock.advance(5s);
        return bw::fail(status_error(503));
    });
    CHECK(result.error().status() == 503);
    CHECK(result.error().stopped_by() == Errc::deadline_exceeded);
    CHECK(calls == 1);
    CHECK(breaker.snapshot().counts.failures == 1);
}

TEST_CASE("a deadline that is the callable's own is a failure like any other, watched or not") {
    for (const bool watched : {false, true}) {
        const World world;
        const Breaker breaker = world.breaker({.trip = first_failure});
        const bw::Observer observer = watched ? bw::Observer{[](const bw::Event&) {}} : bw::Observer{};
        const bw::Pipeline guard{bw::Observe{observer}, breaker};
        CHECK_FALSE(guard.run(failing(Error{Errc::deadline_exceeded})));
        CHECK(breaker.state() == CircuitState::open);
    }
}

TEST_CASE("an inner refusal is neutral, and a probe that meets one gives its slot back") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .recovery_timeout = 1s});
    const bw::RateLimiter limiter{bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = 1min}},
                                  world.store};
    const bw::Pipeline guard{breaker, limiter};
    CHECK(guard.run([] { return 1; }) == 1);
    CHECK(guard.run([] { return 1; }).error().code() == Errc::rate_limited);
    CHECK(breaker.state() == CircuitState::closed);
    open(breaker);
    world.clock.advance(1s);
    CHECK(guard.run([] { return 1; }).error().code() == Errc::rate_limited);
    CHECK(breaker.state() == CircuitState::half_open);
    CHECK(breaker.snapshot().probes_in_flight == 0);
}

TEST_CASE("a probe never waits: it is refused with the limiter's retry_after and gives its slot back") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .recovery_timeout = 1s});
    const bw::RateLimiter limiter{
        bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = 20s}, .max_wait = 1min},
        world.store};
    const bw::Pipeline guard{breaker, limiter};
    open(breaker);
    CHECK(limiter.try_acquire());
    world.clock.advance(1s);
    const auto refused = guard.run([] { return 1; });
    CHECK(refused.error().code() == Errc::rate_limited);
    CHECK(refused.error().retry_after() == 19s);
    CHECK(world.clock.waits().empty());
    CHECK(breaker.snapshot().probes_in_flight == 0);
}

TEST_CASE("after an inner wait the breaker is asked again") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure});
    const bw::Pipeline guard{
        bw::Observe{[&](const bw::Event& event) {
            if (event.kind == bw::EventKind::limiter_waited) open(breaker);
        }},
        breaker,
        bw::RateLimiter{
            bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = 1s}, .max_wait = 5s},
            world.store}};
    CHECK(guard.run([] { return 1; }) == 1);
    int calls = 0;
    CHECK(guard.run([&] { return ++calls; }).error().code() == Errc::circuit_open);
    CHECK(calls == 0);
    CHECK(world.clock.waits() == std::vector<bw::Duration>{1s});
}

TEST_CASE("a cancelled call is neutral, and its probe's slot goes back") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .recovery_timeout = 1s});
    const bw::Pipeline guard{breaker};
    CHECK_FALSE(guard.run(failing(Error{Errc::cancelled})));
    CHECK(breaker.state() == CircuitState::closed);
    open(breaker);
    world.clock.advance(1s);
    std::stop_source source;
    const auto result = guard.run(
        [&](auto& call) -> bw::Result<int> {
            source.request_stop();
            CHECK(call.stop_requested());
            return bw::fail(Errc::cancelled);
        },
        {.stop = source.get_token()});
    CHECK(result.error().code() == Errc::cancelled);
    CHECK(breaker.snapshot().probes_in_flight == 0);
    CHECK(breaker.state() == CircuitState::half_open);
}

TEST_CASE("a call that is stopped before it begins neither takes nor becomes a probe") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .recovery_timeout = 1s});
    open(breaker);
    world.clock.advance(1s);
    std::stop_source source;
    source.request_stop();
    CHECK(bw::Pipeline{breaker}.run([] { return 1; }, {.stop = source.get_token()}).error().code() == Errc::cancelled);
    CHECK(breaker.state() == CircuitState::open);
}

TEST_CASE("a probe is told when its lease ends, and no other attempt is") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .recovery_timeout = 1s, .probe_lease = 9s});
    const bw::Pipeline guard{breaker};
    CHECK(guard.run([](auto& call) { return call.probing || call.attempt_deadline != bw::Instant::max(); }) == false);
    open(breaker);
    world.clock.advance(1s);
    CHECK(guard.run([&](auto& call) { return call.probing && call.attempt_deadline == world.clock.now() + 9s; }) ==
          true);
    CHECK(guard.run([](auto& call) { return call.probing || call.attempt_deadline != bw::Instant::max(); }) == false);
}

TEST_CASE("the attempt after a probe is no probe: it may wait, and no lease ends it") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure, .recovery_timeout = 1s});
    const bw::RateLimiter limiter{
        bw::RateLimiterOptions<>{.algorithm = bw::TokenBucket{.permits = 1, .period = 20s}, .max_wait = 1min},
        world.store};
    const bw::Pipeline guard{bw::Retry{{.backoff = {.base = 1s, .cap = 1s, .jitter = bw::Jitter::none}},
                                       bw::retry_if([](bool good) { return !good; })},
                             breaker, limiter};
    open(breaker);
    world.clock.advance(1s);
    CHECK(guard.run([](auto& call) {
        if (call.attempt == 1) return !call.probing;
        return !call.probing && call.attempt_deadline == bw::Instant::max();
    }) == true);
    CHECK(world.clock.waits() == std::vector<bw::Duration>{1s, 19s});
}

TEST_CASE("transitions are told after they happened, with nothing held") {
    const World world;
    const Breaker breaker = world.breaker({.name = "ledger", .trip = first_failure, .recovery_timeout = 60s});
    struct Seen {
        bw::EventKind kind;
        std::string policy;
        std::optional<bw::Duration> delay;
        CircuitState state;
        bool admits;
    };
    std::vector<Seen> seen;
    const bw::Pipeline guard{
        bw::Observe{[&](const bw::Event& event) {
            if (event.kind < bw::EventKind::circuit_opened || event.kind > bw::EventKind::late_result) return;
            // Re-enters the breaker in every way.
            const bool admits = breaker.try_acquire().has_value();
            seen.push_back({event.kind, std::string{event.policy}, event.delay, breaker.snapshot().state, admits});
        }},
        breaker};
    CHECK_FALSE(guard.run(failing(status_error(500))));
    world.clock.advance(60s);
    CHECK(guard.run([] { return 1; }));
    REQUIRE(seen.size() == 3);
    CHECK(seen[0].kind == bw::EventKind::circuit_opened);
    CHECK(seen[0].policy == "ledger");
    CHECK(seen[0].delay == 60s);
    CHECK(seen[0].state == CircuitState::open);
    CHECK_FALSE(seen[0].admits);
    CHECK(seen[1].kind == bw::EventKind::circuit_half_opened);
    CHECK(seen[1].state == CircuitState::half_open);
    CHECK_FALSE(seen[1].admits);  // the probe's slot is taken
    CHECK(seen[2].kind == bw::EventKind::circuit_closed);
    CHECK(seen[2].state == CircuitState::closed);
    CHECK(seen[2].admits);
}

TEST_CASE("a result from before a transition is told as late and changes nothing") {
    const World world;
    const Breaker breaker = world.breaker({.name = "ledger", .trip = first_failure, .recovery_timeout = 1s});
    std::vector<bw::EventKind> kinds;
    const bw::Pipeline guard{bw::Observe{[&](const bw::Event& event) { kinds.push_back(event.kind); }}, breaker};
    CHECK(guard.run([&] {
        open(breaker);  // somebody else's failure, meanwhile
        world.clock.advance(1s);
        CHECK(breaker.try_acquire().has_value());  // half-open now
        return 1;
    }));
    CHECK(std::ranges::count(kinds, bw::EventKind::late_result) == 1);
    CHECK(breaker.state() == CircuitState::half_open);
    CHECK(breaker.snapshot().late_results == 1);
}

TEST_CASE("an observer that throws does not break the call") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure});
    const bw::Pipeline guard{bw::Observe{[](const bw::Event&) { throw std::runtime_error{"broken observer"}; }},
                             breaker};
    CHECK(guard.run([] { return 1; }) == 1);
    CHECK(guard.run(failing(status_error(500))).error().status() == 500);
    CHECK(breaker.state() == CircuitState::open);
}

TEST_CASE("an inner client's refusal is neutral to the outer breaker, its real failure is not") {
    const World world;
    const Breaker outer = world.breaker({.name = "outer", .trip = first_failure});
    const Breaker inner = world.breaker({.name = "inner", .trip = first_failure});
    open(inner);
    const bw::Pipeline guard{outer};
    const bw::Pipeline nested{inner};
    const auto refused = guard.run([&] { return nested.run([] { return 1; }); });
    CHECK(refused.error().policy() == "inner");
    CHECK(outer.state() == CircuitState::closed);

    Error exhausted = status_error(503);
    exhausted.set_stopped_by(Errc::circuit_open);
    CHECK_FALSE(guard.run(failing(exhausted)));
    CHECK(outer.state() == CircuitState::open);
}

TEST_CASE("an inner client's error that is thrown keeps its meaning") {
    const World world;
    const Breaker breaker = world.breaker({.trip = first_failure});
    const bw::Pipeline guard{breaker};
    const auto result = guard.run([]() -> int { throw bw::Exception{Error{Errc::circuit_open}}; });
    CHECK(result.error().code() == Errc::circuit_open);
    CHECK(breaker.state() == CircuitState::closed);
}

TEST_CASE("two breakers in one pipeline keep their own permits") {
    const World world;
    const Breaker outer = world.breaker({.name = "outer", .trip = bw::ConsecutiveFailures{2}});
    const Breaker inner = world.breaker({.name = "inner", .trip = first_failure});
    const bw::Pipeline guard{outer, inner};
    CHECK_FALSE(guard.run(failing(status_error(500))));
    CHECK(inner.state() == CircuitState::open);
    CHECK(outer.state() == CircuitState::closed);
    CHECK(guard.run([] { return 1; }).error().policy() == "inner");
    CHECK(outer.snapshot().counts == bw::TripCounts{1, 1});
}

TEST_CASE("a static choice of the rule needs no run-time variant, and never switches the breaker off") {
    const bw::CircuitBreaker<bw::FailureRate> hot{
        {.name = "hot", .trip = {.ratio = 0.5, .window = bw::TimeWindow{10s}}}};
    for (int i = 0; i < 10; ++i) hot.try_acquire()->record(Outcome::failure);
    CHECK(hot.state() == CircuitState::open);

    const bw::CircuitBreaker off{{.trip = bw::never}};
    for (int i = 0; i < 1'000; ++i) off.try_acquire()->record(Outcome::failure);
    CHECK(off.state() == CircuitState::closed);
}

TEST_CASE("threads that meet a half-open circuit together get exactly its probes") {
    const World world;
    for (std::uint32_t probes = 1; probes <= 3; ++probes) {
        const Breaker breaker = world.breaker(
            {.trip = first_failure, .recovery_timeout = 1s, .half_open_probes = probes, .success_threshold = 100});
        open(breaker);
        world.clock.advance(1s);
        std::atomic<bool> go = false;
        std::atomic<std::uint32_t> admitted = 0;
        std::vector<std::jthread> threads;
        std::vector<std::vector<Breaker::Permit>> kept(4);
        for (auto& permits : kept) {
            threads.emplace_back([&] {
                while (!go) std::this_thread::yield();
                for (int i = 0; i < 100; ++i) {
                    if (auto permit = breaker.try_acquire()) {
                        permits.push_back(*std::move(permit));
                        ++admitted;
                    }
                }
            });
        }
        go = true;
        threads.clear();
        CHECK(admitted == probes);
    }
}
