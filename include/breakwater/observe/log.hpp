#pragma once

#include <breakwater/detail/one_line.hpp>
#include <breakwater/error.hpp>
#include <breakwater/events.hpp>
#include <breakwater/observe/level.hpp>

#include <algorithm>
#include <concepts>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

struct LogOptions {
    Level least = Level::info;  ///< Events of a lower level are left out. Default `info`.

    /// Tells each attempt before and after it is made, whatever comes of it, at `info` at least. Default: the end of
    /// one that succeeded only.
    bool attempts = false;

    /// The level of an event; empty: it is left out, as if this throws. Default: `level_of`.
    std::function<std::optional<Level>(const Event&)> level{};
};

/// Where lines of a log go; called as an observer is: on any thread, several at once, with nothing held.
using LogSink = std::function<void(Level, std::string_view line)>;

namespace detail {

inline std::string subject_text(const Event& event) {
    return std::string{event.subject.empty() ? std::string_view{"call"} : event.subject};
}

/// "attempt 2/4".
inline std::string attempt_number(const Event& event) {
    std::string text = "attempt " + std::to_string(event.attempt);
    if (event.max_attempts > 0) text.append("/").append(std::to_string(event.max_attempts));
    return text;
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
    return text.append(" ").append(attempt_number(event));
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
    if (!event.code) {
        return subject_text(event) + " -> " + (event.status ? std::to_string(*event.status) : "ok") + " after " +
               format_duration(event.took.value_or(Duration{0})) + ", " + std::to_string(event.attempt) +
               (event.attempt == 1 ? " attempt" : " attempts") +
               (event.source ? ", from " + std::string{to_string(*event.source)} : "");
    }
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

/// "refused by ledger: the circuit is open, try again in 5 s".
inline std::string refusal_text(const Event& event) {
    std::string text = "refused";
    if (!event.policy.empty()) text.append(" by ").append(event.policy);
    text.append(": ").append(sentence(event.code.value_or(Errc::failure)));
    if (event.delay) text.append(", try again in ").append(format_duration(*event.delay));
    return text;
}

inline std::string event_text(const Event& event) {
    const std::string subject = subject_text(event);
    const std::string policy = event.policy.empty() ? "" : " " + std::string{event.policy};
    const std::string delay = event.delay ? format_duration(*event.delay) : "";
    const std::string why = event.subject.empty() ? "" : " (" + std::string{event.subject} + ")";
    switch (event.kind) {
        case EventKind::attempt_started: return subject + ": " + attempt_number(event);
        case EventKind::attempt_ended: return attempt_text(event, event.took);
        case EventKind::retry_scheduled: return attempt_text(event, event.took) + ", next in " + delay;
        case EventKind::permit_refused: return subject + ": " + refusal_text(event);
        case EventKind::would_refuse: return subject + ": would be refused by circuit" + policy + " (shadow)";
        case EventKind::limiter_waited: return subject + ": waited " + delay + " for a permit";
        case EventKind::limit_changed:
            return "limit" + policy + ": " + std::to_string(event.limit.value_or(0)) + " calls in flight";
        case EventKind::limiter_paused:
            return "rate limit" + policy + ": paused for " + delay + " (asked by the service)";
        case EventKind::hedge_sent: return subject + ": hedged after " + delay + ", " + attempt_number(event);
        case EventKind::hedge_won: return subject + ": the hedge has won, " + attempt_number(event);
        case EventKind::hedge_lost: return subject + ": the hedge has lost, " + attempt_number(event);
        case EventKind::circuit_opened: return "circuit" + policy + ": open for " + delay;
        case EventKind::circuit_half_opened: return "circuit" + policy + ": half-open";
        case EventKind::circuit_closed: return "circuit" + policy + ": closed";
        case EventKind::circuit_forced:
            if (!event.circuit) return "circuit" + policy + ": reset";
            return "circuit" + policy + ": forced " + std::string{to_string(*event.circuit)} +
                   (event.delay ? " for " + delay : "");
        case EventKind::late_result: return "circuit" + policy + ": a late result, not counted";
        case EventKind::cache_hit: return subject + " -> " + std::to_string(event.status.value_or(200)) + " from cache";
        case EventKind::cache_stored: return subject + ": kept in the cache for " + delay;
        case EventKind::cache_stale_served: return instead_text(event, "a stale answer from the cache");
        case EventKind::cache_evicted:
            return subject + ": the cache dropped " + std::to_string(event.count.value_or(0)) + " others for it";
        case EventKind::coalesced: return subject + " -> another call's answer";
        case EventKind::fallback_used: return instead_text(event, "the fallback's answer");
        case EventKind::redirected: return subject + ": redirected (" + std::to_string(event.status.value_or(0)) + ")";
        case EventKind::reconfigured:
            return std::string{event.policy.empty() ? event.client : event.policy} + ": reconfigured";
        case EventKind::store_degraded: return "store" + policy + ": no answer, policies go on alone" + why;
        case EventKind::store_lost: return "store" + policy + ": has forgotten what it kept" + why;
        case EventKind::store_rejoined: return "store" + policy + ": answers again";
        case EventKind::store_unheard: return "store" + policy + ": changes are not told at once" + why;
        case EventKind::store_other_layout: return "store: others keep" + policy + " in another layout" + why;
        case EventKind::store_cache_off: return "store" + policy + ": keeps no answers" + why;
        case EventKind::store_unreadable: return "store: what it keeps for" + policy + " cannot be read" + why;
        case EventKind::call_ended: return end_text(event);
    }
    return std::string{to_string(event.kind)};
}

/// What is no printable character (Unicode's other line ends included) and what is no UTF-8, as "\x1b": a line stays
/// one, and a terminal does nothing else with it than show it.
inline std::string escaped(std::string_view text) {
    std::string line;
    line.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
        text.remove_prefix(character.size());
        const auto first = static_cast<unsigned char>(character[0]);
        const bool is_control = first < 0x20 || first == 0x7f || character == "\u2028" || character == "\u2029" ||
                                (first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0);
        if (length > 0 && !is_control) {
            line += character;
            continue;
        }
        for (const char c : character) {
            constexpr std::string_view digits = "0123456789abcdef";
            const auto byte = static_cast<unsigned char>(c);
            line.append("\\x").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
        }
    }
    return line;
}

/// An observer that hands `words(event, level)` to `sink(level, line)`.
inline Observer log_observer(std::string (*words)(const Event&, Level), LogSink sink, LogOptions options) {
    return Observer{[words, sink = std::move(sink), options = std::move(options)](const Event& event) {
        std::optional<Level> level = options.level ? options.level(event) : level_of(event);
        if (!level) return;
        if (options.attempts && (event.kind == EventKind::attempt_started || event.kind == EventKind::attempt_ended))
            level = std::max(*level, Level::info);
        if (*level >= options.least) sink(*level, words(event, *level));
    }};
}

/// Writes whole lines to a stream.
class StreamSink {
public:
    explicit StreamSink(std::ostream& out) : out_{&out} {}
    void operator()(Level, std::string_view line) const {
        const std::scoped_lock lock{*mutex_};
        *out_ << line << '\n' << std::flush;
    }

private:
    std::ostream* out_;
    std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
};

}  // namespace detail

/// What an event says, in one line for people.
///
///     GET /inventory -> 503 (12 ms) attempt 2/4, next in 1.3 s [order-81]
///
/// At its end stands the call's correlation id, if it has one. Control characters are escaped.
inline std::string log_line(const Event& event) {
    std::string line = detail::event_text(event);
    if (!event.correlation_id.empty()) line.append(" [").append(event.correlation_id).append("]");
    return detail::escaped(line);
}

namespace detail {

inline std::string words_for_people(const Event& event, Level) { return log_line(event); }

}  // namespace detail

/// An observer that hands each event's line to `sink`. Which levels it is told, and what else may be chosen: see
/// `level_of` and `LogOptions`.
///
///     options.observer = bw::request_log(std::clog, {.attempts = true});
inline Observer request_log(LogSink sink, LogOptions options = {}) {
    return detail::log_observer(&detail::words_for_people, std::move(sink), std::move(options));
}
inline Observer request_log(std::function<void(std::string_view line)> sink, LogOptions options = {}) {
    return detail::log_observer(
        &detail::words_for_people, [sink = std::move(sink)](Level, std::string_view line) { sink(line); },
        std::move(options));
}
/// The same as lines of a stream, which must outlive every client that logs to it.
inline Observer request_log(std::ostream& out, LogOptions options = {}) {
    return detail::log_observer(&detail::words_for_people, detail::StreamSink{out}, std::move(options));
}

}  // namespace breakwater
