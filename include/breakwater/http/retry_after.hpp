#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/http/date.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/timeline.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace breakwater {

/// The longest wait an answer can ask for; a longer one counts as this. Added to any clock reading it stays below
/// 2^53 µs.
inline constexpr Duration longest_retry_after = std::chrono::years{100};

/// Whole seconds as RFC 9110 §10.2.3 writes them (digits only), at most `limit`; nullopt for anything else.
constexpr std::optional<Duration> parse_delta_seconds(std::string_view text,
                                                      Duration limit = longest_retry_after) noexcept {
    if (text.empty() || !detail::all_of(text, detail::is_digit)) return std::nullopt;
    const std::int64_t most = std::chrono::floor<std::chrono::seconds>(limit).count();
    std::int64_t seconds = 0;
    for (const char c : text) {
        seconds = seconds * 10 + (c - '0');
        if (seconds >= most) return limit;
    }
    return std::chrono::seconds{seconds};
}

/// The time by the service's own clock: the answer's `Date`, or `local_now` where it has none that can be read.
inline std::chrono::sys_seconds time_of_answer(const Headers& headers, std::chrono::sys_seconds local_now) noexcept {
    const auto date = headers.get("Date");
    return date ? parse_http_date(detail::trim(*date), local_now).value_or(local_now) : local_now;
}

/// How long the answer asks to wait (Retry-After, RFC 9110 §10.2.3): seconds, or a date measured against the answer's
/// own `Date` (else `local_now`), so that a wrong clock on either side does no harm. A date in the past is no wait;
/// what cannot be read is skipped; of several fields the first that can be read holds.
inline std::optional<Duration> parse_retry_after(const Headers& headers, std::chrono::sys_seconds local_now) noexcept {
    for (const Header& field : headers) {
        if (!detail::equals_ignoring_case(field.name, "Retry-After")) continue;
        const std::string_view value = detail::trim(field.value);
        if (const auto seconds = parse_delta_seconds(value)) return seconds;
        const std::chrono::sys_seconds now = time_of_answer(headers, local_now);
        if (const auto date = parse_http_date(value, now)) {
            const auto longest = std::chrono::floor<std::chrono::seconds>(longest_retry_after);
            return std::clamp(*date - now, std::chrono::seconds{0}, longest);
        }
    }
    return std::nullopt;
}

}  // namespace breakwater
