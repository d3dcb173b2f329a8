#pragma once

#include <breakwater/clock.hpp>

#include <cstdint>

namespace breakwater {

/// What 60 bits tell of a circuit: how closed and open ones are passed without a look at their state.
class CircuitWord {
public:
    explicit constexpr CircuitWord(std::uint64_t bits) noexcept : bits_{bits} {}

    /// Settled: a success changes nothing.
    static constexpr CircuitWord closed(std::uint64_t generation, bool settled) noexcept {
        return CircuitWord{generation << 3 | (settled ? closed_and_settled : is_closed)};
    }
    /// Until then it refuses.
    static constexpr CircuitWord open(Instant until) noexcept {
        return CircuitWord{static_cast<std::uint64_t>(until.time_since_epoch().count()) << 3 | is_open};
    }
    /// Nothing is decided without the state.
    static constexpr CircuitWord looked_at(std::uint64_t generation) noexcept {
        return CircuitWord{generation << 3 | is_looked_at};
    }

    constexpr std::uint64_t bits() const noexcept { return bits_; }
    constexpr bool admits() const noexcept { return (bits_ & 3U) == is_closed; }
    constexpr bool refuses() const noexcept { return (bits_ & 3U) == is_open; }
    /// Of one that admits.
    constexpr std::uint64_t generation() const noexcept { return bits_ >> 3; }
    /// Of one that refuses.
    constexpr Instant until() const noexcept { return Instant{Duration{static_cast<std::int64_t>(bits_ >> 3)}}; }
    /// A success of this generation changes nothing.
    constexpr bool is_settled_in(std::uint64_t generation) const noexcept {
        return bits_ == closed(generation, true).bits_;
    }

private:
    static constexpr std::uint64_t is_closed = 0;
    static constexpr std::uint64_t is_open = 1;
    static constexpr std::uint64_t is_looked_at = 2;
    static constexpr std::uint64_t closed_and_settled = 4;

    std::uint64_t bits_;
};

}  // namespace breakwater
