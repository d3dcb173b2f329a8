#pragma once

#include <breakwater/hedge.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/store.hpp>

#include <optional>

namespace breakwater {

/// The client's hedge, if it has one; without one each call makes one attempt at a time.
template <Store StoreType>
class ClientHedgePolicy {
public:
    static constexpr Place place = Place::hedge;
    using Lane = typename Hedge<StoreType>::Lane;

    /// Goes on with what `before` has learned, if that is not null.
    ClientHedgePolicy(const HedgeOptions& options, const StoreType& store, const Hedge<StoreType>* before = nullptr) {
        if (options.max_hedges == 0) return;
        if (before != nullptr)
            hedge_ = value_or_throw(before->reconfigured(options));
        else
            hedge_.emplace(options, store);
    }

    /// Null if the client has none.
    const Hedge<StoreType>* hedge() const noexcept { return hedge_ ? &*hedge_ : nullptr; }

    static constexpr bool glance(Lane&, const auto&) noexcept { return true; }
    static constexpr Before before(Lane&, const auto&) noexcept { return proceed; }
    static constexpr After after(Lane&, const auto&, const auto&) noexcept { return done; }

    const Hedge<StoreType>& own() const noexcept { return *hedge_; }
    bool begin(auto& call) const noexcept { return hedge_ && hedge_->begin(call); }

private:
    std::optional<Hedge<StoreType>> hedge_;
};

}  // namespace breakwater
