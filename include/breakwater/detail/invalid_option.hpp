#pragma once

#include <breakwater/result.hpp>

#include <charconv>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::detail {

/// A duration exactly as a person would write it as an option: "250ms", "-5s", "2min", "0s". `format_duration` rounds
/// and is for messages about what happened.
inline std::string option_text(Duration duration) {
    constexpr std::pair<std::int64_t, std::string_view> units[] = {
        {3'600'000'000, "h"}, {60'000'000, "min"}, {1'000'000, "s"}, {1'000, "ms"}, {1, "us"}};
    const std::int64_t us = duration.count();
    if (us == 0) return "0s";
    for (const auto& [unit, name] : units)
        if (us % unit == 0) return std::to_string(us / unit).append(name);
    return {};
}

/// The shortest text that reads back as the same number: "0.5", "nan".
inline std::string option_text(double value) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    return {text, end};
}

template <std::integral T>
    requires(!std::same_as<T, bool>)
std::string option_text(T value) {
    return std::to_string(value);
}

inline std::string option_text(const std::string& value) { return '"' + value + '"'; }

/// "retry.backoff.base: must be > 0s, got 0s": the field's path, its legal range, the value given.
template <class T>
[[nodiscard]] std::unexpected<Error> invalid_option(std::string_view path, std::string_view field,
                                                    std::string_view range, const T& given) {
    std::string text{path};
    if (!path.empty() && !field.empty()) text += '.';
    text.append(field).append(": must be ").append(range).append(", got ").append(option_text(given));
    return fail(Errc::invalid_options, std::move(text));
}

/// Of options that replace others: the name stays, since state is found by it. `whose`: "the circuit's".
[[nodiscard]] inline Result<void> validate_same_name(std::string_view path, std::string_view whose,
                                                     const std::string& name, const std::string& given) {
    if (given == name) return {};
    return invalid_option(path, "name", std::string{whose}.append(", ").append(option_text(name)), given);
}

}  // namespace breakwater::detail
