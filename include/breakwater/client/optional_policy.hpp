#pragma once

#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>

#include <optional>
#include <string_view>
#include <utility>

namespace breakwater {

namespace detail {

template <class P>
struct WaiterOf {};
template <class P>
    requires requires { typename P::Waiter; }
struct WaiterOf<P> {
    using Waiter = typename P::Waiter;
};

}  // namespace detail

/// A policy that a client has if its options say so; without it every call passes.
template <class P>
class OptionalPolicy : public detail::WaiterOf<P> {
public:
    static constexpr Place place = P::place;
    using Lane = typename P::Lane;

    explicit OptionalPolicy(std::optional<P> policy) : policy_{std::move(policy)} {}

    /// Null if the client has none.
    const P* get() const noexcept { return policy_ ? &*policy_ : nullptr; }

    std::string_view name() const noexcept { return policy_ ? policy_->name() : std::string_view{}; }
    bool glance(Lane& lane, auto& call) const noexcept { return !policy_ || policy_->glance(lane, call); }
    Before before(Lane& lane, auto& call) const noexcept { return policy_ ? policy_->before(lane, call) : proceed; }
    template <class AnyCall>
        requires requires(const P& policy, Lane& lane, AnyCall& call) { policy.reask(lane, call); }
    Before reask(Lane& lane, AnyCall& call) const noexcept {
        return policy_ ? policy_->reask(lane, call) : proceed;
    }
    bool enqueue(Lane& lane, auto& waiter) const { return policy_->enqueue(lane, waiter); }
    Before settle(Lane& lane, auto& waiter) const noexcept { return policy_->settle(lane, waiter); }
    After after(Lane& lane, auto& call, const auto& result) const noexcept {
        return policy_ ? policy_->after(lane, call, result) : done;
    }
    Error refusal(Lane& lane, auto& call, const Before& before) const noexcept {
        if constexpr (requires { policy_->refusal(lane, call, before); })
            return policy_->refusal(lane, call, before);
        else
            return refusal_by(name(), before);
    }

    // Of a policy that hedges.
    bool begin(auto& call) const noexcept { return policy_ && policy_->begin(call); }
    decltype(auto) own() const noexcept { return policy_->own(); }

private:
    std::optional<P> policy_;
};

}  // namespace breakwater
