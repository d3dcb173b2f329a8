#pragma once

#include <breakwater/adaptive_limit/options.hpp>
#include <breakwater/attempt_forecast/options.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/error.hpp>
#include <breakwater/hedge/options.hpp>
#include <breakwater/keyed/table.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry/budget.hpp>
#include <breakwater/throttle/options.hpp>
#include <breakwater/transport/counts.hpp>

#include <nlohmann/json.hpp>

#include <limits>
#include <string>

namespace breakwater {

namespace detail {
inline double in_ms(Duration duration) { return static_cast<double>(duration.count()) / 1'000; }
}  // namespace detail

/// As JSON; durations are milliseconds.
template <class Json>
void to_json(Json& json, const CircuitSnapshot& seen) {
    json = {{"name", seen.name},
            {"state", to_string(seen.state)},
            {"forced", seen.forced},
            {"openings", seen.openings},
            {"generation", seen.generation},
            {"calls", seen.counts.calls},
            {"failures", seen.counts.failures},
            {"slow", seen.counts.slow},
            {"overdue", seen.overdue},
            {"admitted_share", seen.admitted_share},
            {"probes_in_flight", seen.probes_in_flight},
            {"probe_successes", seen.probe_successes},
            {"late_results", seen.late_results},
            {"in_state_ms", detail::in_ms(seen.in_state)},
            {"retry_after_ms", seen.retry_after ? Json(detail::in_ms(*seen.retry_after)) : Json(nullptr)}};
}

/// As JSON; durations are milliseconds, `available` is null where nothing limits.
template <class Json>
void to_json(Json& json, const RateLimiterSnapshot& seen) {
    const bool limited = seen.available != std::numeric_limits<std::int64_t>::max();
    json = {{"name", seen.name},
            {"available", limited ? Json(seen.available) : Json(nullptr)},
            {"paused_for_ms", detail::in_ms(seen.paused_for)},
            {"retry_after_ms", detail::in_ms(seen.retry_after)}};
}

template <class Json>
void to_json(Json& json, const BulkheadSnapshot& seen) {
    json = {{"name", seen.name},
            {"in_flight", seen.in_flight},
            {"queued", seen.queued},
            {"max_concurrent", seen.max_concurrent},
            {"max_queue", seen.max_queue}};
}

/// As JSON; `available` is null where nothing limits.
template <class Json>
void to_json(Json& json, const RetryBudgetSnapshot& seen) {
    json = {{"name", seen.name}, {"available", seen.available ? Json(*seen.available) : Json(nullptr)}};
}

/// As JSON; durations are milliseconds.
template <class Json>
void to_json(Json& json, const AdaptiveLimitSnapshot& seen) {
    json = {{"name", seen.name},
            {"limit", seen.limit},
            {"in_flight", seen.in_flight},
            {"queued", seen.queued},
            {"max_queue", seen.max_queue},
            {"long_rtt_ms", detail::in_ms(seen.long_rtt)},
            {"short_rtt_ms", detail::in_ms(seen.short_rtt)},
            {"gradient", seen.gradient},
            {"is_probing", seen.is_probing}};
}

/// As JSON.
template <class Json>
void to_json(Json& json, const ThrottleSnapshot& seen) {
    json = {{"name", seen.name},
            {"requests", seen.requests},
            {"accepts", seen.accepts},
            {"refusal_probability", seen.refusal_probability}};
}

/// As JSON; `after_ms` is null while too few answers tell, `available` where nothing limits.
template <class Json>
void to_json(Json& json, const HedgeSnapshot& seen) {
    json = {{"name", seen.name},
            {"after_ms", seen.after ? Json(detail::in_ms(*seen.after)) : Json(nullptr)},
            {"available", seen.available ? Json(*seen.available) : Json(nullptr)}};
}

/// As JSON; `expected_ms` is null while too few attempts tell.
template <class Json>
void to_json(Json& json, const AttemptForecastSnapshot& seen) {
    const bool is_known = seen.expected > Duration{0};
    json = {{"name", seen.name},
            {"expected_ms", is_known ? Json(detail::in_ms(seen.expected)) : Json(nullptr)},
            {"samples", seen.samples}};
}

/// As JSON.
template <class Json>
void to_json(Json& json, const KeyedCounts& seen) {
    json = {
        {"keys", seen.keys}, {"max_keys", seen.max_keys}, {"evicted", seen.evicted}, {"overflowed", seen.overflowed}};
}

/// As JSON.
template <class Json>
void to_json(Json& json, const TransportCounts& seen) {
    json = {{"requests", seen.requests}, {"answers", seen.answers}, {"connections", seen.connections},
            {"reused", seen.reused},     {"http1", seen.http1},     {"http2", seen.http2}};
}

/// The form of `ResilientClient::snapshot()`, version 1: `{"version", "name", "circuit": {…}, "circuits": {KEY: {…}},
/// "bulkhead", "adaptive_limit" and "throttle": {…} or null, "rate_limit": {…}, "retry_budget": {…}, "hedge": {…} or
/// null, "forecast": {…} or null, "endpoints": {KEY: {…}}, "transport": {…} or null if it does not count}`, and where
/// there are circuits or limits by key `"circuit_keys"` or
/// `"endpoint_keys"`: `{"keys", "max_keys", "evicted", "overflowed"}`. Of the circuits by key and the endpoints at most
/// 100 are there, of those that are not as new.
template <class Stack, Transport TransportType>
nlohmann::json client_snapshot(const Stack& stack, const TransportType& transport) {
    using Json = nlohmann::json;
    Json json = {{"version", 1},
                 {"name", stack.options.name},
                 {"circuit", stack.circuits().own().snapshot()},
                 {"circuits", Json::object()},
                 {"bulkhead", nullptr},
                 {"rate_limit", stack.limiter.snapshot()},
                 {"retry_budget", stack.retry_budget().snapshot()},
                 {"adaptive_limit", nullptr},
                 {"throttle", nullptr},
                 {"hedge", nullptr},
                 {"forecast", nullptr},
                 {"endpoints", Json::object()},
                 {"transport", nullptr}};
    if (const auto* bulkhead = stack.bulkhead()) json["bulkhead"] = bulkhead->snapshot();
    if (const auto* hedge = stack.hedge()) json["hedge"] = hedge->snapshot();
    if (const auto* throttle = stack.throttle()) json["throttle"] = throttle->snapshot();
    if (const auto* limit = stack.adaptive_limit()) json["adaptive_limit"] = limit->snapshot();
    if (const auto* forecast = stack.forecast()) json["forecast"] = forecast->snapshot();
    if constexpr (CountingTransport<TransportType>) json["transport"] = transport.counts();
    if (const auto* others = stack.circuits().others()) {
        const auto seen = others->snapshot();
        json["circuit_keys"] = seen.counts;
        for (const auto& circuit : seen.circuits) json["circuits"][circuit.name] = circuit;
    }
    if (const auto* limiters = stack.endpoints.limiters()) {
        const auto seen = limiters->snapshot();
        json["endpoint_keys"] = seen.counts;
        for (const auto& own : seen.limiters) json["endpoints"][own.name] = own;
    }
    return json;
}

}  // namespace breakwater
