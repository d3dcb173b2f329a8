#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/pipeline/asking_driver.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/callable.hpp>
#include <breakwater/pipeline/coroutine_driver.hpp>
#include <breakwater/pipeline/flight.hpp>
#include <breakwater/pipeline/plain_driver.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/pipeline/reports.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater {

/// Watches a pipeline's calls: `Pipeline{Observe{on_event}, …}`, from here inwards. `client` is what their events call
/// it.
class Observe {
public:
    struct Lane {};
    using Glimpse = Lane;
    explicit Observe(const Observer& observer, std::string client = {})
        : observer_{observer.for_client(std::move(client))} {}
    bool glance(Glimpse&, auto&) const noexcept { return !observer_; }
    static bool glance_back(Glimpse&, const auto&) noexcept { return true; }
    Before before(Lane&, auto& call) const noexcept {
        call.set_observer(observer_);
        return proceed;
    }
    After after(Lane&, auto&, auto&) const noexcept { return done; }

private:
    Observer observer_;
};

/// Makes a pipeline tell the time and wait by `clock`: `Pipeline{UseClock{manual}, …}`.
template <Clock C>
class UseClock {
public:
    struct Lane {};
    using Glimpse = Lane;
    explicit UseClock(C clock) : clock_{std::move(clock)} {}
    const C& clock() const noexcept { return clock_; }
    static bool glance(Glimpse&, const auto&) noexcept { return true; }
    static bool glance_back(Glimpse&, const auto&) noexcept { return true; }
    Before before(Lane&, auto&) const noexcept { return proceed; }
    After after(Lane&, auto&, auto&) const noexcept { return done; }

private:
    C clock_;
};

namespace detail {

template <class P>
concept TellsTime = requires(const P& policy) { policy.clock(); };

/// The clock of the first policy that has one, else the steady clock.
template <class... P>
constexpr auto clock_of(const std::tuple<P...>& policies) {
    constexpr std::size_t first = [] {
        constexpr std::array<bool, sizeof...(P) + 1> has{TellsTime<P>..., true};
        std::size_t i = 0;
        while (!has[i]) ++i;
        return i;
    }();
    if constexpr (first < sizeof...(P))
        return std::get<first>(policies).clock();
    else
        return SteadyClock{};
}

template <class... P>
consteval bool fallback_is_outside() {
    [[maybe_unused]] bool inside = false;  // where there are no policies
    bool good = true;
    ((good = good && !(inside && place_of<P> == Place::fallback), inside = inside || place_of<P> == Place::retry ||
                                                                           place_of<P> == Place::admission ||
                                                                           place_of<P> == Place::attempt),
     ...);
    return good;
}

template <class... P>
inline constexpr bool bounds_attempts = ((place_of<P> == Place::attempt) || ...);

template <class... P>
consteval bool attempt_timeout_is_inside() {
    [[maybe_unused]] bool inside = false;  // where there are no policies
    bool good = true;
    ((good = good && !(inside && (place_of<P> == Place::retry || place_of<P> == Place::admission)),
      inside = inside || place_of<P> == Place::attempt),
     ...);
    return good;
}

template <class... P>
consteval bool forecast_is_between() {
    [[maybe_unused]] bool inside = false;  // where there are no policies
    [[maybe_unused]] bool permits = false;
    bool good = true;
    ((good = good &&
             !(inside &&
               (place_of<P> == Place::fallback || place_of<P> == Place::deadline || place_of<P> == Place::retry)) &&
             !(permits && place_of<P> == Place::forecast),
      inside = inside || place_of<P> == Place::forecast,
      permits = permits || place_of<P> == Place::admission || place_of<P> == Place::attempt),
     ...);
    return good;
}

template <class... P>
consteval bool hedge_is_between() {
    [[maybe_unused]] bool inside = false;  // where there are no policies
    [[maybe_unused]] bool permits = false;
    bool good = true;
    ((good = good &&
             !(inside && (place_of<P> == Place::fallback || place_of<P> == Place::deadline ||
                          place_of<P> == Place::retry || place_of<P> == Place::hedge)) &&
             !(permits && place_of<P> == Place::hedge),
      inside = inside || place_of<P> == Place::hedge,
      permits = permits || place_of<P> == Place::forecast || place_of<P> == Place::admission ||
                place_of<P> == Place::attempt),
     ...);
    return good;
}

template <class... P>
inline constexpr bool hedges = ((place_of<P> == Place::hedge) || ...);

/// Whether a call of `F` that is told nothing may go through these policies at a glance.
template <class AnyCall, class T, class F, class... P>
inline constexpr bool may_be_plain =
    sizeof...(P) > 0 && std::invocable<F&> && (requires {
        typename P::Glimpse;
    } && ...) && std::same_as<DriverHere<AnyCall, T, F, P...>, BlockingDriver<AnyCall, T, F, P...>>;

/// Throws if an attempt of up to `limit` makes no sense under `policy`.
template <class P>
void check_attempt_timeout(Duration limit, const P& policy) {
    const auto check = [limit](Duration most, std::string_view whose) {
        if (limit <= most) return;
        const std::string range = std::string{"at most the pipeline's "}.append(whose) + " of " + option_text(most);
        throw_error(invalid_option("attempt_timeout", "", range, limit).error());
    };
    if constexpr (requires { policy.limit(); } && place_of<P> == Place::deadline)
        check(policy.limit(), "deadline");
    else if constexpr (requires { policy.options().probe_lease; })
        check(policy.options().probe_lease, "probe lease");
    else if constexpr (requires { policy.options().each.probe_lease; })
        check(policy.options().each.probe_lease, "probe lease");
}

template <class... P>
void check_attempt_timeouts(const P&... policies) {
    const auto check = [&](const auto& policy) {
        if constexpr (place_of<std::remove_cvref_t<decltype(policy)>> == Place::attempt)
            (check_attempt_timeout(policy.limit(), policies), ...);
    };
    (check(policies), ...);
}

}  // namespace detail

/// Policies around any callable, outermost first.
///
/// A handle: copies share the policies' state; thread-safe. `run` blocks until the call is over and never throws what
/// the callable threw: it becomes an `Error` (`value_or_throw` gives it back). The guarded path of a call that
/// succeeds allocates nothing.
template <class... P>
class Pipeline {
    static_assert((Policy<P> && ...),
                  "breakwater: everything in a Pipeline must be a Policy: copyable, with a default-constructible Lane, "
                  "before(lane, call) giving Before and after(lane, call, result) giving After. The archetype is in "
                  "breakwater/pipeline/policy.hpp.");
    static_assert(
        detail::fallback_is_outside<P...>(),
        "breakwater: a Fallback must stand outside Retry, CircuitBreaker and RateLimiter, Bulkhead and AttemptTimeout "
        "too. Inside, it would turn failures into successes before they can be retried or counted. Write it before "
        "them.");
    static_assert(
        detail::attempt_timeout_is_inside<P...>(),
        "breakwater: an AttemptTimeout must stand inside Retry, CircuitBreaker, RateLimiter and Bulkhead. Outside, it "
        "would bound their waits and all attempts together, which is what Deadline is for. Write it after them.");
    static_assert(
        detail::forecast_is_between<P...>(),
        "breakwater: an AttemptForecast must stand inside Fallback, Deadline and Retry, and outside CircuitBreaker, "
        "RateLimiter, Bulkhead and AttemptTimeout. It looks before each attempt how much of the deadline is left, "
        "before it takes permits.");
    static_assert(
        detail::hedge_is_between<P...>(),
        "breakwater: a Hedge, of which there is one, must stand inside Fallback, Deadline and Retry, and outside "
        "AttemptForecast, CircuitBreaker, RateLimiter, Bulkhead and AttemptTimeout: each of its attempts takes permits "
        "of its own.");

public:
    using ClockType = std::remove_cvref_t<decltype(detail::clock_of(std::declval<const std::tuple<P...>&>()))>;
    using CallType = Call<ClockType>;

    /// Throws `Exception` (`invalid_options`) if an `AttemptTimeout` is longer than the deadline or the probe lease.
    explicit Pipeline(P... policies) : policies_{std::move(policies)...}, clock_{detail::clock_of(policies_)} {
        if constexpr (detail::bounds_attempts<P...>)
            std::apply([](const auto&... all) { detail::check_attempt_timeouts(all...); }, policies_);
    }

    /// Guards one call of `function`, which may return `T`, `void` or `Result<T>`, may throw, and may take nothing, the
    /// `Call&` or a `std::stop_token`. It runs once for each attempt.
    template <class F>
    auto run(F&& function) const -> Result<GuardedValue<F, CallType>> {
        check_blocking<F>();
        using T = GuardedValue<F, CallType>;
        if constexpr (detail::may_be_plain<CallType, T, F, P...>) {
            return PlainDriver<ClockType, T, std::remove_reference_t<F>, P...>::run(policies_, clock_, function);
        } else {
            CallType call{clock_};
            auto result = drive(call, function);
            report_end(call, result);
            return result;
        }
    }

    template <class F>
    auto run(F&& function, const CallOptions<GuardedValue<F, CallType>>& options) const
        -> Result<GuardedValue<F, CallType>> {
        check_blocking<F>();
        CallType call{clock_};
        call.stop = &options.stop;
        const CallFacts facts{.subject = options.subject,
                              .tag = options.tag,
                              .key = options.key,
                              .correlation_id = options.correlation_id};
        detail::begin_by(options, facts, call);
        auto result = drive(call, function);
        detail::end_by(options, call, result);
        report_end(call, result);
        return result;
    }

    /// The same as a task, for a `function` that gives a `Task` of what `run` takes (or that itself, if it does not
    /// block): waits suspend the awaiting coroutine, and no thread. The task owns `function` and a copy of this handle.
    ///
    ///     auto call = guard.run_async([&]() -> bw::Task<Row> { co_return co_await db.fetch(id); });
    ///     bw::Result<Row> row = co_await call;
    ///
    /// A stop request to the task, or by `options`, ends it as `run`'s does. It goes on where its last wait has ended.
    template <class F>
    auto run_async(F function) const -> NamedTask<Result<AwaitedValue<F, CallType>>> {
        return fly<PipelineFlight<Pipeline, F, NoCallOptions>>(std::move(function), NoCallOptions{});
    }
    template <class F>
    auto run_async(F function, CallOptions<AwaitedValue<F, CallType>> options) const
        -> NamedTask<Result<AwaitedValue<F, CallType>>> {
        using Own = OwnCallOptions<AwaitedValue<F, CallType>>;
        return fly<PipelineFlight<Pipeline, F, Own>>(std::move(function), Own{std::move(options)});
    }

    /// The decorator form: a callable with `function`'s parameters that guards each call of it. It owns `function` and
    /// a copy of this handle. Arguments are passed to every attempt as lvalues. A `std::stop_token` that `function`
    /// takes before all others is the attempt's.
    ///
    /// Of a function that gives a task it makes one that does: that task owns its arguments.
    template <class F>
    auto wrap(F function) const {
        return [guard = *this, function = std::move(function)]<class... Args>(Args&&... args)
            requires std::invocable<const F&, Args&...> || std::invocable<const F&, std::stop_token, Args&...>
        {
            if constexpr (std::invocable<const F&, Args&...>) {
                if constexpr (IsTask<std::invoke_result_t<const F&, Args&...>>)
                    return guard.run_async([function, ... own = std::decay_t<Args>(std::forward<Args>(
                                                          args))]() mutable { return std::invoke(function, own...); });
                else
                    return guard.run([&]() -> decltype(auto) { return std::invoke(function, args...); });
            } else {
                if constexpr (IsTask<std::invoke_result_t<const F&, std::stop_token, Args&...>>)
                    return guard.run_async(
                        [function, ... own = std::decay_t<Args>(std::forward<Args>(args))](
                            std::stop_token stop) mutable { return std::invoke(function, std::move(stop), own...); });
                else
                    return guard.run([&](std::stop_token stop) -> decltype(auto) {
                        return std::invoke(function, std::move(stop), args...);
                    });
            }
        };
    }

    const std::tuple<P...>& policies() const noexcept { return policies_; }
    const ClockType& clock() const noexcept { return clock_; }

private:
    template <class F>
    static void check_blocking() {
        static_assert(!detail::bounds_attempts<P...> || !std::invocable<F&>,
                      "breakwater: under an AttemptTimeout a callable must take a std::stop_token or the call, and "
                      "come back when a stop is requested. One that takes neither cannot be stopped.");
        static_assert(!gives_task<F, CallType>, "breakwater: a callable that gives a Task is guarded by run_async");
        static_assert(!detail::hedges<P...>,
                      "breakwater: a Hedge makes attempts side by side, which a callable that blocks cannot be: give a "
                      "callable that gives a Task to run_async");
    }

    template <class F>
    [[gnu::always_inline]] auto drive(CallType& call, F& function) const {
        using T = GuardedValue<F, CallType>;
        return DriverHere<CallType, T, F, P...>{policies_, call, function}.run();
    }

    template <class T>
    [[gnu::always_inline]] static void report_end(CallType& call, const Result<T>& result) {
        if constexpr ((std::same_as<P, Observe> || ...)) detail::report_call_end(call, result);
    }

    template <class Flight, class F, class Options>
    auto fly(F function, Options options) const {
        static_assert(!detail::hedges<P...> || gives_task<F, CallType>,
                      "breakwater: a Hedge makes attempts side by side, which a callable that blocks cannot be: it has "
                      "to give a Task");
        static_assert(
            !detail::bounds_attempts<P...> || !std::invocable<F&> || gives_task<F, CallType>,
            "breakwater: under an AttemptTimeout a callable must take a std::stop_token or the call, or give a "
            "task, and come back when a stop is requested. One that does neither cannot be stopped.");
        return CoroutineDriver<Flight>::run(Flight{*this, std::move(function), std::move(options)});
    }

    std::tuple<P...> policies_;
    ClockType clock_;
};

}  // namespace breakwater
