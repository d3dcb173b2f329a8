#pragma once

#include <breakwater/client/options.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/store/store.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace breakwater {

/// "GET /orders/{}/items": the method and the path, without query, with each segment of digits folded.
inline std::string endpoint_of(const Request& request) {
    std::string_view path{request.url};
    path = path.substr(0, path.find_first_of("?#"));
    if (const auto authority = path.find("://"); authority != path.npos) path.remove_prefix(authority + 3);
    const auto slash = path.find('/');
    path = slash == path.npos ? std::string_view{"/"} : path.substr(slash);

    std::string endpoint{request.method.name()};
    endpoint += ' ';
    while (!path.empty()) {
        const auto end = path.find('/', 1);
        const std::string_view segment = path.substr(1, end == path.npos ? end : end - 1);
        const bool numeric =
            !segment.empty() && std::ranges::all_of(segment, [](char c) { return c >= '0' && c <= '9'; });
        endpoint.append("/").append(numeric ? std::string_view{"{}"} : segment);
        path = end == path.npos ? std::string_view{} : path.substr(end);
    }
    return endpoint;
}

/// The rate limiters of a client's endpoints. Thread-safe. A limiter, once made, stays; endpoints beyond the bound
/// share one, so that hostile paths cannot fill the memory.
template <Store StoreType>
class EndpointLimiters {
public:
    using Limiter = RateLimiter<AnyAlgorithm, StoreType>;

    EndpointLimiters(std::string name, const ClientRateLimitOptions& options, StoreType store)
        : name_{std::move(name)}, options_{options}, store_{std::move(store)}, overflow_{make("*")} {}

    /// The limiter for this request; lives as long as this object.
    const Limiter& of(const Request& request) {
        const std::string key = key_of(request);
        {
            const std::shared_lock lock{mutex_};
            if (const auto found = limiters_.find(key); found != limiters_.end()) return *found->second;
        }
        const std::unique_lock lock{mutex_};
        if (const auto found = limiters_.find(key); found != limiters_.end()) return *found->second;
        if (limiters_.size() >= options_.per_endpoint.max_endpoints) return *overflow_;
        return *limiters_.emplace(key, make(key)).first->second;
    }

    template <class F>
    void for_each(F use) const {
        const std::shared_lock lock{mutex_};
        for (const auto& [key, limiter] : limiters_) use(key, *limiter);
    }

private:
    std::string key_of(const Request& request) const {
        try {
            if (options_.per_endpoint.key) return options_.per_endpoint.key(request);
        } catch (...) {  // a function that throws knows no better key
        }
        return endpoint_of(request);
    }

    std::unique_ptr<Limiter> make(const std::string& key) const {
        return std::make_unique<Limiter>(RateLimiterOptions<>{.name = name_.empty() ? key : name_ + " " + key,
                                                              .algorithm = options_.per_endpoint.algorithm,
                                                              .max_wait = options_.max_wait,
                                                              .max_pause = options_.max_pause},
                                         store_);
    }

    std::string name_;
    ClientRateLimitOptions options_;
    StoreType store_;
    std::unique_ptr<Limiter> overflow_;
    mutable std::shared_mutex mutex_;
    std::unordered_map<std::string, std::unique_ptr<Limiter>> limiters_;
};

/// The client's own limit. Heeds a Retry-After only if endpoints have no limiters of their own to do so.
template <class Limiter>
class ClientLimitPolicy {
public:
    static constexpr Place place = Place::admission;
    using Lane = typename Limiter::Lane;
    explicit ClientLimitPolicy(Limiter limiter) : limiter_{std::move(limiter)} {}

    const Limiter& limiter() const noexcept { return limiter_; }
    std::string_view name() const noexcept { return limiter_.name(); }
    bool glance(Lane& lane, auto& call) const noexcept { return limiter_.glance(lane, call); }
    Before before(Lane& lane, auto& call) const noexcept { return limiter_.before(lane, call); }
    After after(Lane& lane, auto& call, auto& result) const noexcept {
        if (result) return done;
        if (call.endpoint == nullptr) return limiter_.after(lane, call, result);
        limiter_.return_unused(lane, call);
        return done;
    }

private:
    Limiter limiter_;
};

/// The limit of the call's endpoint, if endpoints are limited.
template <class Limiter>
class EndpointLimitPolicy {
public:
    static constexpr Place place = Place::admission;
    struct Lane {
        typename Limiter::Lane own{};
    };

    std::string_view name() const noexcept { return "endpoint"; }
    Before before(Lane& lane, auto& call) const noexcept {
        return call.endpoint == nullptr ? proceed : call.endpoint->before(lane.own, call);
    }
    After after(Lane& lane, auto& call, auto& result) const noexcept {
        return call.endpoint == nullptr ? done : call.endpoint->after(lane.own, call, result);
    }
    Error refusal(Lane&, auto& call, const Before& before) const noexcept {
        return refusal_by(call.endpoint->name(), before);
    }
};

}  // namespace breakwater
