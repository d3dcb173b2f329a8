#include <breakwater/resilient_client.hpp>
#include <breakwater/testing/simulation.hpp>
#include <breakwater/testing/simulation/outage.hpp>
#include <breakwater/testing/simulation/service.hpp>
#include <breakwater/testing/simulation/transport.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <stop_token>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::testing::constantly;
using bw::testing::exponential;
using bw::testing::Outage;
using bw::testing::RandomDuration;
using bw::testing::SimulatedService;
using bw::testing::SimulatedServiceOptions;
using bw::testing::SimulatedTransport;
using bw::testing::Simulation;
using Answer = SimulatedService::Answer;

static_assert(bw::AsyncTransport<SimulatedTransport>);

namespace {

struct Ended {
    Answer answer{};
    bw::Duration at{};
    friend bool operator==(const Ended&, const Ended&) = default;
    friend std::ostream& operator<<(std::ostream& out, const Ended& end) {
        return out << static_cast<int>(end.answer) << " at " << bw::format_duration(end.at);
    }
};

struct World {
    explicit World(SimulatedServiceOptions options, std::uint64_t seed = 1)
        : simulation{seed}, service{simulation, std::move(options)} {}

    bw::Duration now() const { return simulation.now() - bw::Instant{1h}; }
    /// A call at `at`; its end is kept in the order of the calls.
    void call_at(bw::Duration at, bw::Duration timeout = 1h, std::stop_token stop = {}) {
        ends.emplace_back();
        simulation.start(call(at, timeout, std::move(stop), ends.size() - 1));
    }
    bw::Task<> call(bw::Duration at, bw::Duration timeout, std::stop_token stop, std::size_t index) {
        co_await simulation.clock().sleep_until(bw::Instant{1h} + at);
        auto asked = service.call(timeout, stop);
        const Answer answer = co_await asked;
        ends[index] = {answer, now()};
    }

    Simulation simulation;
    SimulatedService service;
    std::vector<Ended> ends;
};

/// How long a call waits in the queue on average in an M/M/c system (Erlang's C formula), in units of the work's mean.
double expected_wait(unsigned workers, double load) {
    const double offered = load * workers;
    double term = 1, sum = 1;
    for (unsigned i = 1; i < workers; ++i) sum += term *= offered / i;
    term *= offered / workers;
    const double all_busy = term / (1 - load) / (sum + term / (1 - load));
    return all_busy / (workers * (1 - load));
}

bw::Task<> poisson(World& world, bw::Duration between, int calls, double& total_ms) {
    bw::Random random{world.simulation.seed()};
    const auto one = [](World& at, double& total) -> bw::Task<> {
        const bw::Instant began = at.simulation.now();
        auto asked = at.service.call(1h);
        (void)co_await asked;
        total += std::chrono::duration<double, std::milli>(at.simulation.now() - began).count();
    };
    for (int i = 0; i < calls; ++i) {
        co_await world.simulation.clock().sleep_for(exponential(between).draw(random));
        world.simulation.start(one(world, total_ms));
    }
}

}  // namespace

TEST_CASE("calls are worked at by as many workers as there are, and those beyond wait in order") {
    World world{{.workers = 2, .work = constantly(100ms), .round_trip = constantly(7ms)}};
    for (int i = 0; i < 5; ++i) world.call_at(bw::Duration{i});
    world.simulation.run();
    CHECK(world.ends == std::vector<Ended>{{Answer::good, 107ms},
                                           {Answer::good, 107ms + 1us},
                                           {Answer::good, 207ms},
                                           {Answer::good, 207ms + 1us},
                                           {Answer::good, 307ms}});
    CHECK(world.service.counts().worked == 5);
    CHECK(world.service.worked_for() == 500ms);
}

TEST_CASE("a simulated service is as slow as queueing theory says") {
    for (const auto& [workers, load] : {std::pair{1U, 0.5}, {1U, 0.8}, {4U, 0.7}, {20U, 0.9}}) {
        World world{{.workers = workers, .work = exponential(10ms)}, 3};
        constexpr int calls = 100'000;
        double total_ms = 0;
        const bw::Duration between{static_cast<std::int64_t>(10'000 / (load * workers))};
        world.simulation.run(poisson(world, between, calls, total_ms));
        world.simulation.run();
        const double wait = total_ms / calls / 10 - 1;
        INFO(workers << " workers, load " << load << ": waits " << wait << ", in theory "
                     << expected_wait(workers, load));
        CHECK(std::abs(wait - expected_wait(workers, load)) < 0.1 * (0.5 + expected_wait(workers, load)));
    }
}

TEST_CASE("a service with a full queue refuses at once") {
    World world{{.work = constantly(100ms), .max_queue = 1, .round_trip = constantly(5ms)}};
    for (int i = 0; i < 3; ++i) world.call_at(bw::Duration{i});
    world.simulation.run();
    CHECK(world.ends[2] == Ended{Answer::refused, 5ms + 2us});
    CHECK(world.service.counts().refused == 1);
}

TEST_CASE("a caller leaves when its time is up, and the service may work for nobody") {
    using Abandoned = SimulatedServiceOptions::Abandoned;
    for (const auto abandoned : {Abandoned::worked, Abandoned::dropped}) {
        World world{{.work = constantly(100ms), .abandoned = abandoned}};
        world.call_at(0ms, 50ms);  // in work
        world.call_at(1ms, 50ms);  // in the queue
        world.call_at(2ms, 500ms);
        world.simulation.run();
        const bool is_dropped = abandoned == Abandoned::dropped;
        CHECK(world.ends == std::vector<Ended>{{Answer::timed_out, 50ms},
                                               {Answer::timed_out, 51ms},
                                               {Answer::good, is_dropped ? 200ms : 300ms}});
        CHECK(world.service.counts().worked == (is_dropped ? 2 : 3));
        CHECK(world.service.counts().in_vain == (is_dropped ? 1 : 2));
        CHECK(world.service.counts().good == 1);
    }
}

TEST_CASE("an answer that is on its way when the time is up comes too late") {
    World world{{.work = constantly(100ms), .round_trip = constantly(20ms)}};
    world.call_at(0ms, 110ms);
    world.call_at(1s, 120ms);
    world.simulation.run();
    CHECK(world.ends == std::vector<Ended>{{Answer::timed_out, 110ms}, {Answer::good, 1s + 120ms}});
}

TEST_CASE("a stop request ends a call in the queue, at work and on its way") {
    World world{{.work = constantly(100ms), .round_trip = constantly(20ms)}};
    std::stop_source stop;
    world.call_at(0ms, 1s, stop.get_token());
    world.call_at(20ms, 1s, stop.get_token());
    world.call_at(30ms, 1s, stop.get_token());
    const auto ask = [](Simulation& at, std::stop_source source) -> bw::Task<> {
        co_await at.clock().sleep_for(110ms);
        source.request_stop();
    };
    world.simulation.start(ask(world.simulation, stop));
    world.simulation.run();
    CHECK(world.ends == std::vector<Ended>(3, {Answer::stopped, 110ms}));
    world.call_at(1s, 1s, stop.get_token());
    world.simulation.run();
    CHECK(world.ends[3] == Ended{Answer::stopped, 1s});
    CHECK(world.service.counts().calls == 3);
}

TEST_CASE("outages come and go by the script") {
    World world{{.workers = 4,
                 .work = constantly(100ms),
                 .script = {{.at = 1s, .lasts = 1s, .reach = Outage::Reach::refuses},
                            {.at = 3s, .lasts = 1s, .reach = Outage::Reach::hangs},
                            {.at = 5s, .lasts = 1s, .slowdown = 3},
                            {.at = 7s, .lasts = 1s, .error_rate = 1},
                            {.at = 9s, .lasts = 1s, .capacity = 0.25}}}};
    world.call_at(0s);
    world.call_at(1s);
    world.call_at(3s, 200ms);
    world.call_at(5s);
    world.call_at(7s);
    for (int i = 0; i < 2; ++i) world.call_at(9s);
    world.call_at(10s - 10ms);
    world.call_at(10s - 10ms);
    world.simulation.run();
    CHECK(world.ends == std::vector<Ended>{{Answer::good, 100ms},
                                           {Answer::refused, 1s},
                                           {Answer::timed_out, 3200ms},
                                           {Answer::good, 5300ms},
                                           {Answer::failed, 7100ms},
                                           {Answer::good, 9100ms},
                                           {Answer::good, 9200ms},
                                           {Answer::good, 10s + 90ms},
                                           {Answer::good, 10s + 100ms}});  // the others are back
}

TEST_CASE("outages that overlap add up") {
    const std::vector<Outage> script{{.at = 0s, .lasts = 10s, .slowdown = 2, .error_rate = 0.5},
                                     {.at = 5s, .slowdown = 3, .capacity = 0.5, .error_rate = 0.5}};
    CHECK(Outage::at_once(script, 4s).slowdown == 2);
    CHECK(Outage::at_once(script, 5s).slowdown == 6);
    CHECK(Outage::at_once(script, 5s).error_rate == 0.75);
    CHECK(Outage::at_once(script, 10s).slowdown == 3);
    CHECK(Outage::next_change(script, 0s) == 5s);
    CHECK(Outage::next_change(script, 5s) == 10s);
    CHECK(Outage::next_change(script, 10s) == bw::Duration::max());
}

TEST_CASE("random durations have the mean and the median that they say") {
    bw::Random random{9};
    const auto sample = [&](const RandomDuration& of) {
        std::vector<double> ms;
        for (int i = 0; i < 100'001; ++i)
            ms.push_back(std::chrono::duration<double, std::milli>(of.draw(random)).count());
        std::ranges::sort(ms);
        return ms;
    };
    const auto mean = [](const std::vector<double>& all) {
        double sum = 0;
        for (const double one : all) sum += one;
        return sum / static_cast<double>(all.size());
    };
    CHECK(sample(constantly(5ms)).front() == 5);
    CHECK(mean(sample(exponential(20ms))) == Approx(20).epsilon(0.02));
    const auto normal = sample(bw::testing::log_normal(20ms, 0.4));
    CHECK(normal[50'000] == Approx(20).epsilon(0.02));
    CHECK(normal[84'134] == Approx(20 * std::exp(0.4)).epsilon(0.02));
    auto stalling = constantly(1ms);
    stalling.stall_share = 0.1;
    stalling.stall = 50ms;
    CHECK(mean(sample(stalling)) == Approx(6).epsilon(0.05));
}

TEST_CASE("a client runs in virtual time against a simulated service") {
    World world{{.workers = 4,
                 .work = constantly(30ms),
                 .round_trip = constantly(10ms),
                 .script = {{.at = 10s, .lasts = 30s, .reach = Outage::Reach::hangs}}}};
    const bw::ResilientClient client{
        bw::ClientOptions{.base_url = "https://service.test",
                          .timeouts = {.attempt = 2s, .connect = 1s, .deadline = 20s},
                          .circuit_breaker = {.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 40s},
                          .retry = {.max_retries = 2, .backoff = {.base = 100ms, .jitter = bw::Jitter::none}}},
        SimulatedTransport{world.service,
                           [](const bw::Request& request) { return bw::Response{.status = 200, .body = request.url}; }},
        bw::MemoryStore{world.simulation.clock()}};
    const auto page = world.simulation.run(client.async_get("/a"));
    REQUIRE(page);
    CHECK(page->body == "https://service.test/a");
    CHECK(world.now() == 40ms);

    world.simulation.run_until(bw::Instant{1h + 10s});
    const auto none = world.simulation.run(client.async_get("/a"));
    REQUIRE(!none);
    CHECK(none.error().code() == bw::Errc::attempt_timeout);
    CHECK(none.error().attempts() == 3);
    CHECK(world.now() == 10s + 2s + 100ms + 2s + 200ms + 2s);
    CHECK(world.simulation.run(client.async_get("/a")).error().code() == bw::Errc::circuit_open);
    world.simulation.run_until(bw::Instant{1h + 60s});
    CHECK(client.get("/b"));  // blocking: the simulation goes on meanwhile
    CHECK(world.now() == 60s + 40ms);
}
