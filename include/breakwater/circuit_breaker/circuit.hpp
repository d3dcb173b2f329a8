#pragma once

#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/error.hpp>
#include <breakwater/events.hpp>
#include <breakwater/random.hpp>
#include <breakwater/store/store.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace breakwater::detail {

/// What the handles of one circuit share: its options, its cell, and what it is told of by.
template <TripRule Trip, Store StoreType>
struct Circuit {
    using Machine = CircuitMachine<Trip>;
    using Cell = typename StoreType::template Cell<Machine>;
    using Rules = typename Machine::Options;

    struct Version {
        CircuitBreakerOptions<Trip> options;
        Rules rules = rules_of(options);
        std::string layout = Machine::layout(rules);
    };

    Versions<Version> versions;
    const std::string name;
    const std::size_t key_size;  // of the name's end, if it is one key's circuit
    const StoreType store;
    const std::shared_ptr<Cell> cell;
    const Error refusal;  // the one that all are copied from
    Random random;

    const Version& version() const noexcept { return versions.current(); }
    std::string_view key() const noexcept { return std::string_view{name}.substr(name.size() - key_size); }

    /// Of no circuit: the ticket of an attempt that is not counted.
    static constexpr CircuitTicket uncounted{.generation = 0};

    /// By a reading of the clock of its own.
    auto apply(const Rules& rules, const auto& command) const {
        LazyNow now{store.clock()};
        return store.apply(Step{*cell, rules, command}, now);
    }
    /// Gives back what the ticket holds.
    [[gnu::noinline]] void release(const Rules& rules, const CircuitTicket& ticket) const noexcept {
        if (ticket.is_held()) apply(rules, typename Machine::Release{ticket});
    }

    /// The event as this circuit's.
    Event own(Event event) const noexcept {
        event.policy = name;
        event.key = key();
        return event;
    }
    Event own(const CircuitTransition& transition, Duration open_for) const noexcept {
        switch (transition.to) {
            case CircuitState::open: return own({.kind = EventKind::circuit_opened, .delay = open_for});
            case CircuitState::half_open: return own({.kind = EventKind::circuit_half_opened});
            case CircuitState::closed: break;
        }
        return own({.kind = EventKind::circuit_closed});
    }
    /// Tells the options' observer what befalls the circuit outside a call.
    [[gnu::noinline]] void tell(Event event) const noexcept {
        const Observer& observer = version().options.observer;
        if (!observer) return;
        event.at = store.clock().now();
        observer(event);
    }

    Error refusal_of(CircuitState state, Duration retry_after) const noexcept {
        Error error{refusal};
        error.set_circuit(state);
        if (retry_after >= Duration{0}) error.set_retry_after(retry_after);
        return error;
    }
};

}  // namespace breakwater::detail
