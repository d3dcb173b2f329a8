#pragma once

#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/detail/uri_parts.hpp>
#include <breakwater/http/percent_encoding.hpp>
#include <breakwater/http/query.hpp>
#include <breakwater/result.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// An absolute http or https URL of RFC 3986, without userinfo or fragment.
///
/// The parser is strict: what must be percent-encoded is refused, not repaired, and so are hosts that are neither a
/// DNS name nor an address. Scheme and host are kept in lower case, the default port and an empty path filled in.
class Url {
public:
    /// Or `Errc::invalid_request` with a message that names the mistake without repeating the URL.
    static Result<Url> parse(std::string_view text);

    std::string_view scheme() const noexcept { return secure_ ? "https" : "http"; }
    bool is_secure() const noexcept { return secure_; }
    /// In lower case; an IPv6 address stands in brackets.
    const std::string& host() const noexcept { return host_; }
    std::uint16_t port() const noexcept { return port_; }
    bool has_default_port() const noexcept { return port_ == (secure_ ? 443 : 80); }
    /// Begins with "/"; still encoded.
    const std::string& path() const noexcept { return path_; }
    /// Without the "?", still encoded; empty and absent differ.
    const std::optional<std::string>& query() const noexcept { return query_; }

    /// "https://example.com:443": scheme, host and port (RFC 6454), equal exactly if the origins are the same.
    std::string origin() const {
        std::string text{scheme()};
        return text.append("://").append(host_).append(":").append(std::to_string(port_));
    }

    bool same_origin(const Url& other) const noexcept {
        return secure_ == other.secure_ && port_ == other.port_ && host_ == other.host_;
    }

    /// "https://example.com", with the port only if it is not the default one: what a path can be appended to.
    std::string root() const {
        std::string text{scheme()};
        text.append("://").append(host_);
        if (!has_default_port()) text.append(":").append(std::to_string(port_));
        return text;
    }

    std::string to_string() const {
        std::string text = root() + path_;
        if (query_) text.append("?").append(*query_);
        return text;
    }

    friend bool operator==(const Url&, const Url&) = default;

private:
    Url() = default;

    std::string host_;
    std::string path_;
    std::optional<std::string> query_;
    std::uint16_t port_ = 0;
    bool secure_ = false;
};

namespace detail {

/// A checked URL, as views of its text.
struct UrlView {
    bool secure = false;
    std::string_view host{};
    std::uint16_t port = 0;
    std::string_view path{};
    std::optional<std::string_view> query{};
};

/// RFC 3986 §3.2.2: IPv4address, four numbers up to 255 without leading zeros.
constexpr bool is_ipv4(std::string_view text) noexcept {
    for (int part = 0; part < 4; ++part) {
        std::size_t digits = 0;
        int value = 0;
        for (; digits < text.size() && digits < 3 && is_digit(text[digits]); ++digits) {
            value = value * 10 + (text[digits] - '0');
        }
        if (digits == 0 || value > 255 || (digits > 1 && text.front() == '0')) return false;
        text.remove_prefix(digits);
        if (part == 3) break;
        if (!text.starts_with('.')) return false;
        text.remove_prefix(1);
    }
    return text.empty();
}

/// RFC 3986 §3.2.2: IPv6address: eight groups, the last two perhaps as IPv4, one run of zeros as "::".
constexpr bool is_ipv6(std::string_view text) noexcept {
    int groups = 0;
    bool shortened = false;
    if (text.starts_with(':') && !text.starts_with("::")) return false;
    while (!text.empty()) {
        if (text.starts_with("::")) {
            if (shortened) return false;
            shortened = true;
            text.remove_prefix(2);
            if (text.starts_with(':')) return false;
            continue;
        }
        if (text.front() == ':') {
            if (text.size() == 1) return false;
            text.remove_prefix(1);
        }
        const std::string_view group = text.substr(0, text.find(':'));
        if (group.size() == text.size() && group.find('.') != group.npos) {
            if (!is_ipv4(group)) return false;
            groups += 2;
        } else {
            if (group.empty() || group.size() > 4) return false;
            for (const char c : group) {
                if (hex_value(c) < 0) return false;
            }
            ++groups;
        }
        text.remove_prefix(group.size());
    }
    return shortened ? groups < 8 : groups == 8;
}

/// A DNS name (letters, digits, "-", "_"; no empty label but a last one) or IPv4 address.
constexpr bool is_host_name(std::string_view text) noexcept {
    char before = '.';
    for (const char c : text) {
        if (c == '.' ? before == '.' : !is_alpha(c) && !is_digit(c) && c != '-' && c != '_') return false;
        before = c;
    }
    return !text.empty() && text.size() <= 254;
}

inline std::string describe_character(char c) {
    if (is_control(c)) return "a control character";
    if (c == ' ') return "a space";
    return static_cast<unsigned char>(c) < 0x80 ? std::string{"'"} + c + "'" : "a byte beyond ASCII";
}

/// Checks a URL without allocating.
inline Result<UrlView> check_url(std::string_view text) {
    const auto wrong = [](std::string what) { return fail(Errc::invalid_request, "url: " + std::move(what)); };
    const bool plain = are_all_in_class(text, query_character);
    for (std::size_t i = 0; i < text.size() && !plain; ++i) {
        const char c = text[i];
        if (!is_query_character(c) && (c == '%' ? !is_percent_encoded(text, i) : c != '[' && c != ']' && c != '#')) {
            return wrong(describe_character(c) + " at position " + std::to_string(i + 1) + " must be percent-encoded");
        }
    }
    const UriParts parts = split_uri(text);
    UrlView url;
    if (!parts.scheme || !parts.authority) return wrong("must be absolute, such as \"https://example.com/path\"");
    url.secure = equals_ignoring_case(*parts.scheme, "https");
    if (!url.secure && !equals_ignoring_case(*parts.scheme, "http")) return wrong("the scheme must be http or https");
    if (parts.fragment) return wrong("must not have a fragment (\"#…\")");
    if (parts.authority->find('@') != std::string_view::npos) return wrong("must not hold a user name or password");
    const std::size_t after_host = static_cast<std::size_t>(parts.path.data() - text.data());
    if (const auto at = plain ? text.npos : text.find_first_of("[]", after_host); at != text.npos) {
        return wrong(describe_character(text[at]) + " after the host must be percent-encoded");
    }

    url.host = *parts.authority;
    std::string_view port;
    const auto bracket = url.host.rfind(']');
    if (const auto colon = url.host.rfind(':');
        colon != url.host.npos && (bracket == url.host.npos || bracket < colon)) {
        port = url.host.substr(colon + 1);
        url.host = url.host.substr(0, colon);
    }
    if (url.host.empty()) return wrong("the host is missing");
    const bool bracketed = url.host.size() > 2 && url.host.front() == '[' && url.host.back() == ']';
    if (bracketed ? !is_ipv6(url.host.substr(1, url.host.size() - 2)) : !is_host_name(url.host)) {
        return wrong("the host is neither a DNS name nor an IP address");
    }
    unsigned number = 0;
    for (const char c : port) {
        if (!is_digit(c) || port.size() > 5) return wrong("the port must be a number from 1 to 65535");
        number = number * 10 + static_cast<unsigned>(c - '0');
    }
    if (port.empty()) number = url.secure ? 443 : 80;
    if (number < 1 || number > 65535) return wrong("the port must be a number from 1 to 65535");
    url.port = static_cast<std::uint16_t>(number);
    url.path = parts.path;
    url.query = parts.query;
    return url;
}

}  // namespace detail

inline Result<Url> Url::parse(std::string_view text) {
    const auto view = detail::check_url(text);
    if (!view) return fail(view.error());
    Url url;
    url.secure_ = view->secure;
    url.port_ = view->port;
    url.host_ = view->host;
    for (char& c : url.host_) c = detail::to_lower(c);
    url.path_ = view->path.empty() ? "/" : view->path;
    if (view->query) url.query_.emplace(*view->query);
    return url;
}

}  // namespace breakwater
