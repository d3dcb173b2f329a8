// The slowest answers: one in a hundred stalls for half a second. Another attempt after the 95th percentile takes the
// stalls out of the tail (Dean, Barroso, "The Tail at Scale", 2013), at the cost of some more work.
#include "in_parallel.hpp"
#include "picture.hpp"
#include "settings.hpp"
#include "table.hpp"

#include <breakwater/hedge.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/simulation.hpp>
#include <breakwater/testing/simulation/service.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace outage_lab {
namespace {

namespace bw = breakwater;
using namespace std::chrono_literals;

struct Trial {
    std::string_view name;
    bw::HedgeOptions hedge;
    std::uint32_t workers = 20;
    std::vector<double> latencies{};  // ms, in order
    double load = 0;                  // calls that reached the service, by calls made
    double busy = 0;                  // share of the workers' time
};

std::vector<Trial> trials() {
    const auto at = [](double quantile) {
        return bw::HedgeOptions{.quantile = quantile,
                                .budget = {.ratio = 1.25 * (1 - quantile), .floor_per_second = 1}};
    };
    return {{"no hedge", {.max_hedges = 0}},
            {"hedge at p99", at(0.99)},
            {"hedge at p95 (default)", {}},
            {"hedge at p90", at(0.90)},
            {"busy: no hedge", {.max_hedges = 0}, 14},
            {"busy: hedge at p95", {}, 14},
            {"busy: hedge at p90", at(0.90), 14}};
}
constexpr std::size_t drawn = 4;  // of these, the first

constexpr bw::Duration between_calls = 2'500us;

template <class Guard>
bw::Task<> make_call(const Guard& guard, bw::testing::SimulatedService& service, std::vector<double>& latencies) {
    const auto clock = service.simulation().clock();
    const bw::Instant began = clock.now();
    auto attempt = [&service](std::stop_token stop) -> bw::Task<bw::Result<void>> {
        auto asked = service.call(10s, stop);
        if (co_await asked == bw::testing::SimulatedService::Answer::good) co_return bw::Result<void>{};
        co_return bw::fail(stop.stop_requested() ? bw::Errc::cancelled : bw::Errc::failure);
    };
    auto call = guard.run_async(attempt);
    if (co_await call) latencies.push_back(std::chrono::duration<double, std::milli>(clock.now() - began).count());
}

template <class Guard>
bw::Task<> make_calls(const Guard& guard, bw::testing::SimulatedService& service, Trial& trial, std::size_t count) {
    bw::testing::Simulation& world = service.simulation();
    bw::Random random{world.seed()};
    for (std::size_t i = 0; i < count; ++i) {
        co_await world.clock().sleep_for(bw::testing::exponential(between_calls).draw(random));
        world.start(make_call(guard, service, trial.latencies));
    }
}

void simulate(Trial& trial, std::size_t calls, std::uint64_t seed) {
    bw::testing::Simulation world{seed};
    const bw::Instant began = world.now();
    bw::testing::RandomDuration work = bw::testing::log_normal(20ms, 0.4);
    work.stall_share = 0.01;
    work.stall = 500ms;
    bw::testing::SimulatedService service{world,
                                          {.workers = trial.workers,
                                           .work = work,
                                           .round_trip = bw::testing::constantly(2ms),
                                           .abandoned = bw::testing::SimulatedServiceOptions::Abandoned::dropped}};
    const bw::MemoryStore store{world.clock()};
    const bw::Pipeline guard{bw::UseClock{world.clock()}, bw::Hedge{trial.hedge, store}};
    world.start(make_calls(guard, service, trial, calls));
    world.run();
    std::ranges::sort(trial.latencies);
    trial.load = static_cast<double>(service.counts().calls) / static_cast<double>(calls);
    trial.busy = std::chrono::duration<double>(service.worked_for()) /
                 (std::chrono::duration<double>(world.now() - began) * trial.workers);
}

double quantile(const std::vector<double>& sorted, double share) {
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

std::string drawing(const std::vector<Trial>& all) {
    std::string text =
        "set title 'How many calls take longer, with another attempt after a percentile' font ',14'\n"
        "set xlabel 'latency (ms)'\nset ylabel 'share of the calls that take longer'\n"
        "set logscale xy\nset xrange [5:5000]\nset yrange [0.0001:1]\nset format y '%g'\nset key bottom left\n"
        "set arrow 1 from 5, 0.01 to 5000, 0.01 nohead lc rgb '#999999'\nset label 1 'p99' at 3500, 0.0125\n"
        "set arrow 2 from 5, 0.001 to 5000, 0.001 nohead lc rgb '#999999'\nset label 2 'p99.9' at 3000, 0.00125\n";
    for (std::size_t i = 0; i < drawn; ++i) {
        text += (i == 0 ? "plot " : ", ") + std::string{"'tail.csv' using 2:(stringcolumn(1) eq '"};
        text.append(all[i].name).append("' ? $3 : 1/0) with lines").append(Picture::line(i)).append(" title '");
        text.append(all[i].name).append("'");
    }
    return text;
}

}  // namespace

void tail(const Settings& settings) {
    const std::size_t calls = settings.is_quick ? 20'000 : 400'000;
    std::cout << "tail: " << calls << " calls, 400/s; 20 ms (median), one in a hundred stalls for 500 ms (mean);\n"
              << "20 workers, and where it says busy 14\n\n";
    std::vector<Trial> all = trials();
    in_parallel(all.size(), [&](std::size_t i) { simulate(all[i], calls, settings.seed); });

    Picture picture{settings, "tail"};
    picture.csv() << "strategy,latency_ms,share_slower\n";
    Table table{{"strategy", "p50 ms", "p99 ms", "p99.9 ms", "requests per call", "workers busy"}};
    for (const Trial& trial : all) {
        double slower = 1;
        for (int i = 0; i <= 400; ++i, slower *= 0.977)
            picture.csv() << trial.name << ',' << figure(quantile(trial.latencies, 1 - slower), 3) << ','
                          << figure(slower, 7) << '\n';
        table.add({std::string{trial.name}, figure(quantile(trial.latencies, 0.5), 1),
                   figure(quantile(trial.latencies, 0.99), 1), figure(quantile(trial.latencies, 0.999), 1),
                   figure(trial.load, 3), figure(100 * trial.busy, 1) + " %"});
    }
    table.print();
    picture.draw(drawing(all));
}

}  // namespace outage_lab
