#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/explain.hpp>
#include <breakwater/hedge.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <sstream>
#include <stop_token>
#include <string>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::EventKind;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;

struct Script {
    bw::Duration takes{};
    std::optional<bw::Error> error{};
};

/// A service that only the test's clock moves: the n-th attempt takes as long as the n-th script says.
struct World {
    explicit World(std::vector<Script> all = {}) : scripts{std::move(all)} {}

    bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    Store store{clock};
    std::vector<Script> scripts;
    std::vector<std::string> ended;  // in the order in which attempts came back
    std::vector<std::string> events;
    std::size_t attempts = 0;

    bw::Task<bw::Result<int>> attempt(std::stop_token stop) {
        const std::size_t number = ++attempts;
        const Script script = scripts.at(number - 1);
        auto sleep = clock.sleep_until(clock.now() + script.takes, stop);
        const bool is_stopped = co_await sleep == bw::Wait::stopped;
        ended.push_back(std::to_string(number) + (is_stopped ? " stopped" : ""));
        if (is_stopped) co_return bw::fail(Errc::cancelled);
        if (script.error) co_return bw::fail(*script.error);
        co_return static_cast<int>(number);
    }
    auto function() {
        return [this](std::stop_token stop) { return attempt(std::move(stop)); };
    }
    bw::Observe observe() {
        return bw::Observe{[this](const bw::Event& event) {
            switch (event.kind) {
                case EventKind::hedge_sent:
                case EventKind::hedge_won:
                case EventKind::hedge_lost:
                    events.push_back(std::string{to_string(event.kind)} + " " + std::to_string(event.attempt));
                    break;
                default: break;
            }
        }};
    }

    /// Begins a call; its result is there when it is over.
    template <class Guard>
    std::shared_ptr<std::optional<bw::Result<int>>> start(const Guard& guard, bw::CallOptions<int> options = {}) {
        auto over = std::make_shared<std::optional<bw::Result<int>>>();
        bw::start(bw::Task<bw::Result<int>>{guard.run_async(function(), std::move(options))},
                  [over](bw::Result<int> result) { over->emplace(std::move(result)); });
        return over;
    }

    auto hedge(bw::HedgeOptions options) { return bw::Hedge{std::move(options), store}; }
};

bw::HedgeOptions after(bw::Duration delay, std::uint32_t max_hedges = 1) {
    return {.max_hedges = max_hedges, .after = delay};
}
int value(const std::optional<bw::Result<int>>& over) { return over->value_or(-1); }
bw::Error broken() { return bw::Error{Errc::receive_failed}; }

}  // namespace

TEST_CASE("while the first attempt takes long another is made beside it, and what comes first is the call's") {
    World world{{{1s}, {50ms}}};
    const bw::Pipeline guard{world.observe(), world.hedge(after(100ms))};
    const auto call = world.start(guard);
    world.clock.advance(99ms);
    CHECK(world.attempts == 1);
    world.clock.advance(1ms);
    CHECK(world.attempts == 2);
    CHECK_FALSE(call->has_value());
    world.clock.advance(50ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 2);
    CHECK(world.ended == std::vector<std::string>{"2", "1 stopped"});
    CHECK(world.events == std::vector<std::string>{"hedge_sent 2", "hedge_won 2"});
}

TEST_CASE("the first attempt may still win, and the hedge is stopped") {
    World world{{{150ms}, {1s}}};
    const bw::Pipeline guard{world.observe(), world.hedge(after(100ms))};
    const auto call = world.start(guard);
    world.clock.advance(100ms);
    world.clock.advance(50ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 1);
    CHECK(world.ended == std::vector<std::string>{"1", "2 stopped"});
    CHECK(world.events == std::vector<std::string>{"hedge_sent 2", "hedge_lost 2"});
}

TEST_CASE("an attempt that is answered in time has no hedge") {
    World world{{{99ms}}};
    const bw::Pipeline guard{world.hedge(after(100ms))};
    const auto call = world.start(guard);
    world.clock.advance(99ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 1);
    world.clock.advance(1h);
    CHECK(world.attempts == 1);
}

TEST_CASE("each further hedge is sent so long after the one before, up to the most") {
    World world{{{1s}, {1s}, {1s}}};
    const bw::Pipeline guard{world.hedge(after(100ms, 2))};
    const auto call = world.start(guard);
    world.clock.advance(100ms);
    CHECK(world.attempts == 2);
    world.clock.advance(100ms);
    CHECK(world.attempts == 3);
    world.clock.advance(700ms);
    CHECK(world.attempts == 3);
    world.clock.advance(100ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 1);
}

TEST_CASE("hedges without a delay are sent at once") {
    World world{{{1s}, {10ms}}};
    const bw::Pipeline guard{world.hedge(after(0s))};
    const auto call = world.start(guard);
    CHECK(world.attempts == 2);
    world.clock.advance(10ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 2);
}

TEST_CASE("a failed attempt leaves the call to the one beside it, and sends no hedge itself") {
    World beside{{{150ms, broken()}, {150ms}}};
    const bw::Pipeline guard{beside.hedge(after(100ms, 2))};
    const auto call = beside.start(guard);
    beside.clock.advance(100ms);
    beside.clock.advance(50ms);
    CHECK_FALSE(call->has_value());
    beside.clock.advance(100ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 2);
    CHECK(beside.attempts == 2);

    World alone{{{50ms, broken()}}};
    const bw::Pipeline other{alone.hedge(after(100ms))};
    const auto failed = alone.start(other);
    alone.clock.advance(50ms);
    REQUIRE(failed->has_value());
    CHECK((*failed)->error().code() == Errc::receive_failed);
    CHECK((*failed)->error().attempts() == 1);
}

TEST_CASE("when all attempts fail the error of the last is the call's, and a retry makes them anew") {
    World world{{{200ms, broken()}, {50ms, bw::Error{Errc::send_failed}}, {200ms}, {50ms}}};
    const bw::Pipeline guard{bw::Retry{{.max_retries = 1, .backoff = {.base = 10ms, .jitter = bw::Jitter::none}}},
                             world.hedge(after(100ms))};
    const auto call = world.start(guard);
    for (const auto step : {100ms, 50ms, 50ms, 10ms, 100ms}) world.clock.advance(step);
    CHECK(world.attempts == 4);
    world.clock.advance(50ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 4);

    World failing{{{120ms, broken()}, {50ms, bw::Error{Errc::send_failed}}}};
    const bw::Pipeline once{failing.hedge(after(100ms))};
    const auto failed = failing.start(once);
    for (const auto step : {100ms, 20ms, 30ms}) failing.clock.advance(step);
    REQUIRE(failed->has_value());
    CHECK((*failed)->error().code() == Errc::send_failed);
    CHECK((*failed)->error().attempts() == 2);
}

TEST_CASE("an error that no retry would mend is an answer") {
    World world{{{1s}, {50ms, std::move(bw::Error{Errc::http_status}.set_status(404))}}};
    const bw::Pipeline guard{world.hedge(after(100ms))};
    const auto call = world.start(guard);
    world.clock.advance(100ms);
    world.clock.advance(50ms);
    REQUIRE(call->has_value());
    CHECK((*call)->error().status() == 404);
    CHECK(world.ended.back() == "1 stopped");
}

TEST_CASE("what may not be sent twice has no hedge") {
    World world{{{1s}}};
    const bw::Pipeline guard{world.hedge(after(100ms))};
    const auto call = world.start(guard, {.resendable = false});
    world.clock.advance(1s);
    REQUIRE(call->has_value());
    CHECK(world.attempts == 1);
}

TEST_CASE("the hedges' budget stops new ones only") {
    World world{{{200ms}, {200ms}, {200ms}, {200ms}}};
    const auto hedge = world.hedge({.after = 100ms, .budget = {.ratio = 0.5, .floor_per_second = 0, .burst = 1}});
    const bw::Pipeline guard{hedge};
    const auto first = world.start(guard);
    const auto second = world.start(guard);
    world.clock.advance(100ms);
    CHECK(world.attempts == 3);  // one hedge for two calls
    CHECK(hedge.snapshot().available == 0);
    world.clock.advance(100ms);
    REQUIRE(first->has_value());
    REQUIRE(second->has_value());
    CHECK(first->value());
    CHECK(second->value());
}

TEST_CASE("a hedge that finds no permit is not sent, says nothing, and costs no budget") {
    World world{{{200ms}}};
    const auto hedge = world.hedge({.after = 100ms, .budget = {.floor_per_second = 0, .burst = 1}});
    const bw::Bulkhead bulkhead{{.max_concurrent = 1, .max_queue = 10}};
    const bw::Pipeline guard{world.observe(), hedge, bulkhead};
    const auto call = world.start(guard);
    world.clock.advance(100ms);
    CHECK(bulkhead.snapshot().queued == 0);
    CHECK(world.attempts == 1);
    world.clock.advance(100ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 1);
    CHECK(world.events == std::vector<std::string>{"hedge_sent 2"});
    CHECK(hedge.snapshot().available == 1);
}

TEST_CASE("a half-open circuit is probed by one attempt, and losers are neutral to it") {
    World world{{{1s, broken()}, {400ms}, {400ms}, {10ms}}};
    const bw::CircuitBreaker breaker{
        {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 1s, .half_open_probes = 2}, world.store};
    const bw::Pipeline guard{world.hedge(after(100ms)), breaker};
    (void)world.start(guard, {.resendable = false});
    world.clock.advance(1s);
    CHECK(breaker.snapshot().state == bw::CircuitState::open);
    world.clock.advance(1s);
    const auto probe = world.start(guard);
    world.clock.advance(100ms);
    CHECK(world.attempts == 2);
    CHECK(breaker.snapshot().probes_in_flight == 1);
    world.clock.advance(300ms);
    REQUIRE(probe->has_value());
    CHECK(value(*probe) == 2);
    CHECK(breaker.snapshot().state == bw::CircuitState::closed);

    const auto call = world.start(guard);
    world.clock.advance(100ms);
    world.clock.advance(10ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 4);
    CHECK(breaker.snapshot().state == bw::CircuitState::closed);
}

TEST_CASE("without a fixed delay it is learned from the answers, and no hedge is sent before") {
    World world;
    for (int i = 0; i < 20; ++i) world.scripts.push_back({20ms});
    world.scripts.push_back({1s});
    world.scripts.push_back({10ms});
    const auto hedge = world.hedge({.minimum_samples = 20});
    const bw::Pipeline guard{hedge};
    for (int i = 0; i < 20; ++i) {
        CHECK_FALSE(hedge.snapshot().after);
        const auto call = world.start(guard);
        world.clock.advance(20ms);
        REQUIRE(call->has_value());
    }
    REQUIRE(hedge.snapshot().after);
    CHECK(*hedge.snapshot().after > 18ms);
    CHECK(*hedge.snapshot().after < 22ms);
    const auto call = world.start(guard);
    world.clock.advance(22ms);
    CHECK(world.attempts == 22);
    world.clock.advance(10ms);
    REQUIRE(call->has_value());
    CHECK(value(*call) == 22);
}

TEST_CASE("a stop request ends all attempts of a call") {
    World world{{{1s}, {1s}}};
    const bw::Pipeline guard{world.hedge(after(100ms))};
    std::stop_source stop;
    const auto call = world.start(guard, {.stop = stop.get_token()});
    world.clock.advance(100ms);
    CHECK(world.attempts == 2);
    stop.request_stop();
    REQUIRE(call->has_value());
    CHECK((*call)->error().code() == Errc::cancelled);
    CHECK(world.ended.size() == 2);
}

TEST_CASE("hedges are told of and checked") {
    CHECK(validate(bw::HedgeOptions{.max_hedges = 11}).error().detail() == "hedge.max_hedges: must be 0 to 10, got 11");
    CHECK(validate(bw::HedgeOptions{.after = -1ms}).error().detail() == "hedge.after: must be 0s to 24h, got -1ms");
    CHECK(validate(bw::HedgeOptions{.quantile = 0.2}).error().detail() ==
          "hedge.quantile: must be 0.5 to 0.999, got 0.2");
    CHECK(validate(bw::HedgeOptions{.minimum_samples = 0}).error().detail() ==
          "hedge.minimum_samples: must be 1 to 6000, got 0");
    CHECK(validate(bw::HedgeOptions{.budget = {.burst = 0}}).error().detail() ==
          "hedge.budget.burst: must be 1 to 10000, got 0");
    CHECK_FALSE(bw::Hedge<>::make({.max_hedges = 11}));

    const bw::Pipeline guard{bw::Retry{{.max_retries = 1}}, bw::Hedge{{.after = 80ms}}};
    std::ostringstream text;
    text << explain(guard);
    CHECK(
        text.str().find("up to 1 more side by side, each sent after 80 ms; of all attempts no more than 5 % and 1 per "
                        "second") != std::string::npos);
    CHECK(text.str().find("at worst a call makes 4 attempts") != std::string::npos);

    const bw::Hedge hedge{{.name = "a", .after = 80ms}};
    CHECK(hedge.reconfigured({.name = "a", .after = 90ms})->snapshot().after == 90ms);
    CHECK_FALSE(hedge.reconfigured({.name = "b"}));
}
