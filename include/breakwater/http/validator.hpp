#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/http/date.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

/// What tells one version of a representation from another, byte by byte: fit for `If-Range` (RFC 9110 §13.1.5).
struct Validator {
    enum class Kind : std::uint8_t { entity_tag, date };
    Kind kind = Kind::entity_tag;
    std::string text{};  ///< As it came: `"abc"`, or an HTTP-date.
    friend bool operator==(const Validator&, const Validator&) = default;
};

namespace detail {

/// A strong entity tag (RFC 9110 §8.8.3).
constexpr bool is_strong_tag(std::string_view text) noexcept {
    if (text.size() < 2 || text.front() != '"' || text.back() != '"') return false;
    const std::string_view inside = text.substr(1, text.size() - 2);
    return none_of(inside, [](char c) { return c == '"' || c == ' ' || is_control(c); });
}

/// Whether a date of last modification cannot also be that of another version: it is well before the answer's own
/// (RFC 9110 §8.8.2.2). A minute, so that two clocks of one service do not matter.
constexpr bool is_strong_date(std::string_view modified, std::string_view answered) noexcept {
    constexpr std::chrono::sys_seconds century{std::chrono::sys_days{std::chrono::year{2024} / 1 / 1}};
    const auto then = parse_http_date(modified, century);
    const auto now = parse_http_date(answered, century);
    return then && now && *now - *then >= std::chrono::minutes{1};
}

}  // namespace detail

/// The strong validator of an answer, or nullopt. A date counts only where there is no entity tag, not even a weak one.
inline std::optional<Validator> strong_validator(const Headers& headers) {
    if (const auto tags = headers.get_all("ETag"); !tags.empty()) {
        if (tags.size() > 1 || !detail::is_strong_tag(tags.front())) return std::nullopt;
        return Validator{.kind = Validator::Kind::entity_tag, .text = std::string{tags.front()}};
    }
    const auto modified = headers.get("Last-Modified");
    const auto answered = headers.get("Date");
    if (!modified || !answered || !detail::is_strong_date(*modified, *answered)) return std::nullopt;
    return Validator{.kind = Validator::Kind::date, .text = std::string{*modified}};
}

/// Whether an answer speaks against being of the version that `validator` names: it names another one. One that names
/// none does not (a 206 that was asked for with `If-Range` need not).
inline bool contradicts(const Headers& headers, const Validator& validator) {
    const bool is_tag = validator.kind == Validator::Kind::entity_tag;
    const auto named = headers.get_all(is_tag ? "ETag" : "Last-Modified");
    return detail::any_of(named, [&](std::string_view text) { return text != validator.text; });
}

}  // namespace breakwater
