#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/events.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/fleet/options.hpp>

#include <chrono>
#include <string>
#include <string_view>

namespace breakwater {

struct LocalFallbackOptions {
    std::string name{};  ///< Names the store in events.

    /// What policies do while the store fails. Default: they go on by themselves, with what is known here.
    OnStoreFailure on_store_failure = OnStoreFailure::local;

    /// How long a store that has failed is left alone; after that one call asks it. 1ms to 24h by the store's clock;
    /// default 1s.
    Duration retry_after = std::chrono::seconds{1};

    /// Told when the store fails (`store_degraded`) and when it is back (`store_rejoined`).
    Observer observer{};
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const LocalFallbackOptions& options, std::string_view path = "local_fallback") {
    if (options.retry_after < std::chrono::milliseconds{1} || options.retry_after > std::chrono::hours{24})
        return detail::invalid_option(path, "retry_after", "1ms to 24h", options.retry_after);
    return {};
}

}  // namespace breakwater
