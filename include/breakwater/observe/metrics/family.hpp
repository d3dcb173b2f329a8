#pragma once

#include <breakwater/errc.hpp>
#include <breakwater/error.hpp>
#include <breakwater/events.hpp>
#include <breakwater/observe/metrics/call_outcome.hpp>
#include <breakwater/source.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

enum class MetricType : std::uint8_t {
    counter,    ///< Only grows.
    gauge,      ///< What is now.
    histogram,  ///< Durations, in seconds.
};

constexpr std::string_view to_string(MetricType type) noexcept {
    switch (type) {
        case MetricType::counter: return "counter";
        case MetricType::gauge: return "gauge";
        case MetricType::histogram: return "histogram";
    }
    return "untyped";
}

/// The families that `Metrics` keeps, in the order they are shown.
enum class Metric : std::uint8_t {
    calls,
    call_duration,
    attempts,
    attempt_duration,
    attempts_in_flight,
    retries,
    retry_delay,
    permits_refused,
    shadow_refusals,
    permit_wait,
    limiter_pauses,
    concurrency_limit,
    circuit_state,
    circuit_transitions,
    circuit_forces,
    late_results,
    hedges_sent,
    hedges_won,
    hedges_lost,
    cache_hits,
    cache_stale,
    cache_stored,
    cache_evicted,
    coalesced,
    fallbacks,
    redirects,
    reconfigurations,
    store_up,
    store_events,
    folded,
};
inline constexpr std::size_t metric_count = static_cast<std::size_t>(Metric::folded) + 1;

/// Which of an event's names a family's series carry as labels.
enum class MetricNames : std::uint8_t { none, client, client_and_policy, store };

/// A label with few values, which are numbered.
struct MetricLabel {
    std::string_view name;  ///< Empty: there is none.
    std::string (*text)(unsigned value) = nullptr;
};

namespace detail {

inline std::string outcome_label(unsigned value) { return std::string{to_string(static_cast<CallOutcome>(value))}; }
inline std::string errc_label(unsigned value) { return std::string{to_string(static_cast<Errc>(value))}; }
inline std::string event_label(unsigned value) { return std::string{to_string(static_cast<EventKind>(value))}; }

inline unsigned source_value(std::optional<Source> source) { return source ? static_cast<unsigned>(*source) + 1 : 0; }
inline std::string source_label(unsigned value) {
    return value == 0 ? "none" : std::string{to_string(static_cast<Source>(value - 1))};
}

inline constexpr unsigned circuit_reset = 3;
inline unsigned circuit_value(std::optional<CircuitState> state) {
    return state ? static_cast<unsigned>(*state) : circuit_reset;
}
inline std::string circuit_label(unsigned value) {
    return value == circuit_reset ? "reset" : std::string{to_string(static_cast<CircuitState>(value))};
}

/// What an attempt has brought: its status, else what went wrong, else "ok".
inline unsigned result_value(std::optional<Errc> code, std::optional<int> status) {
    static_assert(static_cast<unsigned>(Errc::failure) + 1 < 100);
    const bool answered = status && *status >= 100 && *status <= 599;
    if (answered && (!code || was_answered(*code))) return static_cast<unsigned>(*status);
    return code ? static_cast<unsigned>(*code) + 1 : 0;
}
inline std::string result_label(unsigned value) {
    if (value >= 100) return std::to_string(value);
    return value == 0 ? "ok" : errc_label(value - 1);
}

}  // namespace detail

using MetricLabels = std::array<MetricLabel, 2>;

/// What is the same of all series of a family.
struct MetricInfo {
    std::string_view name;
    MetricType type = MetricType::counter;
    MetricNames names = MetricNames::client;
    MetricLabels labels{};  ///< Beside the names.
    std::string_view help;
};

inline const MetricInfo& info_of(Metric metric) noexcept {
    using enum MetricType;
    using enum MetricNames;
    using namespace detail;
    static constexpr MetricLabel outcome{"outcome", outcome_label};
    static constexpr MetricLabels none_else{};
    static constexpr MetricLabels by_outcome{outcome};
    static constexpr MetricLabels by_source{outcome, {"source", source_label}};
    static constexpr MetricLabels by_result{outcome, {"result", result_label}};
    static constexpr MetricLabels by_refusal{{{"reason", errc_label}}};
    static constexpr MetricLabels by_reason{{{"reason", result_label}}};
    static constexpr MetricLabels by_state{{{"state", circuit_label}}};
    static constexpr MetricLabels by_event{{{"event", event_label}}};
    static constexpr std::array<MetricInfo, metric_count> all{{
        {"breakwater_calls_total", counter, client, by_source, "Calls that ended, and where their answer came from."},
        {"breakwater_call_duration_seconds", histogram, client, by_outcome,
         "How long calls took, with all attempts and waits."},
        {"breakwater_attempts_total", counter, client, by_result, "Attempts that ended: with which status, or why."},
        {"breakwater_attempt_duration_seconds", histogram, client, by_outcome, "How long attempts took."},
        {"breakwater_attempts_in_flight", gauge, client, none_else, "Attempts under way."},
        {"breakwater_retries_total", counter, client, by_reason, "Retries, by what the attempt before came to."},
        {"breakwater_retry_delay_seconds", histogram, client, none_else, "How long calls waited before a retry."},
        {"breakwater_permits_refused_total", counter, client_and_policy, by_refusal, "Attempts and retries refused."},
        {"breakwater_shadow_refusals_total", counter, client_and_policy, by_refusal,
         "What shadow mode would have refused."},
        {"breakwater_permit_wait_seconds", histogram, client_and_policy, none_else,
         "How long calls waited for a permit."},
        {"breakwater_limiter_pauses_total", counter, client_and_policy, none_else, "Pauses the service asked for."},
        {"breakwater_concurrency_limit", gauge, client_and_policy, none_else, "Calls an adaptive limit allows."},
        {"breakwater_circuit_state", gauge, client_and_policy, by_state,
         "1 for a circuit's state, once it has changed."},
        {"breakwater_circuit_transitions_total", counter, client_and_policy, by_state,
         "Circuits' own changes of state."},
        {"breakwater_circuit_forces_total", counter, client_and_policy, by_state, "Circuits' changes by hand."},
        {"breakwater_late_results_total", counter, client_and_policy, none_else,
         "Results from before a circuit changed."},
        {"breakwater_hedges_sent_total", counter, client, none_else, "Attempts made beside another one."},
        {"breakwater_hedges_won_total", counter, client, none_else, "Hedges whose answer came first."},
        {"breakwater_hedges_lost_total", counter, client, none_else, "Hedges whose answer did not come first."},
        {"breakwater_cache_hits_total", counter, client, none_else, "Fresh answers from the cache."},
        {"breakwater_cache_stale_total", counter, client, none_else,
         "Stale answers from the cache, in place of a failure."},
        {"breakwater_cache_stored_total", counter, client, none_else, "Answers put into the cache."},
        {"breakwater_cache_evicted_total", counter, client, none_else, "Answers that made room for others."},
        {"breakwater_coalesced_total", counter, client, none_else, "Calls that took the result of another one."},
        {"breakwater_fallbacks_total", counter, client, none_else, "Uses of a fallback, in place of a failure."},
        {"breakwater_redirects_total", counter, client, none_else, "Redirects followed."},
        {"breakwater_reconfigurations_total", counter, client, none_else, "Changes of options."},
        {"breakwater_store_up", gauge, store, none_else, "1 if a shared store answers, once it has not."},
        {"breakwater_store_events_total", counter, store, by_event, "What befell shared stores."},
        {"breakwater_metrics_folded_total", counter, none, none_else, "Events counted under a name \"other\"."},
    }};
    return all[static_cast<std::size_t>(metric)];
}

}  // namespace breakwater
