#pragma once

#include <breakwater/transport/counts.hpp>

#include <atomic>
#include <cstdint>
#include <string_view>

namespace breakwater::curl {

/// Counts the exchanges of a transport, blocking and asynchronous. Thread-safe.
class Counter {
public:
    /// Notes an exchange: how many connections it has opened, and the HTTP version of its answer, empty if there was
    /// none.
    void count(long opened, std::string_view version) noexcept {
        constexpr auto order = std::memory_order_relaxed;
        requests_.fetch_add(1, order);
        if (opened > 0) connections_.fetch_add(static_cast<std::uint64_t>(opened), order);
        if (version.empty()) return;
        answers_.fetch_add(1, order);
        if (opened == 0) reused_.fetch_add(1, order);
        if (version == "2") http2_.fetch_add(1, order);
        if (version.starts_with("1.")) http1_.fetch_add(1, order);
    }
    TransportCounts counts() const noexcept {
        constexpr auto order = std::memory_order_relaxed;
        return {.requests = requests_.load(order),
                .answers = answers_.load(order),
                .connections = connections_.load(order),
                .reused = reused_.load(order),
                .http1 = http1_.load(order),
                .http2 = http2_.load(order)};
    }

private:
    std::atomic<std::uint64_t> requests_{0};
    std::atomic<std::uint64_t> answers_{0};
    std::atomic<std::uint64_t> connections_{0};
    std::atomic<std::uint64_t> reused_{0};
    std::atomic<std::uint64_t> http1_{0};
    std::atomic<std::uint64_t> http2_{0};
};

}  // namespace breakwater::curl
