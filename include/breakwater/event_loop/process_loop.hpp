#pragma once

#include <breakwater/event_loop.hpp>
#include <breakwater/event_loop/loop_thread.hpp>

#include <memory>

namespace breakwater {

/// The loop of a thread in the background, for timers that have no other. Started on first use (which throws
/// `std::system_error` where there can be no more threads), anew in a forked process; it ends with the process. Any
/// thread.
inline EventLoop& process_loop() {
    struct Guest {
        EventLoop& loop() noexcept { return own; }
        void end() noexcept {}
        EventLoop own{};
    };
    // Never destroyed: what outlives `main` may still have timers on it.
    static auto& thread = *new LoopThread<Guest>{[] { return std::make_shared<Guest>(); }};
    return thread.get().loop();
}

}  // namespace breakwater
