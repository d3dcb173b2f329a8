// What a pipeline does, as its metrics tell it.
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/coalesce.hpp>
#include <breakwater/hedge.hpp>
#include <breakwater/keyed.hpp>
#include <breakwater/observe/metrics.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>
#include <unit/prometheus_page.hpp>

#include <chrono>
#include <stop_token>
#include <string>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::MetricCounts;
using test::PrometheusPage;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;

/// A service that answers after 100 ms by the test's clock.
struct World {
    bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    bw::Metrics metrics;
    int attempts = 0;

    bw::Observe observe() const { return bw::Observe{metrics, "ledger"}; }
    bw::Task<bw::Result<int>> attempt(std::stop_token stop) {
        ++attempts;
        auto sleep = clock.sleep_until(clock.now() + 100ms, stop);
        if (co_await sleep == bw::Wait::stopped) co_return bw::fail(bw::Errc::cancelled);
        co_return 1;
    }
    template <class... P>
    void start(const bw::Pipeline<P...>& guard, bw::CallOptions<int> options = {}) {
        auto call =
            guard.run_async([this](std::stop_token stop) { return attempt(std::move(stop)); }, std::move(options));
        bw::start(bw::Task<bw::Result<int>>{std::move(call)}, [](const bw::Result<int>&) {});
    }

    bw::ClientMetrics seen() const { return *metrics.snapshot().client("ledger"); }
    PrometheusPage page() const { return PrometheusPage{metrics.prometheus_text()}; }
};

}  // namespace

TEST_CASE("a pipeline's calls are counted under the name that it is observed by") {
    const World world;
    const bw::Pipeline guard{bw::UseClock{bw::ManualClock{}}, world.observe(), bw::Retry{{.max_retries = 1}}};
    CHECK(guard.run([] { return 1; }));
    CHECK_FALSE(guard.run([]() -> bw::Result<int> { return bw::fail(bw::Errc::connect_failed); }));
    CHECK(world.seen().calls_by_outcome == MetricCounts{{"success", 1}, {"failure", 1}});
    CHECK(world.seen().calls_by_source == MetricCounts{{"network", 1}, {"none", 1}});
    CHECK(world.seen().attempts_by_outcome == MetricCounts{{"success", 1}, {"failure", 2}});
    CHECK(world.page().sum("breakwater_attempts_total", {{"result", "ok"}}) == 1);
    CHECK(world.seen().retries == 1);
}

TEST_CASE("calls that share a run are coalesced ones, but for the one that made it") {
    World world;
    const bw::Pipeline guard{bw::UseClock{world.clock}, world.observe(), bw::Coalesce<int>{}};
    for (int i = 0; i < 3; ++i) world.start(guard, {.key = "milk"});
    CHECK(world.seen().attempts_in_flight == 1);
    world.clock.advance(100ms);
    CHECK(world.attempts == 1);
    CHECK(world.seen().attempts_in_flight == 0);
    CHECK(world.seen().calls_by_source == MetricCounts{{"network", 1}, {"coalesced", 2}});
    CHECK(world.page().value("breakwater_coalesced_total", {{"client", "ledger"}}) == 2);
}

TEST_CASE("a hedge is counted when it is sent, and by whose answer was first") {
    World world;
    const bw::Pipeline guard{bw::UseClock{world.clock}, world.observe(), bw::Hedge{{.after = 60ms}}};
    world.start(guard);
    world.clock.advance(60ms);
    CHECK(world.seen().hedges_sent == 1);
    CHECK(world.seen().attempts_in_flight == 2);
    world.clock.advance(40ms);
    CHECK(world.seen().hedges_won == 0);
    CHECK(world.seen().attempts_in_flight == 0);
    CHECK(world.page().value("breakwater_hedges_lost_total", {{"client", "ledger"}}) == 1);
    CHECK(world.seen().calls_by_outcome == MetricCounts{{"success", 1}});
    CHECK(world.seen().attempts_by_outcome == MetricCounts{{"success", 1}, {"cancelled", 1}});
}

TEST_CASE("each key's circuit has a state of its own, and keys without end are folded") {
    const bw::KeyedCircuitBreaker<bw::AnyTrip, Store> breaker{
        {.each = {.name = "tenants", .trip = bw::ConsecutiveFailures{1}}, .max_keys = 10}, Store{bw::ManualClock{}}};
    const bw::Metrics metrics{{.max_names = 3}};
    const bw::Pipeline guard{bw::Observe{metrics, "ledger"}, breaker};
    for (int i = 0; i < 5; ++i) {
        const std::string tenant = "t" + std::to_string(i);
        (void)guard.run([]() -> bw::Result<int> { return bw::fail(bw::Errc::failure); }, {.key = tenant});
    }
    (void)guard.run([] { return 1; }, {.key = "another"});
    const PrometheusPage page{metrics.prometheus_text()};
    CHECK(page.value("breakwater_circuit_state", {{"client", "ledger"}, {"policy", "tenants t0"}, {"state", "open"}}) ==
          1);
    CHECK(page.sum("breakwater_circuit_state", {{"state", "open"}}) == 3);
    CHECK(page.sum("breakwater_circuit_transitions_total", {{"policy", "other"}}) == 2);
}
