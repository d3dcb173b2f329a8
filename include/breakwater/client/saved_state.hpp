#pragma once

#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/client/json_reader.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/state.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry/budget.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace breakwater {

/// What of a client outlives its process: what `save_state()` writes and `restore_state()` reads.
struct SavedState {
    std::string name{};
    std::chrono::sys_time<Duration> saved_at{};  ///< By the wall clock: another process has another steady one.
    SavedCircuit circuit{};
    std::map<std::string, SavedCircuit> circuits{};  ///< By their keys; those that are not as new.
    SavedLimiter rate_limit{};
    SavedRetryBudget retry_budget{};
    std::map<std::string, SavedLimiter> endpoints{};  ///< By their keys; those that are not full.
};

/// As JSON; durations and times are whole microseconds, `left_us` is null for no end.
template <class Json>
void to_json(Json& json, const SavedCircuit& saved) {
    json = {{"state", to_string(saved.state)},
            {"forced", saved.forced},
            {"left_us", saved.left == Duration::max() ? Json(nullptr) : Json(saved.left.count())},
            {"openings", saved.openings},
            {"calls", saved.counts.calls},
            {"failures", saved.counts.failures},
            {"slow", saved.counts.slow}};
}
template <class Json>
void to_json(Json& json, const SavedLimiter& saved) {
    json = {{"spent", saved.spent}, {"paused_for_us", saved.paused_for.count()}};
}
template <class Json>
void to_json(Json& json, const SavedRetryBudget& saved) {
    json = {{"spent_thousandths", saved.spent_thousandths}};
}
template <class Json>
void to_json(Json& json, const SavedState& saved) {
    json = {{"version", 1},
            {"name", saved.name},
            {"saved_at_us", saved.saved_at.time_since_epoch().count()},
            {"circuit", saved.circuit},
            {"circuits", saved.circuits},
            {"rate_limit", saved.rate_limit},
            {"retry_budget", saved.retry_budget},
            {"endpoints", saved.endpoints}};
}

namespace detail {

/// A duration of 0 µs or more.
template <class Json>
void read_microseconds(const JsonReader<Json>& reader, Duration& into) {
    std::int64_t us = 0;
    if (!reader.read(us)) return;
    if (us < 0) return reader.mistake("must be >= 0, got " + std::to_string(us));
    into = Duration{us};
}

template <class Json>
void read_saved(const JsonReader<Json>& reader, SavedCircuit& saved) {
    reader.object([&](const auto& member) {
        member("state", [&](const JsonReader<Json>& own) {
            own.read_word(saved.state, {{"closed", CircuitState::closed},
                                        {"open", CircuitState::open},
                                        {"half-open", CircuitState::half_open}});
        });
        member("forced", saved.forced);
        member("left_us", [&](const JsonReader<Json>& own) {
            if (own.value().is_null())
                saved.left = Duration::max();
            else
                read_microseconds(own, saved.left);
        });
        member("openings", saved.openings);
        member("calls", saved.counts.calls);
        member("failures", saved.counts.failures);
        member("slow", saved.counts.slow);
    });
}
template <class Json>
void read_saved(const JsonReader<Json>& reader, SavedLimiter& saved) {
    reader.object([&](const auto& member) {
        member("spent", saved.spent);
        member("paused_for_us", [&](const JsonReader<Json>& own) { read_microseconds(own, saved.paused_for); });
    });
}
template <class Json>
void read_saved(const JsonReader<Json>& reader, SavedRetryBudget& saved) {
    reader.object([&](const auto& member) {
        member("spent_thousandths", [&](const JsonReader<Json>& own) {
            std::int64_t spent = 0;
            if (!own.read(spent)) return;
            if (spent < 0) return own.mistake("must be >= 0, got " + std::to_string(spent));
            saved.spent_thousandths = spent;
        });
    });
}
template <class Json, class T>
void read_saved(const JsonReader<Json>& reader, std::map<std::string, T>& saved) {
    if (!reader.value().is_object()) return reader.mistake("must be an object");
    for (const auto& [key, value] : reader.value().items()) read_saved(reader.at(key, value), saved[key]);
}

}  // namespace detail

/// What `save_state()` wrote. Every mistake is named by its path (`Errc::invalid_options`); nothing is guessed.
template <class Json = nlohmann::json>
Result<SavedState> saved_state_from_json(const std::type_identity_t<Json>& json) {
    using detail::JsonReader;
    SavedState saved;
    std::vector<std::string> mistakes;
    const JsonReader<Json> root{json, "", mistakes};
    int version = 0;
    root.object([&](const auto& member) {
        member("version", version);
        member("name", saved.name);
        member("saved_at_us", [&](const JsonReader<Json>& own) {
            Duration since_epoch{};
            detail::read_microseconds(own, since_epoch);
            saved.saved_at = std::chrono::sys_time<Duration>{since_epoch};
        });
        member("circuit", [&](const JsonReader<Json>& own) { detail::read_saved(own, saved.circuit); });
        member("circuits", [&](const JsonReader<Json>& own) { detail::read_saved(own, saved.circuits); });
        member("rate_limit", [&](const JsonReader<Json>& own) { detail::read_saved(own, saved.rate_limit); });
        member("retry_budget", [&](const JsonReader<Json>& own) { detail::read_saved(own, saved.retry_budget); });
        member("endpoints", [&](const JsonReader<Json>& own) { detail::read_saved(own, saved.endpoints); });
    });
    if (mistakes.empty() && version != 1) mistakes.push_back("version: must be 1, got " + std::to_string(version));
    if (!mistakes.empty()) return detail::mistaken(mistakes);
    return saved;
}

}  // namespace breakwater
