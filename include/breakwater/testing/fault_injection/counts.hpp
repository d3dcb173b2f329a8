#pragma once

#include <cstdint>
#include <mutex>

namespace breakwater {

/// What a `FaultyTransport` and its copies have injected since construction.
struct FaultCounts {
    std::uint64_t requests = 0;  ///< That could have met a fault: while faults were set, and where `when` allows.
    std::uint64_t delays = 0;
    std::uint64_t errors = 0;
    std::uint64_t statuses = 0;
    std::uint64_t resets = 0;
    std::uint64_t truncations = 0;
    std::uint64_t drops = 0;

    friend bool operator==(const FaultCounts&, const FaultCounts&) = default;
};

/// What a `FaultyStore` and its copies have injected since construction.
struct StoreFaultCounts {
    std::uint64_t tries = 0;  ///< What the store was asked, with and without faults.
    std::uint64_t delays = 0;
    std::uint64_t failures = 0;

    friend bool operator==(const StoreFaultCounts&, const StoreFaultCounts&) = default;
};

namespace faults {

/// Counts that any thread may raise.
template <class Counts>
class Counter {
public:
    void add(std::uint64_t Counts::* one) noexcept {
        const std::scoped_lock lock{mutex_};
        ++(counts_.*one);
    }
    Counts read() const noexcept {
        const std::scoped_lock lock{mutex_};
        return counts_;
    }

private:
    mutable std::mutex mutex_;
    Counts counts_;
};

}  // namespace faults

}  // namespace breakwater
