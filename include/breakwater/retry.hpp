#pragma once

#include <breakwater/events.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/random.hpp>
#include <breakwater/retry/options.hpp>
#include <breakwater/retry/rules.hpp>

#include <algorithm>
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

/// Makes failed attempts again, after a delay.
///
/// - The call ends with the last real error. If a refusal, the deadline or a stop request cut it short, the error says
///   so in `stopped_by()`.
/// - A request that may not be sent twice (`CallOptions::resendable`) is retried only if it certainly never left.
/// - A delay that would pass the deadline is not begun: the call ends at once.
/// - When retries run out on a value that a `retry_if` rule calls bad, the value is returned.
///
/// A handle: copies share the random stream. Thread-safe.
template <class JitterKind = Jitter, class ValueRule = AnyValue>
class Retry {
public:
    static constexpr Place place = Place::retry;
    using Options = RetryOptions<JitterKind>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit Retry(Options options = {}) : Retry{std::move(options), RetryIf<ValueRule>{}} {}
    Retry(Options options, RetryIf<ValueRule> rule)
        : shared_{std::make_shared<Shared>(checked(std::move(options)), std::move(rule.is_bad))} {}

    const Options& options() const noexcept { return shared_->options; }

    class Lane {
        friend Retry;
        std::uint32_t retries_ = 0;
        Duration previous_{};
        std::optional<Error> last_;  // the last real error
    };

    Before before(Lane&, auto& call) const noexcept {
        if (call.is_observed()) call.max_attempts = shared_->options.max_retries + 1;
        return proceed;
    }

    template <class T>
    [[gnu::always_inline]] After after(Lane& lane, auto& call, Result<T>& result) const noexcept {
        if (result) [[likely]]
            return is_good(result) || call.only_once ? done : next(lane, call, result);
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
        if (!may_send || !shared_->options.on(error)) return done;
        return next(lane, call, result);
    }

    struct Shared {
        Shared(Options o, ValueRule r) : options{std::move(o)}, is_bad{std::move(r)}, random{options.seed} {}
        const Options options;
        const ValueRule is_bad;
        Random random;
    };

    static Options checked(Options options) {
        if (auto ok = validate(options); !ok) throw Exception{ok.error()};
        return options;
    }

    template <class T>
    bool is_good(const Result<T>& result) const noexcept {
        if constexpr (std::is_void_v<T> || std::is_same_v<ValueRule, AnyValue>) {
            return true;
        } else if constexpr (std::predicate<const ValueRule&, const T&>) {
            try {
                return !shared_->is_bad(*result);
            } catch (...) {  // a rule that throws finds nothing wrong
            }
        }
        return true;
    }

    /// The next attempt, if there is one.
    template <class T>
    [[gnu::noinline]] After next(Lane& lane, auto& call, Result<T>& result) const noexcept {
        const Options& options = shared_->options;
        if (lane.retries_ >= options.max_retries) return done;
        Duration delay = lane.previous_ = options.backoff.delay(lane.retries_ + 1, lane.previous_, shared_->random());
        std::optional<Errc> code;
        std::optional<int> status;
        if (!result) {
            code = result.error().code();
            status = result.error().status();
            if (const auto asked = result.error().retry_after()) delay += std::min(*asked, options.max_retry_after);
        }
        if (call.remaining() <= delay) {
            if (!result) result.error().set_stopped_by(Errc::deadline_exceeded);
            return done;
        }
        ++lane.retries_;
        call.emit({.kind = EventKind::retry_scheduled,
                   .code = code,
                   .status = status,
                   .delay = delay,
                   .took = call.attempt_took});
        if (!result)
            lane.last_ = result.error();
        else
            lane.last_.reset();
        return again_after(delay);
    }

    std::shared_ptr<Shared> shared_;
};

template <class F>
Retry(RetryOptions<Jitter>, RetryIf<F>) -> Retry<Jitter, F>;

}  // namespace breakwater
