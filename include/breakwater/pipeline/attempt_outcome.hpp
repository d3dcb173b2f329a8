#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/error.hpp>
#include <breakwater/outcome.hpp>

namespace breakwater {

/// What the error of a call's last attempt says about the service: what `rule` decides, else `default_outcome`; but
/// where the call's own deadline cut the attempt off, that is a failure only if it ran for `deadline_counts_after`.
template <class AnyCall>
Outcome attempt_outcome(const Classifier& rule, Duration deadline_counts_after, const Error& error,
                        AnyCall& call) noexcept {
    if (const auto decided = decided_by(rule, error)) return *decided;
    const Outcome outcome = default_outcome(error);
    // Without a deadline of this call's, it was the callable's own: that is a failure like any other.
    if (error.code() != Errc::deadline_exceeded || call.deadline == Instant::max()) return outcome;
    const bool ran = call.attempt_began != Instant::max() && call.now() - call.attempt_began >= deadline_counts_after;
    return ran ? outcome : Outcome::neutral;
}

}  // namespace breakwater
