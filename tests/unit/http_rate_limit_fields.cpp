#include <breakwater/http/rate_limit_fields.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using Quota = std::optional<bw::ServerQuota>;
using Reader = bw::detail::StructuredFieldReader;

namespace {

// 2024-07-01 12:00:00 is 1'719'835'200.
constexpr std::chrono::sys_seconds now = std::chrono::sys_days{std::chrono::July / 1 / 2024} + 12h;
static_assert(now.time_since_epoch() == 1'719'835'200s);
constexpr std::string_view date = "Mon, 01 Jul 2024 12:00:00 GMT";

struct Row {
    bw::Headers headers;
    Quota quota;
};

void check(const std::vector<Row>& rows) {
    for (const Row& row : rows) {
        std::string shown;
        for (const bw::Header& field : row.headers) shown.append(field.name).append(": ").append(field.value) += '\n';
        CAPTURE(shown);
        CHECK(bw::parse_rate_limit(row.headers, now) == row.quota);
        if (row.quota) CHECK(bw::has_rate_limit(row.headers));
    }
    CHECK_FALSE(bw::has_rate_limit({{"Date", std::string{date}}, {"", ""}, {"X-Request-Id", "7"}, {"Ratelim", "1"}}));
}

bw::Headers pair(std::string remaining, std::string reset) {
    return {{"X-RateLimit-Remaining", std::move(remaining)}, {"X-RateLimit-Reset", std::move(reset)}};
}
Quota quota(std::int64_t remaining, bw::Duration reset) { return bw::ServerQuota{remaining, reset}; }

/// How many members a structured field has; nullopt if it is wrong.
constexpr std::optional<int> members(std::string_view text) {
    Reader reader{text};
    int count = 0;
    while (reader.take_member()) ++count;
    return reader.failed() ? std::nullopt : std::optional{count};
}

static_assert(members("") == 0);
static_assert(members(R"("default";r=50;t=30, other;r=1 ; t=2)") == std::nullopt);  // no space before ";"
static_assert(members(R"("default";r=50;t=30,	other; r=1;t=2, *x;a;b=?0;c=:YQ==:;d=1.5;e="\"\\";f=t/:o;g=@-7)") == 3);

}  // namespace

TEST_CASE("the RateLimit field is read as its last drafts write it") {
    check({{{{"RateLimit", R"("default";r=50;t=30)"}}, quota(50, 30s)},
           {{{"ratelimit", R"("default";r=0;t=4)"}}, quota(0, 4s)},
           {{{"RateLimit", "default;t=30;r=7"}}, quota(7, 30s)},
           {{{"RateLimit", R"("d";r=9;t=1;pk=:cHsdsRa894==:;x="a,b;r=0")"}}, quota(9, 1s)},
           {{{"RateLimit", "limit=100, remaining=5, reset=12"}}, quota(5, 12s)},
           {{{"RateLimit", "limit=100,remaining=0,reset=60;x"}}, quota(0, 60s)},
           {{{"RateLimit", "limit=100, remaining=5"}}, {}}});
}

TEST_CASE("of several quotas the one with the fewest calls left counts, of equal ones the longest") {
    check({{{{"RateLimit", R"("burst";r=9;t=1, "day";r=900;t=8000)"}}, quota(9, 1s)},
           {{{"RateLimit", R"("burst";r=9;t=1, "day";r=3;t=8000)"}}, quota(3, 8000s)},
           {{{"RateLimit", R"("burst";r=0;t=1)"}, {"RateLimit", R"("day";r=0;t=8000)"}}, quota(0, 8000s)},
           {{{"RateLimit", R"("burst";r=0;t=0, "day";r=3;t=8000)"}}, quota(3, 8000s)},
           {pair("0, 1000", "1, 1419704"), quota(0, 1s)},
           {pair("4,0", "1,\t60"), quota(0, 60s)}});
}

TEST_CASE("where a quota names no time its policy's window stands in") {
    check({{{{"RateLimit", R"("a";r=0)"}, {"RateLimit-Policy", R"("b";q=5;w=7, "a";q=100;w=60)"}}, quota(0, 60s)},
           {{{"RateLimit", R"("a";r=0;t=5)"}, {"RateLimit-Policy", R"("a";q=100;w=60)"}}, quota(0, 5s)},
           {{{"RateLimit", R"("a";r=0)"}, {"RateLimit-Policy", R"("b";q=100;w=60)"}}, {}},
           {{{"RateLimit", R"("a";r=0)"}, {"RateLimit-Policy", R"(a;q=100;w=60)"}}, {}},
           {{{"RateLimit", R"("a";r=0)"}, {"RateLimit-Policy", R"("a";q=100;w=60,)"}}, {}},
           {{{"RateLimit", R"("a";r=0)"}}, {}}});
}

TEST_CASE("a RateLimit field with a mistake in it is skipped whole") {
    for (const char* bad : {"",
                            " ",
                            ",",
                            "\"a\";r=0;t=5,",
                            "\"a;r=0;t=5",
                            "\"a\";r=0;t=5 x",
                            "\"a\";R=0;t=5",
                            "\"a\" ;r=0;t=5",
                            "\"a\";r=0;t=5, (1 2)",
                            "\"a\";r=0;t=5, \"b",
                            "\"a\";r=0;t=5;",
                            "\"a\";r=0;t=",
                            "\"a\";r=0;t=5, \"\xc3\xa4\"",
                            "\"a\";r=0;t=5, \"\\n\"",
                            "\"a\";r=0;t=5;x=:abc",
                            "\"a\";r=0;t=5;x=?2",
                            "\"a\";r=0;t=5;x=1.2345",
                            "\"a\";r=0;t=1234567890123456",
                            "limit=100; remaining=0; reset=5",
                            "remaining=, reset=5"}) {
        CAPTURE(bad);
        CHECK_FALSE(bw::parse_rate_limit({{"RateLimit", bad}}, now));
    }
    // What is well formed but says nothing.
    for (const char* other : {"\"a\"", "\"a\";r=0", "\"a\";t=5", "\"a\";r=-1;t=5", "\"a\";r=0;t=-5", "\"a\";r=0.0;t=5",
                              "\"a\";r=\"0\";t=5", "\"a\";r;t=5", "\"a\";r=0;t=0", "\"a\";r=0;t=31622401", "100",
                              "\"a\";r=0;t=5;t=x", "remaining=0, reset=5, reset=x", "remaining=-1, reset=5"}) {
        CAPTURE(other);
        CHECK_FALSE(bw::parse_rate_limit({{"RateLimit", other}}, now));
    }
    CHECK(bw::parse_rate_limit({{"RateLimit", R"("a";r=x;r=0;t=999999999999999;t=31622400)"}}, now) ==
          quota(0, 366 * 24h));
}

TEST_CASE("the fields of the older drafts and of X-RateLimit come in every spelling") {
    const std::string after = "X-RateLimit-Reset-After", plain = "X-RateLimit-Reset";
    check({{{{"RateLimit-Limit", "100, 100;w=60"}, {"RateLimit-Remaining", "0"}, {"RateLimit-Reset", "50"}},
            quota(0, 50s)},
           {{{"X-RateLimit-Remaining", "1"}, {"x-ratelimit-reset", " 7 "}}, quota(1, 7s)},
           {{{"X-Rate-Limit-Remaining", "0"}, {"x-rate-limit-reset", "1719835230"}, {"Date", date}}, quota(0, 30s)},
           {{{"X-RateLimit-Remaining", "0"}, {after, "1.25"}, {plain, "1719835299.5"}}, quota(0, 1250ms)},
           {{{"X-RateLimit-Remaining", "0"}, {after, "soon"}, {plain, "3"}}, quota(0, 3s)},
           // A structured field outranks, unless it says nothing.
           {{{"RateLimit", R"("a";r=2;t=3)"}, {"X-RateLimit-Remaining", "0"}, {plain, "7"}}, quota(2, 3s)},
           {{{"RateLimit", R"("a)"}, {"X-RateLimit-Remaining", "0"}, {plain, "7"}}, quota(0, 7s)},
           {{{"X-RateLimit-Remaining", "0"}}, {}},
           {{{plain, "5"}}, {}},
           {{{"X-RateLimit-Limit", "0"}, {"X-RateLimit-Remaining", "0"}, {plain, "0"}}, {}}});
}

TEST_CASE("a reset is seconds from now or a time of the service's clock, told apart by its size") {
    check({{pair("0", "60"), quota(0, 60s)},
           {pair("598.0", "300"), quota(598, 300s)},
           {pair("0", "0.001"), quota(0, 1ms)},
           {pair("0", "0.0000001"), quota(0, 1us)},
           {pair("0", "31622400"), quota(0, 366 * 24h)},
           {pair("0", "31622401"), {}},
           {pair("0", "999999999"), {}},
           {pair("0", "1719835260"), quota(0, 60s)},          // GitHub
           {pair("0", "1719835260.25"), quota(0, 60'250ms)},  // Discord
           {pair("0", "1719835260500"), quota(0, 60'500ms)},  // ms
           {pair("0", "1719835260500.5"), quota(0, 60'500'500us)},
           {pair("0", "1719835260000001"), quota(0, 60s + 1us)},
           {pair("0", "Mon, 01 Jul 2024 12:01:00 GMT"), quota(0, 60s)},
           {pair("0", "1719835200"), {}},  // over
           {pair("0", "1719831600"), {}},
           {pair("0", "Mon, 01 Jul 2024 11:59:59 GMT"), {}},
           {pair("0", "1751457601"), {}},  // in more than 366 days
           {pair("0", "9999999999"), {}},
           {pair("0", "17198352600"), {}},
           {pair("0", "99999999999999999"), {}}});
}

TEST_CASE("a reset in the service's time is measured against the Date of the same answer") {
    for (const auto local : {now, now + 1h, now - 24h * 365, std::chrono::sys_seconds{}}) {
        bw::Headers headers = pair("0", "1719835260");
        headers.add("Date", std::string{date});
        CHECK(bw::parse_rate_limit(headers, local) == quota(0, 60s));
    }
}

TEST_CASE("garbage, contradictions and lists without end steer nothing") {
    for (const char* bad : {"", " ", "-1", "+0", "0x0", "none", "0;", "0 0", "1e0", ".5", "0.", "\xD9\xA0", "0,", ",0",
                            "00000000000000000", "0, 0"}) {
        CAPTURE(bad);
        CHECK_FALSE(bw::parse_rate_limit(pair(bad, "60"), now));
        CHECK_FALSE(bw::parse_rate_limit(pair("0", bad), now));
    }
    check({{{{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Remaining", "9"}, {"X-RateLimit-Reset", "60"}}, {}},
           {{{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "60"}, {"X-RateLimit-Reset", "61"}}, {}}});
    std::string zeros = "0", resets = "60", members = R"("a";r=0;t=60)";
    for (int i = 1; i < 16; ++i) {
        zeros += ",0";
        resets += ",60";
        members += R"(,"a";r=0;t=60)";
    }
    check({{pair(zeros, resets), quota(0, 60s)}, {{{"RateLimit", members}}, quota(0, 60s)}});
    check({{pair(zeros + ",0", resets + ",60"), {}}, {{{"RateLimit", members + R"(,"a";r=0;t=60)"}}, {}}});
    const std::string digits(100'000, '9'), commas(100'000, ',');
    for (const std::string& huge : {digits, commas}) {
        CHECK_FALSE(bw::parse_rate_limit(pair(huge, huge), now));
        CHECK_FALSE(bw::parse_rate_limit(pair("0", huge), now));
        CHECK_FALSE(bw::parse_rate_limit({{"RateLimit", huge}}, now));
        CHECK_FALSE(bw::parse_rate_limit({{"RateLimit", R"("a";r=0;t=)" + huge}}, now));
    }
}

TEST_CASE("an answer that a cache on the way gave says nothing about the quota of now") {
    bw::Headers headers = pair("0", "60");
    headers.add("Age", "0");
    CHECK(bw::parse_rate_limit(headers, now) == quota(0, 60s));
    headers.set("Age", "1");
    CHECK_FALSE(bw::parse_rate_limit(headers, now));
}
