#pragma once

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/client/request_key.hpp>
#include <breakwater/keyed/circuit_breaker.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/task/now_or_later.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace breakwater {

/// The circuits of a client: its own, and one for each key that the options find for its requests. A client whose every
/// call goes to its `base_url` has its own only, if circuits are kept by host, and looks for no other. The own one also
/// takes the requests whose key is empty.
template <TripRule Trip, Store StoreType>
class CircuitPolicy {
    using Others = KeyedCircuitBreaker<Trip, StoreType>;

public:
    static constexpr Place place = Place::admission;
    using Breaker = CircuitBreaker<Trip, StoreType>;
    class Lane {
        friend CircuitPolicy;
        bool is_own() const noexcept { return either_.index() == 0; }
        auto& own() noexcept { return *std::get_if<0>(&either_); }
        auto& other() noexcept { return *std::get_if<1>(&either_); }
        const auto& other() const noexcept { return *std::get_if<1>(&either_); }
        std::variant<typename Breaker::Lane, typename Others::Lane> either_;
    };

    /// With the circuits of `before`, if there is one: of the same name.
    CircuitPolicy(const CircuitBreakerOptions<Trip>& each, const CircuitKeyOptions& options,
                  const std::string& base_url, const StoreType& store, const CircuitPolicy* before = nullptr)
        : own_{before != nullptr ? value_or_throw(before->own_.reconfigured(each)) : Breaker{each, store}},
          key_{options.per},
          has_others_{tells_apart(key_, base_url)} {
        if (before != nullptr) others_ = before->others_;  // also if they are not asked: they may be again
        if (!has_others_) return;
        KeyedCircuitBreakerOptions<Trip> keyed{.each = each, .max_keys = options.max_circuits};
        if (others_)
            others_ = value_or_throw(others_->reconfigured(std::move(keyed)));
        else
            others_.emplace(std::move(keyed), store);
    }

    const Breaker& own() const noexcept { return own_; }
    /// Null if there is the client's own only.
    const Others* others() const noexcept { return has_others_ ? &*others_ : nullptr; }

    std::string_view name() const noexcept { return own_.name(); }
    std::string_view key(const Lane& lane) const noexcept {
        return lane.is_own() ? std::string_view{} : others_->key(lane.other());
    }
    [[gnu::always_inline]] bool glance(Lane& lane, auto& call) const noexcept {
        return !has_others_ && own_.glance(lane.own(), call);
    }
    Before before(Lane& lane, auto& call) const noexcept {
        choose(lane, call.request);
        return lane.is_own() ? own_.before(lane.own(), call) : others_->before(lane.other(), call);
    }
    NowOrLater<Before> async_before(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        choose(lane, call.request);
        return lane.is_own() ? own_.async_before(lane.own(), call) : others_->async_before(lane.other(), call);
    }
    NowOrLater<Before> async_reask(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        return lane.is_own() ? own_.async_reask(lane.own(), call) : others_->async_reask(lane.other(), call);
    }
    NowOrLater<After> async_after(Lane& lane, auto& call, auto& result) const
        requires AsyncStore<StoreType>
    {
        return lane.is_own() ? own_.async_after(lane.own(), call, result)
                             : others_->async_after(lane.other(), call, result);
    }
    Before reask(Lane& lane, auto& call) const noexcept {
        return lane.is_own() ? own_.reask(lane.own(), call) : others_->reask(lane.other(), call);
    }
    After after(Lane& lane, auto& call, auto& result) const noexcept {
        return lane.is_own() ? own_.after(lane.own(), call, result) : others_->after(lane.other(), call, result);
    }
    Error refusal(Lane& lane, auto& call, const Before& before) const noexcept {
        return lane.is_own() ? own_.refusal(lane.own(), call, before) : others_->refusal(lane.other(), call, before);
    }

private:
    /// Whether the keys tell requests apart at all.
    static bool tells_apart(const RequestKey& key, const std::string& base_url) {
        const bool by_host = !key || key.target<ByHost>() != nullptr;
        return key.target<ByClient>() == nullptr && (!by_host || base_url.empty());
    }

    /// The circuit, once for each passage.
    void choose(Lane& lane, const Request& request) const noexcept {
        if (!has_others_ || !lane.is_own()) return;
        const std::string key = key_of(key_, request, &host_of);
        if (!key.empty()) others_->place_under(lane.either_.template emplace<1>(), key);
    }

    Breaker own_;
    RequestKey key_;
    bool has_others_;
    std::optional<Others> others_;
};

}  // namespace breakwater
