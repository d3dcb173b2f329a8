#pragma once

#include <breakwater/event_loop/scheduler.hpp>

#include <functional>
#include <semaphore>
#include <utility>

namespace test {

/// Calls `function` on the scheduler's thread and waits for that.
inline void run_on(breakwater::Scheduler& scheduler, std::function<void()> function) {
    struct Job final : breakwater::Work {
        void run() noexcept override {
            function();
            over.release();
        }
        std::function<void()> function;
        std::binary_semaphore over{0};
    } job;
    job.function = std::move(function);
    scheduler.post(job);
    job.over.acquire();
}

}  // namespace test
