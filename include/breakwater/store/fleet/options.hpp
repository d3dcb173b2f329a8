#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace breakwater {

/// What policies do while the store they share cannot be reached.
enum class OnStoreFailure : std::uint8_t {
    local,   ///< They go on by themselves, from what they know; limiters with a fair share of the limit. The default.
    open,    ///< They fail open: every call is let through.
    closed,  ///< They fail closed: every call is refused (`Errc::store_unavailable`).
};

}  // namespace breakwater

namespace breakwater::fleet {

/// How the processes of a fleet share; see `RedisStoreOptions` for what each means.
struct Options {
    std::string prefix = "breakwater:";
    Duration flush_interval = std::chrono::milliseconds{50};
    Duration poll_interval = std::chrono::seconds{1};     ///< While changes are not told.
    Duration refresh_interval = std::chrono::minutes{1};  ///< In any case: what is shared is read again.
    std::uint32_t lease = 1;
    std::optional<std::uint32_t> min_reporters{};
    OnStoreFailure on_store_failure = OnStoreFailure::local;
    Observer observer{};
};

}  // namespace breakwater::fleet
