#pragma once

#include <breakwater/error.hpp>
#include <breakwater/events.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

namespace detail {

inline std::string attempt_text(const Event& event) {
    std::string text{event.subject.empty() ? std::string_view{"call"} : event.subject};
    text += " -> ";
    if (event.status)
        text += std::to_string(*event.status);
    else if (event.code)
        text.append(sentence(*event.code));
    else
        text += "ok";
    if (event.took && event.kind != EventKind::call_ended) {
        text.append(" (").append(format_duration(*event.took)).append(")");
    }
    if (event.attempt > 0) {
        text.append(" attempt ").append(std::to_string(event.attempt));
        if (event.max_attempts > 0) text.append("/").append(std::to_string(event.max_attempts));
    }
    return text;
}

}  // namespace detail

/// One line for an event, or an empty one for what a request log leaves out: an attempt that failed is told when it is
/// known what follows.
inline std::string log_line(const Event& event) {
    const std::string subject{event.subject.empty() ? std::string_view{"call"} : event.subject};
    const std::string policy = event.policy.empty() ? "" : " " + std::string{event.policy};
    const std::string delay = event.delay ? format_duration(*event.delay) : "";
    switch (event.kind) {
        case EventKind::attempt_ended: return event.code ? "" : detail::attempt_text(event);
        case EventKind::retry_scheduled: return detail::attempt_text(event) + ", next in " + delay;
        case EventKind::limiter_waited: return subject + ": waited " + delay + " for a permit";
        case EventKind::limiter_paused:
            return "rate limit" + policy + ": paused for " + delay + ", as the service asks";
        case EventKind::circuit_opened: return "circuit" + policy + ": open, next try in " + delay;
        case EventKind::circuit_half_opened: return "circuit" + policy + ": half-open, probing";
        case EventKind::circuit_closed: return "circuit" + policy + ": closed";
        case EventKind::cache_hit: return subject + " -> " + std::to_string(event.status.value_or(200)) + " from cache";
        case EventKind::cache_stale_served: return subject + " -> a stale answer from the cache";
        case EventKind::fallback_used: return subject + " -> the fallback's answer";
        case EventKind::redirected: return subject + ": redirected (" + std::to_string(event.status.value_or(0)) + ")";
        case EventKind::call_ended: {
            if (!event.code) return "";
            // The failed attempts before a refusal or a stop request have been told with their retries.
            const Errc by = event.stopped_by.value_or(*event.code);
            const bool told = is_refusal(by) || by == Errc::cancelled || event.attempt == 0;
            std::string text = told ? subject + " -> " : detail::attempt_text(event) + ", ";
            if (event.attempt == 0)
                text += "refused: ";
            else
                text += "gave up after " + format_duration(event.took.value_or(Duration{0}));
            if (event.attempt > 0 && (told || event.stopped_by)) text += ": ";
            if (told || event.stopped_by) text.append(detail::sentence(by));
            if (event.delay) text.append("; try again in ").append(delay);
            return text;
        }
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
        std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
        const std::scoped_lock lock{shared->mutex};
        shared->sink(line);
    }};
}

/// The same as lines of a stream, which must outlive every client that logs to it.
inline Observer request_log(std::ostream& out) {
    return request_log([&out](std::string_view line) { out << line << '\n' << std::flush; });
}

}  // namespace breakwater
