#pragma once

#include <breakwater/error.hpp>
#include <breakwater/observe/metrics/call_outcome.hpp>
#include <breakwater/observe/metrics/duration_histogram.hpp>
#include <breakwater/observe/metrics/family.hpp>
#include <breakwater/observe/metrics/registry.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// Counts by a label's value, for example "success" or "cache". What never happened is not there.
using MetricCounts = std::map<std::string, std::uint64_t, std::less<>>;

/// A circuit, as its events tell it: one that has never changed its state is not there.
struct CircuitMetrics {
    std::string name{};
    std::optional<CircuitState> state{};  ///< Empty of "other", which are many.
    std::uint64_t opened = 0;             ///< How often, not by hand.
};

struct ClientMetrics {
    std::string client{};
    MetricCounts calls_by_outcome{};     ///< See `CallOutcome`.
    MetricCounts calls_by_source{};      ///< See `Source`; "none": there was no answer.
    MetricCounts attempts_by_outcome{};  ///< See `CallOutcome`.
    MetricCounts refusals_by_reason{};   ///< See `Errc`; without those of policies in shadow mode.
    DurationHistogram call_duration{};
    DurationHistogram attempt_duration{};
    std::int64_t attempts_in_flight = 0;
    std::uint64_t retries = 0;
    std::uint64_t hedges_sent = 0;
    std::uint64_t hedges_won = 0;
    std::vector<CircuitMetrics> circuits{};
};

struct StoreMetrics {
    std::string store{};
    bool is_up = true;
};

/// What `Metrics` has counted. Clients, circuits and stores are in the order of their names.
struct MetricsSnapshot {
    std::vector<ClientMetrics> clients{};
    std::vector<StoreMetrics> stores{};  ///< Those that were ever down.
    std::uint64_t folded = 0;            ///< Events counted under a name "other", as there were too many names.

    /// The client of this name; null if nothing was counted of it.
    const ClientMetrics* client(std::string_view name) const noexcept {
        for (const ClientMetrics& own : clients)
            if (own.client == name) return &own;
        return nullptr;
    }
};

namespace detail {

template <class Registry>
class MetricsSummary {
public:
    explicit MetricsSummary(const Registry& registry) : registry_{registry} {
        registry.for_each([&](const auto& subject, const auto& series) { add(subject, series); });
    }

    MetricsSnapshot snapshot() && {
        MetricsSnapshot seen{.folded = folded_};
        for (auto& [name, client] : clients_) {
            client.counts.client = name;
            for (auto& [circuit, counts] : client.circuits) {
                counts.name = circuit;
                client.counts.circuits.push_back(std::move(counts));
            }
            seen.clients.push_back(std::move(client.counts));
        }
        for (const auto& [name, is_up] : stores_) seen.stores.push_back({.store = name, .is_up = is_up});
        return seen;
    }

private:
    struct Client {
        ClientMetrics counts;
        std::map<std::string, CircuitMetrics> circuits;
    };

    void add(const typename Registry::Subject& subject, const typename Registry::Series& series) {
        const auto& [metric, first, second] = series.key();
        const auto count = [&] { return registry_.count_of(series); };
        const auto client = [&]() -> ClientMetrics& { return clients_[subject.client()].counts; };
        const auto circuit = [&]() -> CircuitMetrics& { return clients_[subject.client()].circuits[subject.policy()]; };
        switch (metric) {
            case Metric::calls:
                client().calls_by_outcome[outcome_label(first)] += count();
                client().calls_by_source[source_label(second)] += count();
                break;
            case Metric::call_duration: client().call_duration += registry_.histogram_of(series); break;
            case Metric::attempts: client().attempts_by_outcome[outcome_label(first)] += count(); break;
            case Metric::attempt_duration: client().attempt_duration += registry_.histogram_of(series); break;
            case Metric::attempts_in_flight: client().attempts_in_flight = in_flight(count()); break;
            case Metric::retries: client().retries += count(); break;
            case Metric::permits_refused: client().refusals_by_reason[errc_label(first)] += count(); break;
            case Metric::hedges_sent: client().hedges_sent = count(); break;
            case Metric::hedges_won: client().hedges_won = count(); break;
            case Metric::circuit_state:
                if (const auto state = registry_.value_at_of(series))
                    circuit().state = static_cast<CircuitState>(*state);
                break;
            case Metric::circuit_transitions:
                if (first == circuit_value(CircuitState::open)) circuit().opened = count();
                break;
            case Metric::store_up: stores_[subject.policy()] = registry_.value_at_of(series).value_or(1) != 0; break;
            case Metric::folded: folded_ = count(); break;
            default: break;
        }
    }

    const Registry& registry_;
    std::map<std::string, Client> clients_;
    std::map<std::string, bool> stores_;
    std::uint64_t folded_ = 0;
};

}  // namespace detail

}  // namespace breakwater
