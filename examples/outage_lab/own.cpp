// Your own clients, service and troubles, from a file: what comes of the options before production does.
#include "in_parallel.hpp"
#include "own_file.hpp"
#include "own_sweep.hpp"
#include "own_world.hpp"
#include "picture.hpp"
#include "settings.hpp"
#include "table.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

namespace outage_lab {
namespace {

double seconds(bw::Duration span) { return std::chrono::duration<double>(span).count(); }

std::string bands(const OwnWorld& world) {
    std::string text;
    int number = 0;
    for (const bw::testing::Outage& outage : world.service.script) {
        text += "set object " + std::to_string(++number) + " rectangle from " + figure(seconds(outage.at) / 60, 4) +
                ", graph 0 to " + figure(seconds(std::min(outage.end(), world.duration)) / 60, 4) +
                ", graph 1 fc rgb '#F0E0D0' fs solid noborder behind\n";
    }
    return text;
}

void one(const Settings& settings, const OwnWorld& world) {
    const Ending ending = simulate(world, settings.seed);
    Picture picture{settings, "own"};
    picture.csv() << "minutes,calls_per_s,good_per_s,refused_per_s,attempts_per_s\n";
    for (std::size_t i = 0; i < ending.slices.size(); ++i) {
        const Slice& slice = ending.slices[i];
        const double per = seconds(ending.slice);
        picture.csv() << figure((static_cast<double>(i) + 0.5) * per / 60, 4) << ',' << figure(slice.calls / per, 2)
                      << ',' << figure(slice.good / per, 2) << ',' << figure(slice.refused / per, 2) << ','
                      << figure(slice.attempts / per, 2) << '\n';
    }
    Table table{{"calls", "good", "p50 ms", "p99 ms", "refused", "requests per call", "worked in vain"}};
    table.add(row(std::to_string(ending.calls), ending));
    table.print();
    std::string text = "set title 'Calls, and what comes of them' font ',14'\n" + bands(world) +
                       "set xlabel 'time (min)'\nset ylabel 'per second'\nset yrange [0:*]\n"
                       "set key outside right center\n";
    const char* const lines[] = {"calls", "good answers", "refused here", "requests sent"};
    for (std::size_t i = 0; i < 4; ++i)
        text += (i == 0 ? "plot " : ", ") + std::string{"'own.csv' using 1:"} + std::to_string(i + 2) + " with lines" +
                Picture::line(i) + " title '" + lines[i] + "'";
    picture.draw(text);
}

void sweep(const Settings& settings, const std::vector<Point>& points, const std::vector<OwnWorld>& worlds) {
    std::vector<Ending> endings(points.size());
    in_parallel(points.size(), [&](std::size_t i) { endings[i] = simulate(worlds[i], settings.seed); });

    Picture picture{settings, "own_sweep"};
    picture.csv() << "value,good_per_s,requests_per_call\n";
    Table table{{settings.sweep->path, "good", "p50 ms", "p99 ms", "refused", "requests per call", "worked in vain"}};
    for (std::size_t i = 0; i < points.size(); ++i) {
        const Ending& ending = endings[i];
        const double good_per_s = static_cast<double>(ending.latencies.size()) / seconds(worlds[i].duration);
        picture.csv() << figure(points[i].value, 6) << ',' << figure(good_per_s, 3) << ','
                      << figure(ending.requests_per_call(), 4) << '\n';
        table.add(row(points[i].text, ending));
    }
    table.print();
    const bool is_log = points.front().value > 0 && points.back().value > 10 * points.front().value;
    picture.draw(
        std::string{is_log ? "set logscale x\n" : ""} + "set title 'Good answers, by one option' font ',14'\n" +
        "set xlabel '" + settings.sweep->path + (points.front().is_time ? " (s)" : "") +
        "' noenhanced\nset ylabel 'good answers per second'\nset y2label 'requests per call'\nset yrange [0:*]\n"
        "set border 11\nset y2tics\nset y2range [0:*]\nset key outside top center horizontal\n"
        "plot 'own_sweep.csv' using 1:2 with linespoints pt 7" +
        Picture::line(0) + " title 'good answers', '' using 1:3 axes x1y2 with linespoints pt 5" + Picture::line(1) +
        " title 'requests per call'");
}

}  // namespace

void own(const Settings& settings) {
    const Json file = read_file(settings.file);
    const OwnWorld world = own_world(file, settings.file.string());
    std::vector<Point> points;
    if (settings.sweep) points = points_of(*settings.sweep, file, settings.is_quick ? 4 : 12);
    std::vector<OwnWorld> worlds;
    for (const Point& point : points) worlds.push_back(own_world(point.file, "--sweep"));

    std::cout << "own: " << settings.file.filename().string() << ", " << bw::format_duration(world.duration) << ", "
              << world.processes << " processes, " << figure(world.calls_per_second, 1) << " calls/s\n\n";
    if (settings.sweep)
        sweep(settings, points, worlds);
    else
        one(settings, world);
}

}  // namespace outage_lab
