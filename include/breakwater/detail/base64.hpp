#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace breakwater::detail {

/// Base64 with padding (RFC 4648 §4).
inline std::string base64(std::string_view bytes) {
    constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const auto byte = [&](std::size_t k) -> std::uint32_t {
            return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U;
        };
        const std::uint32_t word = byte(0) << 16 | byte(1) << 8 | byte(2);
        text += digits[word >> 18];
        text += digits[word >> 12 & 63U];
        text += i + 1 < bytes.size() ? digits[word >> 6 & 63U] : '=';
        text += i + 2 < bytes.size() ? digits[word & 63U] : '=';
    }
    return text;
}

}  // namespace breakwater::detail
