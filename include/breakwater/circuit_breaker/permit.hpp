#pragma once

#include <breakwater/circuit_breaker/circuit.hpp>
#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/store/store.hpp>

#include <memory>
#include <optional>
#include <utility>

namespace breakwater {

template <TripRule Trip, Store StoreType>
class CircuitBreaker;

/// A permit for one attempt. Record its outcome; destroyed without one it gives its slot back and counts nothing. Safe
/// to use after the breaker and its store are gone.
template <TripRule Trip, Store StoreType>
class CircuitPermit {
    using Circuit = detail::Circuit<Trip, StoreType>;
    using Machine = typename Circuit::Machine;
    using Rules = typename Circuit::Rules;

public:
    CircuitPermit(CircuitPermit&& other) noexcept
        : circuit_{std::move(other.circuit_)}, rules_{other.rules_}, ticket_{other.ticket_} {}
    CircuitPermit& operator=(CircuitPermit&& other) noexcept {
        CircuitPermit moved{std::move(other)};
        std::swap(circuit_, moved.circuit_);
        std::swap(rules_, moved.rules_);
        std::swap(ticket_, moved.ticket_);
        return *this;
    }
    ~CircuitPermit() {
        if (circuit_) circuit_->release(*rules_, ticket_);
    }

    /// True if this permit is one of a half-open circuit's probes.
    bool is_probe() const noexcept { return ticket_.is_probe(); }

    /// Tells the circuit how the attempt ended; the permit is spent. Returns the transition this caused, if any.
    std::optional<CircuitTransition> record(Outcome outcome) noexcept {
        const auto circuit = std::exchange(circuit_, nullptr);
        if (!circuit) return {};
        if (outcome == Outcome::neutral) {
            circuit->release(*rules_, ticket_);
            return {};
        }
        if (ticket_.generation == Circuit::uncounted.generation) return {};
        const auto recorded =
            circuit->apply(*rules_, typename Machine::Record{ticket_, tally_of(outcome), circuit->random()});
        const auto transition = recorded.transition();
        if (transition) circuit->tell(circuit->own(*transition, recorded.open_for));
        return transition;
    }

private:
    friend CircuitBreaker<Trip, StoreType>;
    CircuitPermit(std::shared_ptr<Circuit> circuit, const Rules& rules, CircuitTicket ticket) noexcept
        : circuit_{std::move(circuit)}, rules_{&rules}, ticket_{ticket} {}

    std::shared_ptr<Circuit> circuit_;
    const Rules* rules_;
    CircuitTicket ticket_;
};

}  // namespace breakwater
