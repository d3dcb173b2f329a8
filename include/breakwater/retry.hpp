#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/detail/rare.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/random.hpp>
#include <breakwater/retry/budget.hpp>
#include <breakwater/retry/options.hpp>
#include <breakwater/retry/rules.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace breakwater {

/// A rule about values: `Retry{{.max_retries = 3}, retry_if([](const Row& row) { return row.is_stale(); })}`.
template <class F>
struct RetryIf {
    F is_bad;
};
template <class F>
RetryIf<F> retry_if(F is_bad) {
    return {std::move(is_bad)};
}

/// Accepts every value.
struct AnyValue {
    constexpr bool operator()(const auto&) const noexcept { return false; }
};

/// Allows every retry.
struct NoBudget {
    static void credit(auto&) noexcept {}
    static Result<void> take(auto&) noexcept { return {}; }
};

namespace detail {

/// A retry taken from a budget: given back if no attempt is made with it.
template <class Budget>
class TakenRetry {
public:
    TakenRetry() = default;
    TakenRetry(const TakenRetry&) = delete;
    TakenRetry& operator=(const TakenRetry&) = delete;
    ~TakenRetry() {
        if (budget_ != nullptr) [[unlikely]]
            give_back();
    }
    void keep(const Budget& budget, unsigned attempts) noexcept {
        budget_ = &budget;
        attempts_ = attempts;
    }
    /// The call is back, after this many attempts.
    void settle(unsigned attempts) noexcept {
        if (budget_ != nullptr && attempts == attempts_) give_back();
        budget_ = nullptr;
    }

private:
    [[gnu::noinline]] void give_back() const noexcept { budget_->give_back(); }

    const Budget* budget_ = nullptr;
    unsigned attempts_ = 0;  // made when it was taken
};
template <>
class TakenRetry<NoBudget> {
public:
    static void keep(const NoBudget&, unsigned) noexcept {}
    static void settle(unsigned) noexcept {}
};

}  // namespace detail

/// Makes failed attempts again, after a delay.
///
/// - The call ends with the last real error. If a refusal, the deadline or a stop request cut it short, the error says
///   so in `stopped_by()`.
/// - A request that may not be sent twice (`CallOptions::resendable`) is retried only if it certainly never left.
/// - A delay that would pass the deadline, or `max_elapsed`, is not begun: the call ends at once.
/// - Under it an `AttemptForecast` ends the call at once, too, if after the delay too little time would be left.
/// - With a `RetryBudget`, a retry that it refuses is not made, and its delay is not begun.
/// - When retries run out on a value that a `retry_if` rule calls bad, the value is returned.
///
/// A handle: copies share the random stream. Thread-safe.
template <class JitterKind = Jitter, class ValueRule = AnyValue, class Budget = NoBudget>
class Retry {
public:
    static constexpr Place place = Place::retry;
    using Options = RetryOptions<JitterKind>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit Retry(Options options = {}, Budget budget = Budget{})
        : Retry{std::move(options), RetryIf<ValueRule>{}, std::move(budget)} {}
    Retry(Options options, RetryIf<ValueRule> rule, Budget budget = Budget{})
        : shared_{std::make_shared<Shared>(checked(std::move(options)), std::move(rule.is_bad))},
          budget_{std::move(budget)} {}

    /// As the constructor, without throwing.
    static Result<Retry> make(Options options, RetryIf<ValueRule> rule = {}, Budget budget = Budget{}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return Retry{std::move(options), std::move(rule), std::move(budget)};
    }

    /// Goes on by other options: for this handle, its copies and the pipelines that hold one. Calls under way end by
    /// the old ones. The seed stays. An error (`invalid_options`) changes nothing. Memory of the old options is kept
    /// until the last handle goes.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate(options); !ok) return ok;
        shared_->versions.publish(std::move(options));
        return {};
    }

    const Options& options() const noexcept { return shared_->versions.current(); }
    const Budget& budget() const noexcept { return budget_; }

    class Glimpse {
        friend Retry;
        const Options* options_ = nullptr;
        std::uint32_t retries_ = 0;
    };
    class Lane : public Glimpse {
    public:
        Lane() noexcept {}

    private:
        friend Retry;
        Instant began_;             // only kept for `max_elapsed`
        Duration previous_;         // the last delay, if there was one
        detail::Rare<Error> last_;  // the last real error
        [[no_unique_address]] detail::TakenRetry<Budget> taken_;
    };

    /// Of a call whose beginning need not be kept.
    [[gnu::always_inline]] bool glance(Glimpse& lane, auto& call) const noexcept {
        const Options& options = this->options();
        if (call.is_observed() || options.max_elapsed) [[unlikely]]
            return false;
        lane.options_ = &options;
        budget_.credit(call);
        return true;
    }
    Before before(Lane& lane, auto& call) const noexcept {
        lane.options_ = &options();
        if (call.is_observed()) call.max_attempts = lane.options_->max_retries + 1;
        if (lane.options_->max_elapsed) lane.began_ = call.now();
        budget_.credit(call);
        return proceed;
    }

    /// A value of the first attempt that need not be looked at.
    template <class T>
    [[gnu::always_inline]] static bool glance_back(const Glimpse& lane, const Result<T>& result) noexcept {
        return std::is_same_v<ValueRule, AnyValue> && result && lane.retries_ == 0;
    }
    template <class T>
    After after(Lane& lane, auto& call, Result<T>& result) const noexcept {
        lane.taken_.settle(call.attempt);
        if (result) return is_good(result) || call.only_once ? done : next(lane, call, result);
        return failed(lane, call, result);
    }

private:
    template <class T>
    [[gnu::noinline]] After failed(Lane& lane, auto& call, Result<T>& result) const noexcept {
        Error& error = result.error();
        if (lane.last_ && (is_refusal(error.code()) || error.code() == Errc::deadline_exceeded)) {
            const Errc by = error.code();
            const auto retry_after = error.retry_after();
            error = *std::move(lane.last_);
            error.set_stopped_by(by);
            if (retry_after) error.set_retry_after(retry_after);
            return done;
        }
        const bool may_send = !call.only_once || error.sent() == Sent::no;
        if (!may_send || !lane.options_->on(error)) return done;
        return next(lane, call, result);
    }

    struct Shared {
        Shared(Options options, ValueRule rule)
            : random{options.seed}, versions{std::move(options)}, is_bad{std::move(rule)} {}
        Random random;
        detail::Versions<Options> versions;
        const ValueRule is_bad;
    };

    static Options checked(Options options) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        return options;
    }

    template <class T>
    bool is_good(const Result<T>& result) const noexcept {
        if constexpr (std::is_void_v<T> || std::is_same_v<ValueRule, AnyValue>) {
            return true;
        } else if constexpr (std::predicate<const ValueRule&, const T&>) {
            BREAKWATER_TRY { return !shared_->is_bad(*result); }
            BREAKWATER_CATCH_ALL {  // a rule that throws finds nothing wrong
            }
        }
        return true;
    }

    /// The next attempt, if there is one.
    template <class T>
    [[gnu::noinline]] After next(Lane& lane, auto& call, Result<T>& result) const noexcept {
        const Options& options = *lane.options_;
        if (lane.retries_ >= options.max_retries) return done;
        const Duration previous = lane.retries_ > 0 ? lane.previous_ : Duration{0};
        Duration delay = lane.previous_ = delay_of(options, lane.retries_ + 1, previous);
        std::optional<Errc> code;
        std::optional<int> status;
        if (!result) {
            code = result.error().code();
            status = result.error().status();
            if (const auto asked = result.error().retry_after()) delay += std::min(*asked, options.max_retry_after);
        }
        const bool too_late = options.max_elapsed && call.now() - lane.began_ > *options.max_elapsed - delay;
        if (too_late || call.remaining() <= delay) {
            if (!result) result.error().set_stopped_by(Errc::deadline_exceeded);
            return done;
        }
        if (call.remaining() - delay < call.attempt_expected) {
            call.emit({.kind = EventKind::permit_refused, .code = Errc::deadline_too_near});
            if (!result) result.error().set_stopped_by(Errc::deadline_too_near);
            return done;
        }
        if (const auto allowed = budget_.take(call); !allowed) {
            const Error& refusal = allowed.error();
            call.emit({.kind = EventKind::permit_refused,
                       .policy = refusal.policy(),
                       .code = refusal.code(),
                       .delay = refusal.retry_after()});
            if (!result) result.error().set_stopped_by(refusal.code());
            return done;
        }
        lane.taken_.keep(budget_, call.attempt);
        ++lane.retries_;
        call.emit({.kind = EventKind::retry_scheduled,
                   .code = code,
                   .status = status,
                   .delay = delay,
                   .took = call.attempt_took});
        keep(lane, result);
        return again_after(delay);
    }

    template <class T>
    static void keep(Lane& lane, const Result<T>& result) noexcept {
        lane.last_.reset();
        if (result) return;
        BREAKWATER_TRY { lane.last_.emplace(result.error()); }
        BREAKWATER_CATCH_ALL {  // out of memory: a refusal that follows stands for itself
        }
    }

    Duration delay_of(const Options& options, std::uint32_t retry, Duration previous) const noexcept {
        if (options.delay) {
            BREAKWATER_TRY {
                return std::clamp<Duration>(options.delay(retry, previous), Duration{0}, std::chrono::hours{24});
            }
            BREAKWATER_CATCH_ALL {  // the backoff knows a delay
            }
        }
        return options.backoff.delay(retry, previous, shared_->random());
    }

    std::shared_ptr<Shared> shared_;
    [[no_unique_address]] Budget budget_;
};

template <class F>
Retry(RetryOptions<Jitter>, RetryIf<F>) -> Retry<Jitter, F>;
template <class S>
Retry(RetryOptions<Jitter>, RetryBudget<S>) -> Retry<Jitter, AnyValue, RetryBudget<S>>;
template <class F, class S>
Retry(RetryOptions<Jitter>, RetryIf<F>, RetryBudget<S>) -> Retry<Jitter, F, RetryBudget<S>>;

}  // namespace breakwater
