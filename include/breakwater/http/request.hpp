#pragma once

#include <breakwater/http/body.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/url.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// What a transport sends.
struct Request {
    Method method = Method::get;
    std::string url{};  ///< Absolute, http or https, without userinfo.
    Headers headers{};
    std::optional<Body> body{};  ///< Empty and absent differ: only a present one is announced.
};

/// Whether the request may be sent: the method and every header name is a token, no header value holds CR, LF, NUL
/// or another control but HTAB, the URL is one that `Url` takes, and nobody but the transport says how long the body
/// is. Else `Errc::invalid_request`, naming the part but never repeating a value. Allocates only for the error.
Result<void> validate(const Request& request);

namespace detail {

/// A hostile name made fit for a log line.
inline std::string printable(std::string_view name) {
    std::string text{name.substr(0, 40)};
    std::replace_if(text.begin(), text.end(), [](char c) { return c != ' ' && !is_token({&c, 1}); }, '?');
    return text;
}

}  // namespace detail

inline Result<void> validate(const Request& request) {
    const auto wrong = [](std::string what) { return fail(Errc::invalid_request, std::move(what)); };
    if (!request.method.is_valid()) {
        return wrong("method: must be a token of 1 to 15 characters, got \"" +
                     detail::printable(request.method.name()) + "\"");
    }
    if (auto url = detail::check_url(request.url); !url) return fail(std::move(url.error()));
    for (const auto& [name, value] : request.headers) {
        if (!detail::is_token(name)) return wrong("header name: not a token: \"" + detail::printable(name) + "\"");
        if (!detail::are_all_in_class(value, detail::value_character)) {
            return wrong("header " + detail::printable(name) + ": the value holds CR, LF, NUL or another control");
        }
        for (const std::string_view framing : {"Content-Length", "Transfer-Encoding"}) {
            if (detail::equals_ignoring_case(name, framing)) {
                return wrong("header " + std::string{framing} + ": is the transport's to set");
            }
        }
    }
    return {};
}

}  // namespace breakwater
