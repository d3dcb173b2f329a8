#pragma once

#include <pthread.h>

#include <atomic>

namespace breakwater::detail {

inline std::atomic<unsigned> fork_count{0};

/// How many forks lie between the start of the program and this process, of those since the first call. A process made
/// by a bare `clone` system call is not noticed.
inline unsigned current_fork() noexcept {
    [[maybe_unused]] static const int registered =
        pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1, std::memory_order_relaxed); });
    return fork_count.load(std::memory_order_relaxed);
}

}  // namespace breakwater::detail
