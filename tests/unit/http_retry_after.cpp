#include <breakwater/http/classify.hpp>
#include <breakwater/http/date.hpp>
#include <breakwater/http/retry_after.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using namespace std::string_literals;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

namespace {

// The three spellings of one instant, from RFC 9110 §5.6.7.
constexpr sys_seconds example = sys_days{std::chrono::November / 6 / 1994} + 8h + 49min + 37s;
constexpr sys_seconds now = sys_days{std::chrono::July / 1 / 2024} + 12h;

constexpr auto parse(std::string_view text) { return bw::parse_http_date(text, now); }

static_assert(parse("Sun, 06 Nov 1994 08:49:37 GMT") == example);
static_assert(parse("Sunday, 06-Nov-94 08:49:37 GMT") == example);
static_assert(parse("Sun Nov  6 08:49:37 1994") == example);

std::optional<bw::Duration> retry_after(std::string value) {
    return bw::parse_retry_after(bw::Headers{{"Retry-After", std::move(value)}}, now);
}

int year_of(std::string_view text, sys_seconds at) {
    const auto date = bw::parse_http_date(text, at);
    REQUIRE(date);
    return static_cast<int>(std::chrono::year_month_day{std::chrono::floor<std::chrono::days>(*date)}.year());
}

}  // namespace

TEST_CASE("a date is read in each of its three forms, on every day of a year and in every second") {
    CHECK(parse("Sun Nov 16 08:49:37 1994") == example + 240h);
    CHECK(parse("Thu, 29 Feb 2024 23:59:59 GMT") == sys_days{std::chrono::February / 29 / 2024} + 24h - 1s);
    CHECK(parse("Thu, 01 Jan 1970 00:00:00 GMT") == sys_seconds{});
    CHECK(parse("Fri, 31 Dec 9999 23:59:59 GMT") == sys_days{std::chrono::January / 1 / 10000} - 1s);
    const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    for (unsigned m = 0; m < 12; ++m) {
        const auto expected = sys_days{std::chrono::year{2023} / static_cast<int>(m + 1) / 10};
        CHECK(parse("Mon, 10 "s + months[m] + " 2023 00:00:00 GMT") == expected);
        CHECK(parse("Monday, 10-"s + months[m] + "-23 00:00:00 GMT") == expected);
        CHECK(parse("Mon "s + months[m] + " 10 00:00:00 2023") == expected);
    }
    for (const char* day : {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}) {
        CAPTURE(day);
        CHECK(parse(day + ", 06-Nov-94 08:49:37 GMT"s) == example);
        CHECK(parse(std::string{day}.substr(0, 3) + ", 06 Nov 1994 08:49:37 GMT") == example);
        CHECK(parse(std::string{day}.substr(0, 3) + " Nov  6 08:49:37 1994") == example);
    }
}

TEST_CASE("a leap second is the first second of the next minute") {
    CHECK(parse("Sat, 31 Dec 2016 23:59:60 GMT") == sys_days{std::chrono::January / 1 / 2017});
}

TEST_CASE("a year of two digits is at most 50 years ahead") {
    const sys_seconds noon = sys_days{std::chrono::July / 1 / 2024} + 12h;
    CHECK(year_of("Monday, 01-Jul-24 12:00:00 GMT", noon) == 2024);
    CHECK(year_of("Monday, 01-Jul-25 12:00:00 GMT", noon) == 2025);
    CHECK(year_of("Monday, 01-Jan-00 12:00:00 GMT", noon) == 2000);
    CHECK(year_of("Monday, 31-Dec-73 12:00:00 GMT", noon) == 2073);
    CHECK(year_of("Monday, 01-Jul-74 12:00:00 GMT", noon) == 2074);
    CHECK(year_of("Monday, 01-Jul-74 12:00:01 GMT", noon) == 1974);
    CHECK(year_of("Monday, 31-Dec-74 00:00:00 GMT", noon) == 1974);
    CHECK(year_of("Monday, 01-Jan-75 00:00:00 GMT", noon) == 1975);
    CHECK(year_of("Monday, 01-Jan-99 00:00:00 GMT", noon) == 1999);
    const sys_seconds late = sys_days{std::chrono::July / 1 / 2060};
    CHECK(year_of("Monday, 01-Jan-05 00:00:00 GMT", late) == 2105);
    CHECK(year_of("Monday, 01-Jan-11 00:00:00 GMT", late) == 2011);
    CHECK(year_of("Monday, 01-Jan-60 00:00:00 GMT", late) == 2060);
    const sys_seconds leap = sys_days{std::chrono::February / 29 / 2024} + 1h;
    CHECK(year_of("Monday, 28-Feb-74 00:00:00 GMT", leap) == 2074);
    CHECK(year_of("Monday, 02-Mar-74 00:00:00 GMT", leap) == 1974);
    CHECK_FALSE(bw::parse_http_date("Monday, 29-Feb-74 00:00:00 GMT", leap));
}

TEST_CASE("what is no date is not read as one") {
    for (const char* bad : {"",
                            " ",
                            "Sun",
                            "Sun,",
                            "Sunday",
                            "06 Nov 1994 08:49:37 GMT",
                            "Sun, 06 Nov 1994 08:49:37",
                            "Sun, 06 Nov 1994 08:49:37 UTC",
                            "Sun, 06 Nov 1994 08:49:37 GMT ",
                            " Sun, 06 Nov 1994 08:49:37 GMT",
                            "Sun, 06 Nov 1994 08:49:37 GMT+1",
                            "Sun, 6 Nov 1994 08:49:37 GMT",
                            "Sun, 006 Nov 1994 08:49:37 GMT",
                            "Sun, 06 Nov 94 08:49:37 GMT",
                            "Sun, 06 nov 1994 08:49:37 GMT",
                            "sun, 06 Nov 1994 08:49:37 GMT",
                            "SUN, 06 NOV 1994 08:49:37 GMT",
                            "Sun 06 Nov 1994 08:49:37 GMT",
                            "Sun,06 Nov 1994 08:49:37 GMT",
                            "Sun, 06-Nov-94 08:49:37 GMT",
                            "Sunday, 06-Nov-1994 08:49:37 GMT",
                            "Sunday, 06 Nov 94 08:49:37 GMT",
                            "Sunday Nov  6 08:49:37 1994",
                            "Sun Nov 6 08:49:37 1994",
                            "Sun Nov 06  08:49:37 1994",
                            "Sun Nov  6 08:49:37 94",
                            "Sun Nov  6 08:49:37 1994 GMT",
                            "Sun Nov  0 08:49:37 1994",
                            "Sun, 00 Nov 1994 08:49:37 GMT",
                            "Sun, 32 Nov 1994 08:49:37 GMT",
                            "Sun, 31 Nov 1994 08:49:37 GMT",
                            "Wed, 29 Feb 2023 08:49:37 GMT",
                            "Sun, 06 Nov 1994 24:00:00 GMT",
                            "Sun, 06 Nov 1994 08:60:00 GMT",
                            "Sun, 06 Nov 1994 08:49:61 GMT",
                            "Sun, 06 Nov 1994 8:49:37 GMT",
                            "Sun, -6 Nov 1994 08:49:37 GMT",
                            "Sun, 06 Nov 1994 08:49:-7 GMT",
                            "Sun, 06 Nov +994 08:49:37 GMT",
                            "Sun, 06 Foo 1994 08:49:37 GMT",
                            "Xyz, 06 Nov 1994 08:49:37 GMT",
                            "1994-11-06T08:49:37Z",
                            "784111777",
                            "SunMon, 06 Nov 1994 08:49:37 GMT",
                            "Sun, 06 Nov 19994 08:49:37 GMT"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse(bad));
    }
    // Cut anywhere, it is no date any more.
    for (const std::string_view whole :
         {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) {
        for (std::size_t length = 0; length < whole.size(); ++length) {
            CAPTURE(whole.substr(0, length));
            CHECK_FALSE(parse(whole.substr(0, length)));
        }
        for (std::size_t at = 0; at < whole.size(); ++at) {
            std::string damaged{whole};
            damaged[at] = '\0';
            CHECK_FALSE(parse(damaged));
        }
    }
}

TEST_CASE("Retry-After in seconds is read to the digit") {
    CHECK(retry_after("0") == 0s);
    CHECK(retry_after("120") == 120s);
    CHECK(retry_after(" \t7 ") == 7s);
    CHECK(retry_after("0000000000000000000000000000007") == 7s);
}

TEST_CASE("a Retry-After that is garbage counts as absent") {
    for (const char* bad :
         {"", " ", "-1", "+1", "1.5", "1e3", "0x10", "12s", "1 2", "1, 2", "one", "\xD9\xA1", "inf", "--", "1\r"}) {
        CAPTURE(bad);
        CHECK_FALSE(retry_after(bad));
    }
    CHECK_FALSE(bw::parse_retry_after({}, now));
}

TEST_CASE("a Retry-After beyond reason saturates far below 2^53 microseconds") {
    constexpr bw::Duration limit{(std::int64_t{1} << 53) - 1};
    static_assert(bw::longest_retry_after < limit / 2);
    for (const std::string& huge :
         {"3155695200"s, "9223372036854775807"s, "9223372036854775808"s, "18446744073709551616"s,
          "99999999999999999999999999999999"s, std::string(100'000, '9'), "Fri, 31 Dec 9999 23:59:59 GMT"s}) {
        const auto wait = retry_after(huge);
        REQUIRE(wait);
        CHECK(*wait == bw::longest_retry_after);
    }
    CHECK(retry_after("3155695199") == 3155695199s);
}

TEST_CASE("a Retry-After date is measured against the Date of the same answer") {
    const bw::Headers headers{{"Date", "Sun, 06 Nov 1994 08:49:37 GMT"},
                              {"Retry-After", "Sun, 06 Nov 1994 08:51:37 GMT"}};
    CHECK(bw::parse_retry_after(headers, now) == 2min);
    CHECK(bw::parse_retry_after(headers, sys_seconds{}) == 2min);
    const bw::Headers mixed{{"retry-after", "Sun Nov  6 08:50:07 1994"}, {"DATE", " Sunday, 06-Nov-94 08:49:37 GMT "}};
    CHECK(bw::parse_retry_after(mixed, now) == 30s);
}

TEST_CASE("without a readable Date the local time stands in") {
    const bw::Headers none{{"Retry-After", "Mon, 01 Jul 2024 12:00:30 GMT"}};
    CHECK(bw::parse_retry_after(none, now) == 30s);
    const bw::Headers garbage{{"Date", "yesterday"}, {"Retry-After", "Mon, 01 Jul 2024 12:00:30 GMT"}};
    CHECK(bw::parse_retry_after(garbage, now) == 30s);
}

TEST_CASE("a Retry-After date in the past is no wait") {
    CHECK(retry_after("Mon, 01 Jul 2024 11:59:59 GMT") == 0s);
    CHECK(retry_after("Mon, 01 Jul 2024 12:00:00 GMT") == 0s);
    CHECK(retry_after("Sat, 01 Jan 0000 00:00:00 GMT") == 0s);
}

TEST_CASE("of several Retry-After fields the first that can be read holds") {
    const bw::Headers headers{{"Retry-After", "soon"}, {"Retry-After", "5"}, {"Retry-After", "60"}};
    CHECK(bw::parse_retry_after(headers, now) == 5s);
}

TEST_CASE("statuses are errors, redirects, retryable and throttling by table") {
    struct Row {
        int status;
        bool error;
        bool redirect;
        bool retryable;
    };
    for (const Row& row :
         std::vector<Row>{{200, false, false, false}, {204, false, false, false}, {299, false, false, false},
                          {300, false, false, false}, {301, false, true, false},  {302, false, true, false},
                          {303, false, true, false},  {304, false, false, false}, {305, false, false, false},
                          {306, false, false, false}, {307, false, true, false},  {308, false, true, false},
                          {399, false, false, false}, {400, true, false, false},  {404, true, false, false},
                          {408, true, false, true},   {409, true, false, false},  {425, true, false, false},
                          {429, true, false, true},   {500, true, false, true},   {501, true, false, false},
                          {502, true, false, true},   {503, true, false, true},   {504, true, false, true},
                          {505, true, false, false},  {599, true, false, false},  {0, true, false, false},
                          {199, true, false, false}}) {
        CAPTURE(row.status);
        CHECK(bw::is_error_status(row.status) == row.error);
        CHECK(bw::is_redirect_status(row.status) == row.redirect);
        CHECK(bw::is_retryable_status(row.status) == row.retryable);
        CHECK(bw::is_throttling_status(row.status) == (row.status == 429 || row.status == 503));
    }
}

TEST_CASE("an answer counts by its status, but a 429 that says when to come back is neutral") {
    using bw::Outcome;
    const auto outcome = [](int status, bw::Headers headers = {}) {
        return bw::outcome_of(bw::Response{.status = status, .headers = std::move(headers)}, now);
    };
    for (const int status : {200, 204, 301, 304, 400, 401, 404, 409, 425}) CHECK(outcome(status) == Outcome::success);
    for (const int status : {408, 429, 500, 501, 503, 599}) CHECK(outcome(status) == Outcome::failure);
    CHECK(outcome(429, {{"Retry-After", "5"}}) == Outcome::neutral);
    CHECK(outcome(429, {{"Retry-After", "soon"}}) == Outcome::failure);
    CHECK(outcome(503, {{"Retry-After", "5"}}) == Outcome::failure);
    CHECK(outcome(404, {{"Retry-After", "5"}}) == Outcome::success);
}
