#pragma once

#include <breakwater/circuit_breaker/any_trip.hpp>
#include <breakwater/circuit_breaker/ramp.hpp>
#include <breakwater/circuit_breaker/recovery.hpp>
#include <breakwater/circuit_breaker/tags.hpp>
#include <breakwater/circuit_breaker/trip.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/events.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

/// The largest number of probes a half-open circuit may have in flight.
inline constexpr std::uint32_t max_half_open_probes = 32;

/// The part of the options that the machine decides by.
template <TripRule Trip>
struct CircuitRules {
    Trip trip{};
    RecoveryTime recovery{};
    std::uint32_t half_open_probes = 1;
    std::uint32_t success_threshold = 1;
    Duration probe_lease = std::chrono::seconds{30};
    RampedClose ramp{};
};

template <TripRule Trip = AnyTrip>
struct CircuitBreakerOptions {
    /// Within one store, circuits with the same name and layout are the same circuit. Empty: a circuit of its own.
    std::string name{};

    /// When a closed circuit opens. Default: 5 failures in a row. `bw::never` switches the breaker off.
    Trip trip{};

    /// How long an open circuit refuses before it lets a probe through. 1 ms to 24 h; default 60 s.
    Duration recovery_timeout = std::chrono::seconds{60};

    /// How many probes may be in flight while half-open. 1 to 32; default 1.
    std::uint32_t half_open_probes = 1;

    /// How many probes must succeed to close. At least 1; default 1. May exceed `half_open_probes`.
    std::uint32_t success_threshold = 1;

    /// After this time a probe that never reported gives its slot back, and its verdict is ignored. 1 ms to 24 h;
    /// default 30 s. Must be at least the attempt timeout.
    Duration probe_lease = std::chrono::seconds{30};

    /// An attempt cut off by the caller's deadline is a failure if it ran at least this long, else neutral. Default 1
    /// s.
    Duration deadline_counts_after = std::chrono::seconds{1};

    /// Decides what an error says about the service; default `default_outcome`.
    Classifier classify{};

    /// How `recovery_timeout` changes while the service stays down. Default: not at all.
    RecoveryGrowth recovery_growth{};

    /// How a circuit closes. Default: at once. If it trips meanwhile, that is a re-opening.
    RampedClose ramped_close{};

    /// Calls with one of these tags (`CallOptions::tag`) are refused like all others, but say nothing about the
    /// service.
    Tags uncounted_tags{};

    /// Try out a breaker on live traffic: it decides and reports, but refuses nothing. What it would have refused is
    /// an event (`would_refuse`), goes through, and is not counted.
    bool shadow = false;

    /// Seed of `recovery_growth.jitter`, for repeatable tests. Default: different in each process.
    std::optional<std::uint64_t> seed{};

    /// Told of what befalls the circuit outside a pipeline's calls: by hand, by a `Permit`, by `reconfigure`. Default:
    /// nobody; of a client's circuit, who observes the client.
    Observer observer{};
};

template <TripRule Trip>
constexpr CircuitRules<Trip> rules_of(const CircuitBreakerOptions<Trip>& options) {
    return {options.trip,
            {options.recovery_timeout, options.recovery_growth},
            options.half_open_probes,
            options.success_threshold,
            options.probe_lease,
            options.ramped_close};
}

/// Checks the options; messages begin with `path`.
template <TripRule Trip>
Result<void> validate(const CircuitBreakerOptions<Trip>& options, std::string_view path = "circuit_breaker") {
    constexpr Duration least = std::chrono::milliseconds{1};
    constexpr Duration most = std::chrono::hours{24};
    if (auto ok = validate(options.trip, path.empty() ? "trip" : std::string{path} + ".trip"); !ok) return ok;
    if (options.recovery_timeout <= Duration{0})
        return detail::invalid_option(path, "recovery_timeout", "> 0s", options.recovery_timeout);
    if (options.recovery_timeout < least || options.recovery_timeout > most)
        return detail::invalid_option(path, "recovery_timeout", "1ms to 24h", options.recovery_timeout);
    if (options.probe_lease < least || options.probe_lease > most)
        return detail::invalid_option(path, "probe_lease", "1ms to 24h", options.probe_lease);
    if (options.deadline_counts_after < Duration{0} || options.deadline_counts_after > most)
        return detail::invalid_option(path, "deadline_counts_after", "0s to 24h", options.deadline_counts_after);
    const RecoveryGrowth& growth = options.recovery_growth;
    if (!(growth.multiplier >= 1.0 && growth.multiplier <= 1000.0))
        return detail::invalid_option(path, "recovery_growth.multiplier", "1 to 1000", growth.multiplier);
    if (growth.cap < least || growth.cap > most)
        return detail::invalid_option(path, "recovery_growth.cap", "1ms to 24h", growth.cap);
    if (!(growth.jitter >= 0.0 && growth.jitter <= 1.0))
        return detail::invalid_option(path, "recovery_growth.jitter", "0 to 1", growth.jitter);
    const RampedClose& ramp = options.ramped_close;
    if (ramp.duration && (*ramp.duration < least || *ramp.duration > most))
        return detail::invalid_option(path, "ramped_close.duration", "1ms to 24h", *ramp.duration);
    if (!(ramp.first_share > 0.0 && ramp.first_share <= 1.0))
        return detail::invalid_option(path, "ramped_close.first_share", "> 0 and <= 1", ramp.first_share);
    if (options.half_open_probes < 1 || options.half_open_probes > max_half_open_probes)
        return detail::invalid_option(path, "half_open_probes", "1 to 32", options.half_open_probes);
    if (options.success_threshold < 1)
        return detail::invalid_option(path, "success_threshold", ">= 1", options.success_threshold);
    return {};
}

}  // namespace breakwater
