#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <string_view>

namespace breakwater {

struct CoalesceOptions {
    /// How long a call waits for the one that leads before it goes alone; its deadline may come first. 1 ms to 24 h;
    /// default 10 s.
    Duration max_wait = std::chrono::seconds{10};

    friend bool operator==(const CoalesceOptions&, const CoalesceOptions&) = default;
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const CoalesceOptions& options, std::string_view path = "coalesce") {
    if (options.max_wait < std::chrono::milliseconds{1} || options.max_wait > std::chrono::hours{24})
        return detail::invalid_option(path, "max_wait", "1ms to 24h", options.max_wait);
    return {};
}

}  // namespace breakwater
