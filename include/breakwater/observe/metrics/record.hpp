#pragma once

#include <breakwater/events.hpp>
#include <breakwater/observe/metrics/call_outcome.hpp>
#include <breakwater/observe/metrics/family.hpp>
#include <breakwater/observe/metrics/registry.hpp>

#include <cstdint>
#include <optional>

namespace breakwater::detail {

/// Counts what an event tells.
template <class Registry>
class MetricsRecorder {
    using Key = typename Registry::Key;
    using Subject = typename Registry::Subject;

public:
    MetricsRecorder(Registry& registry, const Event& event) noexcept : registry_{registry}, event_{event} {}

    void record() const {
        switch (event_.kind) {
            case EventKind::attempt_started: return count(client(), {.metric = Metric::attempts_in_flight});
            case EventKind::attempt_ended: return attempt_ended();
            case EventKind::retry_scheduled: return retry_scheduled();
            case EventKind::permit_refused: return refused(Metric::permits_refused);
            case EventKind::would_refuse: return refused(Metric::shadow_refusals);
            case EventKind::limiter_waited: return record(policy(), {.metric = Metric::permit_wait}, event_.delay);
            case EventKind::limit_changed:
                return registry_.set(policy(), {.metric = Metric::concurrency_limit}, event_.limit.value_or(0));
            case EventKind::limiter_paused: return count(policy(), {.metric = Metric::limiter_pauses});
            case EventKind::hedge_sent: return count(client(), {.metric = Metric::hedges_sent});
            case EventKind::hedge_won: return count(client(), {.metric = Metric::hedges_won});
            case EventKind::hedge_lost: return count(client(), {.metric = Metric::hedges_lost});
            case EventKind::circuit_opened: return circuit_went(CircuitState::open);
            case EventKind::circuit_half_opened: return circuit_went(CircuitState::half_open);
            case EventKind::circuit_closed: return circuit_went(CircuitState::closed);
            case EventKind::circuit_forced: return circuit_forced();
            case EventKind::late_result: return count(policy(), {.metric = Metric::late_results});
            case EventKind::cache_hit: return count(client(), {.metric = Metric::cache_hits});
            case EventKind::cache_stored: return count(client(), {.metric = Metric::cache_stored});
            case EventKind::cache_stale_served: return count(client(), {.metric = Metric::cache_stale});
            case EventKind::cache_evicted:
                return count(client(), {.metric = Metric::cache_evicted}, event_.count.value_or(1));
            case EventKind::coalesced: return count(client(), {.metric = Metric::coalesced});
            case EventKind::fallback_used: return count(client(), {.metric = Metric::fallbacks});
            case EventKind::redirected: return count(client(), {.metric = Metric::redirects});
            case EventKind::reconfigured: return count(client(), {.metric = Metric::reconfigurations});
            case EventKind::store_degraded: return store_answers(0);
            case EventKind::store_rejoined: return store_answers(1);
            case EventKind::store_lost:
            case EventKind::store_unheard:
            case EventKind::store_cache_off: return count(store(), store_event());
            case EventKind::store_other_layout:
            case EventKind::store_unreadable:  // `policy` is what is kept there, not the store
                return count(registry_.client({}), store_event());
            case EventKind::call_ended: return call_ended();
        }
    }

private:
    void attempt_ended() const {
        const unsigned outcome = this->outcome();
        auto& client = this->client();
        count(client, {.metric = Metric::attempts_in_flight}, std::uint64_t{0} - 1);
        count(client, {Metric::attempts, outcome, result_value(event_.code, event_.status)});
        record(client, {.metric = Metric::attempt_duration, .first = outcome}, event_.took);
    }
    void retry_scheduled() const {
        auto& client = this->client();
        count(client, {.metric = Metric::retries, .first = result_value(event_.code, event_.status)});
        record(client, {.metric = Metric::retry_delay}, event_.delay);
    }
    void call_ended() const {
        const unsigned outcome = this->outcome();
        auto& client = this->client();
        count(client, {Metric::calls, outcome, source_value(event_.source)});
        record(client, {.metric = Metric::call_duration, .first = outcome}, event_.took);
    }
    void refused(Metric metric) const {
        count(policy(), {.metric = metric, .first = static_cast<unsigned>(event_.code.value_or(Errc::failure))});
    }

    void circuit_went(CircuitState state) const {
        auto& circuit = policy();
        count(circuit, {.metric = Metric::circuit_transitions, .first = circuit_value(state)});
        set_circuit(circuit, state);
    }
    void circuit_forced() const {
        auto& circuit = policy();
        count(circuit, {.metric = Metric::circuit_forces, .first = circuit_value(event_.circuit)});
        set_circuit(circuit, event_.circuit.value_or(CircuitState::closed));
    }
    void set_circuit(Subject& circuit, CircuitState state) const {
        registry_.set_at(circuit, {.metric = Metric::circuit_state}, event_.at, circuit_value(state));
    }

    void store_answers(std::uint32_t is_up) const {
        auto& store = this->store();
        count(store, store_event());
        registry_.set_at(store, {.metric = Metric::store_up}, event_.at, is_up);
    }
    Key store_event() const { return {.metric = Metric::store_events, .first = static_cast<unsigned>(event_.kind)}; }

    void count(Subject& subject, const Key& key, std::uint64_t by = 1) const { registry_.count(subject, key, by); }
    void record(Subject& subject, const Key& key, std::optional<Duration> took) const {
        if (took) registry_.record(subject, key, *took);
    }

    unsigned outcome() const noexcept { return static_cast<unsigned>(call_outcome(event_.code, event_.status)); }
    Subject& client() const { return registry_.client(event_.client); }
    Subject& policy() const { return registry_.policy(event_.client, event_.policy); }
    Subject& store() const { return registry_.policy({}, event_.policy); }

    Registry& registry_;
    const Event& event_;
};

}  // namespace breakwater::detail
