#pragma once

#include <breakwater/adaptive_limit.hpp>
#include <breakwater/attempt_forecast.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/cache.hpp>
#include <breakwater/client/auth.hpp>
#include <breakwater/client/bulkhead_policy.hpp>
#include <breakwater/client/cache_policy.hpp>
#include <breakwater/client/circuits.hpp>
#include <breakwater/client/coalesce_policy.hpp>
#include <breakwater/client/endpoint.hpp>
#include <breakwater/client/optional_policy.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/client/prepare.hpp>
#include <breakwater/client/request_key.hpp>
#include <breakwater/client/saved_state.hpp>
#include <breakwater/client/server_limit.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/hedge.hpp>
#include <breakwater/http/redact.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/throttle.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace breakwater {

/// The policies of a client, outermost first, with the options they go by. It never changes, so that a call that keeps
/// one goes by the same options from its beginning to its end, whatever the client's are by then.
template <Store StoreType, class Policies>
struct ClientStack {
    using Options = BasicClientOptions<Policies>;
    using CoalescePolicy = ClientCoalescePolicy<StoreType>;
    using Circuits = CircuitPolicy<typename Policies::Trip, StoreType>;
    using Limiter = RateLimiter<AnyAlgorithm, StoreType>;
    using Budget = RetryBudget<StoreType>;
    using RetryPolicy = Retry<typename Policies::JitterKind, AnyValue, Budget>;
    using LimitPolicy = ClientLimitPolicy<Limiter>;
    using Endpoints = EndpointLimitPolicy<StoreType>;
    using SteeringPolicy = ServerLimitPolicy<Limiter, Endpoints>;
    using HedgePolicy = OptionalPolicy<Hedge<StoreType>>;
    using Forecast = AttemptForecast<StoreType>;
    using ForecastPolicy = OptionalPolicy<Forecast>;
    using ThrottlePolicy = OptionalPolicy<Throttle<StoreType>>;
    using AdaptivePolicy = OptionalPolicy<AdaptiveLimit<>>;
    using All = std::tuple<CachePolicy<StoreType>, FallbackPolicy, CoalescePolicy, RetryPolicy, HedgePolicy,
                           ForecastPolicy, ThrottlePolicy, Circuits, ClientBulkheadPolicy, AdaptivePolicy, LimitPolicy,
                           Endpoints, SteeringPolicy>;

    /// The options with what they leave to others of them.
    static Options completed(Options options) {
        if (options.circuit_breaker.name.empty()) options.circuit_breaker.name = options.name;
        if (options.throttle && options.throttle->name.empty()) options.throttle->name = options.name;
        if (options.adaptive_limit && options.adaptive_limit->name.empty()) options.adaptive_limit->name = options.name;
        if (options.hedge.name.empty()) options.hedge.name = options.name;
        if (options.retry_budget.name.empty()) options.retry_budget.name = options.name;
        options.circuit_breaker.deadline_counts_after =
            std::min(options.circuit_breaker.deadline_counts_after, options.timeouts.attempt);
        return options;
    }

    /// Of `completed` options that `validate` accepts. Goes on with what `before` knows, if there is one: of the same
    /// names.
    ClientStack(Options opts, const StoreType& store, const ClientStack* before = nullptr)
        : options{std::move(opts)},
          observer{options.observer.for_client(options.name)},
          preparation{options.base_url, options.headers, options.auth},
          redaction{words_of(options, before)},
          limiter{limiter_of(options, store, before)},
          endpoints{options.name, limits_of(options, redaction), store,
                    before == nullptr ? nullptr : &before->endpoints},
          policies{
              CachePolicy<StoreType>{cache_of(store), options.cache, store},
              FallbackPolicy{options.fallback},
              CoalescePolicy{options.coalesce, cache_of(store), options.name, store,
                             before == nullptr ? nullptr : &before->coalesce_policy()},
              RetryPolicy{options.retry, budget_of(options, store, before)},
              HedgePolicy{hedge_of(options, store, before)},
              ForecastPolicy{forecast_of(options, store, before)},
              ThrottlePolicy{throttle_of(options, store, before)},
              Circuits{circuit_of(options, observer), circuits_of(options, redaction), options.base_url, store,
                       before == nullptr ? nullptr : &before->circuits()},
              ClientBulkheadPolicy{options.name, options.bulkhead,
                                   before == nullptr ? nullptr : &before->bulkhead_policy()},
              AdaptivePolicy{adaptive_limit_of(options, before)},
              LimitPolicy{limiter, endpoints.limiters() == nullptr ? LimitPolicy::Heeds::yes : LimitPolicy::Heeds::no},
              endpoints,
              SteeringPolicy{options.rate_limit.heed_server, limiter, endpoints}} {}

    const Circuits& circuits() const noexcept { return std::get<Circuits>(policies); }
    const ClientBulkheadPolicy& bulkhead_policy() const noexcept { return std::get<ClientBulkheadPolicy>(policies); }
    const CoalescePolicy& coalesce_policy() const noexcept { return std::get<CoalescePolicy>(policies); }
    /// Null if there is none.
    const Bulkhead* bulkhead() const noexcept { return bulkhead_policy().bulkhead(); }
    /// Null if there is none.
    const Hedge<StoreType>* hedge() const noexcept { return std::get<HedgePolicy>(policies).get(); }
    const Budget& retry_budget() const noexcept { return std::get<RetryPolicy>(policies).budget(); }
    /// Null if there is none.
    const Forecast* forecast() const noexcept { return std::get<ForecastPolicy>(policies).get(); }
    const Throttle<StoreType>* throttle() const noexcept { return std::get<ThrottlePolicy>(policies).get(); }
    const AdaptiveLimit<>* adaptive_limit() const noexcept { return std::get<AdaptivePolicy>(policies).get(); }

    /// Has what it shares with the stack before it go by its own options.
    void adapt() const {
        bulkhead_policy().adapt();
        if (const auto* own = throttle()) (void)own->reconfigure(*options.throttle);
        if (const auto* own = adaptive_limit()) (void)own->reconfigure(*options.adaptive_limit);
    }

    SavedState save() const {
        SavedState saved{.name = options.name,
                         .saved_at = wall_clock_now_us(),
                         .circuit = circuits().own().save(),
                         .rate_limit = limiter.save(),
                         .retry_budget = retry_budget().save()};
        const auto into = [](auto& map) {
            return [&map](std::string key, const auto& own) { map.emplace(std::move(key), own); };
        };
        if (const auto* others = circuits().others()) others->save(into(saved.circuits));
        if (const auto* limiters = endpoints.limiters()) limiters->save(into(saved.endpoints));
        return saved;
    }
    void restore(const SavedState& saved) const {
        const Duration age = std::max(wall_clock_now_us() - saved.saved_at, Duration{0});
        circuits().own().restore(saved.circuit, age);
        limiter.restore(saved.rate_limit, age);
        retry_budget().restore(saved.retry_budget, age);
        if (const auto* others = circuits().others())
            for (const auto& [key, own] : saved.circuits) others->restore(key, own, age);
        if (const auto* limiters = endpoints.limiters())
            for (const auto& [key, own] : saved.endpoints) limiters->restore(key, own, age);
    }

    const Options options;
    const Observer observer;
    const RequestPreparation preparation;
    const Redaction redaction;
    const Limiter limiter;
    const Endpoints endpoints;
    const All policies;

private:
    ResponseCache<StoreType> cache_of(const StoreType& store) const {
        return {store, options.name, preparation.credential_headers()};
    }
    // A service may still speak of a secret that has been replaced.
    static Redaction words_of(const Options& options, const ClientStack* before) {
        Redaction words = redaction_of(options.redact, options.headers, options.auth);
        if (before != nullptr)
            learn_secrets(words, before->options.redact, before->options.headers, before->options.auth);
        return words;
    }
    static Limiter limiter_of(const Options& options, const StoreType& store, const ClientStack* before) {
        typename Limiter::Options own{.name = options.name,
                                      .algorithm = options.rate_limit.algorithm,
                                      .max_wait = options.rate_limit.max_wait,
                                      .max_pause = options.rate_limit.max_pause};
        if (before != nullptr) return value_or_throw(before->limiter.reconfigured(std::move(own)));
        return Limiter{std::move(own), store};
    }
    static Budget budget_of(const Options& options, const StoreType& store, const ClientStack* before) {
        if (before != nullptr) return value_or_throw(before->retry_budget().reconfigured(options.retry_budget));
        return Budget{options.retry_budget, store};
    }
    static std::optional<Forecast> forecast_of(const Options& options, const StoreType& store,
                                               const ClientStack* before) {
        if (!options.forecast.quantile) return {};
        auto own = forecast_options(options.name, options.forecast);
        if (before != nullptr && before->forecast() != nullptr)
            return value_or_throw(before->forecast()->reconfigured(std::move(own)));
        return Forecast{std::move(own), store};
    }
    static std::optional<Hedge<StoreType>> hedge_of(const Options& options, const StoreType& store,
                                                    const ClientStack* before) {
        if (options.hedge.max_hedges == 0) return {};
        if (before != nullptr && before->hedge() != nullptr)
            return value_or_throw(before->hedge()->reconfigured(options.hedge));
        return Hedge<StoreType>{options.hedge, store};
    }
    static std::optional<Throttle<StoreType>> throttle_of(const Options& options, const StoreType& store,
                                                          const ClientStack* before) {
        if (!options.throttle) return {};
        if (before != nullptr && before->throttle() != nullptr) return *before->throttle();
        return Throttle<StoreType>{*options.throttle, store};
    }
    static std::optional<AdaptiveLimit<>> adaptive_limit_of(const Options& options, const ClientStack* before) {
        if (!options.adaptive_limit) return {};
        if (before != nullptr && before->adaptive_limit() != nullptr) return *before->adaptive_limit();
        return AdaptiveLimit<>{*options.adaptive_limit};
    }
    static CircuitBreakerOptions<typename Policies::Trip> circuit_of(const Options& options, const Observer& observer) {
        auto circuit = options.circuit_breaker;
        if (!circuit.observer) circuit.observer = observer;
        return circuit;
    }
    // Keys are shown in events and errors.
    static CircuitKeyOptions circuits_of(const Options& options, const Redaction& words) {
        CircuitKeyOptions circuits = options.circuits;
        circuits.per = without_secrets(circuits.per ? circuits.per : by_host(), words);
        return circuits;
    }
    static ClientRateLimitOptions limits_of(const Options& options, const Redaction& words) {
        ClientRateLimitOptions limits = options.rate_limit;
        RequestKey& key = limits.per_endpoint.key;
        key = without_secrets(key ? key : by_endpoint(), words);
        return limits;
    }
};

}  // namespace breakwater
