#pragma once

#include <breakwater/circuit_breaker/tags.hpp>
#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

struct ThrottleOptions {
    /// Within one store, throttles with the same name and window are the same throttle. Empty: one of its own.
    std::string name{};

    /// How many requests are let through for each that the service accepts: K. 1 to 100; default 2, so that as many
    /// are sent in vain as are accepted, and a service that works again is soon found to. Nearer to 1 spares a service
    /// to which a refusal costs almost as much as an answer.
    double accepts_multiplier = 2.0;

    /// No call is refused with a larger probability. > 0 to 1; default 0.9, which leaves the formula as it is up to 20
    /// times as many calls as the service takes. What passes finds out that a service works again: after one that
    /// accepted nothing at all, refusals end within 1.9 windows; with 1 they take 7 to 9, since refusals are requests,
    /// too, and keep themselves up.
    double max_probability = 0.9;

    /// What is counted: the requests of the last `duration`, in `buckets` slices (see `TimeWindow`). 1 ms to 24 h, 1 to
    /// 1,024; default 2 min in 60.
    TimeWindow window{.duration = std::chrono::minutes{2}, .buckets = 60};

    /// With fewer requests in the window none is refused. 0 to 1,000,000; default 10.
    std::uint32_t minimum_requests = 10;

    /// Calls with one of these tags (`CallOptions::tag`) always pass. How they end counts as of all.
    Tags never_throttled{};

    /// An attempt cut off by the caller's deadline was not accepted if it ran at least this long, else it does not
    /// count. Default 1 s.
    Duration deadline_counts_after = std::chrono::seconds{1};

    /// Decides what an error says about the service; default `default_outcome`. A success is a request accepted, a
    /// failure one that is not.
    Classifier classify{};

    /// Seed of the choice whom to refuse, for repeatable tests. Default: different in each process.
    std::optional<std::uint64_t> seed{};
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const ThrottleOptions& options, std::string_view path = "throttle") {
    constexpr Duration day = std::chrono::hours{24};
    if (!(options.accepts_multiplier >= 1.0 && options.accepts_multiplier <= 100.0))
        return detail::invalid_option(path, "accepts_multiplier", "1 to 100", options.accepts_multiplier);
    if (!(options.max_probability > 0.0 && options.max_probability <= 1.0))
        return detail::invalid_option(path, "max_probability", "> 0 and <= 1", options.max_probability);
    if (options.window.duration < std::chrono::milliseconds{1} || options.window.duration > day)
        return detail::invalid_option(path, "window.duration", "1ms to 24h", options.window.duration);
    if (options.window.buckets < 1 || options.window.buckets > 1'024)
        return detail::invalid_option(path, "window.buckets", "1 to 1024", options.window.buckets);
    if (options.minimum_requests > 1'000'000)
        return detail::invalid_option(path, "minimum_requests", "0 to 1000000", options.minimum_requests);
    if (options.deadline_counts_after < Duration{0} || options.deadline_counts_after > day)
        return detail::invalid_option(path, "deadline_counts_after", "0s to 24h", options.deadline_counts_after);
    return {};
}

/// A throttle at one moment. Reading it changes nothing.
struct ThrottleSnapshot {
    std::string name{};
    std::uint64_t requests = 0;      ///< In the window, with those that were refused here.
    std::uint64_t accepts = 0;       ///< Of these, what the service accepted.
    double refusal_probability = 0;  ///< Of the next request.
};

}  // namespace breakwater
