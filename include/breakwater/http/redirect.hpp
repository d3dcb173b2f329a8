#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/http/classify.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/percent_encoding.hpp>
#include <breakwater/http/reference.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/url.hpp>
#include <breakwater/result.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// Which redirects are followed.
struct RedirectRules {
    unsigned max = 5;           ///< Redirects per attempt; counted by the caller of `next_hop`.
    bool cross_origin = false;  ///< Also to another origin, with no headers but Accept and User-Agent.
};

/// The request that follows the redirect in `response`, the answer to `request`.
///
/// Nullopt if there is none to follow: another status, another method than GET and HEAD, no Location. A redirect from
/// https to http, to another origin without `rules.cross_origin`, to another scheme, to a URL with user name or
/// password or to none at all is `Errc::redirect_refused` with the response inside.
Result<std::optional<Request>> next_hop(const Request& request, const Response& response, const RedirectRules& rules);

namespace detail {

/// Of these headers the ones that may go to anyone: Accept and User-Agent.
inline Headers impersonal(const Headers& headers) {
    Headers kept;
    for (const std::string_view name : {"Accept", "User-Agent"}) {
        for (const std::string_view value : headers.get_all(name)) kept.add(std::string{name}, std::string{value});
    }
    return kept;
}

/// Location as it should have been sent: what browsers mend (spaces, bytes beyond ASCII) is encoded.
inline std::string mend_location(std::string_view location) {
    location = location.substr(0, location.find('#'));
    const auto authority = split_uri(location).authority;
    const std::size_t from =
        authority ? static_cast<std::size_t>(authority->data() - location.data()) + authority->size() : 0;
    std::string text{location.substr(0, from)};
    append_legal(text, location.substr(from), is_query_character);
    return text;
}

}  // namespace detail

inline Result<std::optional<Request>> next_hop(const Request& request, const Response& response,
                                               const RedirectRules& rules) {
    if (!is_redirect_status(response.status)) return std::nullopt;
    if (request.method != Method::get && request.method != Method::head) return std::nullopt;
    const auto locations = response.headers.get_all("Location");
    if (locations.empty()) return std::nullopt;

    const auto refuse = [&](std::string why) {
        Error error{Errc::redirect_refused, std::move(why)};
        error.set_status(response.status).set_response(std::make_shared<const Response>(response));
        return fail(std::move(error));
    };
    const std::string_view location = detail::trim(locations.front());
    if (detail::any_of(locations, [&](auto other) { return detail::trim(other) != location; })) {
        return refuse("more than one Location");
    }
    if (detail::any_of(location, [](char c) { return detail::is_control(c) || c == '\\'; })) {
        return refuse("Location holds a control character or a backslash");
    }
    const auto from = Url::parse(request.url);
    if (!from) return fail(from.error());
    const auto to = Url::parse(resolve_reference(from->to_string(), detail::mend_location(location)));
    if (!to) return refuse("Location: " + std::string{to.error().detail()});
    if (from->is_secure() && !to->is_secure()) return refuse("from https to http");
    const bool same_origin = from->same_origin(*to);
    if (!same_origin && !rules.cross_origin) return refuse("to another origin, " + to->origin());

    Request next{.method = request.method, .url = to->to_string()};
    if (same_origin) {
        next.headers = request.headers;
        if (response.status == 307 || response.status == 308) next.body = request.body;
    } else {
        next.headers = detail::impersonal(request.headers);
    }
    return next;
}

}  // namespace breakwater
