#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/pipeline/policy.hpp>

namespace breakwater {

/// One deadline for everything inside: all attempts, backoff delays and queue waits together.
///
/// No wait that would pass it is begun; the call then ends at once with the last real error. A callable that is
/// running is not interrupted: it may take the call as its argument and heed `attempt_remaining()`; `ResilientClient`
/// aborts the transfer. The nearest of several deadlines holds.
class Deadline {
public:
    static constexpr Place place = Place::deadline;
    struct Lane {};
    using Glimpse = Lane;

    /// Throws `Exception` (`invalid_options`) unless `limit` > 0.
    explicit Deadline(Duration limit) : limit_{limit} {
        if (limit <= Duration{0}) throw_error(detail::invalid_option("deadline", "", "> 0s", limit).error());
    }

    /// As the constructor, without throwing.
    static Result<Deadline> make(Duration limit) {
        if (limit <= Duration{0}) return detail::invalid_option("deadline", "", "> 0s", limit);
        return Deadline{limit};
    }

    Duration limit() const noexcept { return limit_; }

    [[gnu::always_inline]] bool glance(Glimpse&, auto& call) const noexcept {
        call.set_deadline(limit_);
        return true;
    }
    static bool glance_back(Glimpse&, const auto&) noexcept { return true; }
    Before before(Lane& lane, auto& call) const noexcept {
        glance(lane, call);
        return proceed;
    }
    After after(Lane&, auto&, auto&) const noexcept { return done; }

private:
    Duration limit_;
};

}  // namespace breakwater
