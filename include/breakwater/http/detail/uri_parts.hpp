#pragma once

#include <breakwater/http/detail/characters.hpp>

#include <cstddef>
#include <optional>
#include <string_view>

namespace breakwater::detail {

/// A URI reference taken apart; views of the text. An absent part is not an empty one.
struct UriParts {
    std::optional<std::string_view> scheme{};
    std::optional<std::string_view> authority{};
    std::string_view path{};
    std::optional<std::string_view> query{};
    std::optional<std::string_view> fragment{};
};

/// RFC 3986, appendix B. Every text is some reference; nothing is checked.
constexpr UriParts split_uri(std::string_view text) noexcept {
    UriParts parts;
    const auto cut = [&text](std::size_t count, std::size_t skip) {
        const std::string_view piece = text.substr(0, count);
        text.remove_prefix(count + skip);
        return piece;
    };
    if (!text.empty() && is_alpha(text.front())) {
        std::size_t end = 1;
        while (end < text.size() && (is_alpha(text[end]) || is_digit(text[end]) || text[end] == '+' ||
                                     text[end] == '-' || text[end] == '.')) {
            ++end;
        }
        if (end < text.size() && text[end] == ':') parts.scheme = cut(end, 1);
    }
    if (const auto hash = text.find('#'); hash != text.npos) {
        parts.fragment = text.substr(hash + 1);
        text = text.substr(0, hash);
    }
    if (const auto mark = text.find('?'); mark != text.npos) {
        parts.query = text.substr(mark + 1);
        text = text.substr(0, mark);
    }
    if (text.starts_with("//")) {
        text.remove_prefix(2);
        const auto slash = text.find('/');
        parts.authority = cut(slash == text.npos ? text.size() : slash, 0);
    }
    parts.path = text;
    return parts;
}

}  // namespace breakwater::detail
