#pragma once

#include <breakwater/deadline.hpp>
#include <breakwater/explain.hpp>
#include <breakwater/explain/explainer.hpp>
#include <breakwater/explain/explanation.hpp>
#include <breakwater/resilient_client.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace breakwater {

/// The order, the worst case and the effective timeouts of a client: `std::cout << bw::explain(client)`.
template <class Transport, class Store, class Policies>
Explanation explain(const ResilientClient<Transport, Store, Policies>& client) {
    const auto& options = client.options();
    const TimeoutOptions& timeouts = options.timeouts;
    Explainer explainer;
    explainer.timeout("connect", std::min(timeouts.connect, timeouts.attempt), "until TLS stands, within the attempt");
    explainer.attempt_timeout = timeouts.attempt;
    explainer.interrupts = true;
    explainer.layer("attempt timeout", format_duration(timeouts.attempt) + ", then the transfer is aborted");
    explainer.bound(timeouts.attempt);
    explainer.timeout("attempt", timeouts.attempt, "redirects included; the deadline if that is nearer");

    const EndpointLimitOptions& endpoints = options.rate_limit.per_endpoint;
    if (!endpoints.algorithm.is_none())
        explainer.layer("rate limiter", "for each endpoint: " + detail::say(endpoints.algorithm));
    explain_policy(client.rate_limiter(), explainer);
    if (const auto limit = client.adaptive_limit()) explain_policy(*limit, explainer);
    if (const auto bulkhead = client.bulkhead()) explain_policy(*bulkhead, explainer);
    explain_policy(client.circuit_breaker(), explainer);
    if (const auto throttle = client.throttle()) explain_policy(*throttle, explainer);
    if (const auto forecast = client.forecast()) explain_policy(*forecast, explainer);
    if (const auto hedge = client.hedge()) explain_policy(*hedge, explainer);
    explain_retry(options.retry, &options.retry_budget, explainer);
    explain_policy(Deadline{timeouts.deadline}, explainer);
    if (options.coalesce.calls == CoalesceCalls::all_gets ||
        (options.coalesce.calls == CoalesceCalls::cached && options.cache.ttl))
        explainer.layer("coalesce", "equal GETs under way share one transfer; waits " +
                                        format_duration(options.coalesce.max_wait) + " for it, then goes alone");
    if (options.fallback.answer) explainer.layer("fallback", "answers in place of a failure");
    if (options.cache.ttl) {
        const Duration stale = options.cache.stale_if_error;
        explainer.layer(
            "cache", "answers GET and HEAD for " + format_duration(*options.cache.ttl) +
                         (stale > Duration{0} ? ", in place of an error for " + format_duration(stale) + " more" : ""));
    }
    return std::move(explainer).finish();
}

}  // namespace breakwater
