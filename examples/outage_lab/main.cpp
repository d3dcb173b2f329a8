// Outages in virtual time: the library's own policies, drivers and stores, with clients, a service and a network that
// are simulated. An hour of 100,000 clients takes half a minute, and the same seed gives the same result.
//
//   outage_lab [herd|storm|fleet|tail] [--seed N] [--out FOLDER] [--quick]
//   outage_lab own FILE.json [--sweep circuit_breaker.recovery_timeout=1s..60s] [...]
//
// herd: clients that contend, by jitter. storm: an overload that outlives its cause, by what retries are limited by.
// fleet: processes that discover an outage, each alone or together. tail: the slowest answers, with hedges. own: your
// clients, service and troubles. Without a scenario: all, `own` with example.json. Each prints a table, and writes its
// figures and a picture into FOLDER (default: outage_lab).
//
// Exit status: 0; 1 if something else failed; 2 if the command line or the file is wrong.
#include "settings.hpp"

#include <charconv>
#include <cstddef>
#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace outage_lab {

struct Order {
    std::string scenario{};
    Settings settings{};
};

Sweep sweep_of(std::string_view word) {
    const auto equals = word.find('=');
    const auto dots = word.find("..", equals);
    if (equals == 0 || dots == word.npos)
        throw Misuse{"--sweep: must be PATH=FROM..TO, such as circuit_breaker.recovery_timeout=1s..60s"};
    return {std::string{word.substr(0, equals)}, std::string{word.substr(equals + 1, dots - equals - 1)},
            std::string{word.substr(dots + 2)}};
}

Order order_of(const std::vector<std::string_view>& words) {
    Order order;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view word = words[i];
        const auto value = [&] {
            if (++i == words.size()) throw Misuse{std::string{word} + ": must be followed by a value"};
            return words[i];
        };
        if (word == "--quick") {
            order.settings.is_quick = true;
        } else if (word == "--out") {
            order.settings.out = value();
        } else if (word == "--sweep") {
            order.settings.sweep = sweep_of(value());
        } else if (word == "--seed") {
            const std::string_view text = value();
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), order.settings.seed);
            if (error != std::errc{} || end != text.data() + text.size())
                throw Misuse{"--seed: must be a whole number, got \"" + std::string{text} + "\""};
        } else if (word.starts_with("--")) {
            throw Misuse{"unknown option " + std::string{word}};
        } else if (order.scenario.empty()) {
            order.scenario = word;
        } else if (order.scenario == "own" && order.settings.file.empty()) {
            order.settings.file = word;
        } else {
            throw Misuse{"one scenario at a time, or none for all: \"" + std::string{word} + "\" is too much"};
        }
    }
    return order;
}

void run(Order order) {
    const std::map<std::string_view, void (*)(const Settings&)> scenarios{
        {"herd", herd}, {"storm", storm}, {"fleet", fleet}, {"tail", tail}, {"own", own}};
    if (order.scenario.empty()) {
        if (order.settings.sweep) throw Misuse{"--sweep: belongs to own FILE.json"};
        order.settings.file = OUTAGE_LAB_EXAMPLE;
        for (const std::string_view name : {"herd", "storm", "fleet", "tail", "own"})
            scenarios.at(name)(order.settings);
        return;
    }
    const auto found = scenarios.find(order.scenario);
    if (found == scenarios.end())
        throw Misuse{"no scenario \"" + order.scenario + "\": herd, storm, fleet, tail or own FILE.json"};
    if (order.scenario == "own" && order.settings.file.empty()) throw Misuse{"own: needs a file, own FILE.json"};
    if (order.scenario != "own" && order.settings.sweep) throw Misuse{"--sweep: belongs to own FILE.json"};
    found->second(order.settings);
}

}  // namespace outage_lab

int main(int count, char** words) try {
    outage_lab::run(outage_lab::order_of({words + 1, words + count}));
    return 0;
} catch (const outage_lab::Misuse& mistake) {
    std::cerr << "outage_lab: " << mistake.what() << '\n';
    return 2;
} catch (const std::exception& error) {
    std::cerr << "outage_lab: " << error.what() << '\n';
    return 1;
}
