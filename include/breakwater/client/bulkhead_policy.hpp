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
class ClientBulkheadPolicy {
public:
    static constexpr Place place = Place::admission;
    using Lane = Bulkhead::Lane;
    using Waiter = Bulkhead::Waiter;

    ClientBulkheadPolicy(const std::string& name, const ClientBulkheadOptions& options) {
        if (options.max_concurrent) bulkhead_.emplace(bulkhead_options(name, options));
    }

    /// Null if the client has none.
    const Bulkhead* bulkhead() const noexcept { return bulkhead_ ? &*bulkhead_ : nullptr; }

    std::string_view name() const noexcept { return bulkhead_ ? bulkhead_->name() : std::string_view{}; }
    bool glance(Lane& lane, auto& call) const noexcept { return !bulkhead_ || bulkhead_->glance(lane, call); }
    Before before(Lane& lane, auto& call) const noexcept { return bulkhead_ ? bulkhead_->before(lane, call) : proceed; }
    bool enqueue(Waiter& waiter) const { return bulkhead_->enqueue(waiter); }
    bool settle(Lane& lane, Waiter& waiter) const noexcept { return bulkhead_->settle(lane, waiter); }
    After after(Lane&, auto&, auto&) const noexcept { return done; }

private:
    std::optional<Bulkhead> bulkhead_;
};

}  // namespace breakwater
