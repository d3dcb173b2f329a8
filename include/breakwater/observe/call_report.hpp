#pragma once

#include <breakwater/detail/one_line.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/error.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/source.hpp>
#include <breakwater/timeline.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string_view>

namespace breakwater {

namespace detail {

constexpr std::size_t longest_report = 1'000;  // characters of a text

template <class Json>
Json milliseconds_or_null(std::optional<Duration> span) {
    return span ? Json(static_cast<double>(span->count()) / 1'000) : Json(nullptr);
}
template <class Json>
Json name_or_null(std::optional<Errc> code) {
    return code ? Json(to_string(*code)) : Json(nullptr);
}

}  // namespace detail

/// As JSON: `{"number", "began_ms", "took_ms", "error", "status", "connection", "hedge", "wait_ms"}`, with the meanings
/// that `Attempt` gives them. `error` is the name of an `Errc`, `connection` that of a `ConnectionUse`; what is empty
/// is null.
template <class Json>
void to_json(Json& json, const Attempt& attempt) {
    json = {{"number", attempt.number},
            {"began_ms", detail::milliseconds_or_null<Json>(attempt.began)},
            {"took_ms", detail::milliseconds_or_null<Json>(attempt.took)},
            {"error", detail::name_or_null<Json>(attempt.error)},
            {"status", attempt.status ? Json(*attempt.status) : Json(nullptr)},
            {"connection", to_string(attempt.connection)},
            {"hedge", attempt.hedge},
            {"wait_ms", detail::milliseconds_or_null<Json>(attempt.wait)}};
}

/// What became of a call that was answered, as JSON of version 1:
///
///     {"version": 1, "outcome": "answer", "status": 200, "source": "network", "answered_by": 2, "attempts": [{…}, …]}
///
/// `source` is the name of a `Source`, `answered_by` the number of an attempt, 0 if the answer is none of this call's.
/// Neither headers nor the body are in it. Another version may leave fields out; later ones of this version only add
/// some.
template <class Json = nlohmann::json>
Json call_report(const Response& response) {
    return {{"version", 1},
            {"outcome", "answer"},
            {"status", response.status},
            {"source", to_string(response.source)},
            {"answered_by", response.attempt},
            {"attempts", response.timeline}};
}

/// The same of one that failed:
///
///     {"version": 1, "outcome": "error", "error": "http_status", "message": "GET /stock: …", "subject": "GET /stock",
///      "status": 503, "policy": "dairy", "stopped_by": "circuit_open", "retry_after_ms": 8700, "attempts": [{…}, …]}
///
/// `error` and `stopped_by` are names of `Errc`s; what is empty is null. Texts are on one line, of at most 1,000
/// characters. Secrets are out of them as they are out of the error's.
template <class Json = nlohmann::json>
Json call_report(const Error& error) {
    const auto text = [](std::string_view words) {
        return words.empty() ? Json(nullptr) : Json(detail::one_line(words, detail::longest_report));
    };
    return {{"version", 1},
            {"outcome", "error"},
            {"error", to_string(error.code())},
            {"message", text(error.message())},
            {"subject", text(error.subject())},
            {"status", error.status() ? Json(*error.status()) : Json(nullptr)},
            {"policy", text(error.policy())},
            {"stopped_by", detail::name_or_null<Json>(error.stopped_by())},
            {"retry_after_ms", detail::milliseconds_or_null<Json>(error.retry_after())},
            {"attempts", error.timeline()}};
}

/// The one or the other.
template <class Json = nlohmann::json>
Json call_report(const Result<Response>& answer) {
    return answer ? call_report<Json>(*answer) : call_report<Json>(answer.error());
}

}  // namespace breakwater
