#pragma once

#include <breakwater/adaptive_limit/options.hpp>
#include <breakwater/attempt_forecast/options.hpp>
#include <breakwater/bulkhead/options.hpp>
#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/client/auth.hpp>
#include <breakwater/client/request_key.hpp>
#include <breakwater/client/request_options.hpp>
#include <breakwater/coalesce/options.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/events.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/hedge/options.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/redact.hpp>
#include <breakwater/http/redirect.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/target.hpp>
#include <breakwater/http/trace_context.hpp>
#include <breakwater/http/url.hpp>
#include <breakwater/rate_limiter/options.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry/budget.hpp>
#include <breakwater/retry/options.hpp>
#include <breakwater/throttle/options.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

struct TimeoutOptions {
    Duration attempt = std::chrono::seconds{10};   ///< One attempt, redirects included. At most the probe lease.
    Duration connect = std::chrono::seconds{3};    ///< Resolving, connecting and TLS handshake. At most `attempt`.
    Duration deadline = std::chrono::seconds{30};  ///< All attempts and waits of a call. At least `attempt`.
};

/// A limit for each endpoint, beside the client's own.
struct EndpointLimitOptions {
    /// `no_limit` (the default) switches per-endpoint limits off.
    AnyAlgorithm algorithm{};
    /// What makes an endpoint. Default: `endpoint_of`, method and path with numeric segments folded.
    RequestKey key{};
    /// How many endpoints have a limiter of their own; the ones beyond share one, as long as none of these is full
    /// again: see `KeyedRateLimiter`. 1 to 1,000,000; default 1,024.
    std::size_t max_endpoints = 1'024;
};

/// What is done about the quota that a service's answers tell (`RateLimit`, `X-RateLimit-Remaining` and their kin; see
/// `parse_rate_limit`). A Retry-After is heeded in any case.
///
/// The endpoint's limiter heeds it if endpoints are limited, else the client's, which means all calls. Whatever the
/// headers say, calls only ever get slower by it, and no pause is longer than `max_pause`.
enum class HeedServer : std::uint8_t {
    off,
    /// An answer that says nothing is left, good answers included, pauses until the quota's reset: the call that would
    /// be answered with 429 is not sent.
    when_spent,
    /// Besides, no more calls are let through until the reset than the service says are left, so that many threads do
    /// not overrun it together: at most those that were under way when the first answer came. For a service that counts
    /// all calls of the client (or endpoint) alike; where each resource has a quota of its own, the smallest would hold
    /// for all.
    spend_down,
};

/// Which requests share a circuit.
struct CircuitKeyOptions {
    /// `by_host()` (the default), `by_endpoint()`, `by_client()` or a function: requests of the same key share a
    /// circuit, those of the empty key the client's own. By host, a client with a `base_url` needs its own only.
    RequestKey per = by_host();
    /// How many keys have a circuit; the ones beyond share one: see `KeyedCircuitBreaker`. 1 to 1,000,000; default
    /// 1,024.
    std::size_t max_circuits = 1'024;
};

struct ClientRateLimitOptions {
    AnyAlgorithm algorithm{};  ///< For the whole client. Default: `no_limit`.
    Duration max_wait{};       ///< How long a call waits for its permit. Default 0: it is refused at once.
    Duration max_pause = default_max_pause;  ///< The longest pause a service can ask for. Default 5 min.
    EndpointLimitOptions per_endpoint{};
    HeedServer heed_server = HeedServer::when_spent;  ///< What is done about `RateLimit` headers.
};

/// How many attempts are in flight at once. Off by default: blocking calls are bounded by the caller's threads, and how
/// many of these may hang on one service only the caller knows.
struct ClientBulkheadOptions {
    /// Empty (the default) switches the bulkhead off; else 1 to 1,000,000. Redirects included, backoff not.
    std::optional<std::uint32_t> max_concurrent{};
    std::uint32_t max_queue = BulkheadOptions{}.max_queue;  ///< How many more may queue. Default 0: refused at once.
    Duration max_wait = BulkheadOptions{}.max_wait;         ///< How long an attempt queues. 0s to 24h; default 30s.
};

/// The same as the options of a `Bulkhead` called `name`.
inline BulkheadOptions bulkhead_options(std::string name, const ClientBulkheadOptions& options) {
    BulkheadOptions own{.name = std::move(name), .max_queue = options.max_queue, .max_wait = options.max_wait};
    own.max_concurrent = options.max_concurrent.value_or(own.max_concurrent);
    return own;
}

/// Whether attempts are refused that would probably come too late for the call's deadline: see `AttemptForecast`. One
/// estimate serves all requests of the client.
struct ClientForecastOptions {
    /// Empty (the default) switches the forecast off; else 0.001 to 0.999. 0.5: an attempt is refused when it would
    /// more likely than not come too late.
    std::optional<double> quantile{};
    std::uint32_t minimum_samples = AttemptForecastOptions{}.minimum_samples;  ///< Default 20.
    std::uint32_t max_samples = AttemptForecastOptions{}.max_samples;          ///< Default 256.
    Duration trial_interval = AttemptForecastOptions{}.trial_interval;         ///< Default 1 s.
};

/// The same as the options of an `AttemptForecast` called `name`.
inline AttemptForecastOptions forecast_options(std::string name, const ClientForecastOptions& options) {
    AttemptForecastOptions own{.name = std::move(name),
                               .minimum_samples = options.minimum_samples,
                               .max_samples = options.max_samples,
                               .trial_interval = options.trial_interval};
    own.quantile = options.quantile.value_or(own.quantile);
    return own;
}

/// Whose word decides how long an answer is fresh.
enum class CacheLifetime : std::uint8_t {
    answer_first,  ///< The answer's (`Cache-Control`, `Expires`); `ttl` where it says nothing.
    ttl_always,    ///< `ttl`, whatever the answer says. `no-store` still holds.
};

struct CacheOptions {
    std::optional<Duration> ttl{};  ///< Empty (the default) switches the cache off.
    /// How long past its lifetime an answer may stand in for a failed call. Default 0: never.
    Duration stale_if_error{};
    CacheLifetime lifetime = CacheLifetime::answer_first;
};

/// Which calls share one transfer.
enum class CoalesceCalls : std::uint8_t {
    none,
    cached,    ///< GETs that the cache may answer: who takes an answer out of the cache takes one that is under way.
    all_gets,  ///< Such a call may be told what the service said before the call was made.
};

/// GETs of the same URL with the same headers, credentials included, that are under way at once: one makes the
/// attempts, and all have its answer (`Source::coalesced`) or its error: see `Coalesce`. A call that saves its answer
/// or watches its progress goes alone; an answer with `no-store` is not shared.
struct ClientCoalesceOptions {
    CoalesceCalls calls = CoalesceCalls::cached;
    Duration max_wait = CoalesceOptions{}.max_wait;  ///< After it a call goes alone. 1 ms to 24 h; default 10 s.
};

struct ClientFallbackOptions {
    ResponseFallback answer{};  ///< Empty (the default) switches the fallback off.
    FallbackRule on = fallback_by_default;
};

/// The policies of a client as types. This is the run-time choice, which `client_options_from_json` needs.
struct RuntimePolicies {
    using Trip = AnyTrip;
    using JitterKind = Jitter;
};

template <class Policies>
struct BasicClientOptions {
    /// Names the circuit and the limits; calls in logs and events. Clients of one store and name share their state.
    std::string name{};
    /// Where targets are appended: "https://api.example.com/v1". Empty: every call gives an absolute URL.
    std::string base_url{};
    Headers headers{};  ///< Sent with every request, to this origin only.
    Auth auth{};
    TimeoutOptions timeouts{};
    CircuitBreakerOptions<typename Policies::Trip> circuit_breaker{};  ///< Its name defaults to the client's.
    ClientBulkheadOptions bulkhead{};
    /// Empty (the default): how many attempts may be in flight does not follow what the service shows to bear. Its name
    /// is the client's.
    std::optional<AdaptiveLimitOptions<>> adaptive_limit{};
    /// Empty (the default): nothing is refused for the part of the calls that the service does not accept. Its name is
    /// the client's.
    std::optional<ThrottleOptions> throttle{};
    CircuitKeyOptions circuits{};
    ClientRateLimitOptions rate_limit{};
    RetryOptions<typename Policies::JitterKind> retry{};
    RetryBudgetOptions retry_budget{};  ///< Its name defaults to the client's; `.ratio = std::nullopt` switches it off.
    ClientForecastOptions forecast{};
    /// Off by default, as it costs requests. Its name is the client's. Hedged are requests that may be sent twice and
    /// have no body; a blocking call then waits for attempts that the transport's thread makes.
    HedgeOptions hedge{.max_hedges = 0};
    CacheOptions cache{};
    ClientCoalesceOptions coalesce{};
    ClientFallbackOptions fallback{};
    std::size_t max_response_bytes = std::size_t{16} << 20;  ///< Default 16 MiB, after decompression.
    RedirectRules redirects{};
    /// Whether a call that is given no trace (nor a `traceparent` by hand) begins one. Empty (the default): it sends
    /// none.
    std::optional<Sampled> begin_trace{};
    RedactionOptions redact{};  ///< What is kept out of messages, events and the snapshot beside what always is.
    Observer observer{};
};
using ClientOptions = BasicClientOptions<RuntimePolicies>;

/// The first mistake, as "path.field: legal range, value".
template <class Policies>
Result<void> validate(const BasicClientOptions<Policies>& options) {
    const auto bad = [](std::string message) { return fail(Errc::invalid_options, std::move(message)); };
    if (!options.base_url.empty()) {
        const auto url = Url::parse(options.base_url);
        if (!url) {
            std::string_view why = url.error().detail();
            why.remove_prefix(why.starts_with("url: ") ? 5 : 0);
            return bad("base_url: " + std::string{why});
        }
        if (url->query()) return bad("base_url: must not have a query");
        if (auto usable = join_target(*url, "/"); !usable)
            return bad("base_url: must not hold \"//\", \".\" or \"..\" in its path");
    }
    const TimeoutOptions& timeouts = options.timeouts;
    constexpr Duration least = std::chrono::milliseconds{1};
    constexpr Duration most = std::chrono::hours{24};
    for (const auto& [field, value] :
         {std::pair{"attempt", timeouts.attempt}, {"connect", timeouts.connect}, {"deadline", timeouts.deadline}}) {
        if (value < least || value > most) return detail::invalid_option("timeouts", field, "1ms to 24h", value);
    }
    if (timeouts.attempt > timeouts.deadline) {
        return detail::invalid_option("timeouts", "attempt",
                                      "<= timeouts.deadline, which is " + detail::option_text(timeouts.deadline),
                                      timeouts.attempt);
    }
    if (auto ok = validate(options.circuit_breaker, "circuit_breaker"); !ok) return ok;
    if (timeouts.attempt > options.circuit_breaker.probe_lease) {
        return detail::invalid_option(
            "timeouts", "attempt",
            "<= circuit_breaker.probe_lease, which is " + detail::option_text(options.circuit_breaker.probe_lease),
            timeouts.attempt);
    }
    if (auto ok = validate(bulkhead_options({}, options.bulkhead)); !ok) return ok;
    if (options.adaptive_limit) {
        if (auto ok = validate(*options.adaptive_limit); !ok) return ok;
    }
    if (options.throttle) {
        if (auto ok = validate(*options.throttle); !ok) return ok;
    }
    if (options.circuits.max_circuits < 1 || options.circuits.max_circuits > 1'000'000)
        return detail::invalid_option("circuits", "max_circuits", "1 to 1000000", options.circuits.max_circuits);
    const ClientRateLimitOptions& limit = options.rate_limit;
    if (auto ok = validate(
            RateLimiterOptions<>{
                .algorithm = limit.algorithm, .max_wait = limit.max_wait, .max_pause = limit.max_pause},
            "rate_limit");
        !ok) {
        return ok;
    }
    if (auto ok = validate(limit.per_endpoint.algorithm, "rate_limit.per_endpoint.algorithm"); !ok) return ok;
    if (limit.per_endpoint.max_endpoints < 1 || limit.per_endpoint.max_endpoints > 1'000'000) {
        return detail::invalid_option("rate_limit.per_endpoint", "max_endpoints", "1 to 1000000",
                                      limit.per_endpoint.max_endpoints);
    }
    if (auto ok = validate(options.retry, "retry"); !ok) return ok;
    if (auto ok = validate(options.retry_budget, "retry_budget"); !ok) return ok;
    if (auto ok = validate(forecast_options({}, options.forecast), "forecast"); !ok) return ok;
    if (auto ok = validate(options.hedge); !ok) return ok;
    if (options.cache.ttl && (*options.cache.ttl <= Duration{0} || *options.cache.ttl > most * 365)) {
        return detail::invalid_option("cache", "ttl", "> 0s and at most 365 days", *options.cache.ttl);
    }
    if (options.cache.stale_if_error < Duration{0} || options.cache.stale_if_error > most * 365) {
        return detail::invalid_option("cache", "stale_if_error", "0s to 365 days", options.cache.stale_if_error);
    }
    if (auto ok = validate(CoalesceOptions{options.coalesce.max_wait}); !ok) return ok;
    if (options.max_response_bytes < 1) {
        return detail::invalid_option("", "max_response_bytes", ">= 1", options.max_response_bytes);
    }
    if (options.redirects.max > 100)
        return detail::invalid_option("redirects", "max", "0 to 100", options.redirects.max);
    Request sample{.url = "http://localhost/", .headers = options.headers};
    if (auto ok = validate(sample); !ok) return bad("headers: " + std::string{ok.error().detail()});
    if (const auto* basic = std::get_if<Basic>(&options.auth); basic && basic->user.find(':') != std::string::npos)
        return bad("auth: the user name must not hold a ':'");
    sample.headers = {};
    add_credential(sample.headers, options.auth);
    if (auto ok = validate(sample); !ok) return bad("auth: " + std::string{ok.error().detail()});
    if (!detail::impersonal(sample.headers).empty())
        return bad("auth: the header must not be Accept or User-Agent, which other hosts are told as well");
    return {};
}

}  // namespace breakwater
