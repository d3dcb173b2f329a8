#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

#include <time.h>

namespace breakwater::bench {

inline double read_us(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

/// Of one request, in microseconds.
struct Cost {
    double wall;
    double cpu;
};

/// One of several ways of doing the same, which take turns: a slow moment of the machine meets them all.
struct Contender {
    const char* name;
    std::function<void(std::size_t)> get;  ///< Makes so many requests.
    std::vector<Cost> turns{};

    void take_turn(std::size_t requests) {
        const double wall = read_us(CLOCK_MONOTONIC);
        const double cpu = read_us(CLOCK_PROCESS_CPUTIME_ID);
        get(requests);
        const auto count = static_cast<double>(requests);
        turns.push_back({(read_us(CLOCK_MONOTONIC) - wall) / count, (read_us(CLOCK_PROCESS_CPUTIME_ID) - cpu) / count});
    }
    double median(double Cost::* what) {
        const auto middle = turns.begin() + static_cast<std::ptrdiff_t>(turns.size() / 2);
        std::ranges::nth_element(turns, middle, {}, what);
        return (*middle).*what;
    }
};

/// Each in turn, and another one first each time.
template <class Contenders>
void take_turns(Contenders& contenders, std::size_t turns, std::size_t requests) {
    for (std::size_t turn = 0; turn < turns; ++turn)
        for (std::size_t i = 0; i < contenders.size(); ++i)
            contenders[(turn + i) % contenders.size()].take_turn(requests);
}

}  // namespace breakwater::bench
