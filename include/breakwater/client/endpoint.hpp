#pragma once

#include <breakwater/client/options.hpp>
#include <breakwater/client/request_key.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/keyed/rate_limiter.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/task/now_or_later.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// The client's own limit. Heeds a Retry-After only if endpoints have no limiters of their own to do so.
template <class Limiter>
class ClientLimitPolicy {
public:
    static constexpr Place place = Place::admission;
    using Lane = typename Limiter::Lane;
    enum class Heeds : bool { no, yes };
    ClientLimitPolicy(Limiter limiter, Heeds heeds) : limiter_{std::move(limiter)}, heeds_{heeds} {}

    const Limiter& limiter() const noexcept { return limiter_; }
    std::string_view name() const noexcept { return limiter_.name(); }
    bool glance(Lane& lane, auto& call) const noexcept { return limiter_.glance(lane, call); }
    Before before(Lane& lane, auto& call) const noexcept { return limiter_.before(lane, call); }
    auto async_before(Lane& lane, auto& call) const
        requires requires(const Limiter& limiter) { limiter.async_before(lane, call); }
    {
        return limiter_.async_before(lane, call);
    }
    After after(Lane& lane, auto& call, auto& result) const noexcept {
        if (result) return done;
        if (heeds_ == Heeds::yes) return limiter_.after(lane, call, result);
        limiter_.return_unused(lane, call);
        return done;
    }

private:
    Limiter limiter_;
    Heeds heeds_;
};

/// The limits of a client's endpoints, if they are limited.
template <Store StoreType>
class EndpointLimitPolicy {
public:
    static constexpr Place place = Place::admission;
    using Limiters = KeyedRateLimiter<AnyAlgorithm, StoreType>;
    using Lane = typename Limiters::Lane;

    /// With the limiters of `before`, if there is one: of the same name.
    EndpointLimitPolicy(const std::string& name, const ClientRateLimitOptions& options, const StoreType& store,
                        const EndpointLimitPolicy* before = nullptr)
        : key_{options.per_endpoint.key}, is_on_{!options.per_endpoint.algorithm.is_none()} {
        if (before != nullptr) limiters_ = before->limiters_;  // also if they are off: they may be on again
        if (!is_on_) return;
        KeyedRateLimiterOptions<> keyed{.each = {.name = name,
                                                 .algorithm = options.per_endpoint.algorithm,
                                                 .max_wait = options.max_wait,
                                                 .max_pause = options.max_pause},
                                        .max_keys = options.per_endpoint.max_endpoints};
        if (limiters_)
            limiters_ = value_or_throw(limiters_->reconfigured(std::move(keyed)));
        else
            limiters_.emplace(std::move(keyed), store);
    }

    /// Null if endpoints are not limited.
    const Limiters* limiters() const noexcept { return is_on_ ? &*limiters_ : nullptr; }

    /// A permit for a request that is no call of its own.
    Result<void> try_acquire(const Request& request) const {
        return is_on_ ? limiters_->try_acquire(endpoint(request)) : Result<void>{};
    }
    NowOrLater<Result<void>> async_try_acquire(const Request& request) const
        requires AsyncStore<StoreType>
    {
        if (!is_on_) return Result<void>{};
        return limiters_->async_try_acquire(endpoint(request));
    }

    std::string_view name() const noexcept { return "endpoint"; }
    std::string_view key(const Lane& lane) const noexcept { return is_on_ ? limiters_->key(lane) : std::string_view{}; }
    bool glance(Lane& lane, auto& call) const noexcept {
        if (is_on_ && !lane.has_key()) limiters_->place_under(lane, endpoint(call.request));
        return !is_on_;
    }
    Before before(Lane& lane, auto& call) const noexcept { return limiters_->before(lane, call); }
    auto async_before(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        return limiters_->async_before(lane, call);
    }
    After after(Lane& lane, auto& call, auto& result) const noexcept {
        return is_on_ ? limiters_->after(lane, call, result) : done;
    }
    Error refusal(Lane& lane, auto& call, const Before& before) const noexcept {
        return limiters_->refusal(lane, call, before);
    }

    std::string endpoint(const Request& request) const { return key_of(key_, request, &endpoint_of); }

private:
    RequestKey key_;
    bool is_on_;
    std::optional<Limiters> limiters_;
};

}  // namespace breakwater
