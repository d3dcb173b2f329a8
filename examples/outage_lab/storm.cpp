// A metastable failure (Bronson et al., "Metastable Failures in Distributed Systems", 2021): for 150 s the service has
// 30% of its workers. Callers leave after a second and come again, the service goes on working for those who have left,
// and where nothing limits the retries that does not end with its cause.
#include "in_parallel.hpp"
#include "picture.hpp"
#include "settings.hpp"
#include "storm_world.hpp"
#include "table.hpp"

#include <chrono>
#include <cstddef>
#include <iostream>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace outage_lab {
namespace {

using namespace storm_world;

constexpr double seconds(bw::Duration span) { return std::chrono::duration<double>(span).count(); }
constexpr auto index_of(bw::Duration t) { return static_cast<std::size_t>(t / slice); }

Slice sum(const Slices& slices, bw::Duration from, bw::Duration to) {
    Slice all;
    for (std::size_t i = index_of(from); i < index_of(to); ++i) {
        all.calls += slices[i].calls;
        all.good += slices[i].good;
        all.attempts += slices[i].attempts;
    }
    return all;
}

/// How long after the trouble the calls succeed again: the start of the first minute in which 99% do, and all later
/// minutes, too.
std::optional<bw::Duration> recovery(const Slices& slices, bw::Duration lasts) {
    constexpr bw::Duration end = trouble_at + trouble_lasts;
    std::optional<bw::Duration> since;
    for (bw::Duration t = end; t + 1min <= lasts; t += slice) {
        const Slice minute = sum(slices, t, t + 1min);
        if (minute.good < minute.calls * 0.99)
            since.reset();
        else if (!since)
            since = t - end;
    }
    return since;
}

std::vector<std::string> row(const Strategy& strategy, const Slices& slices, bw::Duration lasts) {
    const Slice trouble = sum(slices, trouble_at, trouble_at + trouble_lasts);
    const Slice after = sum(slices, trouble_at + trouble_lasts, lasts);
    const auto recovered = recovery(slices, lasts);
    return {std::string{strategy.name},
            recovered ? figure(seconds(*recovered)) + " s" : "never",
            figure(100.0 * trouble.good / trouble.calls, 1) + " %",
            figure(100.0 * after.good / after.calls, 1) + " %",
            figure(1.0 * trouble.attempts / trouble.calls, 2),
            figure(1.0 * after.attempts / after.calls, 2)};
}

std::string drawing() {
    std::string text =
        "set multiplot layout 2,1 title 'An overload of 150 s, and what is left of it' font ',14'\n"
        "set object 1 rectangle from 10, graph 0 to 12.5, graph 1 fc rgb '#F0E0D0' fs solid noborder behind\n"
        "set label 1 'trouble' at 11.25, graph 0.35 center\nset xrange [8:20]\nset yrange [0:*]\n"
        "set xlabel 'time (min)'\nset lmargin 12\nset rmargin 26\nset key at graph 1.02, graph 0.9 left top\n";
    for (const std::string_view panel : {"4", "5"}) {
        text += panel == "4" ? "set ylabel 'good answers per second'\n"
                             : "set ylabel 'attempts per second'\nset logscale y\nset yrange [1:*]\nunset key\n";
        std::size_t index = 0;
        for (const Strategy& strategy : strategies()) {
            text += (index == 0 ? "plot " : ", ") + std::string{"'storm.csv' using 2:(stringcolumn(1) eq '"};
            text.append(strategy.name).append("' ? $").append(panel).append(" : 1/0) with lines");
            text.append(Picture::line(index)).append(" title '").append(strategy.name).append("'");
            ++index;
        }
        text += "\n";
    }
    return text;
}

}  // namespace

void storm(const Settings& settings) {
    const std::size_t clients = settings.is_quick ? 3'000 : 10'000;
    const bw::Duration lasts = settings.is_quick ? 20min : 60min;
    std::cout << "storm: " << clients << " clients, a call each 15 s; the service can do half as much again, but for\n"
              << "150 s has 30% of its workers. Attempts are given 1 s, calls 10 s.\n\n";
    std::vector<Slices> all(strategies().size());
    in_parallel(all.size(), [&](std::size_t i) { all[i] = simulate(strategies()[i], clients, settings.seed, lasts); });

    Picture picture{settings, "storm"};
    picture.csv() << "strategy,minutes,calls_per_s,good_per_s,attempts_per_s\n";
    Table table{{"retries", "recovers after", "good: meanwhile", "later", "attempts per call: meanwhile", "later"}};
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t at = 0; at < index_of(lasts); ++at) {
            const Slice& one = all[i][at];
            const double per = seconds(slice);
            picture.csv() << strategies()[i].name << ',' << figure((static_cast<double>(at) + 0.5) * per / 60, 3) << ','
                          << figure(one.calls / per, 1) << ',' << figure(one.good / per, 1) << ','
                          << figure(one.attempts / per, 1) << '\n';
        }
        table.add(row(strategies()[i], all[i], lasts));
    }
    if (!settings.is_quick) {
        Strategy last = strategies().back();
        const auto began = std::chrono::steady_clock::now();
        const Slices full = simulate(last, 100'000, settings.seed, lasts);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        std::cerr << "  (100,000 clients: " << sum(full, bw::Duration{0}, lasts).calls << " calls in "
                  << figure(took.count(), 1) << " s)\n";
        last.name = "the same with 100000";
        table.add(row(last, full, lasts));
    }
    table.print();
    picture.draw(drawing(), "1000,700");
}

}  // namespace outage_lab
