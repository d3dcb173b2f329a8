// A thousand processes discover an outage: each by its own circuit breaker, or by one that they share. Then one of them
// has a broken network, and the service is well: whether it shuts the others off.
#include "fleet_world.hpp"
#include "in_parallel.hpp"
#include "picture.hpp"
#include "settings.hpp"
#include "table.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace outage_lab {
namespace {

using namespace fleet_world;

constexpr Trouble outage{.at = 1min, .lasts = 2min + 30s};
constexpr Trouble poison{.poisons_first = true};

constexpr auto index_of(bw::Duration t) { return static_cast<std::size_t>(t / slice); }
std::string seconds(std::size_t slices) {
    return figure(static_cast<double>(slices) * std::chrono::duration<double>(slice).count(), 1) + " s";
}

std::size_t sum(const Slices& slices, std::size_t Slice::* what, std::size_t from, std::size_t to) {
    std::size_t total = 0;
    for (std::size_t i = from; i < to; ++i) total += slices[i].*what;
    return total;
}

/// How long after `from` at least so many circuits are open, or at most.
std::string until(const Slices& slices, bw::Duration from, const std::function<bool(std::size_t)>& open) {
    for (std::size_t i = index_of(from); i < index_of(all); ++i)
        if (open(slices[i].open)) return seconds(i - index_of(from));
    return "never";
}

struct Trial {
    std::string_view name;
    Slices slices{};
};

std::string drawing(const std::vector<Trial>& trials) {
    std::string text =
        "set multiplot layout 2,1 title 'A fleet discovers an outage' font ',14'\n"
        "set object 1 rectangle from 60, graph 0 to 210, graph 1 fc rgb '#F0E0D0' fs solid noborder behind\n"
        "set label 1 'no answers' at 101, graph 0.55 center\nset xrange [30:330]\nset yrange [0:105]\n"
        "set xlabel 'time (s)'\nset lmargin 12\nset key top right\n";
    for (const std::string_view panel : {"3", "4"}) {
        text += panel == "3" ? "set ylabel 'circuits that are not closed (%)'\n"
                             : "set ylabel 'calls sent per second'\nunset key\nset logscale y\nset yrange [0.8:2000]\n";
        for (std::size_t i = 0; i < trials.size(); ++i) {
            text += (i == 0 ? "plot " : ", ") + std::string{"'fleet.csv' using 2:(stringcolumn(1) eq '"};
            text.append(trials[i].name).append("' ? $").append(panel).append(" : 1/0) with lines");
            text.append(Picture::line(i)).append(" title '").append(trials[i].name).append("'");
        }
        text += "\n";
    }
    return text;
}

void write(std::ostream& csv, const Trial& trial, std::size_t processes) {
    for (std::size_t at = 0; at < index_of(all); at += index_of(1s)) {
        csv << trial.name << ',' << at / index_of(1s) << ','
            << figure(100.0 * static_cast<double>(trial.slices[at].open) / static_cast<double>(processes), 2) << ','
            << sum(trial.slices, &Slice::attempts, at, at + index_of(1s)) << '\n';
    }
}

}  // namespace

void fleet(const Settings& settings) {
    const std::size_t processes = settings.is_quick ? 50 : 1'000;
    std::cout << "fleet: " << processes << " processes, a call each second; for 150 s nobody answers (timeout 1 s).\n"
              << "Circuits open after 5 failures in a row, for 60 s\n\n";
    std::vector<Trial> outages{{"each for itself"}, {"shared"}};
    std::vector<Trial> poisoned{{"each for itself"}, {"shared, min_reporters 1"}, {"shared, min_reporters default"}};
    in_parallel(5, [&](std::size_t i) {
        switch (i) {
            case 0: outages[0].slices = simulate_local(outage, processes, settings.seed); break;
            case 1: outages[1].slices = simulate_shared(outage, processes, settings.seed); break;
            case 2: poisoned[0].slices = simulate_local(poison, processes, settings.seed); break;
            case 3: poisoned[1].slices = simulate_shared(poison, processes, settings.seed, 1); break;
            default: poisoned[2].slices = simulate_shared(poison, processes, settings.seed);
        }
    });

    Picture picture{settings, "fleet"};
    picture.csv() << "circuits,seconds,open_percent,attempts_per_s\n";
    Table table{{"nobody answers", "calls sent to the dead service", "9 of 10 open after", "all closed after"}};
    for (const Trial& trial : outages) {
        const Slices& slices = trial.slices;
        const bw::Duration end = outage.at + outage.lasts;
        table.add({std::string{trial.name},
                   std::to_string(sum(slices, &Slice::attempts, index_of(outage.at), index_of(end))),
                   until(slices, outage.at, [&](std::size_t open) { return open * 10 >= processes * 9; }),
                   until(slices, end, [&](std::size_t open) { return open * 1'000 < processes; })});
        write(picture.csv(), trial, processes);
    }
    table.print();

    Table other{{"one has no network", "calls of the others refused", "open at most", "of all calls"}};
    for (const Trial& trial : poisoned) {
        const std::size_t refused = sum(trial.slices, &Slice::refused, 0, index_of(all));
        const std::size_t sent = sum(trial.slices, &Slice::attempts, 0, index_of(all));
        std::size_t most = 0;
        for (const Slice& one : trial.slices) most = std::max(most, one.open);
        other.add({std::string{trial.name}, std::to_string(refused), std::to_string(most),
                   figure(100.0 * static_cast<double>(refused) / static_cast<double>(refused + sent), 1) + " %"});
    }
    std::cout << '\n';
    other.print();
    picture.draw(drawing(outages), "900,700");
}

}  // namespace outage_lab
