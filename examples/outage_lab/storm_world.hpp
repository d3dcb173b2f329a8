#pragma once

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/retry/budget.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/simulation.hpp>
#include <breakwater/testing/simulation/service.hpp>
#include <breakwater/throttle.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace outage_lab::storm_world {

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::testing::SimulatedClock;
using bw::testing::SimulatedService;

constexpr bw::Duration trouble_at = 10min;
constexpr bw::Duration trouble_lasts = 150s;
constexpr bw::Duration slice = 10s;  ///< Of the figures over time.
constexpr bw::Duration attempt_timeout = 1s;

/// What came of the calls that began in one slice of time, and the attempts made in it.
struct Slice {
    std::uint32_t calls = 0, good = 0, attempts = 0;
};
using Slices = std::vector<Slice>;

using Store = bw::MemoryStore<SimulatedClock>;
using RetryPolicy = bw::Retry<bw::Jitter, bw::AnyValue, bw::RetryBudget<Store>>;

/// What a process is told about retries.
struct Strategy {
    std::string_view name;
    bw::RetryOptions<> retry{};
    std::optional<double> budget{};
    bool breaks = false;
    bool throttles = false;
};

inline const std::vector<Strategy>& strategies() {
    static const std::vector<Strategy> all{
        {"no retries", {.max_retries = 0}},
        {"again each 500 ms", {.max_retries = 1'000'000, .backoff = bw::constant_backoff(500ms)}},
        {"backoff", {}},
        {"backoff + budget", {}, 0.2},
        {"backoff + breaker", {}, {}, true},
        {"backoff + throttle", {}, {}, false, true},
        {"all but throttle", {}, 0.2, true}};
    return all;
}

/// 67% of what the service can do; the queue holds as much as it does in three seconds, and nobody waits for more than
/// one. In the trouble 70% of the workers are gone.
inline bw::testing::SimulatedServiceOptions service_for(std::size_t clients) {
    const auto workers = static_cast<std::uint32_t>(clients / 1'000);
    return {.workers = workers,
            .work = bw::testing::exponential(10ms),
            .max_queue = workers * std::size_t{300},
            .round_trip = bw::testing::constantly(20ms),
            .script = {{.at = trouble_at, .lasts = trouble_lasts, .capacity = 0.3}}};
}

struct World {
    World(std::uint64_t seed, std::size_t clients, bw::Duration time)
        : lasts{time},
          simulation{seed},
          service{simulation, service_for(clients)},
          random{simulation.seed()},
          slices(static_cast<std::size_t>((lasts + 1min) / slice)) {}

    Slice& slice_now() noexcept { return slices[static_cast<std::size_t>((simulation.now() - begin) / slice)]; }

    const bw::Duration lasts;
    bw::testing::Simulation simulation;
    SimulatedService service;
    bw::Random random;
    Slices slices;  // some more, for calls under way at the end
    const bw::Instant begin = simulation.now();
};

/// A client calls every 15 s on average, as one of the thousand whom its process serves.
template <class Guard>
bw::Task<> live(const Guard& guard, World& world) {
    const SimulatedClock clock = world.simulation.clock();
    constexpr auto pause = bw::testing::exponential(15s);
    for (;;) {
        const bw::Instant next = clock.now() + pause.draw(world.random);
        if (next >= world.begin + world.lasts) co_return;
        co_await clock.sleep_until(next);
        Slice& its = world.slice_now();
        ++its.calls;
        auto attempt = [&world]() -> bw::Task<bw::Result<void>> {
            ++world.slice_now().attempts;
            auto asked = world.service.call(attempt_timeout);
            const auto answer = co_await asked;
            if (answer == SimulatedService::Answer::good) co_return bw::Result<void>{};
            co_return bw::fail(bw::Errc::attempt_timeout);
        };
        auto call = guard.run_async(attempt);
        const auto result = co_await call;
        if (result) ++its.good;
    }
}

template <class GuardBy>
Slices simulate(World& world, const Strategy& strategy, std::size_t clients, GuardBy guard_by) {
    std::vector<std::invoke_result_t<GuardBy&, RetryPolicy>> processes;
    const Store store{world.simulation.clock()};
    for (std::size_t i = 0; i < clients / 1'000; ++i) {
        bw::RetryOptions<> retry = strategy.retry;
        retry.seed = world.simulation.seed();
        processes.push_back(guard_by(RetryPolicy{retry, bw::RetryBudget{{.ratio = strategy.budget}, store}}));
    }
    for (std::size_t i = 0; i < clients; ++i) world.simulation.start(live(processes[i % processes.size()], world));
    world.simulation.run();
    return std::move(world.slices);
}

inline Slices simulate(const Strategy& strategy, std::size_t clients, std::uint64_t seed, bw::Duration lasts) {
    World world{seed, clients, lasts};
    const Store store{world.simulation.clock()};
    const bw::UseClock clock{world.simulation.clock()};
    const auto breaker = [&] {
        bw::CircuitBreakerOptions<> options{.seed = world.simulation.seed()};
        if (!strategy.breaks) options.trip = bw::never;
        return bw::CircuitBreaker{options, store};
    };
    if (!strategy.throttles)
        return simulate(world, strategy, clients, [&](RetryPolicy retry) {
            return bw::Pipeline{clock, bw::Deadline{10s}, std::move(retry), breaker()};
        });
    return simulate(world, strategy, clients, [&](RetryPolicy retry) {
        return bw::Pipeline{clock, bw::Deadline{10s}, std::move(retry),
                            bw::Throttle{bw::ThrottleOptions{.seed = world.simulation.seed()}, store}, breaker()};
    });
}

}  // namespace outage_lab::storm_world
