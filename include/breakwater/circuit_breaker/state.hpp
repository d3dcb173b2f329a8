#pragma once

#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/circuit_breaker/ramp.hpp>
#include <breakwater/circuit_breaker/stragglers.hpp>
#include <breakwater/circuit_breaker/trip.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>

namespace breakwater {

/// A probe slot of a half-open circuit: free, or lent to one probe until `expires`.
struct ProbeLease {
    std::uint64_t token = 0;  ///< 0: free. Otherwise fences the holder: a slot lent again has another token.
    Instant expires{};
    friend bool operator==(const ProbeLease&, const ProbeLease&) = default;
};

/// All that a circuit remembers.
template <TripRule Trip>
struct CircuitBreakerState {
    CircuitState phase = CircuitState::closed;
    std::uint64_t generation = 1;    ///< Grows with every transition; results of an earlier one are late.
    Instant changed{};               ///< When the phase was entered.
    Instant open_until{};            ///< While open: when the first probe is let through.
    bool forced = false;             ///< By hand into this phase, until `forced_until`.
    Instant forced_until{};          ///< `max()`: until it is reset.
    Duration forced_for{};           ///< How long that was when it was set.
    std::uint32_t openings = 0;      ///< Since the circuit was last closed.
    std::uint32_t successes = 0;     ///< While half-open: probes that succeeded.
    std::uint64_t probes = 0;        ///< Probes ever lent.
    std::uint64_t late_results = 0;  ///< Results that came from an earlier generation or an expired lease.
    std::array<ProbeLease, max_half_open_probes> leases{};
    Ramp ramp{};  ///< On while the circuit is closed, but not yet for everybody.
    typename Trip::State counted;

    struct None {};
    /// While closed, under a rule that times calls: the ones under way.
    [[no_unique_address]] std::conditional_t<TimedTripRule<Trip>, Stragglers, None> under_way{};

    /// For stores that keep states as bytes.
    static constexpr auto parts(auto& state) noexcept {
        return std::tie(state.phase, state.generation, state.changed, state.open_until, state.forced,
                        state.forced_until, state.forced_for, state.openings, state.successes, state.probes,
                        state.late_results, state.leases, state.ramp, state.counted, state.under_way);
    }
};

/// What admission hands out: proof of which generation, and of which probe slot, a call belongs to.
struct CircuitTicket {
    std::uint64_t generation = 0;
    /// Of a probe's lease: running number × 32 + slot. Through a closed circuit that times calls: when it began, in µs,
    /// and the topmost bit. Else 0.
    std::uint64_t token = 0;

    constexpr bool is_probe() const noexcept { return token != 0 && !is_timed(); }
    constexpr std::size_t slot() const noexcept { return token % max_half_open_probes; }
    /// Must be recorded or released: something counts it.
    constexpr bool is_held() const noexcept { return token != 0; }
    constexpr bool is_timed() const noexcept { return (token & timed) != 0; }
    constexpr Instant began() const noexcept { return Instant{Duration{static_cast<std::int64_t>(token & ~timed)}}; }

    static constexpr std::uint64_t timed = std::uint64_t{1} << 63;
};

/// What of a circuit outlives its process. It says how long things still last, not until when: another process's clock
/// is another clock.
struct SavedCircuit {
    CircuitState state = CircuitState::closed;  ///< Half-open comes back as open and due for its next probe.
    bool forced = false;
    Duration left{};             ///< Of the opening or the force; `max()`: until it is reset.
    std::uint32_t openings = 0;  ///< Since the circuit was last closed.
    TripCounts counts{};         ///< While closed.
    friend bool operator==(const SavedCircuit&, const SavedCircuit&) = default;
};

/// A circuit as seen from outside. Reading it changes nothing.
struct CircuitSnapshot {
    std::string name{};
    CircuitState state = CircuitState::closed;  ///< An open circuit whose time is over still reads as open.
    bool forced = false;                        ///< By hand: `force_open` or `force_closed`.
    std::uint32_t openings = 0;                 ///< Since the circuit was last closed.
    std::uint64_t generation = 0;
    TripCounts counts{};
    std::uint32_t probes_in_flight = 0;
    std::uint32_t probe_successes = 0;
    std::uint64_t late_results = 0;
    std::uint32_t overdue = 0;              ///< Calls under way that are slow already, if the rule asks.
    double admitted_share = 1.0;            ///< Of calls, while closed: less during a ramped close.
    Duration in_state{};                    ///< Since the last transition; zero if there was none.
    std::optional<Duration> retry_after{};  ///< While open: until the first probe is let through.
};

}  // namespace breakwater
