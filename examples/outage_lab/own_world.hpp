#pragma once

#include "own_file.hpp"
#include "table.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/simulation.hpp>
#include <breakwater/testing/simulation/service.hpp>
#include <breakwater/testing/simulation/transport.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace outage_lab {

struct Slice {
    std::uint32_t calls = 0, good = 0, refused = 0, attempts = 0;
};

/// What came of it all.
struct Ending {
    bw::Duration slice{};
    std::vector<Slice> slices{};      // the calls by when they began
    std::vector<double> latencies{};  // of good answers, ms, in order
    std::uint64_t calls = 0, refused = 0;
    bw::testing::SimulatedService::Counts service{};

    double good_share() const { return static_cast<double>(latencies.size()) / static_cast<double>(calls); }
    double requests_per_call() const { return static_cast<double>(service.calls) / static_cast<double>(calls); }
};

inline std::vector<std::string> row(const std::string& first, const Ending& ending) {
    const auto percent = [](double part, double whole) { return figure(whole > 0 ? 100 * part / whole : 0, 2) + " %"; };
    const auto quantile = [&](double share) {
        const auto& all = ending.latencies;
        return all.empty() ? "-"
                           : figure(all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))], 1);
    };
    return {first,
            percent(ending.good_share(), 1),
            quantile(0.5),
            quantile(0.99),
            percent(static_cast<double>(ending.refused), static_cast<double>(ending.calls)),
            figure(ending.requests_per_call(), 3),
            percent(static_cast<double>(ending.service.in_vain), static_cast<double>(ending.service.worked))};
}

using OwnClient = bw::ResilientClient<bw::testing::SimulatedTransport, bw::MemoryStore<bw::testing::SimulatedClock>>;

class OwnSimulation {
public:
    OwnSimulation(const OwnWorld& world, std::uint64_t seed) : world_{world}, simulation_{seed} {
        ending_.slice = std::max<bw::Duration>(world.duration / 200, std::chrono::milliseconds{100});
        ending_.slices.resize(static_cast<std::size_t>(world.duration / ending_.slice) + 1);
    }

    Ending run() {
        for (std::uint32_t i = 0; i < world_.processes; ++i) {
            bw::ClientOptions options = world_.client;
            if (options.base_url.empty()) options.base_url = "https://service.test";
            for (auto* seed : {&options.retry.seed, &options.circuit_breaker.seed})
                if (!*seed) *seed = simulation_.seed();
            if (options.throttle && !options.throttle->seed) options.throttle->seed = simulation_.seed();
            simulation_.start(live(
                OwnClient{options, bw::testing::SimulatedTransport{service_}, bw::MemoryStore{simulation_.clock()}}));
        }
        simulation_.run();
        std::ranges::sort(ending_.latencies);
        ending_.service = service_.counts();
        ending_.slices.resize(static_cast<std::size_t>(world_.duration / ending_.slice));
        return std::move(ending_);
    }

private:
    Slice& slice_now() {
        const auto at = static_cast<std::size_t>((simulation_.now() - begin_) / ending_.slice);
        return ending_.slices[std::min(at, ending_.slices.size() - 1)];
    }

    /// A process makes calls at random, whatever becomes of those before.
    bw::Task<> live(OwnClient client) {
        const double rate = world_.calls_per_second / world_.processes;
        const auto pause = bw::testing::exponential(bw::Duration{static_cast<std::int64_t>(1e6 / rate)});
        for (;;) {
            co_await simulation_.clock().sleep_for(pause.draw(random_));
            if (simulation_.now() >= begin_ + world_.duration) co_return;
            simulation_.start(call(client));
        }
    }
    bw::Task<> call(OwnClient client) {
        Slice& slice = slice_now();
        const bw::Instant began = simulation_.now();
        ++slice.calls;
        ++ending_.calls;
        const std::uint64_t target = bw::uniform(random_(), world_.targets - 1);
        const auto answer = co_await client.async_get("/items/" + std::to_string(target));
        const auto& timeline = answer ? answer->timeline : answer.error().timeline();
        slice.attempts += static_cast<std::uint32_t>(timeline.size());
        if (answer) {
            ++slice.good;
            ending_.latencies.push_back(std::chrono::duration<double, std::milli>(simulation_.now() - began).count());
        } else if (bw::is_refusal(answer.error().code())) {
            ++slice.refused;
            ++ending_.refused;
        }
    }

    const OwnWorld& world_;
    bw::testing::Simulation simulation_;
    bw::testing::SimulatedService service_{simulation_, world_.service};
    bw::Random random_{simulation_.seed()};
    const bw::Instant begin_ = simulation_.now();
    Ending ending_;
};

inline Ending simulate(const OwnWorld& world, std::uint64_t seed) { return OwnSimulation{world, seed}.run(); }

}  // namespace outage_lab
