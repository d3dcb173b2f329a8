#include <breakwater/attempt_forecast.hpp>
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/explain.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/observe/log.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>

#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using Machine = bw::AttemptForecastMachine;
using bw::Duration;
using bw::Errc;
using bw::Error;
using Ending = Machine::Ending;

namespace {

constexpr bw::Instant at(Duration t) { return bw::Instant{t}; }

/// A machine that has seen `count` answers in `took` each, the last at 10 s.
constexpr Machine::State learned(int count, Duration took, const Machine::Options& options) {
    Machine::State state;
    for (int n = 0; n < count; ++n) Machine::apply(state, options, Machine::Record{took}, at(10s));
    return state;
}
constexpr Machine::Admission asked(Machine::State& state, const Machine::Options& options, Duration left,
                                   Duration now) {
    return Machine::apply(state, options, Machine::Admit{left}, at(now));
}
constexpr bool is_admitted(const Machine::Admission& admission) { return admission.admitted && !admission.trial; }

using Store = bw::MemoryStore<bw::ManualClock>;
using Forecast = bw::AttemptForecast<Store>;

/// A service of which each call takes so long by a clock of its own.
struct World {
    bw::ManualClock clock{};
    Store store{clock};
    Duration takes = 800ms;
    int calls = 0;

    auto service() {
        return [this](auto& call) -> bw::Result<int> {
            ++calls;
            const Duration left = call.attempt_remaining();
            clock.advance(std::min(takes, left));
            if (takes > left) return bw::fail(Errc::deadline_exceeded);
            return calls;
        };
    }
    Forecast forecast(bw::AttemptForecastOptions options = {.minimum_samples = 4}) const {
        return Forecast{std::move(options), store};
    }
    /// Lets a forecast see `count` calls.
    void teach(const Forecast& forecast, int count = 4) {
        const bw::Pipeline guard{bw::UseClock{clock}, forecast};
        for (int n = 0; n < count; ++n) (void)guard.run(service());
        calls = 0;
    }
    template <class... P>
    auto guard(const Forecast& forecast, P... inner) const {
        return bw::Pipeline{bw::UseClock{clock}, forecast, inner...};
    }
};

/// The samples and the estimate after one call of `function`, when four of 800 ms were known.
template <class F>
std::pair<std::uint32_t, Duration> after_a_call_of(F function) {
    World world;
    const Forecast forecast = world.forecast();
    world.teach(forecast);
    (void)world.guard(forecast).run([&] { return function(world.clock); });
    return {forecast.snapshot().samples, forecast.snapshot().expected};
}

/// A policy that ends a call without an attempt, and not with a refusal.
struct Ends {
    struct Lane {};
    static bw::Before before(Lane&, auto&) { return bw::reject(Errc::deadline_exceeded); }
    static bw::After after(Lane&, auto&, auto&) { return bw::done; }
};

/// Counts how often it is read.
struct CountingClock {
    std::shared_ptr<int> reads = std::make_shared<int>(0);
    bw::Instant now() const noexcept { return bw::Instant{Duration{1'000'000 + 1'000 * ++*reads}}; }
    bw::Wait wait_until(bw::Instant, const std::stop_token&) const { return bw::Wait::elapsed; }
    friend bool operator==(const CountingClock&, const CountingClock&) = default;
};

std::string refusal(const bw::AttemptForecastOptions& options) {
    const auto result = validate(options);
    return result ? "accepted" : result.error().message();
}

}  // namespace

TEST_CASE("an attempt is refused if it is expected to take longer than is left, not if it just fits") {
    constexpr auto outcome = [] {
        constexpr Machine::Options options{.minimum_samples = 3};
        Machine::State state = learned(2, 12us, options);
        if (!is_admitted(asked(state, options, 1us, 10s))) return false;  // too few samples tell
        state = learned(3, 12us, options);
        const auto refused = asked(state, options, 11us, 10s);
        return !refused.admitted && refused.expected == 12us && refused.samples == 3 &&
               is_admitted(asked(state, options, 12us, 10s)) &&
               is_admitted(asked(state, options, Duration::max(), 10s));
    }();
    STATIC_REQUIRE(outcome);
}

TEST_CASE("what the word says is what the state says, without a lock for whom there is time") {
    constexpr Machine::Options options{.minimum_samples = 1};
    const std::uint64_t word = Machine::summary(learned(1, 12us, options), options);
    Machine::Admission admission;
    CHECK(Machine::glance(word, Machine::Admit{12us}, admission));
    CHECK(is_admitted(admission));
    CHECK(admission.expected == 12us);
    CHECK_FALSE(Machine::glance(word, Machine::Admit{11us}, admission));
    CHECK(Machine::summary(Machine::State{}, options) == 0);
}

TEST_CASE("when no attempt was timed for the interval one is let through, and only one") {
    constexpr auto outcome = [] {
        constexpr Machine::Options options{.minimum_samples = 1, .trial_interval = 1s};
        Machine::State state = learned(1, 12us, options);
        if (asked(state, options, 1us, 11s - 1us).admitted) return false;
        if (!asked(state, options, 1us, 11s).trial || asked(state, options, 1us, 11s).admitted) return false;
        if (asked(state, options, 1us, 12s - 1us).admitted) return false;  // it was lost: the next one's turn
        if (!asked(state, options, 1us, 12s).trial) return false;
        Machine::apply(state, options, Machine::Record{12us}, at(12s + 500ms));
        return !asked(state, options, 1us, 13s).admitted && asked(state, options, 1us, 13s + 500ms).trial;
    }();
    STATIC_REQUIRE(outcome);
}

TEST_CASE("a trial that was answered in time is followed by another at once, any other is not") {
    constexpr auto next = [](Ending ending) {
        constexpr Machine::Options options{.minimum_samples = 1, .trial_interval = 1s};
        Machine::State state = learned(9, 12us, options);
        if (!asked(state, options, 1us, 11s).trial) return false;
        Machine::apply(state, options, Machine::Record{1us, ending}, at(11s + 1us));
        return asked(state, options, 1us, 11s + 1us).trial;
    };
    STATIC_REQUIRE(next(Ending::in_time));
    STATIC_REQUIRE_FALSE(next(Ending::answered));
    STATIC_REQUIRE_FALSE(next(Ending::cut));
}

TEST_CASE("a clock that is set back does not put off the next trial") {
    constexpr Machine::Options options{.minimum_samples = 1, .trial_interval = 1s};
    Machine::State state;
    Machine::apply(state, options, Machine::Record{12us}, at(1000h));
    CHECK_FALSE(asked(state, options, 1us, 5s).admitted);
    CHECK(asked(state, options, 1us, 1000h + 1s).trial);
    Machine::apply(state, options, Machine::Record{12us}, at(1000h));
    bool tried = false;
    for (Duration now = 5s; now < 10s && !tried; now += 100ms) tried = asked(state, options, 1us, now).trial;
    CHECK(tried);
}

TEST_CASE("an attempt for which too little time is left is not begun, and the error says why") {
    World world;
    const Forecast forecast = world.forecast({.minimum_samples = 4});
    const auto guard = world.guard(forecast);
    world.takes = 800ms;
    world.teach(forecast, 5);
    CHECK(guard.run(world.service(), {.deadline = 1s}));
    const auto result = guard.run(world.service(), {.deadline = 120ms, .subject = "GET /x"});
    CHECK(world.calls == 1);
    REQUIRE_FALSE(result);
    const Error& error = result.error();
    CHECK(error.is_refusal(Errc::deadline_too_near));
    CHECK(error.attempts() == 0);
    CHECK(error.sent() == bw::Sent::no);
    CHECK(default_outcome(error) == bw::Outcome::neutral);
    CHECK_FALSE(error.retry_after());
    REQUIRE(error.shortage());
    CHECK(*error.shortage() ==
          bw::TimeShortage{.expected = forecast.snapshot().expected, .left = 120ms, .samples = 6, .quantile = 5'000});
    CHECK(error.message() ==
          "the deadline is too near for another attempt: it is expected to take 819 ms (p50 of 6), 120 ms are left");
    CHECK_FALSE(Error{Errc::deadline_too_near}.shortage());
    CHECK_FALSE(Error::refusal(Errc::rate_limited, "a name of 16 bytes").shortage());
}

TEST_CASE("calls without a deadline are never refused, and tell how long they took") {
    World world;
    const Forecast forecast = world.forecast();
    const auto guard = world.guard(forecast);
    world.takes = 10h;
    for (int n = 0; n < 50; ++n) CHECK(guard.run(world.service()));
    CHECK(forecast.snapshot().samples == 50);
    CHECK(guard.run(world.service(), {.deadline = 1h}).error().code() == Errc::deadline_too_near);
}

TEST_CASE("nothing is refused before the samples suffice") {
    World world;
    const Forecast forecast = world.forecast({.minimum_samples = 3});
    const auto guard = world.guard(forecast);
    for (int n = 0; n < 3; ++n) CHECK(guard.run(world.service(), {.deadline = 10ms}).error().attempts() == 1);
    CHECK(guard.run(world.service(), {.deadline = 10ms}).error().code() == Errc::deadline_exceeded);
    CHECK(forecast.snapshot().expected < 11ms);
}

TEST_CASE("a retry's delay that would leave too little time is not begun, and the last real error stays") {
    World world;
    const Forecast forecast = world.forecast();
    world.teach(forecast);
    std::vector<std::string> seen;
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Observe{[&](const bw::Event& event) {
                                 if (event.kind == bw::EventKind::permit_refused)
                                     seen.emplace_back(to_string(*event.code));
                             }},
                             bw::Deadline{3s}, bw::Retry{{.max_retries = 5, .backoff = bw::constant_backoff(500ms)}},
                             forecast};
    const bw::Instant began = world.clock.now();
    const auto result = guard.run([&]() -> bw::Result<int> {
        world.clock.advance(800ms);
        return bw::fail(Error{Errc::http_status}.set_status(503));
    });
    CHECK(result.error().status() == 503);
    CHECK(result.error().stopped_by() == Errc::deadline_too_near);
    CHECK(result.error().is_refusal(Errc::deadline_too_near));
    CHECK(result.error().attempts() == 2);  // a third one would begin 2.6 s after the first
    CHECK(world.clock.now() - began == 800ms + 500ms + 800ms);
    CHECK(seen == std::vector<std::string>{"deadline_too_near"});
}

TEST_CASE("a retry that is refused after its delay keeps the last real error and gives its budget back") {
    World world;
    const Forecast forecast = world.forecast();
    world.takes = 10ms;
    world.teach(forecast);
    const bw::RetryBudget budget{{.ratio = 0.001, .floor_per_second = 0, .burst = 3}, world.store};
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Observe{[&](const bw::Event& event) {
                                 if (event.kind != bw::EventKind::retry_scheduled) return;
                                 world.takes = 900ms;  // others find the service slow meanwhile
                                 world.teach(forecast, 20);
                             }},
                             bw::Retry{{.max_retries = 5, .backoff = bw::constant_backoff(100ms)}, budget}, forecast};
    const auto result =
        guard.run([]() -> bw::Result<int> { return bw::fail(Error{Errc::http_status}.set_status(503)); },
                  {.deadline = 18s + 500ms});
    CHECK(result.error().status() == 503);
    CHECK(result.error().stopped_by() == Errc::deadline_too_near);
    CHECK(result.error().attempts() == 1);
    CHECK(budget.snapshot().available == 3);
}

TEST_CASE("a refused attempt takes no permit, is no failure to a circuit, and a fallback may answer for it") {
    World world;
    const Forecast forecast = world.forecast();
    world.teach(forecast);
    const bw::CircuitBreaker breaker{{.trip = bw::ConsecutiveFailures{1}}, world.store};
    const bw::RateLimiter limiter{{.algorithm = bw::TokenBucket{.permits = 5, .period = 1h, .burst = 5}}, world.store};
    const bw::Bulkhead bulkhead{{.max_concurrent = 1}};
    const bw::Pipeline guard{bw::UseClock{world.clock},
                             bw::Fallback{-1},
                             bw::Deadline{100ms},
                             bw::Retry{},
                             forecast,
                             breaker,
                             bulkhead,
                             limiter};
    for (int n = 0; n < 3; ++n) CHECK(guard.run(world.service()).value() == -1);
    CHECK(world.calls == 0);
    CHECK(breaker.state() == bw::CircuitState::closed);
    CHECK(breaker.snapshot().counts.failures == 0);
    CHECK(limiter.snapshot().available == 5);
}

TEST_CASE("after a wait for a permit the attempt is asked about again, and what was admitted goes back") {
    World world;
    const Forecast forecast = world.forecast();
    world.teach(forecast);
    const bw::Bulkhead bulkhead{{.max_concurrent = 1}};
    const bw::RateLimiter limiter{
        {.algorithm = bw::TokenBucket{.permits = 1, .period = 500ms, .burst = 1}, .max_wait = 5s}, world.store};
    const auto guard = world.guard(forecast, bulkhead, limiter);
    CHECK(limiter.try_acquire());
    const auto refused = guard.run(world.service(), {.deadline = 1s});
    CHECK(refused.error().code() == Errc::deadline_too_near);
    CHECK(refused.error().shortage()->left == 500ms);
    CHECK(world.calls == 0);
    CHECK(bulkhead.snapshot().in_flight == 0);
    CHECK(limiter.try_acquire());
    CHECK(guard.run(world.service(), {.deadline = 2s}));
    CHECK(world.clock.waits() == std::vector<Duration>{500ms, 500ms});
}

TEST_CASE("the time that an attempt waits for its permit is not the attempt's") {
    World world;
    const Forecast forecast = world.forecast({.minimum_samples = 1});
    const bw::RateLimiter limiter{
        {.algorithm = bw::TokenBucket{.permits = 1, .period = 10s, .burst = 1}, .max_wait = 1min}, world.store};
    const auto guard = world.guard(forecast, limiter);
    for (const auto deadline : {std::optional<Duration>{}, std::optional<Duration>{1h}}) {
        (void)limiter.try_acquire();
        CHECK(guard.run(world.service(), {.deadline = deadline}));
        CHECK(forecast.snapshot().expected < 900ms);
    }
    CHECK(forecast.snapshot().samples == 2);
}

TEST_CASE("refusals do not last: a trial a second finds out that the service is fast again") {
    World world;
    const Forecast forecast = world.forecast({.minimum_samples = 20, .max_samples = 64});
    const auto guard = world.guard(forecast);
    world.teach(forecast, 200);
    const auto answered_in = [&](Duration span) {
        int answered = 0;
        for (Duration passed{}; passed < span; passed += 100ms) {
            answered += guard.run(world.service(), {.deadline = 100ms}).has_value();
            world.clock.advance(100ms);
        }
        return answered;
    };
    CHECK(answered_in(60s) == 0);
    CHECK(world.calls >= 50);  // trials that are cut at 100 ms do not make the service look fast
    CHECK(world.calls <= 60);
    CHECK(forecast.snapshot().expected > 750ms);
    world.takes = 5ms;
    world.calls = 0;
    const int answered = answered_in(15s);
    CHECK(answered >= 135);
    CHECK(forecast.snapshot().expected < 6ms);
}

TEST_CASE("a trial that comes back too late, for all its answer, is not followed by another at once") {
    World world;
    const Forecast forecast = world.forecast();
    world.teach(forecast);
    const auto guard = world.guard(forecast);
    const auto answers_in = [&](Duration took) {
        return [&world, took] {
            world.clock.advance(took);
            return 1;
        };
    };
    world.clock.advance(1s);
    CHECK(guard.run(answers_in(101ms), {.deadline = 100ms}));
    CHECK_FALSE(guard.run(answers_in(100ms), {.deadline = 100ms}));
    const bw::RateLimiter limiter{
        {.algorithm = bw::TokenBucket{.permits = 1, .period = 50ms, .burst = 1}, .max_wait = 1s}, world.store};
    world.clock.advance(1s);
    CHECK(limiter.try_acquire());
    CHECK(world.guard(forecast, limiter).run(answers_in(60ms), {.deadline = 100ms}));  // after a wait of 50 ms
    CHECK_FALSE(guard.run(answers_in(60ms), {.deadline = 100ms}));
    world.clock.advance(1s);
    CHECK(guard.run(answers_in(100ms), {.deadline = 100ms}));
    CHECK(guard.run(answers_in(100ms), {.deadline = 100ms}));
}

TEST_CASE("an attempt counts with its time if it was answered, also with an error") {
    using Sample = std::pair<std::uint32_t, Duration>;
    const auto ends_after = [](Duration took, Error error) {
        return after_a_call_of([=](const bw::ManualClock& clock) -> bw::Result<int> {
            clock.advance(took);
            return bw::fail(error);
        });
    };
    const Duration known = ends_after(0s, Error{Errc::connect_failed}).second;
    CHECK(known > 700ms);
    CHECK(ends_after(1s, Error{Errc::connect_failed}) == Sample{4, known});
    CHECK(ends_after(1s, Error{Errc::exception}) == Sample{4, known});
    CHECK(ends_after(1s, Error{Errc::rate_limited}) == Sample{4, known});  // by the callable's own guard
    CHECK(ends_after(1s, Error{Errc::http_status}.set_status(500)).first == 5);
    CHECK(ends_after(1s, Error{Errc::exception}.set_status(404)).first == 5);
    CHECK(ends_after(1s, Error{Errc::decode_failed}).first == 5);
    for (const Errc cut : {Errc::attempt_timeout, Errc::connect_timeout, Errc::deadline_exceeded, Errc::cancelled})
        CHECK(ends_after(1ms, Error{cut}) == Sample{5, known});  // at least so long
}

TEST_CASE("attempts that are cut by their timeout count as at least that long") {
    World world;
    const Forecast forecast = world.forecast();
    const auto guard = world.guard(forecast, bw::AttemptTimeout{1s});
    world.takes = 20s;
    const auto hangs = [&](auto& call) -> bw::Result<int> {
        world.clock.advance(call.attempt_remaining());
        return bw::fail(Errc::failure);
    };
    for (int n = 0; n < 4; ++n) CHECK(guard.run(hangs).error().code() == Errc::attempt_timeout);
    CHECK(forecast.snapshot().samples == 4);
    CHECK(forecast.snapshot().expected > 900ms);
    CHECK(guard.run(hangs, {.deadline = 500ms}).error().code() == Errc::deadline_too_near);
}

TEST_CASE("an attempt that an inner policy refuses is no sample") {
    World world;
    const Forecast forecast = world.forecast();
    const bw::CircuitBreaker breaker{{}, world.store};
    breaker.force_open();
    const auto guard = world.guard(forecast, breaker);
    CHECK(guard.run(world.service(), {.deadline = 1s}).error().code() == Errc::circuit_open);
    CHECK(forecast.snapshot().samples == 0);
    CHECK(world.guard(forecast, Ends{}).run(world.service()).error().code() == Errc::deadline_exceeded);
    CHECK(forecast.snapshot().samples == 0);
}

TEST_CASE("copies share the estimate, and so do forecasts of one name in a store") {
    World world;
    const bw::AttemptForecastOptions options{.name = "orders", .minimum_samples = 4};
    const Forecast forecast = world.forecast(options);
    world.teach(forecast);
    const Forecast copy = forecast;
    CHECK(copy.snapshot().samples == 4);
    CHECK(world.forecast(options).snapshot().samples == 4);
    CHECK(world.forecast(options).snapshot().name == "orders");
    CHECK(world.forecast({.name = "other"}).snapshot().samples == 0);
    CHECK(world.forecast().snapshot().samples == 0);
}

TEST_CASE("a reconfigured forecast keeps what it has learned, and its name") {
    World world;
    const Forecast forecast = world.forecast({.name = "orders", .quantile = 0.1, .minimum_samples = 4});
    for (const Duration took : {1ms, 2ms, 3ms, 4ms, 800ms}) {
        world.takes = took;
        world.teach(forecast, 2);
    }
    CHECK(forecast.snapshot().expected < 2ms);
    CHECK(forecast.reconfigure({.name = "orders", .quantile = 0.9, .minimum_samples = 4}));
    world.teach(forecast, 1);
    CHECK(forecast.snapshot().samples == 11);
    CHECK(forecast.snapshot().expected > 700ms);
    CHECK(forecast.reconfigure({.name = "other"}).error().message() ==
          "forecast.name: must be the forecast's, \"orders\", got \"other\"");
    CHECK_FALSE(forecast.reconfigure({.name = "orders", .quantile = 2.0}));
    CHECK(forecast.options().quantile == 0.9);
}

TEST_CASE("neither a timed attempt nor a refusal allocates") {
    World world;
    const Forecast forecast = world.forecast();
    world.teach(forecast, 300);
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Deadline{1s}, bw::Retry{}, forecast};
    const bw::Pipeline hurried{bw::UseClock{world.clock}, bw::Deadline{1ms}, bw::Retry{}, forecast};
    std::size_t refused = 0;
    const std::size_t allocations = test::allocations_in([&] {
        for (int n = 0; n < 20; ++n) {
            (void)guard.run([] { return 1; });
            refused += !hurried.run([] { return 1; });
        }
    });
    CHECK(refused == 20);
    if (test::counts_allocations) CHECK(allocations == 0);
}

TEST_CASE("an attempt is timed with one more reading of the clock, and with none where it was timed anyway") {
    const auto reads_of = [](auto guard, const CountingClock& clock) {
        (void)guard.run([] { return 1; });  // nothing is built any more
        const int before = *clock.reads;
        CHECK(guard.run([] { return 1; }));
        return *clock.reads - before;
    };
    const auto more = [&](auto... outer) {
        const CountingClock clock;
        const bw::AttemptForecast forecast{{}, bw::MemoryStore{clock}};
        return reads_of(bw::Pipeline{bw::UseClock{clock}, outer..., forecast}, clock) -
               reads_of(bw::Pipeline{bw::UseClock{clock}, outer...}, clock);
    };
    CHECK(more(bw::Deadline{1s}) == 1);
    CHECK(more() == 2);
    CHECK(more(bw::Observe{[](const bw::Event&) {}}, bw::Deadline{1s}) == 0);
}

TEST_CASE("a forecast explains itself, and that it does nothing without a deadline") {
    const auto explained = [](auto... outer) {
        return bw::explain(
            bw::Pipeline{outer..., bw::AttemptForecast{{.name = "orders", .quantile = 0.995}}, bw::CircuitBreaker{{}}});
    };
    const auto with = explained(bw::Deadline{2s}, bw::Retry{});
    CHECK(with.layers.at(2).policy == "forecast");
    CHECK(with.layers.at(2).says ==
          "orders: begins no attempt expected to take longer than is left of the deadline (p99.5 of the newest 256); "
          "a trial after 1 s without any");
    CHECK(with.warnings.empty());
    const auto without = explained(bw::Retry{});
    REQUIRE(without.warnings.size() == 1);
    CHECK(without.warnings[0] ==
          "no deadline stands outside the forecast: it refuses only in calls that bring their own");
}

TEST_CASE("percentiles are written as people write them") {
    CHECK(bw::detail::percentile_text(5'000) == "p50");
    CHECK(bw::detail::percentile_text(9'990) == "p99.9");
    CHECK(bw::detail::percentile_text(9'999) == "p99.99");
    CHECK(bw::detail::percentile_text(9'909) == "p99.09");
    CHECK(bw::detail::percentile_text(10) == "p0.1");
}

TEST_CASE("bad forecast options are named by path, legal range and value") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.quantile = 0.0}) == "forecast.quantile: must be 0.001 to 0.999, got 0");
    CHECK(refusal({.quantile = std::numeric_limits<double>::quiet_NaN()}) ==
          "forecast.quantile: must be 0.001 to 0.999, got nan");
    CHECK(refusal({.minimum_samples = 0}) == "forecast.minimum_samples: must be 1 to 30000, got 0");
    CHECK(refusal({.minimum_samples = 20, .max_samples = 39}) ==
          "forecast.max_samples: must be at least twice minimum_samples, which is 20, and at most 60000, got 39");
    CHECK(refusal({.max_samples = 60'001}) ==
          "forecast.max_samples: must be at least twice minimum_samples, which is 20, and at most 60000, got 60001");
    CHECK(refusal({.trial_interval = 0s}) == "forecast.trial_interval: must be 1ms to 1h, got 0s");
    CHECK_THROWS_AS(bw::AttemptForecast<>{{.quantile = 50.0}}, bw::Exception);
    CHECK_FALSE(bw::AttemptForecast<>::make({.quantile = 50.0}));
    CHECK(bw::AttemptForecast<>::make({}));
}
