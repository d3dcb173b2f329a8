#pragma once

#include <breakwater/events.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>

#include <optional>
#include <string>
#include <string_view>
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

[[gnu::noinline]] void report_refusal(auto& call, std::string_view policy, std::string_view key, const Error& error) {
    call.emit({.kind = EventKind::permit_refused,
               .policy = policy,
               .key = key,
               .code = error.code(),
               .delay = error.retry_after()});
}

/// A policy's refusal in words, its own if it has some; reports it.
template <class P, class AnyCall>
[[gnu::always_inline]] inline Error refusal_of(const P& policy, typename P::Lane& lane, AnyCall& call,
                                               const Before& before) {
    Error error = [&] {
        if constexpr (requires { policy.refusal(lane, call, before); })
            return policy.refusal(lane, call, before);
        else
            return refusal_by(name_of(policy), before);
    }();
    if (call.is_observed()) [[unlikely]]
        report_refusal(call, name_of(policy), lane_key(policy, lane), error);
    return error;
}

/// The call has waited for a permit of the policy.
template <class P>
void report_wait(auto& call, const P& policy, const typename P::Lane& lane, Duration waited) {
    call.emit(
        {.kind = EventKind::limiter_waited, .policy = name_of(policy), .key = lane_key(policy, lane), .delay = waited});
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

template <class T>
[[gnu::noinline]] void report_observed_end(auto& call, const Result<T>& result, std::optional<int> status) {
    const Duration took = call.now() - call.began;
    if (result)
        return call.emit({.kind = EventKind::call_ended, .status = status, .took = took, .source = call.source});
    const Error& error = result.error();
    call.emit({.kind = EventKind::call_ended,
               .policy = error.policy(),
               .code = error.code(),
               .status = error.status(),
               .delay = error.retry_after(),
               .took = took,
               .stopped_by = error.stopped_by()});
}
/// The call is over. `status` is that of a good answer.
template <class T>
[[gnu::always_inline]] inline void report_call_end(auto& call, const Result<T>& result,
                                                   std::optional<int> status = {}) {
    if (call.is_observed()) [[unlikely]]
        report_observed_end(call, result, status);
}

}  // namespace breakwater::detail
