#pragma once

#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/json_document.hpp>
#include <breakwater/http/json_fault.hpp>
#include <breakwater/result.hpp>
#include <breakwater/source.hpp>
#include <breakwater/timeline.hpp>

#include <nlohmann/json.hpp>

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace breakwater {

/// What a JSON document can be converted to and keeps nothing of it by reference: nlohmann's `from_json` is there, as a
/// function beside the type, by its macros, or as an `adl_serializer` (of a type without default constructor, too).
template <class T, class Json = nlohmann::json>
concept JsonDecodable =
    std::is_object_v<T> && !std::is_pointer_v<T> && !std::same_as<T, std::string_view> && requires(const Json& json) {
        { json.template get<T>() } -> std::same_as<T>;
    };

/// An answer to a request. A regular value; only `status`, `headers` and `body` come from the service.
///
/// `json()` and `try_json()` on a const response may be called by several threads at once.
struct Response {
    int status = 0;
    Headers headers{};
    std::string body{};
    std::string url{};                                  ///< Of the answer: after redirects, without credentials.
    std::string http_version{};                         ///< "1.0", "1.1", "2" or "3"; empty if it is not known.
    ConnectionUse connection = ConnectionUse::unknown;  ///< Unknown for an answer out of the cache.
    Source source = Source::network;
    unsigned attempt = 0;     ///< The number of the attempt that this answers; 0 if it answers none of this call.
    Timeline timeline{};      ///< The attempts of the call; empty when a transport is used directly.
    JsonDocument document{};  ///< What `json()` keeps; nothing to set.

    /// 2xx.
    bool is_success() const noexcept { return status >= 200 && status < 300; }

    /// The value of the first header of this name. Valid until the headers change.
    std::optional<std::string_view> header(std::string_view name) const noexcept { return headers.get(name); }

    /// The body as JSON, parsed on first use and kept here: changes to it stay in this response, later changes to
    /// `body` do not show. A body that is not JSON throws `Exception` with `Errc::decode_failed`, the path of the URL
    /// and the place of the mistake.
    template <class Json = nlohmann::json>
    Json& json() & {
        return parsed<Json>();
    }
    template <class Json = nlohmann::json>
    const Json& json() const& {
        return parsed<Json>();
    }
    template <class Json = nlohmann::json>
    Json& json() && = delete;  // the document would be gone with the response
    template <class Json = nlohmann::json>
    const Json& json() const&& = delete;

    /// The same document as a value of its own, and the mistake as an error. What `json()` has not kept already is
    /// parsed again by each call.
    template <class Json = nlohmann::json>
    Result<Json> try_json() const& {
        if (const auto* kept = document.get()) return *kept;
        auto own = parse_json<Json>(body);
        if (!own) return fail(explain(std::move(own.error())));
        return own;
    }
    template <class Json = nlohmann::json>
    Result<Json> try_json() && {
        if (auto* kept = document.get()) return std::move(*kept);
        return std::as_const(*this).template try_json<Json>();
    }

    /// The body as JSON as a T. The error is `Errc::decode_failed`, names the part of the document that did not fit
    /// ("/products/3/price: expected number, got string") and holds the response. To find that part, T's conversion is
    /// run again on changed copies of the document. What `json()` keeps is used and, if there is none yet, kept.
    template <class T, class Json = nlohmann::json>
        requires JsonDecodable<T, Json>
    Result<T> as() const {
        auto parsed = document.parse<Json>(body);
        if (!parsed) return fail(with_response(std::move(parsed.error())));
        const Json& json = **parsed;
        try {
            return json.template get<T>();
        } catch (...) {  // it is asked again what it throws
        }
        detail::JsonFault<Json> fault{json, &detail::conversion_failure<T, Json>};
        return fail(with_response(Error{Errc::decode_failed, fault.describe()}));
    }

private:
    // Without "private" data the struct stays an aggregate.
    template <class Json>
    Json& parsed() const {
        auto result = document.parse<Json>(body);
        if (!result) throw_error(explain(std::move(result.error())));
        return **result;
    }

    Error with_response(Error error) const {
        return std::move(explain(std::move(error)).set_response(std::make_shared<const Response>(*this)));
    }

    Error explain(Error error) const {
        std::string_view path{url};
        if (const auto authority = path.find("://"); authority != path.npos) path.remove_prefix(authority + 3);
        path = detail::without_query(path);
        const auto slash = path.find('/');
        error.set_subject(slash == path.npos ? "/" : std::string{path.substr(slash)});
        if (status >= 100 && status <= 599) error.set_status(status);
        return error;
    }
};

/// The body of a good answer as a T, or why there is none: `bw::decode_as<Page>(client.get("/inventory"))`.
template <class T>
    requires JsonDecodable<T>
Result<T> decode_as(const Result<Response>& result) {
    if (!result) return fail(result.error());
    return result->as<T>();
}

}  // namespace breakwater
