#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/source.hpp>

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

namespace breakwater {

/// Which errors a fallback answers. Empty: `fallback_by_default`. A rule that throws answers none.
using FallbackRule = std::function<bool(const Error&)>;

/// The default: refusals and failures of the service or the way to it. Never a cancelled call, a mistake in options or
/// request, or an answer that says the caller erred (4xx other than 408 and 429).
inline bool fallback_by_default(const Error& error) noexcept {
    switch (error.code()) {
        case Errc::cancelled:
        case Errc::invalid_options:
        case Errc::invalid_request:
        case Errc::not_replayable:
        case Errc::body_failed:
        case Errc::sink_failed:
        case Errc::would_deadlock:
        case Errc::exceeds_burst: return false;
        default: break;
    }
    const auto status = error.status();
    return !status || *status >= 500 || *status == 408 || *status == 429;
}

/// Only when the circuit refused.
inline bool when_open(const Error& error) noexcept { return error.is_refusal(Errc::circuit_open); }

struct FallbackOptions {
    FallbackRule on = fallback_by_default;
};

/// Replaces the failed `result` by what `source` gives; leaves it as it is if `source` throws.
template <class S, class T>
void answer_by(const S& source, Result<T>& result) {
    const Error error = result.error();
    const auto make = [&]() -> decltype(auto) {
        if constexpr (std::invocable<const S&, const Error&>)
            return source(error);
        else if constexpr (std::invocable<const S&>)
            return source();
        else
            return (source);
    };
    BREAKWATER_TRY {
        if constexpr (std::is_void_v<decltype(make())>) {
            make();
            result = Result<T>{};
        } else {
            result = Result<T>{make()};
        }
    }
    BREAKWATER_CATCH_ALL {  // a fallback that fails leaves the error that called for it
    }
}

/// Answers in place of a failed call: with a value, or with what a function of the error (or of nothing) returns.
/// Stands outside retry and circuit breaker; an order that puts it inside does not compile.
template <class F>
class Fallback {
public:
    static constexpr Place place = Place::fallback;
    struct Lane {};
    using Glimpse = Lane;

    explicit Fallback(F answer, FallbackOptions options = {})
        : answer_{std::move(answer)}, options_{std::move(options)} {}

    static bool glance(Glimpse&, const auto&) noexcept { return true; }
    static bool glance_back(Glimpse&, const auto& result) noexcept { return result.has_value(); }
    Before before(Lane&, auto&) const noexcept { return proceed; }

    template <class T>
    After after(Lane&, auto& call, Result<T>& result) const {
        if (result || call.has_own_fallback || !answers(result.error())) return done;
        call.emit({.kind = EventKind::fallback_used, .code = result.error().code()});
        answer_by(answer_, result);
        if (result) call.source = Source::fallback;
        return done;
    }

private:
    bool answers(const Error& error) const noexcept {
        BREAKWATER_TRY { return options_.on ? options_.on(error) : fallback_by_default(error); }
        BREAKWATER_CATCH_ALL { return false; }
    }

    F answer_;
    FallbackOptions options_;
};

}  // namespace breakwater
