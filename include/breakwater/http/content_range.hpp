#pragma once

#include <breakwater/http/detail/characters.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace breakwater {

/// `Content-Range` (RFC 9110 §14.4): which bytes of the whole an answer holds.
struct ContentRange {
    struct Bytes {
        std::uint64_t first = 0;
        std::uint64_t last = 0;  ///< Included.
        friend bool operator==(const Bytes&, const Bytes&) = default;
    };
    std::optional<Bytes> bytes{};          ///< Empty in a 416: none.
    std::optional<std::uint64_t> total{};  ///< Of the whole; empty if it is not known.
    friend bool operator==(const ContentRange&, const ContentRange&) = default;
};

namespace detail {

/// Digits only, and nothing else; nullopt if it is none or does not fit.
constexpr std::optional<std::uint64_t> parse_decimal(std::string_view text) noexcept {
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t size = 0;
    for (const char c : text) {
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (!is_digit(c) || size > (most - digit) / 10) return std::nullopt;
        size = size * 10 + digit;
    }
    return text.empty() ? std::nullopt : std::optional{size};
}

}  // namespace detail

/// Nullopt if the value is not one of bytes, or contradicts itself.
constexpr std::optional<ContentRange> parse_content_range(std::string_view value) noexcept {
    constexpr std::string_view unit = "bytes";
    value = detail::trim(value);
    if (!detail::equals_ignoring_case(value.substr(0, unit.size()), unit)) return std::nullopt;
    value.remove_prefix(unit.size());
    const std::size_t slash = value.find('/');
    if (!value.starts_with(' ') || slash == value.npos) return std::nullopt;
    const std::string_view range = detail::trim(value.substr(0, slash));
    const std::string_view total = detail::trim(value.substr(slash + 1));

    ContentRange found;
    if (total != "*") {
        found.total = detail::parse_decimal(total);
        if (!found.total) return std::nullopt;
    }
    if (range == "*") return found.total ? std::optional{found} : std::nullopt;
    const std::size_t dash = range.find('-');
    if (dash == range.npos) return std::nullopt;
    const auto first = detail::parse_decimal(range.substr(0, dash));
    const auto last = detail::parse_decimal(range.substr(dash + 1));
    if (!first || !last || *first > *last || *last == std::numeric_limits<std::uint64_t>::max()) return std::nullopt;
    if (found.total && *last >= *found.total) return std::nullopt;
    found.bytes = {*first, *last};
    return found;
}

}  // namespace breakwater
