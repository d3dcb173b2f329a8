#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// ASCII character classes of RFC 9110 and RFC 3986. None depends on the locale.
namespace breakwater::detail {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr bool is_alpha(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

constexpr char to_lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (to_lower(a[i]) != to_lower(b[i])) return false;
    }
    return true;
}

constexpr bool starts_with_ignoring_case(std::string_view text, std::string_view start) noexcept {
    return equals_ignoring_case(text.substr(0, start.size()), start);
}

/// A target up to its query or fragment.
constexpr std::string_view without_query(std::string_view target) noexcept {
    const auto query = target.find('?');
    const auto fragment = target.find('#');
    return target.substr(0, query < fragment ? query : fragment);
}

enum CharacterClass : std::uint8_t {
    control_character = 1,     ///< C0 controls and DEL.
    token_character = 2,       ///< RFC 9110 §5.6.2.
    unreserved_character = 4,  ///< RFC 3986 §2.3.
    path_character = 8,        ///< RFC 3986 §3.3, apart from "%": pchar and "/".
    query_character = 16,      ///< RFC 3986 §3.4, apart from "%".
    value_character = 32,      ///< In the value of a header: all but controls, yet HTAB.
};

/// The classes of each byte: one look-up instead of a search, for every byte of every request is checked.
inline constexpr std::array<std::uint8_t, 256> character_classes = [] {
    std::array<std::uint8_t, 256> classes{};
    const auto mark = [&classes](std::string_view characters, unsigned as) {
        for (const char c : characters) {
            auto& entry = classes[static_cast<unsigned char>(c)];
            entry = static_cast<std::uint8_t>(entry | as);
        }
    };
    for (unsigned c = 0; c < 256; ++c) classes[c] = c < 0x20 || c == 0x7f ? control_character : value_character;
    mark("\t", value_character);
    mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
         token_character | unreserved_character | path_character | query_character);
    mark("-._~", unreserved_character | path_character | query_character);
    mark("!#$%&'*+-.^_`|~", token_character);
    mark("/:@!$&'()*+,;=", path_character | query_character);
    mark("?", query_character);
    return classes;
}();

constexpr bool is_in_class(char c, CharacterClass wanted) noexcept {
    return (character_classes[static_cast<unsigned char>(c)] & wanted) != 0;
}

constexpr bool is_control(char c) noexcept { return is_in_class(c, control_character); }
constexpr bool is_unreserved(char c) noexcept { return is_in_class(c, unreserved_character); }
constexpr bool is_path_character(char c) noexcept { return is_in_class(c, path_character); }
constexpr bool is_query_character(char c) noexcept { return is_in_class(c, query_character); }

/// Whether every byte is of this class. Without a branch per byte, since nearly always it is.
constexpr bool are_all_in_class(std::string_view text, CharacterClass wanted) noexcept {
    unsigned common = wanted;
    for (const char c : text) common &= character_classes[static_cast<unsigned char>(c)];
    return common != 0;
}

constexpr bool is_token(std::string_view text) noexcept {
    return !text.empty() && are_all_in_class(text, token_character);
}

/// Without the optional white space (RFC 9110 §5.6.3) around it.
constexpr std::string_view trim(std::string_view text) noexcept {
    const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

/// The value of a hexadecimal digit, or −1.
constexpr int hex_value(char c) noexcept {
    if (is_digit(c)) return c - '0';
    const char lower = to_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace breakwater::detail
