#pragma once

#include <breakwater/bulkhead.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/pipeline/policy.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// The client's bulkhead, if it has one; without one every call passes.
///
/// The permits are the client's, whatever its options are by now; how long a call queues for one is the call's own.
class ClientBulkheadPolicy {
public:
    static constexpr Place place = Place::admission;
    using Lane = Bulkhead::Lane;
    using Waiter = Bulkhead::Waiter;

    /// Goes on with the permits of `before`, if there is one; `adapt` makes them as many as the options say.
    ClientBulkheadPolicy(const std::string& name, const ClientBulkheadOptions& options,
                         const ClientBulkheadPolicy* before = nullptr)
        : options_{bulkhead_options(name, options)}, is_on_{options.max_concurrent.has_value()} {
        if (before != nullptr) bulkhead_ = before->bulkhead_;  // also if it is off by now: calls may still hold permits
        if (is_on_ && !bulkhead_) bulkhead_.emplace(options_);
    }
    void adapt() const {
        if (is_on_) (void)bulkhead_->reconfigure(options_);
    }

    /// Null if the client has none.
    const Bulkhead* bulkhead() const noexcept { return is_on_ ? &*bulkhead_ : nullptr; }

    std::string_view name() const noexcept { return options_.name; }
    bool glance(Lane& lane, auto& call) const noexcept { return !is_on_ || bulkhead_->glance(lane, call); }
    Before before(Lane& lane, auto& call) const noexcept {
        if (glance(lane, call)) return proceed;
        return Bulkhead::queue_or_reject(options_);
    }
    bool enqueue(Lane& lane, Waiter& waiter) const { return bulkhead_->enqueue(lane, waiter); }
    Before settle(Lane& lane, Waiter& waiter) const noexcept { return bulkhead_->settle(lane, waiter); }
    After after(Lane&, auto&, auto&) const noexcept { return done; }

private:
    BulkheadOptions options_;
    bool is_on_;
    std::optional<Bulkhead> bulkhead_;
};

}  // namespace breakwater
