#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/error.hpp>
#include <breakwater/source.hpp>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater {

enum class EventKind : std::uint8_t {
    attempt_started,
    attempt_ended,    ///< `took`; `code` if it failed; `status` if an answer arrived.
    retry_scheduled,  ///< `delay` until the next attempt; `code`, `status` and `took` are the last one's.
    permit_refused,   ///< `policy` refused with `code`; `delay` is its retry_after. Of a retry budget that is spent:
                      ///< `budget_exhausted`.
    would_refuse,     ///< As `permit_refused`, by a policy in shadow mode: the call goes on.
    limiter_waited,   ///< The call waited `delay` for a permit of a rate limiter or bulkhead, or for another's answer.
    limit_changed,    ///< An adaptive limit now lets `limit` calls be in flight.
    limiter_paused,   ///< The service asked for a pause of `delay`.
    hedge_sent,       ///< Another attempt begins beside the one under way, `delay` after that.
    hedge_won,        ///< Its answer is the call's.
    hedge_lost,       ///< Another attempt's is.
    circuit_opened,   ///< `delay` until the first probe.
    circuit_half_opened,
    circuit_closed,
    circuit_forced,  ///< By hand, into the state `circuit`, for `delay` if that is limited. Without a `circuit`: it was
                     ///< reset, which closes it and ends a force.
    late_result,     ///< A result from an earlier generation; it changed nothing.
    cache_hit,
    cache_stored,
    cache_stale_served,
    cache_evicted,  ///< To keep an answer, the store has dropped `count` entries used longest ago.
    coalesced,      ///< Another call's result is this one's, too.
    fallback_used,
    redirected,
    reconfigured,    ///< What is called `policy`, or the whole `client`, goes by other options from now on.
    store_degraded,  ///< The shared store (`policy`: its name) does not answer (`subject`: why): policies go on
                     ///< alone.
    store_lost,      ///< It (or one of its servers: `subject`) has forgotten what it kept, and is told what is known.
    store_rejoined,  ///< It answers again.
    store_unheard,   ///< Changes made by others are no longer told at once (`subject`: why); they are asked for.
    store_other_layout,  ///< Others keep `policy` in another layout (`subject`) and share it with one another only.
    store_cache_off,     ///< The shared store keeps no answers (`subject`: why).
    store_unreadable,    ///< What the store keeps for `policy` cannot be read (`subject`: why): it goes on alone.
    call_ended,          ///< `took`; `code` if it failed, else `source`; `attempt` is the number of attempts.
};

constexpr std::string_view to_string(EventKind kind) noexcept {
    switch (kind) {
        case EventKind::attempt_started: return "attempt_started";
        case EventKind::attempt_ended: return "attempt_ended";
        case EventKind::retry_scheduled: return "retry_scheduled";
        case EventKind::permit_refused: return "permit_refused";
        case EventKind::would_refuse: return "would_refuse";
        case EventKind::limiter_waited: return "limiter_waited";
        case EventKind::limit_changed: return "limit_changed";
        case EventKind::limiter_paused: return "limiter_paused";
        case EventKind::hedge_sent: return "hedge_sent";
        case EventKind::hedge_won: return "hedge_won";
        case EventKind::hedge_lost: return "hedge_lost";
        case EventKind::circuit_opened: return "circuit_opened";
        case EventKind::circuit_half_opened: return "circuit_half_opened";
        case EventKind::circuit_closed: return "circuit_closed";
        case EventKind::circuit_forced: return "circuit_forced";
        case EventKind::late_result: return "late_result";
        case EventKind::cache_hit: return "cache_hit";
        case EventKind::cache_stored: return "cache_stored";
        case EventKind::cache_stale_served: return "cache_stale_served";
        case EventKind::cache_evicted: return "cache_evicted";
        case EventKind::coalesced: return "coalesced";
        case EventKind::fallback_used: return "fallback_used";
        case EventKind::redirected: return "redirected";
        case EventKind::reconfigured: return "reconfigured";
        case EventKind::store_degraded: return "store_degraded";
        case EventKind::store_lost: return "store_lost";
        case EventKind::store_rejoined: return "store_rejoined";
        case EventKind::store_unheard: return "store_unheard";
        case EventKind::store_other_layout: return "store_other_layout";
        case EventKind::store_cache_off: return "store_cache_off";
        case EventKind::store_unreadable: return "store_unreadable";
        case EventKind::call_ended: return "call_ended";
    }
    return "unknown";
}

/// One fact. The string views live as long as the observer's call; copy what is kept.
struct Event {
    EventKind kind{};
    std::string_view client{};          ///< The client's name, or what `Observe` calls the pipeline; empty of a store.
    std::string_view policy{};          ///< The policy's name, or empty. Of one key's circuit or pause "name key".
    std::string_view key{};             ///< Of the keyed circuit or limiter, else the call's.
    std::string_view subject{};         ///< What is called, for example "GET /inventory"; never a query or secret.
    std::string_view tag{};             ///< The call's.
    std::string_view correlation_id{};  ///< As given by the call's options.
    std::string_view trace_id{};        ///< Of a client's call that is part of a trace: 32 hexadecimal digits.
    std::uint64_t call = 0;      ///< Number of the call in this process, from 1: all its events have it. 0: of no call.
    std::uint64_t sequence = 0;  ///< Number of the event in this process, from 1.
    unsigned attempt = 0;        ///< The number of the attempt, from 1; 0 before the first.
    unsigned max_attempts = 0;   ///< How many attempts the call may make; 0 if nothing limits or retries it.
    Instant at{};                ///< When, by the clock of the call or, if it is of none, of the store.
    std::optional<Errc> code{};
    std::optional<int> status{};
    std::optional<Duration> delay{};
    std::optional<Duration> took{};
    std::optional<Errc> stopped_by{};       ///< Of `call_ended`: what cut the call short after its last attempt.
    std::optional<Source> source{};         ///< Of `call_ended` with an answer.
    std::optional<CircuitState> circuit{};  ///< Of `circuit_forced`.
    std::optional<std::uint32_t> limit{};   ///< Of `limit_changed`.
    std::optional<std::uint32_t> count{};   ///< Of `cache_evicted`.

    // Of a client's `attempt_started`, `attempt_ended` and `redirected`, about the request sent last; see
    // `span_attributes`.
    std::string_view url{};             ///< Without its query; without its path, too, if that tells a secret.
    unsigned resends = 0;               ///< How often the call had sent before: for retries, hedges and redirects.
    std::string_view span_id{};         ///< If the call is part of a trace: 16 hexadecimal digits.
    std::string_view parent_span_id{};  ///< Whose child that is; empty if the client has begun the trace.
    bool is_sampled = false;            ///< Whether the trace says so.
};

namespace detail {

/// The number of another call in this process, from 1.
inline std::uint64_t next_call_number() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}
/// The number of another event in this process, from 1.
inline std::uint64_t next_event_number() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace detail

/// Watches. Called on the thread the fact happened on, after the state change, with nothing held: it may re-enter
/// breakwater. What it throws is dropped. While it runs the call waits. Copies share one function, which must be
/// thread-safe.
class Observer {
public:
    Observer() = default;
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, Observer> && std::invocable<F&, const Event&>)
    Observer(F function)  // a function is an observer
        : function_{std::make_shared<std::function<void(const Event&)>>(std::move(function))} {}

    /// The same one, for the events of what is called `client`: those without a client have that from here on.
    Observer for_client(std::string client) const {
        Observer own{*this};
        own.client_ = std::move(client);
        return own;
    }

    explicit operator bool() const noexcept { return function_ != nullptr; }
    /// Whether both are copies of one, for the same client.
    friend bool operator==(const Observer&, const Observer&) = default;

    /// Tells of an event; numbers it if it has no number yet.
    void operator()(Event event) const noexcept {
        if (!function_) return;
        if (event.sequence == 0) event.sequence = detail::next_event_number();
        if (event.client.empty()) event.client = client_;
        BREAKWATER_TRY { (*function_)(event); }
        BREAKWATER_CATCH_ALL {  // an observer cannot break a call
        }
    }

private:
    std::shared_ptr<const std::function<void(const Event&)>> function_;
    std::string client_;
};

/// One observer made of several, which are told of each event in this order; those that are empty are left out. What
/// one throws is kept from the others.
template <std::convertible_to<Observer>... O>
Observer observers(O... each) {
    std::vector<Observer> all{std::move(each)...};
    std::erase_if(all, [](const Observer& own) { return !own; });
    if (all.empty()) return {};
    return [all = std::move(all)](const Event& event) {
        for (const Observer& own : all) own(event);
    };
}

}  // namespace breakwater
