#pragma once

#include <breakwater/http/detail/characters.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace breakwater {

namespace detail {

/// "%" and two hexadecimal digits at `at`.
constexpr bool is_percent_encoded(std::string_view text, std::size_t at) noexcept {
    return at + 2 < text.size() && text[at] == '%' && hex_value(text[at + 1]) >= 0 && hex_value(text[at + 2]) >= 0;
}

constexpr void append_percent_encoded(std::string& out, char c) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += digits[byte >> 4];
    out += digits[byte & 15];
}

/// Appends `text`, encoding what may not stand there; what is encoded already stays as it is.
template <class IsLegal>
void append_legal(std::string& out, std::string_view text, IsLegal is_legal) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_legal(text[i]) || is_percent_encoded(text, i)) {
            out += text[i];
        } else {
            append_percent_encoded(out, text[i]);
        }
    }
}

inline void append_component(std::string& out, std::string_view text) {
    for (const char c : text) {
        if (is_unreserved(c)) {
            out += c;
        } else {
            append_percent_encoded(out, c);
        }
    }
}

}  // namespace detail

/// `text` as one component of a URL, for example a path segment or a query value: all but the unreserved characters
/// of RFC 3986 is encoded, a space as "%20", "/" as "%2F", "%" as "%25".
inline std::string percent_encode(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    detail::append_component(out, text);
    return out;
}

}  // namespace breakwater
