#include <breakwater/http/percent_encoding.hpp>
#include <breakwater/http/query.hpp>
#include <breakwater/http/target.hpp>
#include <breakwater/http/url.hpp>

#include <catch_shim.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace bw = breakwater;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

bw::Url url(std::string_view text) { return bw::value_or_throw(bw::Url::parse(text)); }

std::string join(std::string_view base, std::string_view target, const bw::Query& query = {},
                 const bw::PathParameters& parameters = {}) {
    const auto joined = bw::join_target(url(base), target, query, parameters);
    if (joined) return *joined;
    CHECK(joined.error().code() == bw::Errc::invalid_request);
    return "refused";
}

// What the client's call options look like: an aggregate with a query in it.
struct CallLike {
    int before = 0;
    bw::Query query{};
    bw::PathParameters path{};
    int after = 0;
};

template <class T>
concept QueryTakes = requires(bw::Query& query, T value) { query.add("name", value); };

}  // namespace

TEST_CASE("a URL is taken apart and normalised") {
    const bw::Url full = url("HTTPS://API.Example.com:8443/V1/Items?q=A%20b");
    CHECK(full.scheme() == "https");
    CHECK(full.is_secure());
    CHECK(full.host() == "api.example.com");
    CHECK(full.port() == 8443);
    CHECK(full.path() == "/V1/Items");
    CHECK(full.query() == "q=A%20b");
    CHECK(full.origin() == "https://api.example.com:8443");
    CHECK(full.to_string() == "https://api.example.com:8443/V1/Items?q=A%20b");

    const bw::Url bare = url("http://a.test");
    CHECK(bare.port() == 80);
    CHECK(bare.path() == "/");
    CHECK_FALSE(bare.query().has_value());
    CHECK(bare.to_string() == "http://a.test/");
    CHECK(url("http://a.test?").query() == "");
    CHECK(url("http://a.test?b/c").path() == "/");
    CHECK(url("http://a.test/b?c?d/e").query() == "c?d/e");
}

TEST_CASE("origins are equal if scheme, host and port are, however they are written") {
    CHECK(url("https://a.test").same_origin(url("HTTPS://A.TEST:443/x?y")));
    CHECK(url("http://a.test:").same_origin(url("http://a.test:0080")));
    CHECK(url("http://a.test").origin() == url("http://A.test:80/x").origin());
    for (const char* other :
         {"http://a.test", "https://a.test:8443", "https://b.test", "https://a.test.", "https://sub.a.test"}) {
        CAPTURE(other);
        CHECK_FALSE(url("https://a.test").same_origin(url(other)));
        CHECK(url("https://a.test").origin() != url(other).origin());
    }
    CHECK(url("http://a.test:443/").to_string() == "http://a.test:443/");
}

TEST_CASE("hosts are DNS names, IPv4 or IPv6 addresses") {
    for (const char* good : {"a", "a-b.c_d.test", "a.test.", "127.0.0.1", "[::]", "[::1]", "[1::]", "[1:2:3:4:5:6:7:8]",
                             "[1::8]", "[::ffff:192.0.2.1]", "[1:2:3:4:5:6:192.0.2.1]", "[fe80::ABCD]",
                             "xn--bcher-kva.test", "[1:2:3:4:5:6:7::]", "[::2:3:4:5:6:7:8]"}) {
        CAPTURE(good);
        CHECK(bw::Url::parse("http://"s + good + ":81/"));
        CHECK(bw::Url::parse("http://"s + good).has_value());
    }
    CHECK(url("http://[FE80::A]:81/x").host() == "[fe80::a]");
    for (const char* bad : {"",
                            ".",
                            ".a",
                            "a..b",
                            "a b",
                            "a%41",
                            "a,b",
                            "a!b",
                            "a;b",
                            "b\xC3\xBC"
                            "cher.test",
                            "[",
                            "]",
                            "[]",
                            "[:]",
                            "[1]",
                            "[::1",
                            "::1",
                            "[::1]]",
                            "[[::1]",
                            "[::1]x",
                            "[1:2:3:4:5:6:7]",
                            "[1:2:3:4:5:6:7:8:9]",
                            "[1:2:3:4:5:6:7:8::]",
                            "[::1::]",
                            "[:::1]",
                            "[1:::2]",
                            "[1:]",
                            "[:1]",
                            "[12345::]",
                            "[g::]",
                            "[::256.0.0.1]",
                            "[::1.2.3]",
                            "[::01.2.3.4]",
                            "[1.2.3.4::]",
                            "[::1.2.3.4:5]",
                            "[fe80::1%25eth0]",
                            "[v1.a:b]",
                            "[127.0.0.1]"}) {
        CAPTURE(bad);
        CHECK_FALSE(bw::Url::parse("http://"s + bad + "/"));
    }
    CHECK_FALSE(bw::Url::parse("http://" + std::string(255, 'a') + "/"));
}

TEST_CASE("ports are numbers from 1 to 65535") {
    CHECK(url("http://a:1/").port() == 1);
    CHECK(url("http://a:65535/").port() == 65535);
    CHECK(url("https://a:/").port() == 443);
    for (const char* bad :
         {"0", "00000", "65536", "99999", "123456", "18446744073709551697", "-1", "+1", "1a", "80:80", "%38"}) {
        CAPTURE(bad);
        CHECK_FALSE(bw::Url::parse("http://a:"s + bad + "/"));
    }
}

TEST_CASE("a URL that is not plain absolute http or https is refused with the reason and without its secrets") {
    struct Row {
        std::string_view text;
        std::string_view reason;
    };
    for (const Row& row : std::vector<Row>{{"", "must be absolute"},
                                           {"a.test/x", "must be absolute"},
                                           {"/x", "must be absolute"},
                                           {"//a.test/x", "must be absolute"},
                                           {"http:/a.test", "must be absolute"},
                                           {"http:a.test", "must be absolute"},
                                           {"1http://a.test/", "must be absolute"},
                                           {"://a.test/", "must be absolute"},
                                           {"ftp://a.test/", "scheme must be http or https"},
                                           {"file:///etc/passwd", "scheme must be http or https"},
                                           {"httpss://a.test/", "scheme must be http or https"},
                                           {"http:///s3cret", "host is missing"},
                                           {"http://:80/", "host is missing"},
                                           {"http://s3cret@a.test/", "user name or password"},
                                           {"http://u:s3cret@a.test/", "user name or password"},
                                           {"http://a.test:s3cret@b.test/", "user name or password"},
                                           {"http://@a.test/", "user name or password"},
                                           {"http://a.test/#s3cret", "fragment"},
                                           {"http://a.test/a b?s3cret", "a space at position 16"},
                                           {"http://a.test\\@b.test/", "'\\' at position 14"},
                                           {"http://a.test/\xC3\xA4", "a byte beyond ASCII at position 15"},
                                           {"http://a.test/\r\nX: s3cret", "a control character at position 15"},
                                           {"http://a.test/a[1]", "'[' after the host"},
                                           {"http://a.test/?a]", "']' after the host"},
                                           {"http://a.test/%", "'%' at position 15"},
                                           {"http://a.test/%4", "'%' at position 15"},
                                           {"http://a.test/%4g?s3cret", "'%' at position 15"},
                                           {"http://a.test/{id}", "'{' at position 15"},
                                           {" http://a.test/", "a space at position 1"}}) {
        CAPTURE(row.text);
        const auto refused = bw::Url::parse(row.text);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code() == bw::Errc::invalid_request);
        CHECK_THAT(refused.error().message(), Catch::Matchers::ContainsSubstring(std::string{row.reason}));
        CHECK_THAT(refused.error().message(), !Catch::Matchers::ContainsSubstring("s3cret"));
    }
    CHECK_FALSE(bw::Url::parse("http://a.test/\0"sv));
}

TEST_CASE("no byte but those of RFC 3986 passes in a path or a query unless encoded") {
    const std::string_view legal = "abcXYZ019-._~:@!$&'()*+,;=/";
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        CAPTURE(byte);
        const bool in_path = legal.find(c) != legal.npos || bw::detail::is_alpha(c) || bw::detail::is_digit(c);
        CHECK(bw::Url::parse("http://a.test/p"s + c).has_value() == (in_path || c == '?'));
        CHECK(bw::Url::parse("http://a.test/?q"s + c).has_value() == (in_path || c == '?'));
        CHECK(bw::Url::parse(join("http://a.test", "/x", {{"v", std::string{c}}})).has_value());
    }
}

TEST_CASE("percent_encode keeps the unreserved characters only") {
    CHECK(bw::percent_encode("AZaz09-._~") == "AZaz09-._~");
    CHECK(bw::percent_encode("a b+c/d%20&=?#") == "a%20b%2Bc%2Fd%2520%26%3D%3F%23");
    CHECK(bw::percent_encode("\r\n\0"sv) == "%0D%0A%00");
    CHECK(bw::percent_encode("\xC3\xA4\xFF") == "%C3%A4%FF");
    CHECK(bw::percent_encode("").empty());
}

TEST_CASE("a query takes strings and integers and encodes names and values") {
    const std::string text = "gelato & more";
    bw::Query query{{"q", text}, {"page", 1}, {"max", std::numeric_limits<std::uint64_t>::max()}, {"a b", "1+1=2"sv}};
    query.add("min", std::numeric_limits<std::int64_t>::min());
    query.add("q", std::string{"again"});
    query.add("empty", "");
    CHECK(query.to_string() ==
          "q=gelato%20%26%20more&page=1&max=18446744073709551615&a%20b=1%2B1%3D2&min=-9223372036854775808&q=again&"
          "empty=");
    CHECK(query.size() == 7);
    CHECK(bw::Query{}.to_string().empty());
    CHECK(bw::Query{{"page", 1}} == bw::Query{{"page", "1"}});

    static_assert(QueryTakes<int> && QueryTakes<unsigned char> && QueryTakes<const char*> && QueryTakes<std::string>);
    static_assert(!QueryTakes<bool> && !QueryTakes<char> && !QueryTakes<double> && !QueryTakes<std::nullptr_t>);
}

TEST_CASE("braced pairs of string literals are parameters, never one string made of two pointers") {
    const CallLike two{.query = {{"page", "1"}, {"per_page", "100"}}};
    CHECK(two.query.to_string() == "page=1&per_page=100");
    const CallLike one{.query = {{"page", "1"}}, .path = {{"id", "7"}}};
    CHECK(one.query.to_string() == "page=1");
    CHECK(one.path == bw::PathParameters{{"id", 7}});
    const CallLike numbers{.query = {{"page", 1}, {"per_page", 100}}, .path = {{"a", "b"}, {"c", "d"}}};
    CHECK(numbers.query == two.query);
    CHECK(numbers.path.size() == 2);
    const CallLike braces_too_many{.query = {{{"page", "1"}, {"per_page", "100"}}}, .path = {{{"a", "b"}, {"c", "d"}}}};
    CHECK(braces_too_many.query == two.query);
    CHECK(braces_too_many.path == numbers.path);
    const CallLike none{.query = {}, .path = {}};
    CHECK(none.query.empty());
}

TEST_CASE("a target is appended to the path of the base URL") {
    CHECK(join("https://a.test", "/x") == "https://a.test/x");
    CHECK(join("https://a.test/", "/") == "https://a.test/");
    CHECK(join("https://a.test/v1", "/x") == "https://a.test/v1/x");
    CHECK(join("https://a.test/v1/", "/x") == "https://a.test/v1/x");
    CHECK(join("https://A.test:443/v1/", "/x/") == "https://a.test/v1/x/");
    CHECK(join("http://a.test:8080", "/x:y@z") == "http://a.test:8080/x:y@z");
}

TEST_CASE("the queries of base, target and call follow each other") {
    CHECK(join("http://a.test/v1", "/x?a=1", {{"b", 2}}) == "http://a.test/v1/x?a=1&b=2");
    CHECK(join("http://a.test/v1?k=0", "/x?a=1", {{"b", 2}}) == "http://a.test/v1/x?k=0&a=1&b=2");
    CHECK(join("http://a.test/v1?k=0", "/x") == "http://a.test/v1/x?k=0");
    CHECK(join("http://a.test", "/x", {{"b", "//../@#"}}) == "http://a.test/x?b=%2F%2F..%2F%40%23");
    CHECK(join("http://a.test", "/x?") == "http://a.test/x");
    CHECK(join("http://a.test", "/x?", {{"b", 2}}) == "http://a.test/x?b=2");
    CHECK(join("http://a.test", "/x?u=http://b.test/../?") == "http://a.test/x?u=http://b.test/../?");
}

TEST_CASE("what may not stand in a URL is encoded once") {
    CHECK(join("http://a.test", "/a b/\xC3\xA4\"<>^`|") == "http://a.test/a%20b/%C3%A4%22%3C%3E%5E%60%7C");
    CHECK(join("http://a.test", "/a%20b%2Fc?d%26e") == "http://a.test/a%20b%2Fc?d%26e");
    CHECK(join("http://a.test", "/100%?p=5%&q=%zz%4") == "http://a.test/100%25?p=5%25&q=%25zz%254");
    CHECK(join("http://a.test", "/x?f[name]={a}") == "http://a.test/x?f%5Bname%5D=%7Ba%7D");
    CHECK(join("http://a.test", "/x}") == "http://a.test/x%7D");
}

TEST_CASE("a target that would leave the base URL is refused") {
    for (const std::string_view bad : {""sv,
                                       "x"sv,
                                       "?a"sv,
                                       "@evil.test/x"sv,
                                       ":80/x"sv,
                                       ".evil.test/x"sv,
                                       "//"sv,
                                       "//evil.test/x"sv,
                                       "/a//b"sv,
                                       "///x"sv,
                                       "/."sv,
                                       "/.."sv,
                                       "/./x"sv,
                                       "/../x"sv,
                                       "/a/.."sv,
                                       "/a/../b"sv,
                                       "/a/."sv,
                                       "/a/..?q"sv,
                                       "/%2e"sv,
                                       "/%2E%2e/x"sv,
                                       "/.%2e"sv,
                                       "/a/%2e./b"sv,
                                       "/..%2fadmin"sv,
                                       "/a%2F..%2Fb"sv,
                                       "/a%5c..%5Cb"sv,
                                       "/%2e%2e%2f"sv,
                                       "/..;/x"sv,
                                       "/a/.%2e%3Bb/x"sv,
                                       "/a\\b"sv,
                                       "/\\evil.test"sv,
                                       "\\\\evil.test"sv,
                                       "/x#y"sv,
                                       "#"sv,
                                       "/x?y#z"sv,
                                       "/a\rb"sv,
                                       "/a\nb"sv,
                                       "/a\tb"sv,
                                       "/a\0b"sv,
                                       "/?a\x7f"sv,
                                       " /x"sv,
                                       "http:/x"sv,
                                       "mailto:x"sv,
                                       "javascript://a.test/%0a"sv}) {
        CAPTURE(bad);
        CHECK(join("https://a.test/v1", bad) == "refused");
    }
    for (const char* good : {"/...", "/.a", "/a.", "/..a/x", "/a/.well-known/x", "/a;..;/b", "/%2e%2ea", "/?../.."}) {
        CAPTURE(good);
        CHECK(join("https://a.test", good) == "https://a.test"s + good);
    }
}

TEST_CASE("an absolute target is taken as it is if its origin is the base URL's") {
    const char* base = "https://a.test/v1?k=0";
    CHECK(join(base, "https://a.test/v1/items?page=2") == "https://a.test/v1/items?page=2");
    CHECK(join(base, "HTTPS://A.TEST:443/other?f[x]=a b", {{"z", 1}}) == "https://a.test/other?f%5Bx%5D=a%20b&z=1");
    CHECK(join(base, "https://a.test") == "https://a.test/");
    CHECK(join(base, "https://a.test?page=2") == "https://a.test/?page=2");
    for (const char* bad :
         {"http://a.test/x", "https://a.test:8443/x", "https://b.test/x", "https://a.test.evil.test/x",
          "https://a.test@evil.test/x", "https://u@a.test/x", "https://u:p@a.test/x", "https://a.test\\x",
          "https://a.test/../x", "https://a.test/%2e%2e/x", "https://a.test//x", "https://a.test/x#y",
          "https:///a.test/x", "https://", "//a.test/x", "ftp://a.test/x", "https://a.test%2f/x"}) {
        CAPTURE(bad);
        CHECK(join(base, bad) == "refused");
    }
    const auto secret = bw::join_target(url(base), "https://b.test/x?token=s3cret");
    CHECK_THAT(secret.error().message(), !Catch::Matchers::ContainsSubstring("s3cret"));
    CHECK_THAT(secret.error().message(), Catch::Matchers::ContainsSubstring("another origin"));
}

TEST_CASE("path parameters are encoded into their places") {
    CHECK(join("http://a.test", "/users/{id}", {}, {{"id", 42}}) == "http://a.test/users/42");
    CHECK(join("http://a.test", "/{a}/{b}/{a}", {}, {{"a", "x y"}, {"b", "1/2?#%"}}) ==
          "http://a.test/x%20y/1%2F2%3F%23%25/x%20y");
    CHECK(join("http://a.test", "/f/{name}.json", {}, {{"name", ".."}}) == "http://a.test/f/...json");
    CHECK(join("http://a.test", "/{a}", {}, {{"a", "{b}"}}) == "http://a.test/%7Bb%7D");
    CHECK(join("http://a.test", "/{a}", {}, {{"a", "//evil.test"}}) == "http://a.test/%2F%2Fevil.test");
    CHECK(join("http://a.test", "/{a}", {}, {{"a", "\r\nX: y"}}) == "http://a.test/%0D%0AX%3A%20y");
}

TEST_CASE("a path parameter that is missing, empty, unused or a dot segment is refused by name") {
    struct Row {
        std::string_view target;
        bw::PathParameters parameters;
        std::string_view reason;
    };
    for (const Row& row : std::vector<Row>{{"/users/{id}", {}, "path parameter \"id\" is missing"},
                                           {"/users/{id}", {{"Id", "1"}}, "path parameter \"id\" is missing"},
                                           {"/users/{id}/x", {{"id", ""}}, "path parameter \"id\" is empty"},
                                           {"/users/{}", {}, "path parameter \"\" is missing"},
                                           {"/users/{id", {{"id", "1"}}, "'{' without '}'"},
                                           {"/users/{a b}", {}, "path parameter \"a%20b\" is missing"},
                                           {"/users", {{"id", "1"}}, "no place for path parameter \"id\""},
                                           {"/users/{id}", {{"id", ".."}}, "path segment"},
                                           {"/users/{id}", {{"id", "."}}, "path segment"},
                                           {"/users/.{id}", {{"id", "."}}, "path segment"},
                                           {"/users/{id}", {{"id", "a/../b"}}, "path segment"}}) {
        CAPTURE(row.target);
        const auto refused = bw::join_target(url("http://a.test"), row.target, {}, row.parameters);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code() == bw::Errc::invalid_request);
        CHECK_THAT(refused.error().message(), Catch::Matchers::ContainsSubstring(std::string{row.reason}));
    }
}

TEST_CASE("whatever the target, the joined URL is valid and stays at the origin") {
    const bw::Url base = url("https://a.test/v1");
    const std::string_view pieces[] = {"/",   "//",  ".", "..", "@",    ":",         "?",      "#",
                                       "%2e", "%2F", "%", "\\", "a",    "evil.test", "https:", "https://a.test",
                                       "{",   "}",   "[", " ",  "\xFF", "\n",        "&",      "="};
    std::uint32_t seed = 20240229;
    const auto next = [&seed] { return seed = seed * 1664525u + 1013904223u, seed >> 8; };
    int joined = 0;
    for (int round = 0; round < 5'000; ++round) {
        std::string target = next() % 2 ? "/" : "";
        for (auto n = next() % 6; n > 0; --n) target += pieces[next() % std::size(pieces)];
        const auto result = bw::join_target(base, target);
        if (!result) continue;
        ++joined;
        const auto parsed = bw::Url::parse(*result);
        INFO(target << " -> " << *result);
        REQUIRE(parsed);
        REQUIRE(parsed->same_origin(base));
        REQUIRE(parsed->to_string() == *result);
    }
    CHECK(joined > 500);
}
