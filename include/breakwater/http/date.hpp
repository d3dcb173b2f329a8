#pragma once

#include <breakwater/http/detail/characters.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

namespace breakwater {

/// An HTTP-date of RFC 9110 §5.6.7 in any of its three forms, or nullopt. `now` decides only the century of a year
/// with two digits: a date that seems more than 50 years ahead of it belongs to the past. A name of a day must be one,
/// but need not be the right one. Names are case-sensitive; the locale plays no part.
constexpr std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text,
                                                                  std::chrono::sys_seconds now) noexcept;

namespace detail {

/// Reads a date from front to back; every `take` fails from the first mismatch on.
class DateReader {
public:
    explicit constexpr DateReader(std::string_view text) noexcept : rest_{text} {}

    constexpr bool done() const noexcept { return good_ && rest_.empty(); }
    constexpr bool failed() const noexcept { return !good_; }

    constexpr void take(std::string_view expected) noexcept {
        good_ = good_ && rest_.starts_with(expected);
        if (good_) rest_.remove_prefix(expected.size());
    }

    constexpr bool try_take(std::string_view expected) noexcept {
        if (!good_ || !rest_.starts_with(expected)) return false;
        rest_.remove_prefix(expected.size());
        return true;
    }

    constexpr int take_number(std::size_t digits) noexcept {
        good_ = good_ && rest_.size() >= digits;
        int number = 0;
        for (std::size_t i = 0; good_ && i < digits; ++i) {
            good_ = is_digit(rest_[i]);
            number = number * 10 + (rest_[i] - '0');
        }
        if (good_) rest_.remove_prefix(digits);
        return number;
    }

    constexpr std::chrono::month take_month() noexcept {
        constexpr std::array<std::string_view, 12> names{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        for (unsigned i = 0; i < names.size(); ++i) {
            if (try_take(names[i])) return std::chrono::month{i + 1};
        }
        good_ = false;
        return {};
    }

    /// hour ":" minute ":" second; 60 is a leap second and counts as the next minute's first.
    constexpr std::chrono::seconds take_time() noexcept {
        const int hour = take_number(2);
        take(":");
        const int minute = take_number(2);
        take(":");
        const int second = take_number(2);
        good_ = good_ && hour < 24 && minute < 60 && second <= 60;
        return std::chrono::hours{hour} + std::chrono::minutes{minute} + std::chrono::seconds{second};
    }

private:
    std::string_view rest_;
    bool good_ = true;
};

constexpr std::optional<std::chrono::sys_seconds> to_time(int year, std::chrono::month month, int day,
                                                          std::chrono::seconds time) noexcept {
    const std::chrono::year_month_day date{std::chrono::year{year}, month,
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (!date.ok()) return std::nullopt;
    return std::chrono::sys_days{date} + time;
}

}  // namespace detail

constexpr std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text,
                                                                  std::chrono::sys_seconds now) noexcept {
    using namespace std::chrono;
    struct Day {
        std::string_view abbreviated;
        std::string_view rest;
    };
    constexpr std::array<Day, 7> days{{{"Mon", "day"},
                                       {"Tue", "sday"},
                                       {"Wed", "nesday"},
                                       {"Thu", "rsday"},
                                       {"Fri", "day"},
                                       {"Sat", "urday"},
                                       {"Sun", "day"}}};
    detail::DateReader in{text};
    bool whole_name = false;
    bool named = false;
    for (const Day& day : days) {
        if (!named && in.try_take(day.abbreviated)) {
            named = true;
            whole_name = in.try_take(day.rest);
        }
    }
    if (!named) return std::nullopt;

    if (!whole_name && in.try_take(" ")) {  // asctime: Sun Nov  6 08:49:37 1994
        const month m = in.take_month();
        in.take(" ");
        const int d = in.try_take(" ") ? in.take_number(1) : in.take_number(2);
        in.take(" ");
        const seconds time = in.take_time();
        in.take(" ");
        const int y = in.take_number(4);
        return in.done() ? detail::to_time(y, m, d, time) : std::nullopt;
    }
    in.take(", ");
    const std::string_view separator = whole_name ? "-" : " ";
    const int d = in.take_number(2);
    in.take(separator);
    const month m = in.take_month();
    in.take(separator);
    int y = in.take_number(whole_name ? 2 : 4);
    in.take(" ");
    const seconds time = in.take_time();
    in.take(" GMT");
    if (!in.done()) return std::nullopt;
    if (!whole_name) return detail::to_time(y, m, d, time);  // IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT

    // RFC 850: Sunday, 06-Nov-94 08:49:37 GMT. Of all years with these digits the last one at most 50 years ahead.
    const year_month_day limit{floor<std::chrono::days>(now)};
    const int last = static_cast<int>(limit.year()) + 50;
    y += last / 100 * 100;
    if (y > last) y -= 100;
    if (y == last) {  // the very year: day and time decide
        const auto ahead = detail::to_time(y, m, d, time);
        const sys_days day_of_limit{limit.day() == day{29} && limit.month() == February
                                        ? year_month_day{year{last}, March, day{1}}
                                        : year_month_day{year{last}, limit.month(), limit.day()}};
        if (ahead && *ahead > day_of_limit + (now - floor<std::chrono::days>(now))) y -= 100;
    }
    return detail::to_time(y, m, d, time);
}

}  // namespace breakwater
