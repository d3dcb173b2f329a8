#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/url.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace breakwater {

/// A name of OpenTelemetry's and its value.
using SpanAttribute = std::pair<std::string_view, std::variant<std::int64_t, std::string>>;

/// What OpenTelemetry's conventions for HTTP client spans
/// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/) want to know of a request that a client sends, from
/// an event of its attempt. Empty for all other events.
///
/// `attempt_started` begins a span of kind CLIENT with the ids in the event, `attempt_ended` ends it. At a `redirected`
/// one ends and the next begins: its id is in the next event. Of `attempt_started` there are what is known before:
/// `http.request.method` (and `http.request.method_original`), `server.address`, `server.port`, `url.full`, and
/// `http.request.resend_count` if it is not the first; of the others also `http.response.status_code` and `error.type`:
/// the status, or the name of the `Errc`; none of a call that was cancelled. `url.full` has no query.
inline std::vector<SpanAttribute> span_attributes(const Event& event) {
    std::vector<SpanAttribute> attributes;
    if (event.url.empty()) return attributes;
    const auto add = [&](std::string_view name, SpanAttribute::second_type value) {
        attributes.emplace_back(name, std::move(value));
    };

    constexpr std::string_view known[] = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS",
                                          "PATCH",   "POST",   "PUT", "TRACE"};
    const std::string_view method = event.subject.substr(0, event.subject.find(' '));
    const bool is_known = detail::contains(known, method);
    add("http.request.method", std::string{is_known ? method : "_OTHER"});
    if (!is_known) add("http.request.method_original", std::string{method});
    if (const auto url = Url::parse(event.url)) {
        std::string host = url->host();
        if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
        add("server.address", std::move(host));
        add("server.port", std::int64_t{url->port()});
    }
    add("url.full", std::string{event.url});
    if (event.resends > 0) add("http.request.resend_count", std::int64_t{event.resends});
    if (event.status) add("http.response.status_code", std::int64_t{*event.status});
    if (event.code && *event.code != Errc::cancelled)
        add("error.type", event.code == Errc::http_status && event.status ? std::to_string(*event.status)
                                                                          : std::string{to_string(*event.code)});
    return attributes;
}

}  // namespace breakwater
