#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace breakwater {

/// Many more than any process has threads to wait in.
inline constexpr std::uint32_t max_bulkhead_calls = 1'000'000;

struct BulkheadOptions {
    std::string name{};  ///< Names the bulkhead in events and errors.

    /// How many calls may be in flight at once. 1 to 1,000,000; default 10.
    std::uint32_t max_concurrent = 10;

    /// How many more may queue for their turn. 0 (default: refuse at once) to 1,000,000.
    std::uint32_t max_queue = 0;

    /// How long a call queues, and no longer than its deadline allows. 0s (refuse at once) to 24h; default 30s: long
    /// enough for most calls' own deadlines to end it first, and not for ever, as a guarded call inside a guarded call
    /// may be waiting for itself.
    Duration max_wait = std::chrono::seconds{30};

    friend bool operator==(const BulkheadOptions&, const BulkheadOptions&) = default;
};

/// A bulkhead at one moment. Reading it changes nothing.
struct BulkheadSnapshot {
    std::string name{};
    std::uint32_t in_flight = 0;
    std::uint32_t queued = 0;
    std::uint32_t max_concurrent = 0;
    std::uint32_t max_queue = 0;
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const BulkheadOptions& options, std::string_view path = "bulkhead") {
    if (options.max_concurrent < 1 || options.max_concurrent > max_bulkhead_calls)
        return detail::invalid_option(path, "max_concurrent", "1 to 1000000", options.max_concurrent);
    if (options.max_queue > max_bulkhead_calls)
        return detail::invalid_option(path, "max_queue", "0 to 1000000", options.max_queue);
    if (options.max_wait < Duration{0} || options.max_wait > std::chrono::hours{24})
        return detail::invalid_option(path, "max_wait", "0s to 24h", options.max_wait);
    return {};
}

}  // namespace breakwater
