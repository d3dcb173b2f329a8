#pragma once

#include <breakwater/circuit_breaker/trip.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace breakwater {

/// The largest number of probes a half-open circuit may have in flight.
inline constexpr std::uint32_t max_half_open_probes = 32;

/// The part of the options that the machine decides by.
template <TripRule Trip>
struct CircuitRules {
    Trip trip{};
    Duration recovery_timeout = std::chrono::seconds{60};
    std::uint32_t half_open_probes = 1;
    std::uint32_t success_threshold = 1;
    Duration probe_lease = std::chrono::seconds{30};
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

    /// An attempt cut off by the caller's deadline is a failure if it ran at least this long, else neutral. Default 1 s.
    Duration deadline_counts_after = std::chrono::seconds{1};

    /// Decides what an error says about the service; default `default_outcome`.
    Classifier classify{};
};

template <TripRule Trip>
constexpr CircuitRules<Trip> rules_of(const CircuitBreakerOptions<Trip>& options) {
    return {options.trip, options.recovery_timeout, options.half_open_probes, options.success_threshold,
            options.probe_lease};
}

/// The first mistake, as "path.field: legal range, value".
template <TripRule Trip>
Result<void> validate(const CircuitBreakerOptions<Trip>& options, const std::string& path = "circuit_breaker") {
    const auto span = [&](const char* field, Duration value, Duration least) -> Result<void> {
        if (value >= least && value <= std::chrono::hours{24}) return {};
        return fail(Errc::invalid_options, path + field + ": must be " + format_duration(least) + " to 24 h, got " +
                                               (value.count() < 0 ? "-" + format_duration(-value) : format_duration(value)));
    };
    if (auto trip = options.trip.validate(); !trip) {
        return fail(Errc::invalid_options, path + ".trip" + std::string{trip.error().detail()});
    }
    if (auto ok = span(".recovery_timeout", options.recovery_timeout, std::chrono::milliseconds{1}); !ok) return ok;
    if (auto ok = span(".probe_lease", options.probe_lease, std::chrono::milliseconds{1}); !ok) return ok;
    if (auto ok = span(".deadline_counts_after", options.deadline_counts_after, Duration{0}); !ok) return ok;
    if (options.half_open_probes < 1 || options.half_open_probes > max_half_open_probes) {
        return fail(Errc::invalid_options,
                    path + ".half_open_probes: must be 1 to 32, got " + std::to_string(options.half_open_probes));
    }
    if (options.success_threshold < 1) {
        return fail(Errc::invalid_options, path + ".success_threshold: must be at least 1, got 0");
    }
    return {};
}

}  // namespace breakwater
