#pragma once

#include <breakwater/adaptive_limit.hpp>
#include <breakwater/attempt_forecast.hpp>
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/coalesce.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/explain/explainer.hpp>
#include <breakwater/explain/explanation.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/hedge.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/retry/budget.hpp>
#include <breakwater/status_of.hpp>
#include <breakwater/throttle.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace breakwater {
namespace detail {

/// "ledger: ", or nothing.
inline std::string named(std::string_view name) { return name.empty() ? "" : std::string{name} + ": "; }

inline std::string percent(double share) { return factor_text(share * 100) + " %"; }

template <class Rule>
std::string say(const Rule& rule) {
    return "opens by its own rule, " + rule.layout();
}
inline std::string say(const Never&) { return "never opens"; }
inline std::string say(const ConsecutiveFailures& rule) {
    return rule.count == 1 ? "opens at a failure" : "opens after " + std::to_string(rule.count) + " failures in a row";
}
inline std::string say(const FailureRate& rule) {
    std::string text = "opens when " + percent(rule.ratio) + " of ";
    if (const auto* count = std::get_if<CountWindow>(&rule.window))
        text += "the last " + std::to_string(count->size) + " calls";
    else if (const auto* time = std::get_if<TimeWindow>(&rule.window))
        text += "the calls of the last " + format_duration(time->duration);
    text += " fail";
    if (rule.slow_call.duration) {
        text += ", " + percent(rule.slow_call.ratio) + " take over " + format_duration(*rule.slow_call.duration);
        if (rule.bad_ratio) text += ", " + percent(*rule.bad_ratio) + " do one or the other";
    }
    return text + " (of at least " + std::to_string(rule.minimum_calls) + ")";
}
inline std::string say(const AnyTrip& trip) {
    return std::visit([](const auto& rule) { return say(rule); }, trip.rule());
}

inline std::string say(const TokenBucket& bucket) {
    return std::to_string(bucket.permits) + " calls per " + format_duration(bucket.period) + ", " +
           std::to_string(bucket.burst.value_or(bucket.permits)) + " at once";
}
inline std::string say(const FixedWindow& limit) {
    return std::to_string(limit.permits) + " calls per " + format_duration(limit.window) + ", by the clock";
}
inline std::string say(const SlidingWindow& limit) {
    return std::to_string(limit.permits) + " calls in any " + format_duration(limit.window) + ", nearly";
}
inline std::string say(const NoLimit&) { return "no limit, only the pauses the service asks for"; }
inline std::string say(const AnyAlgorithm& algorithm) {
    return std::visit([](const auto& chosen) { return say(chosen); }, algorithm.choice());
}

template <LimitAlgorithm Algorithm>
std::string say(const Algorithm&) {
    return "by a rule of its own";
}
inline std::string say(const Gradient2&) { return "by the gradient of their times"; }
inline std::string say(const Vegas&) { return "by what their times say of a queue"; }
inline std::string say(const Aimd&) { return "one more until calls are dropped"; }
inline std::string say(const AnyLimitAlgorithm& algorithm) {
    return std::visit([](const auto& chosen) { return say(chosen); }, algorithm.choice());
}

}  // namespace detail

// How each policy explains itself.

template <class Trip, class S>
void explain_policy(const CircuitBreaker<Trip, S>& breaker, Explainer& explainer) {
    const auto& options = breaker.options();
    const auto probes = options.half_open_probes;
    explainer.layer("circuit breaker", detail::named(options.name) + detail::say(options.trip) + ", for " +
                                           format_duration(options.recovery_timeout) + "; then " +
                                           std::to_string(probes) + (probes == 1 ? " probe" : " probes") +
                                           " of up to " + format_duration(options.probe_lease));
    if (options.shadow) explainer.warn("the circuit breaker is in shadow mode: it refuses nothing");
    if (explainer.attempt_timeout && *explainer.attempt_timeout > options.recovery_timeout) {
        explainer.warn("an attempt may take " + format_duration(*explainer.attempt_timeout) +
                       ", longer than the circuit stays open (" + format_duration(options.recovery_timeout) +
                       "): calls from before the trip may still be under way when it is probed");
    }
    explainer.all.breaks = true;
}

template <class Algorithm, class S>
void explain_policy(const RateLimiter<Algorithm, S>& limiter, Explainer& explainer) {
    const auto& options = limiter.options();
    const bool waits = options.max_wait > Duration{0};
    explainer.layer("rate limiter",
                    detail::named(options.name) + detail::say(options.algorithm) + "; " +
                        (waits ? "waits up to " + format_duration(options.max_wait) : "refuses at once beyond that"));
    explainer.wait(options.max_wait);
}

inline void explain_policy(const Bulkhead& bulkhead, Explainer& explainer) {
    const auto& options = bulkhead.options();
    const bool waits = options.max_queue > 0;
    explainer.layer(
        "bulkhead",
        detail::named(options.name) + std::to_string(options.max_concurrent) + " calls in flight; " +
            (waits ? std::to_string(options.max_queue) + " more wait up to " + format_duration(options.max_wait)
                   : "refuses more at once"));
    if (waits) explainer.wait(options.max_wait);
}

template <class Algorithm>
void explain_policy(const AdaptiveLimit<Algorithm>& limit, Explainer& explainer) {
    const auto& options = limit.options();
    const bool waits = options.max_queue > 0;
    explainer.layer(
        "adaptive limit",
        detail::named(options.name) + std::to_string(options.min_limit) + " to " + std::to_string(options.max_limit) +
            " calls in flight, " + detail::say(options.algorithm) + "; " +
            (waits ? std::to_string(options.max_queue) + " more wait up to " + format_duration(options.max_wait)
                   : "refuses more at once"));
    if (waits) explainer.wait(options.max_wait);
}

template <class S>
void explain_policy(const Throttle<S>& throttle, Explainer& explainer) {
    const auto& options = throttle.options();
    explainer.layer("throttle", detail::named(options.name) + "lets through about " +
                                    detail::factor_text(options.accepts_multiplier) +
                                    " calls for each that was accepted in the last " +
                                    format_duration(options.window.duration));
}

template <class J>
void explain_retry(const RetryOptions<J>& options, const RetryBudgetOptions* budget, Explainer& explainer) {
    const std::uint64_t retries = options.max_retries;
    Duration between{};
    for (std::uint64_t n = 1; n <= std::min<std::uint64_t>(retries, 1'000); ++n)
        between +=
            options.delay ? Duration{std::chrono::hours{24}} : options.backoff.longest(static_cast<std::uint32_t>(n));
    std::string says = "up to " + std::to_string(retries) + " more attempts, waiting at most " +
                       format_duration(between) + " in all, and what Retry-After asks for (each up to " +
                       format_duration(options.max_retry_after) + ")";
    if (options.max_elapsed) says += ", none after " + format_duration(*options.max_elapsed);
    const bool is_budgeted = budget != nullptr && budget->ratio && retries > 0;
    explainer.repeat(retries + 1, is_budgeted ? budget->ratio : std::nullopt,
                     between + options.max_retry_after * static_cast<std::int64_t>(retries));
    if (is_budgeted) {
        says += "; of all calls no more than " + detail::percent(*budget->ratio) + " and " +
                std::to_string(budget->floor_per_second) + " per second";
    }
    explainer.layer("retry", std::move(says));
    if (!explainer.all.breaks && retries > 0)
        explainer.warn("no circuit breaker stands inside the retry: a dead service gets every attempt");
}
template <class J, class V, class Budget>
void explain_policy(const Retry<J, V, Budget>& retry, Explainer& explainer) {
    if constexpr (requires { retry.budget().options(); })
        explain_retry(retry.options(), &retry.budget().options(), explainer);
    else
        explain_retry(retry.options(), nullptr, explainer);
}

inline void explain_policy(const Deadline& deadline, Explainer& explainer) {
    const Duration limit = deadline.limit();
    explainer.layer("deadline", format_duration(limit) + " for all attempts and waits");
    if (explainer.attempt_timeout && explainer.in_a_row > 1) {
        const auto fit = static_cast<std::uint64_t>(limit / *explainer.attempt_timeout);
        if (fit < explainer.in_a_row) {
            explainer.warn("attempts that take their full " + format_duration(*explainer.attempt_timeout) +
                           " leave room for " + std::to_string(fit) + " of " + std::to_string(explainer.in_a_row) +
                           " within the deadline");
        }
    }
    if (!explainer.interrupts) explainer.all.may_overrun = true;
    explainer.bound(limit);
    explainer.timeout("call", limit, "the deadline");
}

inline void explain_policy(const AttemptTimeout& timeout, Explainer& explainer) {
    explainer.layer("attempt timeout", format_duration(timeout.limit()) + ", then the callable is asked to stop");
    explainer.attempt_timeout = timeout.limit();
    explainer.interrupts = true;
    explainer.bound(timeout.limit());
    explainer.timeout("attempt", timeout.limit(), "the attempt timeout, or the deadline if that is nearer");
}

template <class S>
void explain_policy(const AttemptForecast<S>& forecast, Explainer& explainer) {
    const auto& options = forecast.options();
    const auto quantile = static_cast<std::uint32_t>(std::lround(options.quantile * 10'000));
    explainer.layer("forecast", detail::named(options.name) +
                                    "begins no attempt expected to take longer than is left of the deadline (" +
                                    detail::percentile_text(quantile) + " of the newest " +
                                    std::to_string(options.max_samples) + "); a trial after " +
                                    format_duration(options.trial_interval) + " without any");
    explainer.asks_deadline = true;
}

template <class S>
void explain_policy(const Hedge<S>& hedge, Explainer& explainer) {
    const HedgeOptions& options = hedge.options();
    if (options.max_hedges == 0) return;
    const auto quantile = static_cast<std::uint32_t>(std::lround(options.quantile * 10'000));
    std::string says = detail::named(options.name) + "up to " + std::to_string(options.max_hedges) +
                       " more side by side, each sent after ";
    says += options.after ? format_duration(*options.after)
                          : detail::percentile_text(quantile) + " of the times that answers took";
    explainer.multiply(options.max_hedges + 1, options.budget.ratio);
    if (options.budget.ratio) {
        says += "; of all attempts no more than " + detail::percent(*options.budget.ratio) + " and " +
                std::to_string(options.budget.floor_per_second) + " per second";
    }
    explainer.layer("hedge", std::move(says));
}

template <class T>
void explain_policy(const Coalesce<T>& coalesce, Explainer& explainer) {
    explainer.layer("coalesce", "calls with the same key share one run; waits " +
                                    format_duration(coalesce.options().max_wait) + " for it, then goes alone");
}

template <class F>
void explain_policy(const Fallback<F>&, Explainer& explainer) {
    explainer.layer("fallback", "answers in place of a failure");
}

inline void explain_policy(const Observe&, Explainer&) {}
template <class C>
void explain_policy(const UseClock<C>&, Explainer&) {}
template <class... E>
void explain_policy(const StatusOf<E...>&, Explainer&) {}

template <class P>
void explain_policy(const P& policy, Explainer& explainer) {
    const std::string_view name = name_of(policy);
    explainer.layer(name.empty() ? "your own" : std::string{name}, "a policy of your own");
}

/// The order, the worst case and the effective timeouts of a pipeline: `std::cout << bw::explain(guard)`.
template <class... P>
Explanation explain(const Pipeline<P...>& pipeline) {
    Explainer explainer;
    const auto& policies = pipeline.policies();
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (explain_policy(std::get<sizeof...(I) - 1 - I>(policies), explainer), ...);  // the innermost first
    }(std::index_sequence_for<P...>{});
    return std::move(explainer).finish();
}

}  // namespace breakwater
