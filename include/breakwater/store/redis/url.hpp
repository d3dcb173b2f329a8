#pragma once

#include <breakwater/result.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::redis {

/// Where a server is and as whom to enter: "redis://user:password@host:6379/0", "rediss://…" (TLS) or
/// "unix://user:password@/path/to/socket?db=0". All but the scheme and the host may be absent; user, password and the
/// path of a socket are percent-decoded.
///
/// No message of `parse` repeats any part of the text, which may hold a password.
struct Url {
    enum class Scheme : std::uint8_t { redis, rediss, unix_socket };
    Scheme scheme = Scheme::redis;
    std::string host{};         ///< A DNS name, an IPv4 or an IPv6 address, the last without brackets.
    std::uint16_t port = 6379;  ///< 1 to 65535.
    std::string path{};         ///< Of a Unix socket: at most 107 bytes.
    std::string user{};         ///< Empty: the server's default user.
    std::string password{};     ///< Empty: none is sent.
    std::uint32_t database = 0;

    static Result<Url> parse(std::string_view text);

    /// "host:6379", "[::1]:6379" or the path of the socket: what messages may say.
    std::string address() const {
        if (scheme == Scheme::unix_socket) return path;
        std::string text = host.find(':') == host.npos ? host : '[' + host + ']';
        return text.append(":").append(std::to_string(port));
    }

    friend bool operator==(const Url&, const Url&) = default;
};

namespace detail {

constexpr int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

inline std::optional<std::string> percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0) return std::nullopt;
        out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
        i += 2;
    }
    return out;
}

template <class T>
std::optional<T> whole_number(std::string_view text, T least, T most) noexcept {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < static_cast<std::uint64_t>(least) ||
        number > static_cast<std::uint64_t>(most))
        return {};
    return static_cast<T>(number);
}

/// The text up to the first `mark` (whole if there is none), and what follows the mark.
constexpr std::pair<std::string_view, std::optional<std::string_view>> cut(std::string_view text, char mark) noexcept {
    const auto at = text.find(mark);
    if (at == text.npos) return {text, std::nullopt};
    return {text.substr(0, at), text.substr(at + 1)};
}

}  // namespace detail

inline Result<Url> Url::parse(std::string_view text) {
    const auto wrong = [](std::string what) { return fail(Errc::invalid_options, std::move(what)); };
    constexpr std::uint32_t most_databases = 1'000'000;
    constexpr std::string_view database_range = "the database must be a number from 0 to 1000000";
    if (std::ranges::any_of(text, [](char c) { return c <= ' ' || c > '~'; }))
        return wrong("spaces, control characters and bytes beyond ASCII must be percent-encoded");

    Url url;
    const auto scheme_end = text.find("://");
    const std::string_view scheme = text.substr(0, scheme_end == text.npos ? 0 : scheme_end);
    if (scheme == "rediss") url.scheme = Scheme::rediss;
    if (scheme == "unix") url.scheme = Scheme::unix_socket;
    if (url.scheme == Scheme::redis && scheme != "redis")
        return wrong("must begin with redis://, rediss:// or unix://, such as \"redis://127.0.0.1:6379/0\"");
    text.remove_prefix(scheme_end + 3);
    if (text.find('#') != text.npos) return wrong("must not have a fragment (\"#…\")");

    const auto [before_query, query] = detail::cut(text, '?');
    const auto slash = before_query.find('/');
    std::string_view place = before_query.substr(0, slash);
    const std::string_view path = slash == before_query.npos ? std::string_view{} : before_query.substr(slash);
    if (path.find('@') != path.npos && place.find('@') == place.npos && url.scheme != Scheme::unix_socket)
        return wrong("a \"/\" in the user or password must be percent-encoded (\"%2F\")");

    if (const auto at = place.rfind('@'); at != place.npos) {
        const auto [user, password] = detail::cut(place.substr(0, at), ':');
        if (!password) return wrong("a user needs a password: write \"user:password@\" or \":password@\"");
        auto plain_user = detail::percent_decoded(user);
        auto plain_password = detail::percent_decoded(*password);
        if (!plain_user || !plain_password)
            return wrong("in the user or password \"%\" must be followed by two hexadecimal digits");
        if (!plain_user->empty() && plain_password->empty()) return wrong("the password is empty");
        url.user = *std::move(plain_user);
        url.password = *std::move(plain_password);
        place.remove_prefix(at + 1);
    }

    if (url.scheme == Scheme::unix_socket) {
        if (!place.empty())
            return wrong("unix:// must be followed by an absolute path, such as unix:///run/redis.sock");
        auto plain_path = detail::percent_decoded(path);
        if (!plain_path || plain_path->find('\0') != std::string::npos)
            return wrong("in the path \"%\" must be followed by two hexadecimal digits other than 00");
        if (plain_path->size() < 2 || plain_path->size() > 107)
            return wrong("the path of a Unix socket must be of 2 to 107 bytes");
        url.path = *std::move(plain_path);
        if (query) {
            if (!query->starts_with("db=")) return wrong("a unix:// URL has no parameter but \"?db=N\"");
            const auto database = detail::whole_number<std::uint32_t>(query->substr(3), 0, most_databases);
            if (!database) return wrong(std::string{database_range});
            url.database = *database;
        }
        return url;
    }

    if (query) return wrong("must not have a query (\"?…\")");
    std::optional<std::string_view> port;
    if (place.starts_with('[')) {
        const auto end = place.find(']');
        if (end == place.npos) return wrong("the \"]\" after an IPv6 address is missing");
        const std::string_view inside = place.substr(1, end - 1);
        const auto is_address = [](char c) { return detail::hex_digit(c) >= 0 || c == ':' || c == '.'; };
        if (inside.find(':') == inside.npos || !std::ranges::all_of(inside, is_address))
            return wrong("what is in brackets must be an IPv6 address");
        url.host = inside;
        place.remove_prefix(end + 1);
        if (!place.empty() && place.front() != ':') return wrong("after \"]\" there may only be a port");
        if (!place.empty()) port = place.substr(1);
    } else {
        const auto [host, after] = detail::cut(place, ':');
        if (after && after->find(':') != after->npos) return wrong("an IPv6 address must be in brackets");
        const auto is_name = [](char c) {
            return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '.' ||
                   c == '_';
        };
        if (host.empty()) return wrong("the host is missing");
        if (host.size() > 253 || !std::ranges::all_of(host, is_name))
            return wrong("the host is neither a DNS name nor an IP address");
        url.host = host;
        port = after;
    }
    if (port) {
        const auto number = detail::whole_number<std::uint16_t>(*port, 1, 65535);
        if (!number) return wrong("the port must be a number from 1 to 65535");
        url.port = *number;
    }
    if (path.size() > 1) {
        const auto database = detail::whole_number<std::uint32_t>(path.substr(1), 0, most_databases);
        if (!database) return wrong(std::string{database_range});
        url.database = *database;
    }
    return url;
}

}  // namespace breakwater::redis
