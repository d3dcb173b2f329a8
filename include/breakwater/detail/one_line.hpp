#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace breakwater::detail {

/// How many bytes the well-formed UTF-8 sequence at the start of `text` has (RFC 3629); 0 if there is none.
constexpr std::size_t utf8_length(std::string_view text) noexcept {
    if (text.empty()) return 0;
    const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const unsigned first = at(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : 4;
    if (first < 0xc2 || first > 0xf4) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((at(i) & 0xc0) != 0x80) return 0;
    const bool overlong = (first == 0xe0 && at(1) < 0xa0) || (first == 0xf0 && at(1) < 0x90);
    const bool beyond = (first == 0xed && at(1) > 0x9f) || (first == 0xf4 && at(1) > 0x8f);
    return overlong || beyond ? 0 : length;
}

/// The start of a text from outside on one line: at most `most` characters, "…" if there is more; blanks and line ends
/// become one space, other controls (C1 and the line separators of Unicode, too) and what is no UTF-8 "?".
inline std::string one_line(std::string_view text, std::size_t most) {
    std::string line;
    for (std::size_t characters = 0; !text.empty();) {
        const bool is_blank = text.front() == ' ' || (text.front() >= '\t' && text.front() <= '\r');
        const std::size_t length = utf8_length(text);
        const std::string_view character = text.substr(0, length == 0 ? 1 : length);
        text.remove_prefix(character.size());
        if (is_blank && (line.empty() || line.back() == ' ')) continue;
        if (characters++ == most) {
            line.erase(line.find_last_not_of(' ') + 1);
            return line + "…";
        }
        const bool is_control = character.front() == '\x7f' || static_cast<unsigned char>(character.front()) < 0x20 ||
                                (character[0] == '\xc2' && static_cast<unsigned char>(character[1]) < 0xa0) ||
                                character == "\u2028" || character == "\u2029";
        if (is_blank)
            line += ' ';
        else if (length == 0 || is_control)
            line += '?';
        else
            line += character;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

}  // namespace breakwater::detail
