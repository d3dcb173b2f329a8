#pragma once

#include <cstddef>
#include <latch>
#include <thread>
#include <vector>

namespace test {

/// Runs `work(i)` on `count` threads that start together; returns when all have ended.
template <class F>
void on_threads(unsigned count, F work) {
    std::latch start{std::ptrdiff_t{count}};
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < count; ++i) {
        threads.emplace_back([&work, &start, i] {
            start.arrive_and_wait();
            work(i);
        });
    }
}

}  // namespace test
