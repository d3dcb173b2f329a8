#include <breakwater/http/headers.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/request.hpp>

#include <catch_shim.hpp>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

bw::Request with_header(std::string name, std::string value) {
    return {.url = "http://a.test/", .headers = {{std::move(name), std::move(value)}}};
}

// What the client's call options look like: an aggregate with headers in it.
struct CallLike {
    int before = 0;
    bw::Headers headers{};
    int after = 0;
};

}  // namespace

TEST_CASE("a method is GET unless it is told otherwise and keeps the case it was given") {
    static_assert(bw::Method{} == bw::Method::get);
    static_assert(bw::Method::del.name() == "DELETE");
    static_assert(bw::Method{"get"} != bw::Method::get);
    static_assert(bw::Method{"PURGE"}.name() == "PURGE");
    static_assert(std::is_trivially_copyable_v<bw::Method> && sizeof(bw::Method) == 16);
    CHECK(bw::Method{std::string{"PATCH"}} == bw::Method::patch);
}

TEST_CASE("methods are safe and idempotent as RFC 9110 defines them and custom ones are neither") {
    struct Row {
        std::string_view name;
        bool safe;
        bool idempotent;
    };
    for (const Row& row : std::vector<Row>{{"GET", true, true},
                                           {"HEAD", true, true},
                                           {"OPTIONS", true, true},
                                           {"TRACE", true, true},
                                           {"PUT", false, true},
                                           {"DELETE", false, true},
                                           {"POST", false, false},
                                           {"PATCH", false, false},
                                           {"CONNECT", false, false},
                                           {"PURGE", false, false},
                                           {"get", false, false},
                                           {"", false, false}}) {
        CAPTURE(row.name);
        CHECK(bw::Method{row.name}.is_safe() == row.safe);
        CHECK(bw::Method{row.name}.is_idempotent() == row.idempotent);
    }
}

TEST_CASE("a method is valid if it is a token of 1 to 15 characters") {
    static_assert(bw::Method{"A"}.is_valid() && bw::Method{"ABCDEFGHIJKLMNO"}.is_valid());
    static_assert(bw::Method{"M-SEARCH"}.is_valid() && bw::Method{"!#$%&'*+-.^_`|~"}.is_valid());
    for (const std::string_view bad : {""sv, "ABCDEFGHIJKLMNOP"sv, "A B"sv, "GET\r\n"sv, "G\0T"sv, "GET "sv, "GÉT"sv,
                                       "GET/"sv, "GET:"sv, "\x7f"sv, "(GET)"sv, "a\"b"sv, "a{b}"sv}) {
        CAPTURE(bad);
        CHECK_FALSE(bw::Method{bad}.is_valid());
    }
    CHECK(bw::Method{std::string(100'000, 'A')}.name() == std::string(15, 'A'));
    CHECK(bw::Method{std::string(256, 'A')} == bw::Method{std::string(512, 'A')});
}

TEST_CASE("headers are found whatever their case and kept in order") {
    bw::Headers headers{{"Content-Type", "text/plain"}, {"X-A", "1"}, {"x-a", "2"}};
    CHECK(headers.size() == 3);
    CHECK(headers.get("CONTENT-type") == "text/plain");
    CHECK(headers.get("X-a") == "1");
    CHECK(headers.get_all("x-A") == std::vector<std::string_view>{"1", "2"});
    CHECK_FALSE(headers.get("X").has_value());
    CHECK_FALSE(headers.contains("Content-Typ"));
    std::string order;
    for (const auto& [name, value] : headers) order += name + "=" + value + ";";
    CHECK(order == "Content-Type=text/plain;X-A=1;x-a=2;");
}

TEST_CASE("only ASCII letters fold their case in header names") {
    bw::Headers headers{{"X-\xC3\x84", "upper"}, {"@x", "at"}, {"[x", "bracket"}};
    CHECK_FALSE(headers.contains("x-\xC3\xA4"));
    CHECK_FALSE(headers.contains("`x"));
    CHECK_FALSE(headers.contains("{x"));
    CHECK(headers.contains("[X"));
}

TEST_CASE("setting a header replaces all fields of its name in the place of the first") {
    bw::Headers headers{{"A", "1"}, {"B", "2"}, {"a", "3"}, {"C", "4"}, {"A", "5"}};
    headers.set("a", "new");
    CHECK(headers == bw::Headers{{"a", "new"}, {"B", "2"}, {"C", "4"}});
    headers.set("D", "6");
    headers.add("d", "7");
    CHECK(headers.get_all("D").size() == 2);
    CHECK(headers.remove("d") == 2);
    CHECK(headers.remove("d") == 0);
    CHECK(headers == bw::Headers{{"A", "new"}, {"b", "2"}, {"C", "4"}});
    headers.clear();
    CHECK(headers.empty());
}

TEST_CASE("braced pairs of string literals are headers, never one string made of two pointers") {
    const CallLike two{.headers = {{"A", "b"}, {"C", "d"}}};
    CHECK(two.headers == bw::Headers{{"A", "b"}, {"C", "d"}});
    const CallLike one{.headers = {{"A", "b"}}};
    CHECK(one.headers.get("A") == "b");
    const CallLike braces_too_many{.headers = {{{"A", "b"}, {"C", "d"}}}};
    CHECK(braces_too_many.headers == two.headers);
    const CallLike none{.headers = {}};
    CHECK(none.headers.empty());
    const std::string id = "42";
    const CallLike mixed{.headers = {{"X-Id", id}, {std::string{"X-B"}, "b"sv}}};
    CHECK(mixed.headers == bw::Headers{{"x-id", "42"}, {"x-b", "b"}});
}

TEST_CASE("an ordinary request is valid") {
    CHECK(bw::validate({.url = "https://a.test"}));
    CHECK(bw::validate(
        {.method = bw::Method{"PURGE"},
         .url = "http://[::1]:8080/a%20b?c=d",
         .headers = {{"X-Empty", ""}, {"X-Tab", "a\tb"}, {"X-Latin", "caf\xE9"}, {"x!#$%&'*+-.^_`|~", "1"}},
         .body = "\r\n\0"s}));
}

TEST_CASE("CR, LF, NUL and other controls are refused wherever they are in a request") {
    for (const char control : "\r\n\0\x01\x0b\x1f\x7f"sv) {
        CAPTURE(int{control});
        for (const std::string& hostile : {control + "ab"s, "a"s + control + "b", "ab"s + control}) {
            CHECK(bw::validate({.method = bw::Method{hostile}, .url = "http://a.test/"}).error().code() ==
                  bw::Errc::invalid_request);
            CHECK_FALSE(bw::validate({.url = "http://a.test/" + hostile}));
            CHECK_FALSE(bw::validate({.url = hostile + "http://a.test/"}));
            CHECK_FALSE(bw::validate(with_header(hostile, "x")));
            CHECK_FALSE(bw::validate(with_header("X", hostile)));
        }
    }
}

TEST_CASE("a header name that is no token is refused") {
    for (const std::string_view bad : {""sv, "A B"sv, "A:"sv, "A,B"sv, "caf\xE9"sv, " A"sv, "A\t"sv, "(A)"sv}) {
        CAPTURE(bad);
        CHECK_FALSE(bw::validate(with_header(std::string{bad}, "x")));
    }
}

TEST_CASE("the length of the body is the transport's to announce") {
    CHECK_FALSE(bw::validate(with_header("content-length", "5")));
    CHECK_FALSE(bw::validate(with_header("Transfer-Encoding", "chunked")));
}

TEST_CASE("what is wrong with a request is named without a value, and fit for a log line") {
    const auto value = bw::validate(with_header("Authorization", "Bearer s3cret\r\nX-Injected: 1"));
    REQUIRE_FALSE(value);
    CHECK_THAT(value.error().message(), Catch::Matchers::ContainsSubstring("header Authorization"));
    CHECK_THAT(value.error().message(), !Catch::Matchers::ContainsSubstring("s3cret"));

    const auto name = bw::validate(with_header("X-A\r\nX-B" + std::string(1000, 'y'), "1"));
    REQUIRE_FALSE(name);
    CHECK_THAT(name.error().message(), Catch::Matchers::ContainsSubstring("X-A??X-B"));
    CHECK(name.error().message().find_first_of("\r\n") == std::string::npos);
    CHECK(name.error().message().size() < 150);

    const auto url = bw::validate({.url = "http://user:s3cret@a.test/?key=s3cret"});
    REQUIRE_FALSE(url);
    CHECK_THAT(url.error().message(), Catch::Matchers::ContainsSubstring("url: must not hold a user name"));
    CHECK_THAT(url.error().message(), !Catch::Matchers::ContainsSubstring("s3cret"));

    const auto method = bw::validate({.method = bw::Method{"GET /x\r\n"}, .url = "http://a.test/"});
    REQUIRE_FALSE(method);
    CHECK_THAT(method.error().message(), Catch::Matchers::ContainsSubstring("method: "));
    CHECK(method.error().message().find_first_of("\r\n") == std::string::npos);
    CHECK(method.error().sent() == bw::Sent::no);
}
