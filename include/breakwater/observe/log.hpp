#pragma once

#include <breakwater/error.hpp>
#include <breakwater/events.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

namespace detail {

inline std::string subject_text(const Event& event) {
    return std::string{event.subject.empty() ? std::string_view{"call"} : event.subject};
}

/// "GET /inventory -> 503 (12 ms) attempt 2/4": how an attempt ended.
inline std::string attempt_text(const Event& event, std::optional<Duration> took) {
    std::string text = subject_text(event) + " -> ";
    if (event.status)
        text += std::to_string(*event.status);
    else if (event.code)
        text += sentence(*event.code);
    else
        text += "ok";
    if (took) text.append(" (").append(format_duration(*took)).append(")");
    text.append(" attempt ").append(std::to_string(event.attempt));
    if (event.max_attempts > 0) text.append("/").append(std::to_string(event.max_attempts));
    return text;
}

/// Who cut the call short, if it was not its last attempt that ended it. That attempt has been told with its retry.
inline std::optional<Errc> cut_short_by(const Event& event) {
    const Errc by = event.stopped_by.value_or(event.code.value_or(Errc::failure));
    if (by == Errc::budget_exhausted || (by == Errc::deadline_too_near && event.attempt > 0))
        return std::nullopt;  // told with the attempt that is not made again
    if (event.attempt == 0 || is_refusal(by) || by == Errc::cancelled) return by;
    return std::nullopt;
}

inline std::string end_text(const Event& event) {
    const std::string again = event.delay ? ", try again in " + format_duration(*event.delay) : "";
    const auto by = cut_short_by(event);
    if (by && event.attempt == 0) {
        return subject_text(event) + (is_refusal(*by) ? " -> refused: " : " -> failed: ") + std::string{sentence(*by)} +
               again;
    }
    std::string text = by ? subject_text(event) + " -> " : attempt_text(event, std::nullopt) + ", ";
    text += "gave up after " + format_duration(event.took.value_or(Duration{0}));
    if (by) return text.append(": ").append(sentence(*by)) + again;
    if (event.stopped_by) text.append(": ").append(sentence(*event.stopped_by));
    return text + again;
}

/// What was wrong, and who answered instead.
inline std::string instead_text(const Event& event, std::string_view answer) {
    if (const auto by = cut_short_by(event)) {
        return subject_text(event) + " -> " + std::string{answer} + ": " + std::string{sentence(*by)};
    }
    return attempt_text(event, std::nullopt) + ", " + std::string{answer};
}

}  // namespace detail

/// One line for an event, or an empty one for what a request log leaves out: an attempt that failed is told when it is
/// known what follows.
inline std::string log_line(const Event& event) {
    const std::string policy = event.policy.empty() ? "" : " " + std::string{event.policy};
    const std::string delay = event.delay ? format_duration(*event.delay) : "";
    switch (event.kind) {
        case EventKind::attempt_ended: return event.code ? "" : detail::attempt_text(event, event.took);
        case EventKind::retry_scheduled: return detail::attempt_text(event, event.took) + ", next in " + delay;
        case EventKind::limiter_waited: return detail::subject_text(event) + ": waited " + delay + " for a permit";
        case EventKind::limit_changed:
            return "limit" + policy + ": " + std::to_string(event.limit.value_or(0)) + " calls in flight";
        case EventKind::limiter_paused:
            return "rate limit" + policy + ": paused for " + delay + " (asked by the service)";
        case EventKind::circuit_opened: return "circuit" + policy + ": open for " + delay;
        case EventKind::would_refuse:
            return detail::subject_text(event) + ": would be refused by circuit" + policy + " (shadow)";
        case EventKind::circuit_half_opened: return "circuit" + policy + ": half-open";
        case EventKind::circuit_closed: return "circuit" + policy + ": closed";
        case EventKind::cache_hit:
            return detail::subject_text(event) + " -> " + std::to_string(event.status.value_or(200)) + " from cache";
        case EventKind::cache_stale_served: return detail::instead_text(event, "a stale answer from the cache");
        case EventKind::fallback_used: return detail::instead_text(event, "the fallback's answer");
        case EventKind::redirected:
            return detail::subject_text(event) + ": redirected (" + std::to_string(event.status.value_or(0)) + ")";
        case EventKind::call_ended: return event.code ? detail::end_text(event) : "";
        default: return "";
    }
}

/// An observer that hands each line of a request log to `sink`, one at a time.
///
///     GET /inventory -> 503 (12 ms) attempt 2/4, next in 1.3 s
inline Observer request_log(std::function<void(std::string_view)> sink) {
    struct Shared {
        std::mutex mutex;
        std::function<void(std::string_view)> sink;
    };
    auto shared = std::make_shared<Shared>();
    shared->sink = std::move(sink);
    return Observer{[shared](const Event& event) {
        std::string line = log_line(event);
        if (line.empty()) return;
        detail::keep_on_one_line(line, ' ');
        const std::scoped_lock lock{shared->mutex};
        shared->sink(line);
    }};
}

/// The same as lines of a stream, which must outlive every client that logs to it.
inline Observer request_log(std::ostream& out) {
    return request_log([&out](std::string_view line) { out << line << '\n' << std::flush; });
}

}  // namespace breakwater
