#pragma once

/// Processes that share a virtual server, in one thread.

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/store/fleet.hpp>
#include <breakwater/testing/virtual_server.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace test {

using VirtualStore = breakwater::FleetStore<breakwater::testing::VirtualLink>;

/// A store whose link a test can take hold of.
class FleetProcess : public VirtualStore {
public:
    explicit FleetProcess(breakwater::testing::VirtualServer& server, breakwater::fleet::Options options = {})
        : VirtualStore{std::move(options), server} {}
    auto& link() const { return world().link(); }
};

/// Some processes with one circuit.
template <breakwater::TripRule Trip = breakwater::AnyTrip>
struct FleetOfCircuits {
    using Breaker = breakwater::CircuitBreaker<Trip, VirtualStore>;

    explicit FleetOfCircuits(std::size_t count, breakwater::CircuitBreakerOptions<Trip> options,
                             breakwater::fleet::Options fleet = {.min_reporters = 1}) {
        options.name = "ledger";
        for (std::size_t i = 0; i < count; ++i) {
            processes.emplace_back(server, fleet);
            circuits.emplace_back(options, processes.back());
        }
    }

    /// A call through the circuit of process `i`; says whether it was let through.
    bool call(std::size_t i, breakwater::Outcome outcome) {
        auto permit = circuits[i].try_acquire();
        if (!permit) return false;
        (void)permit->record(outcome);
        return true;
    }
    bool fails(std::size_t i) { return call(i, breakwater::Outcome::failure); }
    bool succeeds(std::size_t i) { return call(i, breakwater::Outcome::success); }
    breakwater::CircuitState state(std::size_t i) const { return circuits[i].state(); }
    /// Every process's state, a letter each: c, o or h.
    std::string states() const {
        std::string letters;
        for (const auto& circuit : circuits) letters += "coh"[static_cast<int>(circuit.state())];
        return letters;
    }

    breakwater::testing::VirtualServer server;
    std::vector<FleetProcess> processes;
    std::vector<Breaker> circuits;
};

}  // namespace test
