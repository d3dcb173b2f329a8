#pragma once

#include <breakwater/cache.hpp>
#include <breakwater/client/options.hpp>
#include <breakwater/client/request_options.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/cache_control.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task/now_or_later.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace breakwater {

/// Looks into the cache before anything else is asked: a fresh hit costs neither permit nor attempt. Keeps what comes
/// back from the network.
template <Store StoreType>
class CachePolicy {
public:
    struct Lane {
        std::optional<Duration> ttl{};  ///< Empty: this call has nothing to do with the cache.
        std::unique_ptr<Response> hit{};
    };

    CachePolicy(ResponseCache<StoreType> cache, CacheOptions options, const StoreType& store)
        : cache_{std::move(cache)}, options_{options}, clock_{store.clock()} {}

    /// Of a call that may not be answered from the cache.
    bool glance(Lane& lane, auto& call) const {
        if (!call.request.method.is_safe() || call.download != nullptr) return true;
        const auto ttl = call.options.cache_ttl ? call.options.cache_ttl : options_.ttl;
        const CacheControl asked = parse_cache_control(call.request.headers);
        if (!ttl || *ttl <= Duration{0} || asked.no_store) return true;
        lane.ttl = ttl;
        call.is_cached = !asked.no_cache;
        return !call.is_cached;
    }
    Before before(Lane& lane, auto& call) const { return decided(lane, call, cache_.find(call.request)); }
    NowOrLater<Before> async_before(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        return then(NowOrLater{cache_.async_find(call.request)},
                    [&, this](std::optional<CachedResponse> kept) { return decided(lane, call, std::move(kept)); });
    }

    Result<Response> answer(Lane& lane, auto&) const { return std::move(*lane.hit); }

    After after(Lane& lane, auto& call, auto& result) const {
        if (!result) return done;
        if (!call.request.method.is_safe()) {
            cache_.invalidate(call.request);  // other calls may bring a lifetime of their own
            return done;
        }
        if (lane.ttl && result->source == Source::network) keep(*lane.ttl, call, *result);
        return done;
    }

private:
    Before decided(Lane& lane, auto& call, std::optional<CachedResponse> kept) const {
        if (!kept) return proceed;
        const Instant now = clock_.now();
        if (now < kept->fresh_until) {
            lane.hit = std::make_unique<Response>(std::move(kept->response));
            lane.hit->source = Source::cache;
            call.emit({.kind = EventKind::cache_hit, .status = lane.hit->status});
            return answer_now;
        }
        if (now < kept->stale_until) {
            kept->response.source = Source::stale_cache;
            call.stale = std::make_shared<const Response>(std::move(kept->response));
        }
        return proceed;
    }

    void keep(Duration ttl, auto& call, const Response& response) const {
        const CacheControl directives = parse_cache_control(response.headers);
        Duration lifetime = ttl;
        if (options_.lifetime == CacheLifetime::answer_first) {
            lifetime = freshness_lifetime(response.headers, wall_clock_now()).value_or(ttl);
        }
        Duration stale = options_.stale_if_error;
        if (directives.stale_if_error && stale > Duration{0}) stale = *directives.stale_if_error;
        if (!may_be_stale(directives) && options_.lifetime == CacheLifetime::answer_first) stale = Duration{0};
        const Instant fresh_until = clock_.now() + lifetime;
        CachedResponse kept{response, fresh_until, fresh_until + stale};
        kept.response.timeline.clear();
        const auto evicted = cache_.put(call.request, kept);
        if (!evicted) return;
        call.emit({.kind = EventKind::cache_stored, .delay = lifetime});
        if (*evicted > 0) call.emit({.kind = EventKind::cache_evicted, .count = static_cast<std::uint32_t>(*evicted)});
    }

    ResponseCache<StoreType> cache_;
    CacheOptions options_;
    std::remove_cvref_t<decltype(std::declval<const StoreType&>().clock())> clock_;
};

/// Answers in place of a failed call: with a stale answer if there is one, else with the call's or the client's
/// fallback.
class FallbackPolicy {
public:
    static constexpr Place place = Place::fallback;
    struct Lane {};

    explicit FallbackPolicy(ClientFallbackOptions options) : options_{std::move(options)} {}

    Before before(Lane&, auto&) const noexcept { return proceed; }

    After after(Lane&, auto& call, auto& result) const {
        if (result) return done;
        if (call.stale && fallback_by_default(result.error())) {
            report(EventKind::cache_stale_served, call, result.error());
            result = *call.stale;
            return done;
        }
        const ResponseFallback& answer = call.options.fallback ? call.options.fallback : options_.answer;
        if (!answer || !applies(result.error())) return done;
        report(EventKind::fallback_used, call, result.error());
        answer_by(answer, result);
        if (result) result->source = Source::fallback;
        return done;
    }

private:
    static void report(EventKind kind, auto& call, const Error& error) {
        call.emit({.kind = kind,
                   .policy = error.policy(),
                   .code = error.code(),
                   .status = error.status(),
                   .stopped_by = error.stopped_by()});
    }
    bool applies(const Error& error) const {
        try {
            return options_.on ? options_.on(error) : fallback_by_default(error);
        } catch (...) {
            return false;
        }
    }

    ClientFallbackOptions options_;
};

}  // namespace breakwater
