#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/keyed/hash.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace breakwater {

/// A key as it is shown in errors and snapshots: whole if it is up to 79 bytes of printable ASCII. Of any other the
/// beginning, with "?" for what cannot be printed, then "~" and eight digits that tell it from its like.
class KeyLabel {
public:
    static constexpr std::size_t capacity = 79;

    KeyLabel() = default;
    KeyLabel(std::string_view key, const KeyHash& hash) noexcept { set(key, hash); }

    void set(std::string_view key, const KeyHash& hash) noexcept {
        constexpr std::size_t digits = 8;
        const bool whole = key.size() <= capacity && detail::all_of(key, is_shown);
        if (!whole) key = key.substr(0, capacity - digits - 1);
        char* end = std::transform(key.begin(), key.end(), text_, [](char c) { return is_shown(c) ? c : '?'; });
        if (!whole) {
            *end++ = '~';
            for (std::size_t i = 0; i < digits; ++i) *end++ = "0123456789abcdef"[hash.high >> (4 * i) & 15U];
        }
        size_ = static_cast<std::uint8_t>(end - text_);
    }

    std::string_view text() const noexcept { return {text_, size_}; }

private:
    static constexpr bool is_shown(char c) noexcept { return c >= ' ' && c <= '~'; }

    std::uint8_t size_;
    char text_[capacity];
};

}  // namespace breakwater
