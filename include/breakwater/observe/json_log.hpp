#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/events.hpp>
#include <breakwater/observe/level.hpp>
#include <breakwater/observe/log.hpp>
#include <breakwater/source.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

namespace detail {

/// "2026-10-30T07:05:09.250Z" (RFC 3339).
inline std::string rfc3339(std::chrono::sys_time<Duration> time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss of_day{std::chrono::floor<std::chrono::milliseconds>(time - day)};
    std::array<char, 32> text{};
    const int length =
        std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                      static_cast<int>(of_day.hours().count()), static_cast<int>(of_day.minutes().count()),
                      static_cast<int>(of_day.seconds().count()), static_cast<int>(of_day.subseconds().count()));
    return {text.data(), static_cast<std::size_t>(length)};
}

}  // namespace detail

/// An event as one line of JSON, version 1, of ASCII characters only:
///
/// - always: `v` (1), `time` (UTC, RFC 3339, milliseconds), `level` and `event` (their enumerators' names), `sequence`;
/// - where the event has them: `client`, `call` (a number), `policy`, `key`, `subject`, `tag`, `correlation_id`,
///   `attempt`, `max_attempts`, `code` and `stopped_by` (names of `Errc`), `status`, `delay_ms`, `took_ms`, `source`,
///   `circuit` ("open" or "closed"), `limit`, `count`, `trace_id`, `span_id`, `parent_span_id`, `url`, `resends`, with
///   the meanings that `Event` gives them.
///
/// Another version may leave fields out; later ones of this version only add some. Bytes that are no UTF-8 become
/// U+FFFD.
template <class Json = nlohmann::ordered_json>
std::string json_line(const Event& event, Level level, std::chrono::sys_time<Duration> time = wall_clock_now_us()) {
    Json json = {{"v", 1},
                 {"time", detail::rfc3339(time)},
                 {"level", to_string(level)},
                 {"event", to_string(event.kind)},
                 {"sequence", event.sequence}};
    const auto text = [&](const char* name, std::string_view value) {
        if (!value.empty()) json[name] = value;
    };
    const auto number = [&](const char* name, auto value) {
        if (value != 0) json[name] = value;
    };
    const auto given = [&](const char* name, const auto& value) {
        if (value) json[name] = *value;
    };
    const auto named = [&](const char* name, const auto& value) {
        if (value) json[name] = to_string(*value);
    };
    const auto span = [&](const char* name, const std::optional<Duration>& value) {
        if (value) json[name] = std::chrono::duration<double, std::milli>{*value}.count();
    };
    text("client", event.client);
    number("call", event.call);
    text("policy", event.policy);
    text("key", event.key);
    text("subject", event.subject);
    text("tag", event.tag);
    text("correlation_id", event.correlation_id);
    number("attempt", event.attempt);
    number("max_attempts", event.max_attempts);
    named("code", event.code);
    named("stopped_by", event.stopped_by);
    given("status", event.status);
    span("delay_ms", event.delay);
    span("took_ms", event.took);
    named("source", event.source);
    named("circuit", event.circuit);
    given("limit", event.limit);
    given("count", event.count);
    text("trace_id", event.trace_id);
    text("span_id", event.span_id);
    text("parent_span_id", event.parent_span_id);
    text("url", event.url);
    number("resends", event.resends);
    return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

namespace detail {

template <class Json>
std::string words_of_json(const Event& event, Level level) {
    return json_line<Json>(event, level);
}

}  // namespace detail

/// As `request_log`, in lines of JSON: see `json_line`.
template <class Json = nlohmann::ordered_json>
Observer json_log(LogSink sink, LogOptions options = {}) {
    return detail::log_observer(&detail::words_of_json<Json>, std::move(sink), std::move(options));
}
template <class Json = nlohmann::ordered_json>
Observer json_log(std::ostream& out, LogOptions options = {}) {
    return detail::log_observer(&detail::words_of_json<Json>, detail::StreamSink{out}, std::move(options));
}

}  // namespace breakwater
