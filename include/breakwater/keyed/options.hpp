#pragma once

#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/keyed/table.hpp>
#include <breakwater/rate_limiter/options.hpp>
#include <breakwater/result.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

namespace breakwater {

template <RateAlgorithm Algorithm = AnyAlgorithm>
struct KeyedRateLimiterOptions {
    /// Of each key's limiter. The name is that of all together: within one store, keyed limiters with the same name and
    /// layout share their keys.
    RateLimiterOptions<Algorithm> each{};
    /// How many keys have a limiter of their own. 1 to 16777216, default 10000; of the first one made with this name.
    /// 128 bytes each.
    std::size_t max_keys = 10'000;
};

template <TripRule Trip = AnyTrip>
struct KeyedCircuitBreakerOptions {
    /// Of each key's circuit. The name is that of all together: within one store, keyed breakers with the same name and
    /// layout share their keys; a key's circuit has the options of the one that met it first.
    CircuitBreakerOptions<Trip> each{};
    /// How many keys have a circuit of their own. 1 to 16777216, default 1000; of the first one made with this name.
    /// Some 2 KiB each, and what the trip rule keeps.
    std::size_t max_keys = 1'000;
};

/// Whether both certainly say the same: functions cannot be compared.
template <TripRule Trip>
bool are_same(const CircuitBreakerOptions<Trip>& a, const CircuitBreakerOptions<Trip>& b) {
    if constexpr (std::equality_comparable<Trip>) {
        const auto& [name, trip, timeout, probes, threshold, lease, counts_after, classify, growth, ramp, tags, shadow,
                     seed, observer] = a;  // all of them, or it does not compile
        return !classify && !b.classify && name == b.name && trip == b.trip && timeout == b.recovery_timeout &&
               probes == b.half_open_probes && threshold == b.success_threshold && lease == b.probe_lease &&
               counts_after == b.deadline_counts_after && growth == b.recovery_growth && ramp == b.ramped_close &&
               tags == b.uncounted_tags && shadow == b.shadow && seed == b.seed && observer == b.observer;
    } else {
        return false;
    }
}

/// Checks the options; messages begin with `path`.
template <class Options>
    requires requires(const Options& options) {
        options.each;
        options.max_keys;
    }
Result<void> validate(const Options& options, std::string_view path = "") {
    constexpr std::size_t most = KeyedTable<int>::most_keys;
    if (options.max_keys < 1 || options.max_keys > most)
        return detail::invalid_option(path, "max_keys", "1 to " + std::to_string(most), options.max_keys);
    return validate(options.each, path.empty() ? "each" : std::string{path} + ".each");
}

}  // namespace breakwater
