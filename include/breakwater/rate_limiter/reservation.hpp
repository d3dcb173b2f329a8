#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace breakwater {

/// Permits of a limiter that are taken already and become usable at `ready_at()`.
///
/// They stay taken whatever becomes of this object, as in Go's x/time/rate: destroyed, they count as used. Only
/// `cancel()` gives them back. A pause that begins later does not move `ready_at()`. One thread at a time may use a
/// reservation; one that was moved from may only be assigned to or destroyed.
template <class Limiter>
class [[nodiscard]] Reservation {
public:
    Reservation(Reservation&&) noexcept = default;
    Reservation& operator=(Reservation&&) noexcept = default;

    /// How long until the permits are usable, by the store's clock; zero if they are.
    Duration wait() const noexcept { return std::max(Duration{0}, ready_at_ - limiter_.clock().now()); }
    /// An instant of the store's clock, to wait for with `limiter.clock().wait_until(ready_at(), stop)`.
    Instant ready_at() const noexcept { return ready_at_; }

    /// Gives the permits back, as if they had never been reserved, and says so. It returns false and changes nothing
    /// once they are usable (then they count as used), after an earlier `cancel()`, and if anything has happened to
    /// the limiter's permits since: those who reserved later were promised their time, and do not move up.
    bool cancel() noexcept {
        return !std::exchange(is_cancelled_, true) && limiter_.cancel(*version_, reserved_, ready_at_);
    }

private:
    friend Limiter;
    using Reserved = typename RateMachine<typename Limiter::Algorithm>::Reserved;

    Reservation(const Limiter& limiter, const typename Limiter::Version& version, const Reserved& reserved,
                Instant ready_at) noexcept
        : limiter_{limiter}, version_{&version}, reserved_{reserved}, ready_at_{ready_at} {}

    Limiter limiter_;  // keeps the version
    const typename Limiter::Version* version_;
    Reserved reserved_;
    Instant ready_at_;
    bool is_cancelled_ = false;
};

}  // namespace breakwater
