#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/detail/stop_link.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/sleep.hpp>
#include <breakwater/testing/fault_injection/counts.hpp>
#include <breakwater/testing/fault_injection/injection.hpp>
#include <breakwater/testing/fault_injection/options.hpp>
#include <breakwater/testing/fault_injection/plan.hpp>
#include <breakwater/transport/counts.hpp>
#include <breakwater/transport/transport.hpp>

#include <coroutine>
#include <memory>
#include <stop_token>
#include <utility>

namespace breakwater {

/// A transport around another one that has some exchanges go wrong, for tests, for drills, and in production for the
/// requests that `when` names:
///
///     bw::FaultyTransport faulty{bw::CurlTransport{}, {.faults = {{.rate = 0.05, .then = bw::faults::Reset{}}}}};
///     bw::ResilientClient client{options, faulty};
///     faulty.off();
///
/// Otherwise it is the other transport, both faces of it. An exchange lasts no longer than its timeout, injected delay
/// included, and a stop request ends a delay as it ends an exchange. Injected errors say "injected". A thread-safe
/// handle: copies share faults and counts. While no fault is set, `send` costs a load more and `async_send` a
/// coroutine.
template <Transport T, Clock C = SteadyClock>
class FaultyTransport {
public:
    /// Delays, and the times of the faults, go by `clock`. Throws `Exception` (`invalid_options`) if the options are
    /// wrong.
    explicit FaultyTransport(T transport = T{}, FaultOptions options = {}, C clock = C{})
        : handle_{std::make_shared<Handle>(std::make_shared<State>(std::move(transport), std::move(clock)))} {
        if (auto ok = set(std::move(options)); !ok) throw_error(ok.error());
    }

    /// As the constructor, without throwing.
    static Result<FaultyTransport> make(T transport = T{}, FaultOptions options = {}, C clock = C{}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return FaultyTransport{std::move(transport), std::move(options), std::move(clock)};
    }

    /// From now on these faults, from their beginning. What is under way ends as it would have. An error
    /// (`invalid_options`) changes nothing.
    Result<void> set(FaultOptions options) const {
        if (auto ok = validate(options); !ok) return ok;
        const bool is_off = options.faults.empty() && options.script.empty();
        state().plan.set(is_off ? nullptr : std::make_shared<Plan>(std::move(options), state().clock.now()));
        return {};
    }
    /// No more faults.
    void off() const noexcept { state().plan.set(nullptr); }

    FaultCounts snapshot() const noexcept { return state().counter.read(); }

    Result<Response> send(const Request& request, const SendOptions& options = {}) const {
        State& own = state();
        auto plan = own.may_block() ? own.plan_for(request, options) : nullptr;
        if (!plan) return own.transport.send(request, options);
        faults::Injection injection{std::move(plan), own.counter, request, options, own.clock.now()};
        Wait wait = Wait::elapsed;
        if (const auto until = injection.until()) wait = own.clock.wait_until(*until, options.stop);
        if (auto instead = injection.instead(wait, own.clock.now())) return *std::move(instead);
        return injection.finish(own.transport.send(request, injection.how()));
    }

    class Sending;
    /// The same, to be awaited. Both arguments stay until then; with the last handle it ends as `Errc::cancelled`.
    Sending async_send(const Request& request, const SendOptions& options) const
        requires AsyncTransport<T>
    {
        return Sending{exchange(handle_->state, request, options)};
    }

    Scheduler& scheduler() const
        requires requires(const T& transport) { transport.scheduler(); }
    {
        return state().transport.scheduler();
    }
    bool is_own_thread() const noexcept
        requires requires(const T& transport) { transport.is_own_thread(); }
    {
        return state().transport.is_own_thread();
    }
    TransportCounts counts() const noexcept
        requires CountingTransport<T>
    {
        return state().transport.counts();
    }

private:
    using Plan = faults::Plan<FaultOptions>;

    struct State {
        State(T other, C own) : transport{std::move(other)}, clock{std::move(own)} {}

        /// Where the other transport blocks nobody, no fault does.
        bool may_block() const noexcept {
            if constexpr (requires { transport.is_own_thread(); })
                return !transport.is_own_thread();
            else
                return true;
        }
        /// The faults that a request may meet, if any. What the other transport refuses meets none.
        std::shared_ptr<Plan> plan_for(const Request& request, const SendOptions& options) const {
            auto current = plan.get();
            if (!current || options.stop.stop_requested() || options.timeout <= Duration{0}) return nullptr;
            if (!validate(request)) return nullptr;
            const auto& when = current->options().when;
            BREAKWATER_TRY { return !when || when(request) ? current : nullptr; }
            BREAKWATER_CATCH_ALL {}
            return nullptr;
        }

        const T transport;
        const C clock;
        faults::PlanSwitch<FaultOptions> plan;
        faults::Counter<FaultCounts> counter;
        std::stop_source gone;
    };
    /// What copies hold. Exchanges under way hold the state.
    struct Handle {
        explicit Handle(std::shared_ptr<State> own) noexcept : state{std::move(own)} {}
        Handle(const Handle&) = delete;
        Handle& operator=(const Handle&) = delete;
        ~Handle() { state->gone.request_stop(); }
        const std::shared_ptr<State> state;
    };

    State& state() const noexcept { return *handle_->state; }

    static Task<Result<Response>> exchange(std::shared_ptr<State> own, const Request& request,
                                           const SendOptions& options) {
        const detail::EitherStop stop{options.stop, own->gone.get_token()};
        SendOptions how = options;
        how.stop = stop.token();
        auto plan = own->plan_for(request, how);
        if (!plan) {
            auto sending = own->transport.async_send(request, how);
            co_return co_await sending;
        }
        faults::Injection injection{std::move(plan), own->counter, request, how, own->clock.now()};
        Wait wait = Wait::elapsed;
        if (const auto until = injection.until()) {
            auto sleep = sleep_until(own->clock, *until, how.stop);
            wait = co_await sleep;
        }
        if (auto instead = injection.instead(wait, own->clock.now())) co_return *std::move(instead);
        auto sending = own->transport.async_send(request, injection.how());
        co_return injection.finish(co_await sending);
    }

    std::shared_ptr<const Handle> handle_;
};

/// One exchange to be awaited, once.
template <Transport T, Clock C>
class [[nodiscard]] FaultyTransport<T, C>::Sending {
public:
    explicit Sending(Task<Result<Response>> exchange) noexcept
        : exchange_{std::move(exchange)}, awaiter_{exchange_.operator co_await()} {}

    bool await_ready() const noexcept { return awaiter_.await_ready(); }
    template <class P>
    auto await_suspend(std::coroutine_handle<P> caller) {
        return awaiter_.await_suspend(caller);
    }
    Result<Response> await_resume() { return awaiter_.await_resume(); }

private:
    Task<Result<Response>> exchange_;
    decltype(exchange_.operator co_await()) awaiter_;
};

}  // namespace breakwater
