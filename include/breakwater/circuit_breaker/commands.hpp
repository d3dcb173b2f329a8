#pragma once

#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/error.hpp>
#include <breakwater/outcome.hpp>

#include <cstdint>
#include <optional>

namespace breakwater {

/// A change of a circuit's state.
struct CircuitTransition {
    CircuitState from{};
    CircuitState to{};
    friend bool operator==(const CircuitTransition&, const CircuitTransition&) = default;
};

/// What a circuit is asked, and what it answers.
struct CircuitCommands {
    struct Admit {
        std::uint64_t random = 0;  ///< For `RecoveryGrowth::jitter`, if calls that are overdue trip the circuit.
    };
    struct Record {
        CircuitTicket ticket{};
        Tally tally{};
        std::uint64_t random = 0;  ///< For `RecoveryGrowth::jitter`.
        Duration retry_after{-1};  ///< Of the failing answer; negative if it names none.
    };
    /// Gives the slot back without a verdict.
    struct Release {
        CircuitTicket ticket{};
    };
    /// Opens or closes the circuit by hand, `span` long (`max()`: until it is reset). What is under way is late.
    struct Force {
        CircuitState to = CircuitState::open;  ///< `open` or `closed`
        Duration span{};
    };
    /// Closes the circuit, ends a force and forgets everything counted.
    struct Reset {};
    /// Goes on from what was saved `age` ago.
    struct Restore {
        SavedCircuit saved{};
        Duration age{};
    };

    struct Admission {
        bool admitted = false;
        CircuitState state = CircuitState::closed;  ///< After the decision.
        CircuitTicket ticket{};
        Duration retry_after{};  ///< If refused: when a permit can be had at the latest; `max()` if nobody knows.
        Duration open_for{};     ///< If this opened the circuit: for how long.
        std::optional<CircuitTransition> transition{};
        bool withdrawn = false;  ///< Refused only because something else was: see `Before::Kind::withdrawn`.
    };
    enum class Verdict : std::uint8_t { counted, late, opened, opened_again, closed };
    struct Recorded {
        Duration open_for{};
        Verdict verdict = Verdict::counted;

        constexpr bool late() const noexcept { return verdict == Verdict::late; }
        constexpr std::optional<CircuitTransition> transition() const noexcept {
            using enum CircuitState;
            switch (verdict) {
                case Verdict::opened: return CircuitTransition{CircuitState::closed, open};
                case Verdict::opened_again: return CircuitTransition{half_open, open};
                case Verdict::closed: return CircuitTransition{half_open, CircuitState::closed};
                case Verdict::counted:
                case Verdict::late: break;
            }
            return {};
        }
    };
};

}  // namespace breakwater
