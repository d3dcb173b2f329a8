// HTTP-dates: whatever is read agrees with the C library, reads back as itself, and is cut nowhere.
#include "input.hpp"

#include <breakwater/http/date.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string>

namespace {

using std::chrono::sys_seconds;

/// In the preferred form.
std::string print(sys_seconds t) {
    const std::time_t seconds = t.time_since_epoch().count();
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[64];
    return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

/// By the C library, which is laxer, so it must read all that we do. Not for years of two digits.
std::optional<sys_seconds> by_the_library(const std::string& text, const char* form) {
    std::tm parts{};
    const char* end = ::strptime(text.c_str(), form, &parts);
    if (end == nullptr || *end != '\0') return std::nullopt;
    return sys_seconds{std::chrono::seconds{::timegm(&parts)}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    // Any second from 1970 to 2100 or so.
    const sys_seconds now{std::chrono::seconds{input.take<std::uint32_t>()}};
    const std::string text{input.rest()};
    const auto date = breakwater::parse_http_date(text, now);
    if (!date) return 0;

    constexpr sys_seconds least = std::chrono::sys_days{std::chrono::January / 1 / 0};
    constexpr sys_seconds most = std::chrono::sys_days{std::chrono::January / 1 / 10000};
    fuzz::require(*date >= least && *date <= most, "a date lies in the years 0 to 9999");
    for (std::size_t length = 0; length < text.size(); ++length)
        fuzz::require(!breakwater::parse_http_date(text.substr(0, length), now), "no part of a date is a date");

    const bool has_century = text.size() == 29 || text.size() == 24;
    if (has_century) {
        const auto expected = by_the_library(text, text.size() == 29 ? "%a, %d %b %Y %H:%M:%S GMT" : "%a %b %e %T %Y");
        fuzz::require(expected == date, "the C library reads the same");
        fuzz::require(breakwater::parse_http_date(text, sys_seconds{}) == date, "the local time plays no part");
    } else {
        fuzz::require(*date <= now + std::chrono::days{50 * 366 + 1} && *date > now - std::chrono::days{50 * 366 + 1},
                      "a year of two digits is one of the hundred around now");
    }
    // Years below 1000 are printed with fewer digits, and the very last leap second lies in the year 10000.
    if (*date >= sys_seconds{std::chrono::sys_days{std::chrono::January / 1 / 1000}} && *date < most)
        fuzz::require(breakwater::parse_http_date(print(*date), now) == date, "what is printed reads back");
    return 0;
}
