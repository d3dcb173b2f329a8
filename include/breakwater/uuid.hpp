#pragma once

#include <breakwater/random.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

namespace breakwater {

/// A random UUID (RFC 9562, version 4), from the system's random device.
inline std::string make_uuid() {
    auto bytes = std::bit_cast<std::array<std::uint8_t, 16>>(std::array{random_seed(), random_seed()});
    bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0fU) | 0x40U);
    bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3fU) | 0x80U);
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(36);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        text += digits[bytes[i] >> 4];
        text += digits[bytes[i] & 0x0fU];
    }
    return text;
}

}  // namespace breakwater
