#pragma once

#include <breakwater/events.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>

#include <string>
#include <utility>

namespace breakwater::detail {

// What both drivers say alike of a call.

/// Why a call is over that has been stopped or is out of time.
[[gnu::noinline]] Error why_over(const auto& call) noexcept {
    return Error{call.stop_requested() ? Errc::cancelled : Errc::deadline_exceeded};
}

/// The last real error, cut short. A cancelled call is cancelled, whatever failed before.
template <class T>
Error cut_short(const Error& by, const Result<T>& last) {
    if (last) return by;
    const Error& error = last.error();
    if (by.code() != Errc::cancelled) return std::move(Error{error}.set_stopped_by(by.code()));
    return std::move(Error{Errc::cancelled, "the last error was: " + error.message()}
                         .set_attempts(error.attempts())
                         .set_sent(error.sent()));
}

/// A policy's refusal in words, its own if it has some; reports it.
template <class P, class AnyCall>
Error refusal_of(const P& policy, typename P::Lane& lane, AnyCall& call, const Before& before) {
    Error error = [&] {
        if constexpr (requires { policy.refusal(lane, call, before); })
            return policy.refusal(lane, call, before);
        else
            return refusal_by(name_of(policy), before);
    }();
    if (call.is_observed()) {
        call.emit({.kind = EventKind::permit_refused,
                   .policy = name_of(policy),
                   .code = error.code(),
                   .delay = error.retry_after()});
    }
    return error;
}

// Of an observed call's attempt.

void report_beginning(auto& call) {
    call.attempt_began = call.now();
    call.emit({.kind = EventKind::attempt_started});
}
template <class T>
void report_end(auto& call, const Result<T>& result) {
    const Duration took = call.attempt_took = call.now() - call.attempt_began;
    if (result) return call.emit({.kind = EventKind::attempt_ended, .took = took});
    const Error& error = result.error();
    call.emit({.kind = EventKind::attempt_ended, .code = error.code(), .status = error.status(), .took = took});
}

}  // namespace breakwater::detail
