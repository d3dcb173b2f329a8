#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace outage_lab {

/// Calls `job(0)` to `job(count - 1)`, which must not throw, on as many threads as there are processors. Each has a
/// simulation of its own: what comes of it does not depend on the others.
template <class Job>
void in_parallel(std::size_t count, Job job) {
    std::atomic<std::size_t> next{0};
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i)
        threads.emplace_back([&] {
            for (std::size_t at = next++; at < count; at = next++) job(at);
        });
}

}  // namespace outage_lab
