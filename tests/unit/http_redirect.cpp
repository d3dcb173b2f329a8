#include <breakwater/http/redirect.hpp>
#include <breakwater/http/reference.hpp>

#include <catch_shim.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

constexpr const char* origin_url = "https://a.test/v1/items?page=1";

bw::Response redirect(std::string location, int status = 302) {
    return {.status = status, .headers = {{"Location", std::move(location)}}};
}

bw::Request request(std::string url = origin_url, bw::Method method = bw::Method::get) {
    return {.method = method,
            .url = std::move(url),
            .headers = {{"Authorization", "Bearer s3cret"},
                        {"accept", "application/json"},
                        {"X-Api-Key", "s3cret"},
                        {"User-Agent", "job/1"},
                        {"Accept", "text/plain"},
                        {"Cookie", "s3cret"},
                        {"Accept-Language", "de"}}};
}

/// Where a redirect leads: a URL, "none" or "refused".
std::string hop(const bw::Request& from, const bw::Response& answer, bw::RedirectRules rules = {}) {
    const auto next = bw::next_hop(from, answer, rules);
    if (next) return *next ? (*next)->url : "none";
    CHECK(next.error().code() == bw::Errc::redirect_refused);
    CHECK_THAT(next.error().message(), !Catch::Matchers::ContainsSubstring("s3cret"));
    return "refused";
}

std::string hop(std::string_view location, bw::RedirectRules rules = {}) {
    return hop(request(), redirect(std::string{location}), rules);
}

}  // namespace

TEST_CASE("references resolve as in the examples of RFC 3986") {
    struct Row {
        std::string_view reference;
        std::string_view target;
    };
    const std::vector<Row> rows{
        // §5.4.1, normal examples
        {"g:h", "g:h"},
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q#s"},
        {"g#s", "http://a/b/c/g#s"},
        {"g?y#s", "http://a/b/c/g?y#s"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y#s", "http://a/b/c/g;x?y#s"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        // §5.4.2, abnormal examples
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"g#s/./x", "http://a/b/c/g#s/./x"},
        {"g#s/../x", "http://a/b/c/g#s/../x"},
        {"http:g", "http:g"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.reference);
        CHECK(bw::resolve_reference("http://a/b/c/d;p?q", row.reference) == row.target);
    }
    CHECK(bw::resolve_reference("http://a", "g") == "http://a/g");
    CHECK(bw::resolve_reference("http://a", "?y") == "http://a?y");
    CHECK(bw::resolve_reference("http://a/b", "//g/../x/./y?z") == "http://g/x/y?z");
    CHECK(bw::remove_dot_segments("/a/b/c/./../../g") == "/a/g");
    CHECK(bw::remove_dot_segments("mid/content=5/../6") == "mid/6");
}

TEST_CASE("redirects of GET and HEAD with a Location are followed, all else is left alone") {
    for (const int status : {301, 302, 303, 307, 308}) {
        CAPTURE(status);
        CHECK(hop(request(), redirect("/x", status)) == "https://a.test/x");
        CHECK(hop(request(origin_url, bw::Method::head), redirect("/x", status)) == "https://a.test/x");
        CHECK(bw::next_hop(request(origin_url, bw::Method::head), redirect("/x", status), {}).value()->method ==
              bw::Method::head);
        for (const auto& method : {bw::Method::post, bw::Method::put, bw::Method::patch, bw::Method::del,
                                   bw::Method::options, bw::Method{"get"}}) {
            CHECK(hop(request(origin_url, method), redirect("http://evil.test/", status)) == "none");
        }
        CHECK(hop(request(), bw::Response{.status = status}) == "none");
    }
    for (const int status : {200, 201, 300, 304, 305, 306, 399, 404, 503}) {
        CAPTURE(status);
        CHECK(hop(request(), redirect("/x", status)) == "none");
    }
}

TEST_CASE("a Location is resolved against the URL of the request") {
    CHECK(hop("https://a.test/x?y=1") == "https://a.test/x?y=1");
    CHECK(hop("HTTPS://A.TEST:443/x") == "https://a.test/x");
    CHECK(hop("//a.test/x") == "https://a.test/x");
    CHECK(hop("x") == "https://a.test/v1/x");
    CHECK(hop("../x") == "https://a.test/x");
    CHECK(hop("../../../x") == "https://a.test/x");
    CHECK(hop("?page=2") == "https://a.test/v1/items?page=2");
    CHECK(hop("/x#part") == "https://a.test/x");
    CHECK(hop("#part") == "https://a.test/v1/items?page=1");
    CHECK(hop("") == "https://a.test/v1/items?page=1");
    CHECK(hop("  /x\t") == "https://a.test/x");
}

TEST_CASE("a Location that was not encoded is mended like browsers do") {
    CHECK(hop("/a b/\xC3\xA4?f[x]={y}") == "https://a.test/a%20b/%C3%A4?f%5Bx%5D=%7By%7D");
    CHECK(hop("/a%20b%2f") == "https://a.test/a%20b%2f");
    CHECK(hop("/100%") == "https://a.test/100%25");
}

TEST_CASE("a redirect to another origin is refused unless the rules allow it") {
    for (const char* other : {"https://b.test/x", "//b.test/x", "https://a.test:8443/x", "https://a.test.evil.test/",
                              "https://www.a.test/"}) {
        CAPTURE(other);
        CHECK(hop(other) == "refused");
        CHECK(hop(other, {.cross_origin = true}) != "refused");
    }
    CHECK(hop(request("http://a.test/"), redirect("https://a.test/")) == "refused");
    CHECK(hop(request("http://a.test/"), redirect("https://a.test/"), {.cross_origin = true}) == "https://a.test/");
}

TEST_CASE("what no rule allows is refused") {
    for (const std::string_view bad : {"http://a.test/x"sv,
                                       "http://b.test/x"sv,
                                       "ftp://a.test/x"sv,
                                       "file:///etc/passwd"sv,
                                       "javascript:alert(1)"sv,
                                       "data:,s3cret"sv,
                                       "https:x"sv,
                                       "https:///x"sv,
                                       "https://"sv,
                                       "https://u@a.test/s3cret"sv,
                                       "https://u:s3cret@a.test/"sv,
                                       "//u@a.test/"sv,
                                       "https://a.test\\@evil.test/"sv,
                                       "\\\\evil.test\\x"sv,
                                       "/x\r\nX-Injected: s3cret"sv,
                                       "/a\nb"sv,
                                       "/a\0b"sv,
                                       "/a\tb"sv,
                                       "https://a b.test/"sv,
                                       "https://a.test:0/"sv,
                                       "https://a.test:99999/"sv,
                                       "https://[::1/"sv,
                                       "https://b%2etest/"sv}) {
        CAPTURE(bad);
        CHECK(hop(bad) == "refused");
        CHECK(hop(bad, {.cross_origin = true}) == "refused");
    }
}

TEST_CASE("a redirect that contradicts itself is refused") {
    bw::Response answer = redirect("/x");
    answer.headers.add("location", "/x");
    CHECK(hop(request(), answer) == "https://a.test/x");
    answer.headers.add("Location", "/y");
    CHECK(hop(request(), answer) == "refused");
}

TEST_CASE("within its origin a redirected request keeps its headers") {
    const auto next = bw::next_hop(request(), redirect("/x"), {});
    REQUIRE((next && *next));
    CHECK((*next)->headers == request().headers);
}

TEST_CASE("another origin gets Accept and User-Agent and nothing else") {
    const bw::RedirectRules rules{.cross_origin = true};
    const auto away = bw::next_hop(request(), redirect("https://b.test/x", 307), rules);
    REQUIRE((away && *away));
    CHECK((*away)->headers ==
          bw::Headers{{"Accept", "application/json"}, {"Accept", "text/plain"}, {"User-Agent", "job/1"}});
    CHECK_FALSE((*away)->body.has_value());

    const auto back = bw::next_hop(**away, redirect("https://a.test/y"), rules);
    REQUIRE((back && *back));
    CHECK((*back)->headers.size() == 3);
}

TEST_CASE("a body stays with 307 and 308 within the origin only") {
    bw::Request with_body = request();
    with_body.body = "s3cret";
    const auto body = [&](int status, std::string location) {
        return bw::next_hop(with_body, redirect(std::move(location), status), {.cross_origin = true}).value()->body;
    };
    CHECK(body(307, "/x") == "s3cret");
    CHECK(body(308, "/x") == "s3cret");
    for (const int status : {301, 302, 303}) CHECK_FALSE(body(status, "/x").has_value());
    for (const int status : {301, 302, 303, 307, 308}) CHECK_FALSE(body(status, "https://b.test/x").has_value());
}

TEST_CASE("a refused redirect holds the response and says why") {
    const auto refused = bw::next_hop(request(), redirect("https://B.test/x?token=s3cret", 308), {});
    REQUIRE_FALSE(refused);
    REQUIRE(refused.error().response() != nullptr);
    CHECK(refused.error().response()->status == 308);
    CHECK(refused.error().status() == 308);
    CHECK_THAT(refused.error().message(), Catch::Matchers::ContainsSubstring("to another origin, https://b.test:443"));
    CHECK_THAT(refused.error().message(), !Catch::Matchers::ContainsSubstring("s3cret"));
}

TEST_CASE("at most five redirects are followed by default") { CHECK(bw::RedirectRules{}.max == 5); }
