#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/pipeline/alarms.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <stop_token>
#include <utility>

namespace breakwater {

/// Bounds each attempt of a callable that takes a `std::stop_token` or the call:
///
///     bw::Pipeline guard{bw::Retry{}, bw::AttemptTimeout{1s}};
///     guard.run([&](std::stop_token stop) { return db.fetch(id, stop); });
///
/// Cooperative: when the time is up the callable is asked to stop, never interrupted. One that does not heed the token
/// (or `call.attempt_remaining()`) runs as long as it likes. A callable that takes neither does not compile.
///
/// - The token is also stopped by the caller's own stop request and at the call's deadline, if that comes first.
/// - An error that comes back after that is `attempt_timeout`, `cancelled` or `deadline_exceeded`, by what came first
///   (a stop request before all), with what the callable said in its detail.
/// - A success that comes late is kept: the work is done, and doing it again could do it twice.
///
/// Stands inside Retry, CircuitBreaker, RateLimiter and Bulkhead; another order does not compile. A `Pipeline` whose
/// deadline or a breaker's probe lease is shorter than the attempt timeout throws `invalid_options` when it is made.
///
/// A handle; thread-safe. An attempt costs one allocation (the stop state), two locks and a clock reading. One thread
/// for the process, started with the first attempt, requests the stops, on time by the steady clock
/// and within about a millisecond by another one; a process that forks must not have started it. If it cannot be
/// started, `run` throws `std::system_error`.
class AttemptTimeout {
public:
    static constexpr Place place = Place::attempt;

    /// Throws `Exception` (`invalid_options`) unless `limit` > 0 and at most 24h.
    explicit AttemptTimeout(Duration limit) : limit_{limit} {
        if (auto ok = check(limit); !ok) throw_error(ok.error());
    }

    /// As the constructor, without throwing.
    static Result<AttemptTimeout> make(Duration limit) {
        if (auto ok = check(limit); !ok) return fail(std::move(ok).error());
        return AttemptTimeout{limit};
    }

    Duration limit() const noexcept { return limit_; }

    /// One attempt's alarm, and what was outside of it.
    class Lane {
    public:
        Lane() noexcept = default;
        Lane(Lane&&) = delete;
        ~Lane() {
            if (is_set_) Alarms::shared().cancel(alarm_);
        }

    private:
        friend AttemptTimeout;
        struct Relay {
            std::stop_source to;
            void operator()() noexcept { to.request_stop(); }
        };
        bool is_set_ = false;
        Alarms::Alarm alarm_;
        std::stop_token stop_;
        std::optional<std::stop_callback<Relay>> outer_stop_requests_;
        const std::stop_token* outer_stop_ = nullptr;
        Instant outer_deadline_{};
    };

    Before before(Lane& lane, auto& call) const {
        std::stop_source stop;
        lane.stop_ = stop.get_token();
        lane.outer_stop_ = call.stop;
        if (call.stop != nullptr && call.stop->stop_possible())
            lane.outer_stop_requests_.emplace(*call.stop, Lane::Relay{stop});
        lane.outer_deadline_ = call.attempt_deadline;
        call.attempt_deadline = std::min(call.attempt_deadline, call.now() + limit_);
        const Instant due = std::min(call.attempt_deadline, call.deadline);
        Alarms::shared().set(lane.alarm_, call.now.clock(), due, std::move(stop));
        lane.is_set_ = true;
        call.stop = &lane.stop_;
        return proceed;
    }

    template <class T>
    After after(Lane& lane, auto& call, Result<T>& result) const {
        const Instant over = std::exchange(call.attempt_deadline, lane.outer_deadline_);
        call.stop = lane.outer_stop_;
        if (!result) name_the_end(result.error(), call, over);
        return done;
    }

private:
    static Result<void> check(Duration limit) {
        if (limit > Duration{0} && limit <= std::chrono::hours{24}) return {};
        return detail::invalid_option("attempt_timeout", "", "> 0s, at most 24h", limit);
    }
    static void name_the_end(Error& error, auto& call, Instant over) {
        const Instant now = call.now();
        Errc why{};
        if (call.stop_requested())
            why = Errc::cancelled;
        else if (call.deadline < over && now >= call.deadline)
            why = Errc::deadline_exceeded;
        else if (now >= over)
            why = Errc::attempt_timeout;
        else
            return;
        if (error.code() == why) return;
        Error named{why, "the attempt ended with: " + error.message()};
        named.set_sent(error.sent());
        error = std::move(named);
    }

    Duration limit_;
};

}  // namespace breakwater
