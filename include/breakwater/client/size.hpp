#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace breakwater {

/// "16MiB", "500kB", "64 KiB", "200B": a whole number of bytes and its unit; nullopt for anything else and for more
/// than `std::size_t` holds.
inline std::optional<std::size_t> parse_size(std::string_view text) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    while (unit.starts_with(' ')) unit.remove_prefix(1);
    constexpr std::pair<std::string_view, std::size_t> units[] = {
        {"B", 1},           {"kB", 1'000},      {"MB", 1'000'000}, {"GB", 1'000'000'000},
        {"KiB", 1UL << 10}, {"MiB", 1UL << 20}, {"GiB", 1UL << 30}};
    for (const auto& [name, bytes] : units) {
        if (unit == name && number <= SIZE_MAX / bytes) return number * bytes;
    }
    return std::nullopt;
}

}  // namespace breakwater
