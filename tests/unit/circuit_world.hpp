#pragma once

/// Circuit breakers whose time the test moves.

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <optional>
#include <string>
#include <utility>

namespace test {

namespace bw = breakwater;

using Breaker = bw::CircuitBreaker<bw::AnyTrip, bw::MemoryStore<bw::ManualClock>>;
using CircuitOptions = bw::CircuitBreakerOptions<>;

struct CircuitWorld {
    bw::ManualClock clock{};
    bw::MemoryStore<bw::ManualClock> store{clock};

    Breaker breaker(CircuitOptions options) const { return Breaker{std::move(options), store}; }
};

/// One call that ends at once.
inline std::optional<bw::CircuitTransition> report(const Breaker& breaker, bw::Outcome outcome) {
    auto permit = breaker.try_acquire();
    REQUIRE(permit);
    return permit->record(outcome);
}

/// Why these options are refused.
inline std::string refusal(CircuitOptions options) {
    const auto made = bw::CircuitBreaker<>::make(std::move(options));
    return made ? "accepted" : made.error().message();
}

}  // namespace test
