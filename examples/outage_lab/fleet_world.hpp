#pragma once

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/store/fleet.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/simulation.hpp>
#include <breakwater/testing/simulation/service.hpp>
#include <breakwater/testing/virtual_server.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace outage_lab::fleet_world {

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::testing::SimulatedClock;
using bw::testing::SimulatedService;
using StoreServer = bw::testing::BasicVirtualServer<SimulatedClock>;
using SharedStore = bw::FleetStore<bw::testing::BasicVirtualLink<SimulatedClock>>;
using LocalStore = bw::MemoryStore<SimulatedClock>;

constexpr bw::Duration all = 6min;
constexpr bw::Duration slice = 100ms;  ///< Of the figures over time.

/// When nobody answers, and which process has a broken network of its own.
struct Trouble {
    bw::Duration at = all, lasts{};
    bool poisons_first = false;
};

struct Slice {
    std::size_t attempts = 0, refused = 0, open = 0;  ///< `refused`: calls of the sound processes.
};
using Slices = std::vector<Slice>;

struct World {
    World(std::uint64_t seed, const Trouble& trouble)
        : simulation{seed},
          service{simulation,
                  {.workers = 1'000'000,
                   .work = bw::testing::exponential(20ms),
                   .script = {{.at = trouble.at, .lasts = trouble.lasts, .reach = bw::testing::Outage::Reach::hangs}}}},
          random{simulation.seed()},
          poisons_first{trouble.poisons_first},
          slices(static_cast<std::size_t>(all / slice) + 100) {}

    Slice& slice_now() noexcept { return slices[static_cast<std::size_t>((simulation.now() - begin) / slice)]; }

    bw::testing::Simulation simulation;
    StoreServer store_server{simulation.clock()};
    SimulatedService service;
    bw::Random random;
    bool poisons_first;
    Slices slices;
    const bw::Instant begin = simulation.now();
};

/// A process calls once a second on average. One whose network is broken fails at once, and so calls more often.
template <class Breaker>
bw::Task<> live(const Breaker& breaker, World& world, bool is_poisoned) {
    const SimulatedClock clock = world.simulation.clock();
    const bw::Pipeline guard{bw::UseClock{clock}, breaker};
    for (;;) {
        co_await clock.sleep_for(bw::testing::exponential(is_poisoned ? 10ms : 1s).draw(world.random));
        if (clock.now() >= world.begin + all) co_return;
        auto attempt = [&]() -> bw::Task<bw::Result<void>> {
            if (is_poisoned) co_return bw::fail(bw::Errc::connect_failed);
            ++world.slice_now().attempts;
            auto asked = world.service.call(1s);
            const auto answer = co_await asked;
            if (answer != SimulatedService::Answer::good) co_return bw::fail(bw::Errc::attempt_timeout);
            co_return bw::Result<void>{};
        };
        auto call = guard.run_async(attempt);
        const auto result = co_await call;
        if (!result && bw::is_refusal(result.error().code()) && !is_poisoned) ++world.slice_now().refused;
    }
}

/// Counts the processes that refuse.
template <class Breaker>
bw::Task<> watch(const std::vector<Breaker>& breakers, World& world) {
    const SimulatedClock clock = world.simulation.clock();
    while (clock.now() < world.begin + all) {
        world.slice_now().open = static_cast<std::size_t>(std::ranges::count_if(
            breakers, [](const Breaker& breaker) { return breaker.state() != bw::CircuitState::closed; }));
        co_await clock.sleep_for(slice);
    }
}

template <class StoreBy>
Slices simulate(World& world, std::size_t processes, StoreBy store_by) {
    using Store = decltype(store_by());
    std::vector<bw::CircuitBreaker<bw::AnyTrip, Store>> breakers;
    for (std::size_t i = 0; i < processes; ++i)
        breakers.emplace_back(bw::CircuitBreakerOptions<>{.name = "service", .seed = world.simulation.seed()},
                              store_by());
    for (std::size_t i = 0; i < processes; ++i)
        world.simulation.start(live(breakers[i], world, world.poisons_first && i == 0));
    world.simulation.start(watch(breakers, world));
    world.simulation.run_until(world.begin + all + 5s);
    return std::move(world.slices);
}

inline Slices simulate_local(const Trouble& trouble, std::size_t processes, std::uint64_t seed) {
    World world{seed, trouble};
    return simulate(world, processes, [&] { return LocalStore{world.simulation.clock()}; });
}
inline Slices simulate_shared(const Trouble& trouble, std::size_t processes, std::uint64_t seed,
                              std::optional<std::uint32_t> min_reporters = {}) {
    World world{seed, trouble};
    return simulate(world, processes, [&] {
        return SharedStore{bw::fleet::Options{.min_reporters = min_reporters}, world.store_server};
    });
}

}  // namespace outage_lab::fleet_world
