#include <breakwater/http/cache_control.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

constexpr std::chrono::sys_seconds now = std::chrono::sys_days{std::chrono::July / 1 / 2024} + 12h;

bw::CacheControl parse(std::string value) { return bw::parse_cache_control({{"Cache-Control", std::move(value)}}); }

std::optional<bw::Duration> lifetime(const bw::Headers& headers) { return bw::freshness_lifetime(headers, now); }

bool storable(bw::Method method, int status, bw::Headers headers = {}) {
    return bw::is_storable(method, {.status = status, .headers = std::move(headers)});
}

}  // namespace

TEST_CASE("directives of Cache-Control are read by table") {
    using bw::CacheControl;
    struct Row {
        std::string value;
        CacheControl expected;
    };
    for (const Row& row : std::vector<Row>{
             {"", {}},
             {" , ,, ", {}},
             {"no-store", {.no_store = true}},
             {"NO-STORE", {.no_store = true}},
             {"no-cache", {.no_cache = true}},
             {"no-cache=\"Set-Cookie, X-A\"", {.no_cache = true}},
             {"must-revalidate", {.must_revalidate = true}},
             {"max-age=60", {.max_age = 60s}},
             {"Max-Age = 60", {.max_age = 60s}},
             {"max-age=\"60\"", {.max_age = 60s}},
             {"max-age=60, max-age=5", {.max_age = 60s}},
             {"public,max-age=60\t,  stale-if-error=300", {.max_age = 60s, .stale_if_error = 300s}},
             {"private, s-maxage=5", {}},
             {"private=\"X-A\", max-age=1", {.max_age = 1s}},
             {"max-age", {.max_age = 0s}},
             {"max-age=", {.max_age = 0s}},
             {"max-age=-1", {.max_age = 0s}},
             {"max-age=1.5", {.max_age = 0s}},
             {"max-age=6O", {.max_age = 0s}},
             {"max-age=99999999999999999999999", {.max_age = std::chrono::seconds{std::int64_t{1} << 31}}},
             {"stale-if-error=x", {.stale_if_error = 0s}},
             {"x=\"a, no-store, b\", max-age=2", {.max_age = 2s}},
             {"x=\"a\\\", no-store\", max-age=2", {.max_age = 2s}},
             {"x=\"unclosed, no-store", {}},
             {"x=\"\\", {}},
             {"max-age=\"", {.max_age = 0s}},
             {"no-storex, xno-cache, max-ages=3", {}},
         }) {
        CAPTURE(row.value);
        CHECK(parse(row.value) == row.expected);
    }
}

TEST_CASE("the directives of several Cache-Control fields add up") {
    const auto both =
        bw::parse_cache_control({{"Cache-Control", "max-age=5"}, {"cache-control", "no-store, max-age=9"}});
    CHECK(both == bw::CacheControl{.no_store = true, .max_age = 5s});
    CHECK(bw::parse_cache_control({}) == bw::CacheControl{});
}

TEST_CASE("only a 200 to GET or HEAD without no-store, Set-Cookie and Vary * is storable") {
    CHECK(storable(bw::Method::get, 200));
    CHECK(storable(bw::Method::head, 200));
    for (const auto& method :
         {bw::Method::post, bw::Method::put, bw::Method::del, bw::Method::options, bw::Method{"get"}}) {
        CAPTURE(method.name());
        CHECK_FALSE(storable(method, 200));
    }
    for (const int status : {0, 201, 203, 204, 206, 301, 304, 404, 410, 500}) {
        CAPTURE(status);
        CHECK_FALSE(storable(bw::Method::get, status, {{"Cache-Control", "max-age=60"}}));
    }
    CHECK_FALSE(storable(bw::Method::get, 200, {{"Cache-Control", "max-age=60, no-store"}}));
    CHECK_FALSE(storable(bw::Method::get, 200, {{"Set-Cookie", "a=b"}}));
    CHECK_FALSE(storable(bw::Method::get, 200, {{"Vary", "*"}}));
    CHECK_FALSE(storable(bw::Method::get, 200, {{"Vary", "Accept"}, {"vary", "Accept-Language , *"}}));
    CHECK(storable(bw::Method::get, 200, {{"Vary", "Accept"}, {"Cache-Control", "private, no-cache"}}));
}

TEST_CASE("the lifetime is max-age, else Expires less Date, less the age, and never below zero") {
    struct Row {
        bw::Headers headers;
        std::optional<bw::Duration> expected;
    };
    const std::string date = "Mon, 01 Jul 2024 10:00:00 GMT";
    const std::string later = "Mon, 01 Jul 2024 10:01:00 GMT";
    for (const Row& row : std::vector<Row>{
             {{}, std::nullopt},
             {{{"Age", "5"}}, std::nullopt},
             {{{"Cache-Control", "private"}, {"Date", date}}, std::nullopt},
             {{{"Cache-Control", "max-age=60"}}, 60s},
             {{{"Cache-Control", "max-age=60"}, {"Age", "20"}}, 40s},
             {{{"Cache-Control", "max-age=60"}, {"Age", " 20 "}, {"Age", "50"}}, 40s},
             {{{"Cache-Control", "max-age=60"}, {"Age", "99"}}, 0s},
             {{{"Cache-Control", "max-age=60"}, {"Age", "99999999999999999999999"}}, 0s},
             {{{"Cache-Control", "max-age=60"}, {"Age", "-20"}}, 60s},
             {{{"Cache-Control", "max-age=x"}}, 0s},
             {{{"Cache-Control", "no-cache, max-age=60"}}, 0s},
             {{{"Cache-Control", "no-store, max-age=60"}}, 0s},
             {{{"Cache-Control", "max-age=5"}, {"Expires", later}, {"Date", date}}, 5s},
             {{{"Cache-Control", "s-maxage=5"}, {"Expires", later}, {"Date", date}}, 60s},
             {{{"Expires", later}, {"Date", date}}, 60s},
             {{{"Expires", later}, {"Date", date}, {"Age", "10"}}, 50s},
             {{{"Expires", date}, {"Date", later}}, 0s},
             {{{"Expires", "0"}, {"Date", date}}, 0s},
             {{{"Expires", "-1"}}, 0s},
             {{{"Expires", "Mon, 01 Jul 2024 12:00:30 GMT"}}, 30s},
             {{{"Expires", "Mon, 01 Jul 2024 12:00:30 GMT"}, {"Date", "today"}}, 30s},
             {{{"Expires", "Fri, 31 Dec 9999 23:59:59 GMT"}, {"Date", date}},
              std::chrono::seconds{std::int64_t{1} << 31}},
         }) {
        CHECK(lifetime(row.headers) == row.expected);
    }
}

TEST_CASE("an answer may be stale unless it forbids it") {
    CHECK(bw::may_be_stale(parse("max-age=1, stale-if-error=60")));
    CHECK(bw::may_be_stale(parse("")));
    CHECK_FALSE(bw::may_be_stale(parse("must-revalidate")));
    CHECK_FALSE(bw::may_be_stale(parse("no-cache")));
    CHECK_FALSE(bw::may_be_stale(parse("no-store")));
}

TEST_CASE("requests with equal varying headers have equal keys, and no others") {
    using Names = std::vector<std::string>;
    const Names names = bw::vary_names({{"Vary", "X-B, Accept"}, {"vary", " accept ,x-a,"}});
    CHECK(names == Names{"accept", "x-a", "x-b"});
    CHECK(bw::vary_names({}).empty());
    CHECK(bw::vary_key({}, {{"Accept", "a"}}).empty());

    const auto key = [&](const bw::Headers& headers) { return bw::vary_key(names, headers); };
    CHECK(key({{"Accept", "a"}, {"X-Other", "1"}}) == key({{"ACCEPT", " a "}}));
    const std::vector<bw::Headers> different{
        {},
        {{"Accept", ""}},
        {{"Accept", "a"}},
        {{"Accept", "A"}},
        {{"X-A", "a"}},
        {{"X-B", "a"}},
        {{"Accept", "a"}, {"X-A", "a"}},
        {{"Accept", "a"}, {"Accept", "a"}},
        {{"Accept", "a1:a"}},
        {{"Accept", "1:a"}},
        {{"Accept", "3:x-a=1"}},
        {{"Accept", "ax-a=1b"}},               // were the values not told apart by their lengths,
        {{"Accept", "a"}, {"X-A", "bx-a=0"}},  // these two would make one key
    };
    for (std::size_t i = 0; i < different.size(); ++i) {
        for (std::size_t j = 0; j < different.size(); ++j) {
            CAPTURE(i, j);
            CHECK((key(different[i]) == key(different[j])) == (i == j));
        }
    }
}
