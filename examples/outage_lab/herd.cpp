// The model of Marc Brooker's "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): N clients begin at once
// to change one row by optimistic concurrency. Of those that have read the same version one wins; the others come
// again.
#include "picture.hpp"
#include "settings.hpp"
#include "table.hpp"

#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/simulation.hpp>
#include <breakwater/testing/simulation/random_duration.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace outage_lab {
namespace {

namespace bw = breakwater;
using namespace std::chrono_literals;

struct Strategy {
    std::string_view name;
    bw::Backoff<> backoff;
};
constexpr bw::Backoff<> with(bw::Jitter jitter) { return {.base = 5ms, .cap = 2s, .jitter = jitter}; }
constexpr Strategy strategies[] = {{"no backoff", bw::constant_backoff(1us)},
                                   {"no jitter", with(bw::Jitter::none)},
                                   {"equal jitter", with(bw::Jitter::equal)},
                                   {"decorrelated", with(bw::Jitter::decorrelated)},
                                   {"full jitter", with(bw::Jitter::full)}};

/// The row, and the network to it.
struct Row {
    bw::testing::SimulatedClock clock;
    bw::Random random;
    std::uint64_t version = 0;
    std::uint64_t writes = 0;

    auto travel() { return clock.sleep_for(bw::testing::log_normal(10ms, 0.2).draw(random)); }
};

template <class Guard>
bw::Task<> change(const Guard& guard, Row& row) {
    auto attempt = [&row]() -> bw::Task<bw::Result<void>> {
        co_await row.travel();
        const std::uint64_t seen = row.version;
        co_await row.travel();
        co_await row.travel();
        ++row.writes;
        const bool is_first = row.version == seen;
        if (is_first) ++row.version;
        co_await row.travel();
        if (!is_first) co_return bw::fail(bw::Errc::failure, "somebody else was quicker");
        co_return bw::Result<void>{};
    };
    auto call = guard.run_async(attempt);
    (void)co_await call;
}

struct Outcome {
    double writes = 0;
    double seconds = 0;
};

Outcome contend(const Strategy& strategy, int clients, std::uint64_t seed) {
    bw::testing::Simulation world{seed};
    const bw::Instant begin = world.now();
    Row row{world.clock(), bw::Random{world.seed()}};
    const bw::Pipeline guard{
        bw::UseClock{world.clock()},
        bw::Retry{bw::RetryOptions<>{.max_retries = 1'000'000, .backoff = strategy.backoff, .seed = world.seed()}}};
    for (int i = 0; i < clients; ++i) world.start(change(guard, row));
    world.run();
    return {static_cast<double>(row.writes), std::chrono::duration<double>(world.now() - begin).count()};
}

std::string drawing() {
    std::string text =
        "set multiplot layout 1,2 title 'N clients change one row: who comes back when' font ',14'\n"
        "set xlabel 'clients'\nset xrange [0:100]\nset key top left\n";
    for (const std::string_view panel : {"3", "4"}) {
        text +=
            panel == "3"
                ? "set ylabel 'writes until all have succeeded'\nset yrange [0:*]\n"
                : "set ylabel 'time until all have succeeded (s)'\nset logscale y\nset yrange [0.1:100]\nunset key\n";
        std::size_t index = 0;
        for (const Strategy& strategy : strategies) {
            text += (index == 0 ? "plot " : ", ") + std::string{"'herd.csv' using 2:(stringcolumn(1) eq '"};
            text.append(strategy.name).append("' ? $").append(panel).append(" : 1/0) with linespoints ps 0.6 pt ");
            text.append(std::to_string(index + 4)).append(Picture::line(index)).append(" title '");
            text.append(strategy.name).append("'");
            ++index;
        }
        text += "\n";
    }
    return text;
}

}  // namespace

void herd(const Settings& settings) {
    std::cout << "herd: N clients change one row by optimistic concurrency; base 5 ms, cap 2 s\n\n";
    const int trials = settings.is_quick ? 5 : 50;
    const int step = settings.is_quick ? 50 : 10;
    Picture picture{settings, "herd"};
    picture.csv() << "strategy,clients,writes,seconds\n";
    std::vector<Outcome> last;
    for (const Strategy& strategy : strategies) {
        for (int clients = step; clients <= 100; clients += step) {
            Outcome mean;
            for (int trial = 0; trial < trials; ++trial) {
                const auto one = contend(strategy, clients, settings.seed * 1'000 + static_cast<std::uint64_t>(trial));
                mean.writes += one.writes / trials;
                mean.seconds += one.seconds / trials;
            }
            picture.csv() << strategy.name << ',' << clients << ',' << figure(mean.writes, 1) << ','
                          << figure(mean.seconds, 3) << '\n';
            if (clients == 100) last.push_back(mean);
        }
    }
    Table table{{"100 clients", "writes", "seconds", "published: writes", "seconds"}};
    constexpr std::string_view published[][2] = {{"most, as N^2", ""},
                                                 {"many", "the clear loser"},
                                                 {"a little more than full", "much longer than full"},
                                                 {"a little more than full", "a little less than full"},
                                                 {"fewest", "little"}};
    for (std::size_t i = 0; i < last.size(); ++i)
        table.add({std::string{strategies[i].name}, figure(last[i].writes), figure(last[i].seconds, 2),
                   std::string{published[i][0]}, std::string{published[i][1]}});
    table.print();
    picture.draw(drawing(), "1000,480");
}

}  // namespace outage_lab
