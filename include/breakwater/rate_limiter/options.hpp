#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/rate_limiter/algorithm.hpp>
#include <breakwater/rate_limiter/any_algorithm.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <string>
#include <string_view>

namespace breakwater {

template <RateAlgorithm Algorithm = AnyAlgorithm>
struct RateLimiterOptions {
    std::string name{};     ///< Names the limiter in events and errors, and its cell in the store.
    Algorithm algorithm{};  ///< A built-in one or your own. Default of the run-time choice: `no_limit`.
    Duration max_wait{};    ///< How long a call waits for its permit. 0s (default: refuse at once) to 24h.
    Duration max_pause = default_max_pause;          ///< Longest pause a service may ask for. 0s to 24h, default 5min.
    Duration max_reserve = std::chrono::minutes{5};  ///< Longest wait of a reservation. 0s to 24h, default 5min.

    friend bool operator==(const RateLimiterOptions&, const RateLimiterOptions&) = default;
};

/// Checks the options; messages begin with `path`.
template <class Algorithm>
Result<void> validate(const RateLimiterOptions<Algorithm>& options, std::string_view path = "rate_limit") {
    constexpr Duration none{};
    constexpr Duration most = std::chrono::hours{24};
    if (options.max_wait < none || options.max_wait > most)
        return detail::invalid_option(path, "max_wait", "0s to 24h", options.max_wait);
    if (options.max_pause < none || options.max_pause > most)
        return detail::invalid_option(path, "max_pause", "0s to 24h", options.max_pause);
    if (options.max_reserve < none || options.max_reserve > most)
        return detail::invalid_option(path, "max_reserve", "0s to 24h", options.max_reserve);
    return validate(options.algorithm, path.empty() ? "algorithm" : std::string{path} + ".algorithm");
}

}  // namespace breakwater
