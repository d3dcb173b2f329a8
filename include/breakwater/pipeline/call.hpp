#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/result.hpp>
#include <breakwater/source.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string_view>
#include <type_traits>
#include <utility>

namespace breakwater {

/// What a call is about, in words. They belong to whoever makes the call.
struct CallFacts {
    std::string_view subject{};
    std::string_view tag{};
    std::string_view key{};
    std::string_view correlation_id{};
};

/// What one call of a pipeline may be told: `guard.run(f, {.stop = token, .deadline = 2s})`.
template <class T>
struct CallOptions {
    std::stop_token stop{};                             ///< Ends the call and its waits with `Errc::cancelled`.
    std::optional<Duration> deadline{};                 ///< From now, for all attempts and waits together.
    std::function<Result<T>(const Error&)> fallback{};  ///< Replaces the pipeline's own fallback for this call.
    bool resendable = true;                             ///< False: retry only what certainly never arrived.
    std::string_view subject{};                         ///< What is called, for events and messages.
    std::string_view tag{};                             ///< What kind of call it is, for rules about some kinds.
    std::string_view key{};             ///< On whose account: keyed limiters and breakers tell calls by it.
    std::string_view correlation_id{};  ///< What the call's events carry, to be found again by; no secret.
};

/// What policies see of a call that they let through at a glance.
///
/// That takes no time, so the time is the same for all of them, and is read as late as possible: what a processor has
/// to look up before goes on beside earlier work, and what comes after waits for the reading.
template <Clock C = SteadyClock>
class PlainCall {
public:
    explicit PlainCall(const C& clock) noexcept : now{clock} {}

    LazyNow<C> now;
    Duration limit = Duration::max();  ///< From `now` on the call has so long.

    [[gnu::always_inline]] void set_deadline(Duration from_now) noexcept { limit = std::min(limit, from_now); }
    [[gnu::always_inline]] void begin_attempt() noexcept {
        if (!now.was_read() && limit != Duration::max()) (void)now();
    }

    static constexpr unsigned attempt = 0;
    static constexpr bool is_observed() noexcept { return false; }
};

/// One call on its way through a pipeline. A policy reads the time, the deadline and the attempt from it; a callable
/// may take it as its argument. It belongs to the thread (or coroutine) that makes the call.
template <Clock C = SteadyClock>
class Call {
public:
    explicit Call(const C& clock) noexcept : now{clock} {}
    /// Goes on with what began as a plain call.
    explicit Call(PlainCall<C> plain) noexcept : now{std::move(plain.now)} {
        if (plain.limit != Duration::max()) set_deadline(plain.limit);
    }

    /// The call's clock, read at most once between two waits or attempts.
    LazyNow<C> now;

    /// When the call has to be over; `Instant::max()` for never.
    Instant deadline = Instant::max();

    // Ordered by first value, so that a call is made with a few wide stores.
    Instant attempt_began = Instant::max();  ///< `max()` if nobody needed to know.
    Instant attempt_deadline =
        Instant::max();           ///< When the attempt has to be over: its timeout, or the end of a probe's lease.
    Instant began{};              ///< When the call began; only kept by clients and for observers.
    Duration attempt_took{};      ///< Of the attempt made last; only kept by clients and for observers.
    Duration attempt_expected{};  ///< What another attempt is expected to take; 0 if no forecast tells.
    const std::stop_token* stop = nullptr;
    const Observer* observer = nullptr;  ///< Null, or not empty.
    const CallFacts* facts = nullptr;
    std::uint64_t number = 0;           ///< In this process, from 1; 0 if nobody observes.
    unsigned attempt = 0;               ///< The attempt under way or made last; 0 before the first.
    unsigned max_attempts = 0;          ///< 0: nothing limits or retries.
    bool has_own_fallback : 1 = false;  ///< The call brings a fallback of its own.
    bool probing : 1 = false;           ///< The attempt holds a half-open circuit's probe: it must not wait.
    bool only_once : 1 = false;         ///< Not `CallOptions::resendable`.
    bool is_hedge : 1 = false;          ///< The attempt is made beside another one of the call: it must not wait.
    Source source = Source::network;    ///< Of the call's result: what has answered in place of an attempt.

    bool may_wait() const noexcept { return !probing && !is_hedge; }
    /// Whether another attempt may be made beside one that is under way.
    bool may_hedge() const noexcept { return !only_once; }
    /// What a hedged attempt has left to be known: `lane` is the call as that one had it.
    void forget_attempts() noexcept {}
    void add(const Call& lane) noexcept { only_once = only_once || lane.only_once; }

    std::string_view subject() const noexcept { return facts != nullptr ? facts->subject : std::string_view{}; }
    std::string_view key() const noexcept { return facts != nullptr ? facts->key : std::string_view{}; }
    std::string_view tag() const noexcept { return facts != nullptr ? facts->tag : std::string_view{}; }
    std::string_view correlation_id() const noexcept {
        return facts != nullptr ? facts->correlation_id : std::string_view{};
    }

    [[gnu::always_inline]] bool stop_requested() const noexcept {
        if (stop == nullptr) [[likely]]
            return false;
        return stop->stop_requested();
    }
    /// Ends the call, and under an `AttemptTimeout` the attempt.
    std::stop_token stop_token() const noexcept { return stop != nullptr ? *stop : std::stop_token{}; }

    /// Time left until the deadline: zero if it has passed, `Duration::max()` if there is none.
    Duration remaining() noexcept {
        return deadline == Instant::max() ? Duration::max() : std::max(Duration{0}, deadline - now());
    }
    /// Time left for the attempt: until its own end or the deadline, whichever is nearer; as `remaining()` otherwise.
    Duration attempt_remaining() noexcept {
        const Instant over = std::min(attempt_deadline, deadline);
        return over == Instant::max() ? Duration::max() : std::max(Duration{0}, over - now.clock().now());
    }
    [[gnu::always_inline]] bool out_of_time() noexcept {
        if (!now.was_read() && deadline == Instant::max()) return false;
        return now() >= deadline;
    }

    [[gnu::always_inline]] void set_deadline(Duration from_now) noexcept {
        const Instant start = now();
        if (from_now < Instant::max() - start) [[likely]]
            deadline = std::min(deadline, start + from_now);
    }

    void set_observer(const Observer& watcher) noexcept {
        if (!watcher) return;
        observer = &watcher;
        if (number != 0) return;
        number = detail::next_call_number();
        began = now();
    }
    bool is_observed() const noexcept { return observer != nullptr; }

    /// Reports a fact; fills in what the call knows.
    [[gnu::noinline]] void emit(Event event) noexcept {
        if (!is_observed()) return;
        event.at = now();
        event.subject = subject();
        event.tag = tag();
        event.correlation_id = correlation_id();
        event.call = number;
        if (event.key.empty()) event.key = key();
        if (event.attempt == 0) event.attempt = attempt;
        event.max_attempts = max_attempts;
        (*observer)(event);
        now.forget();  // the observer may have taken its time
    }
};

/// Calls `use(now)` with the call's reading of the time if `clock` is the call's clock, else with one of its own.
template <class AnyCall, Clock C, class F>
[[gnu::always_inline]] inline decltype(auto) with_now(AnyCall& call, const C& clock, F use) {
    if constexpr (std::is_same_v<decltype(call.now), LazyNow<C>>) {
        if (call.now.clock() == clock) return use(call.now);
    }
    LazyNow<C> own{clock};
    return use(own);
}

}  // namespace breakwater
