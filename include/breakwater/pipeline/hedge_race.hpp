#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/stop_link.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry/rules.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/context.hpp>
#include <breakwater/task/sleep.hpp>
#include <breakwater/task/start.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater {

template <class Flight>
class CoroutineDriver;

/// One attempt of a race as a flight of its own, through the policies from `First` on. `call` is its own copy.
template <class Flight, std::size_t First>
class HedgeLane {
    using AnyCall = std::remove_cvref_t<decltype(std::declval<Flight&>().begin(nullptr))>;

public:
    using Value = typename Flight::Value;
    static constexpr std::size_t first_policy = First;

    HedgeLane(Flight& flight, AnyCall& call) noexcept : flight_{&flight}, call_{&call} {}

    static detail::EitherStop stop(const std::stop_token& of_task) { return {of_task, {}}; }
    static Scheduler* scheduler() noexcept { return nullptr; }
    AnyCall& begin(const std::stop_token* stop) noexcept {
        call_->stop = stop;
        return *call_;
    }
    const auto& policies() const noexcept { return flight_->policies(); }
    decltype(auto) attempt(AnyCall& call) const
        requires requires(Flight& flight) { flight.attempt(call); }
    {
        return flight_->attempt(call);
    }
    auto attempt_in_steps(AnyCall& call, auto& room) const
        requires requires(Flight& flight) { flight.attempt_in_steps(call, room); }
    {
        return flight_->attempt_in_steps(call, room);
    }
    static void end(AnyCall&, Result<Value>&) noexcept {}

private:
    Flight* flight_;
    AnyCall* call_;
};

/// Attempts of one call side by side: the first, and hedges while none is back. What `Hedge` tells users is done here.
template <class Flight, class Policy, std::size_t First>
class HedgeRace {
    using T = typename Flight::Value;
    using AnyCall = std::remove_cvref_t<decltype(std::declval<Flight&>().begin(nullptr))>;

public:
    /// Puts into `result` what has come of it. All attempts are over when this is.
    static Task<> run(Flight& flight, AnyCall& call, const Policy& policy, detail::TaskRoom<Result<T>>& result) {
        const TaskContext& context = *(co_await detail::ReadContext{});
        HedgeRace race{flight, call, policy, context.scheduler};
        const auto& clock = call.now.clock();
        const Duration delay = policy.delay();
        Instant sent = call.now();
        race.begin(false);
        for (;;) {
            const std::stop_token bell = race.listen();
            if (race.is_decided()) break;
            const Instant next = race.may_send() && delay < Instant::max() - sent ? sent + delay : Instant::max();
            auto sleep = sleep_until(clock, next, bell);
            co_await sleep;
            call.now.forget();
            if (bell.stop_requested() || call.now() < next) continue;
            race.send(call.now() - sent);
            sent = call.now();
        }
        race.stop();
        for (;;) {
            const std::stop_token bell = race.listen();
            if (!race.is_running()) break;
            auto sleep = sleep_until(clock, Instant::max(), bell);
            co_await sleep;
        }
        result.emplace(race.finish());
    }

private:
    struct Lane {
        Lane(const AnyCall& from, unsigned index, Instant now) : call{from}, before{from.attempt + index}, began{now} {
            if (from.stop != nullptr) link.emplace(*from.stop, stop);
            call.attempt = before;
            call.is_hedge = index > 0;
            call.forget_attempts();
        }
        bool is_over() const noexcept { return result.has_value(); }
        bool has_attempted() const noexcept { return call.attempt > before; }

        AnyCall call;
        const unsigned before;
        const Instant began;
        Instant ended{};
        std::stop_source stop;
        std::optional<detail::StopLink> link;
        std::optional<Result<T>> result;
    };

    HedgeRace(Flight& flight, AnyCall& call, const Policy& policy, Scheduler* scheduler)
        : flight_{flight}, call_{call}, policy_{policy}, scheduler_{scheduler} {
        lanes_.reserve(1 + policy.options().max_hedges);
    }

    void begin(bool is_hedge) {
        Lane& lane = *lanes_.emplace_back(
            std::make_unique<Lane>(call_, is_hedge ? static_cast<unsigned>(lanes_.size()) : 0U, call_.now()));
        breakwater::start(
            CoroutineDriver<HedgeLane<Flight, First>>::run(HedgeLane<Flight, First>{flight_, lane.call}),
            [this, &lane](Result<T> result) { arrive(lane, std::move(result)); },
            TaskContext{lane.stop.get_token(), scheduler_});
    }
    void arrive(Lane& lane, Result<T> result) {
        std::stop_source bell{std::nostopstate};
        lane.ended = call_.now.clock().now();
        {
            const std::scoped_lock lock{mutex_};
            lane.result.emplace(std::move(result));
            last_ = &lane;
            bell = bell_;
        }
        bell.request_stop();  // from here on this race may be gone
    }

    /// Is stopped when an attempt is back that `is_decided` and `is_running` have not seen by then.
    std::stop_token listen() {
        const std::scoped_lock lock{mutex_};
        bell_ = std::stop_source{};
        return bell_.get_token();
    }

    /// Whether an attempt has won or all have failed.
    bool is_decided() {
        const std::scoped_lock lock{mutex_};
        bool is_running = false;
        for (const auto& lane : lanes_) {
            if (!lane->is_over()) {
                is_running = true;
            } else if (wins(*lane)) {
                winner_ = lane.get();
                return true;
            } else {
                sends_ = false;  // another attempt is the retry's affair, or there is no permit for one
            }
        }
        return !is_running;
    }
    bool is_running() {
        const std::scoped_lock lock{mutex_};
        for (const auto& lane : lanes_)
            if (!lane->is_over()) return true;
        return false;
    }
    static bool wins(const Lane& lane) noexcept {
        if (*lane.result) return true;
        const Error& error = lane.result->error();
        return lane.has_attempted() && error.code() != Errc::cancelled && !is_refusal(error.code()) &&
               !retry_by_default(error);
    }

    bool may_send() const noexcept { return sends_ && lanes_.size() <= policy_.options().max_hedges; }
    void send(Duration after) {
        if (call_.stop_requested() || call_.out_of_time() || !policy_.take(call_)) {
            sends_ = false;
            return;
        }
        const auto number = call_.attempt + static_cast<unsigned>(lanes_.size()) + 1;
        call_.emit({.kind = EventKind::hedge_sent, .policy = policy_.name(), .attempt = number, .delay = after});
        begin(true);
    }

    void stop() {
        for (const auto& lane : lanes_) lane->stop.request_stop();
    }

    /// Tells the call and the policy what there was, and gives the call its result.
    Result<T> finish() {
        Lane& first = *lanes_.front();
        if (winner_ == nullptr) winner_ = last_real_error();
        unsigned attempts = 0;
        for (const auto& lane : lanes_) {
            attempts += lane->call.attempt - lane->before;
            call_.add(lane->call);
            if (!lane->call.is_hedge) continue;
            if (lane->has_attempted()) {
                call_.emit({.kind = lane.get() == winner_ ? EventKind::hedge_won : EventKind::hedge_lost,
                            .policy = policy_.name(),
                            .attempt = lane->call.attempt});
            } else {
                policy_.give_back();
            }
        }
        call_.attempt += attempts;
        call_.attempt_began = winner_->call.attempt_began;
        call_.attempt_took = winner_->call.attempt_took;
        call_.attempt_expected = winner_->call.attempt_expected;
        if (*winner_->result) policy_.learn(winner_->ended - winner_->began, true);
        if (winner_ != &first && *winner_->result && first.has_attempted())
            policy_.learn(first.ended - first.began, false);
        return *std::move(winner_->result);
    }
    Lane* last_real_error() const noexcept {
        const auto is_real = [](const Lane& lane) {
            const Errc code = lane.result->error().code();
            return lane.has_attempted() && code != Errc::cancelled && !is_refusal(code);
        };
        if (is_real(*last_)) return last_;
        for (const auto& lane : lanes_)
            if (is_real(*lane)) return lane.get();
        return lanes_.front().get();
    }

    Flight& flight_;
    AnyCall& call_;
    const Policy& policy_;
    Scheduler* const scheduler_;
    std::vector<std::unique_ptr<Lane>> lanes_;
    Lane* winner_ = nullptr;
    bool sends_ = true;
    std::mutex mutex_;  // of what follows and the lanes' results
    std::stop_source bell_;
    Lane* last_ = nullptr;
};

}  // namespace breakwater
