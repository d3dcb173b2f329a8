#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace test {

/// Waits for what another thread or process brings about; far longer than that can take.
inline bool soon(const std::function<bool()>& holds) {
    using namespace std::chrono_literals;
    for (const auto end = std::chrono::steady_clock::now() + 30s; std::chrono::steady_clock::now() < end;) {
        if (holds()) return true;
        std::this_thread::sleep_for(1ms);
    }
    return false;
}

}  // namespace test
