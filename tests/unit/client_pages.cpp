#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <cstddef>
#include <iterator>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Response;

namespace {

using Client = test::ScriptedClient;

struct World {
    Client client(bw::ClientOptions options = {}) const {
        if (options.base_url.empty()) options.base_url = "https://api.test/v1";
        return Client{std::move(options), service, bw::MemoryStore{clock}};
    }
    void answers(std::vector<bw::ScriptedAnswer> list) const {
        for (auto& one : list) service.add(std::move(one));
    }
    std::vector<std::string> urls() const {
        std::vector<std::string> urls;
        for (const auto& request : service.requests()) urls.push_back(request.url);
        return urls;
    }

    bw::ManualClock clock;
    bw::ScriptedTransport service;
};

Response page(std::string body, std::string link = {}) {
    Response response{.status = 200, .body = std::move(body)};
    if (!link.empty()) response.headers.add("Link", "<" + link + ">; rel=\"next\"");
    return response;
}

/// The bodies of all pages, and at the end why there are no more.
template <class Range>
std::vector<std::string> read(Range&& pages) {
    std::vector<std::string> seen;
    for (auto& one : pages) seen.push_back(one ? one->body : one.error().message());
    return seen;
}
using Seen = std::vector<std::string>;

}  // namespace

TEST_CASE("pages are an input range that asks for nothing before it begins and for no page before its turn") {
    using Range = decltype(std::declval<Client>().pages("/x"));
    STATIC_REQUIRE(std::ranges::input_range<Range>);
    STATIC_REQUIRE_FALSE(std::ranges::forward_range<Range>);
    STATIC_REQUIRE_FALSE(std::copy_constructible<Range>);
    STATIC_REQUIRE(std::ranges::input_range<decltype(std::declval<Client>().items("/x"))>);
    const World world;
    world.answers({page("1", "/v1/x?page=2"), page("2")});
    auto pages = world.client().pages("/x");
    CHECK(world.service.count() == 0);
    auto at = pages.begin();
    CHECK(world.service.count() == 1);
    CHECK(pages.begin()->value().body == "1");
    CHECK(world.service.count() == 1);
    ++at;
    CHECK((*at)->body == "2");
    ++at;
    CHECK(at == pages.end());
    CHECK(world.service.count() == 2);
}

TEST_CASE("Link headers are followed, relative or absolute, with the call's headers and without its query") {
    const World world;
    world.answers(
        {page("1", "https://API.test:443/v1/x?page=2"), page("2", "x?page=3#f"), page("3", "?page=4"), page("4")});
    const auto client = world.client({.auth = bw::Bearer{"hush"}});
    CHECK(read(client.pages("/x", {.request = {.query = {{"q", 1}}, .headers = {{"X-A", "b"}}}})) ==
          Seen{"1", "2", "3", "4"});
    CHECK(world.urls() == Seen{"https://api.test/v1/x?q=1", "https://api.test/v1/x?page=2",
                               "https://api.test/v1/x?page=3", "https://api.test/v1/x?page=4"});
    for (const auto& request : world.service.requests()) {
        CHECK(request.headers.get("X-A") == "b");
        CHECK(request.headers.get("Authorization") == "Bearer hush");
    }
}

TEST_CASE("a next page on another origin is an error, and nothing is sent there") {
    for (const std::string other : {"https://evil.test/x", "//evil.test/x", "http://api.test/v1/x",
                                    "https://api.test:444/x", "https://ann:hush@api.test/x", "ftp://api.test/x",
                                    "https://api.test\\@evil.test/", "https://api.test/a/../../x//y"}) {
        INFO(other);
        for (const bool based : {true, false}) {
            const World world;
            world.answers({page("1", other), page("2")});
            const Client client{
                bw::ClientOptions{.base_url = based ? "https://api.test" : "", .auth = bw::Bearer{"hush"}},
                world.service, bw::MemoryStore{world.clock}};
            std::vector<Errc> errors;
            for (auto& one : client.pages(based ? "/x" : "https://api.test/x"))
                if (!one) errors.push_back(one.error().code());
            CHECK(errors.size() == 1);
            for (const auto& request : world.service.requests()) CHECK(request.url.starts_with("https://api.test/"));
        }
    }
    const World world;
    world.answers({page("1", "https://evil.test/x?token=hush")});
    auto pages = world.client().pages("/x");
    CHECK(read(pages) ==
          Seen{"1", "GET /x: a redirect was refused: the next page is on another origin, https://evil.test:443"});
    CHECK(pages.position() == "");  // a later range does not begin there, either
}

TEST_CASE("if asked for, links to other origins are followed without credentials and headers, also on the way back") {
    for (const bool based : {true, false}) {
        const World world;
        world.answers({page("1", "https://cdn.test/x?page=2"), page("2", "?page=3"),
                       page("3", "https://api.test/v1/x?page=4"), page("4")});
        const Client client{bw::ClientOptions{.base_url = based ? "https://api.test/v1" : "",
                                              .headers = {{"X-Tenant", "t"}, {"User-Agent", "dairy/1"}},
                                              .auth = bw::Bearer{"hush"}},
                            world.service, bw::MemoryStore{world.clock}};
        auto pages = client.pages(based ? "/x" : "https://api.test/v1/x",
                                  {.request = {.query = {{"q", 1}},
                                               .headers = {{"X-A", "b"}, {"Accept", "text/x"}},
                                               .json = {{"filter", "hush"}},
                                               .idempotency_key = bw::auto_key},
                                   .cross_origin = true});
        CHECK(read(pages) == Seen{"1", "2", "3", "4"});
        CHECK(world.urls() == Seen{"https://api.test/v1/x?q=1", "https://cdn.test/x?page=2",
                                   "https://cdn.test/x?page=3", "https://api.test/v1/x?page=4"});
        const auto requests = world.service.requests();
        CHECK(requests.at(0).headers.get("Authorization") == "Bearer hush");
        CHECK(requests.at(0).headers.get("X-A") == "b");
        for (std::size_t i = 1; i < requests.size(); ++i) {
            CHECK(requests[i].headers.size() == 2);
            CHECK(requests[i].headers.get("Accept") == "text/x");
            CHECK(requests[i].headers.get("User-Agent") == "dairy/1");
            CHECK_FALSE(requests[i].body);
        }
    }
}

TEST_CASE("links to other origins are followed from where a position is, and never to http or with a user name") {
    const World world;
    world.answers({page("2")});
    const auto client = world.client({.auth = bw::Bearer{"hush"}});
    CHECK(read(client.pages("/x", {.from = "https://cdn.test/x?page=2", .cross_origin = true})) == Seen{"2"});
    CHECK_FALSE(world.service.requests().at(0).headers.contains("Authorization"));
    for (const std::string bad : {"http://cdn.test/x", "http://api.test/v1/x", "https://ann:hush@cdn.test/x",
                                  "ftp://cdn.test/x", "https://cdn.test\\@evil.test/"}) {
        INFO(bad);
        const World own;
        own.answers({page("1", bad), page("2")});
        const auto seen = read(own.client().pages("/x", {.cross_origin = true}));
        REQUIRE(seen.size() == 2);
        CHECK_THAT(seen[1], Catch::Matchers::ContainsSubstring("a redirect was refused: the next page"));
        CHECK(own.service.count() == 1);
    }
}

TEST_CASE("an anonymous call sends nothing of the client's and may go to any origin") {
    const World world;
    world.answers({page("1"), page("2"), page("3")});
    const auto client =
        world.client({.headers = {{"X-Tenant", "t"}, {"Accept", "text/x"}}, .auth = bw::Bearer{"hush"}});
    CHECK(client.get("https://other.test/a?b=c",
                     {.query = {{"d", "e"}}, .headers = {{"X-Own", "o"}}, .anonymous = true}));
    CHECK(client.get("/x", {.anonymous = true}));
    CHECK(client.get("https://api.test/x", {.anonymous = true}));
    CHECK(world.urls() == Seen{"https://other.test/a?b=c&d=e", "https://api.test/v1/x", "https://api.test/x"});
    for (const auto& request : world.service.requests()) {
        CHECK_FALSE(request.headers.contains("Authorization"));
        CHECK_FALSE(request.headers.contains("X-Tenant"));
        CHECK(request.headers.get("Accept") == "text/x");
    }
    CHECK(world.service.requests().at(0).headers.get("X-Own") == "o");
    const auto refusal = [&](const char* target, bool anonymous) {
        return client.get(target, {.anonymous = anonymous}).error().code();
    };
    CHECK(refusal("https://other.test/a", false) == Errc::invalid_request);
    for (const char* target :
         {"x", "", "ftp://other.test/", "https://ann:hush@other.test/", "https://other.test/a/../b"})
        CHECK(refusal(target, true) == Errc::invalid_request);
    CHECK(world.service.count() == 3);
}

TEST_CASE("a next page that has been before ends the loop with an error") {
    const World world;
    world.answers({page("1", "/v1/x?page=2"), page("2", "/v1/x?page=3"), page("3", "/v1/x?page=2")});
    CHECK(read(world.client().pages("/x")) ==
          Seen{"1", "2", "3", "GET /x: the answer is not valid HTTP: the next page is one that has been before"});
    const World self;
    self.answers({page("1", "/v1/x")});
    CHECK(read(self.client().pages("/x")).size() == 2);
    CHECK(self.service.count() == 1);
}

TEST_CASE("more pages than allowed are an error, not a silent end") {
    const World world;
    world.answers({page("1", "/v1/x?page=2"), page("2", "/v1/x?page=3"), page("3")});
    CHECK(read(world.client().pages("/x", {.max_pages = 2})) ==
          Seen{"1", "2", "GET /x: the answer is too large: more than 2 pages (max_pages)"});
    const World exact;
    exact.answers({page("1", "/v1/x?page=2"), page("2")});
    CHECK(read(exact.client().pages("/x", {.max_pages = 2})) == Seen{"1", "2"});
}

TEST_CASE("cursors go into the query until there is none") {
    const World world;
    world.answers(
        {page(R"({"meta": {"next": "a b"}})"), page(R"({"meta": {"next": 17}})"), page(R"({"meta": {"next": null}})")});
    const bw::CursorPages by{.at = "/meta/next", .parameter = "after"};
    CHECK(read(world.client().pages("/x", {.by = by, .request = {.query = {{"q", 1}}}})).size() == 3);
    CHECK(world.urls() == Seen{"https://api.test/v1/x?q=1", "https://api.test/v1/x?q=1&after=a%20b",
                               "https://api.test/v1/x?q=1&after=17"});
    for (const std::string last : {"{}", R"({"meta": {"next": ""}})", R"({"meta": {"next": false}})", "[]"}) {
        world.answers({page(last)});
        CHECK(read(world.client().pages("/x", {.by = by})) == Seen{last});
    }
    world.answers({page(R"({"meta": {"next": "a"}})"), page(R"({"meta": {"next": "a"}})")});
    CHECK(read(world.client().pages("/x", {.by = by})).back() ==
          "GET /x: the answer is not valid HTTP: the next page is one that has been before");
    world.answers({page("oops")});
    CHECK(read(world.client().pages("/x", {.by = by})) ==
          Seen{"oops", "GET /x: the body could not be decoded: not JSON at byte 1 (line 1, column 1)"});
    world.answers({page(R"({"meta": {"next": [1]}})")});
    CHECK(read(world.client().pages("/x", {.by = by})).back() ==
          "GET /x: the body could not be decoded: /meta/next: expected a cursor, got array");
    world.answers({page("{}")});
    CHECK(read(world.client().pages("/x", {.by = bw::CursorPages{.at = "next"}})).back() ==
          "GET /x: invalid request: pages: \"next\" is no JSON pointer");
}

TEST_CASE("numbered pages end with an empty list or one shorter than before, not with one shorter than asked for") {
    const bw::NumberedPages by{.size = 3};
    const World world;
    world.answers({page("[1, 2]"), page("[3, 4]"), page("[5]")});
    CHECK(read(world.client().pages("/x", {.by = by, .request = {.query = {{"page", 9}}}})).size() == 3);
    CHECK(world.urls() == Seen{"https://api.test/v1/x?page=1&per_page=3", "https://api.test/v1/x?page=2&per_page=3",
                               "https://api.test/v1/x?page=3&per_page=3"});
    world.answers({page("[1, 2]"), page("[]")});
    CHECK(read(world.client().pages("/x", {.by = by})) == Seen{"[1, 2]", "[]"});
    world.answers({page("{}")});
    CHECK(read(world.client().pages("/x", {.by = by, .items = "/list"})).back() ==
          "GET /x: the body could not be decoded: /list: expected array, but it is missing");
}

TEST_CASE("numbered pages end at the number of pages if that is told") {
    const World world;
    world.answers({page(R"({"pages": 2, "n": 1})"), page(R"({"pages": 2, "n": 2})")});
    CHECK(read(world.client().pages("/x", {.by = bw::NumberedPages{.total_pages = "/pages"}})).size() == 2);
    world.answers({page(R"({"pages": "2"})")});
    CHECK(read(world.client().pages("/x", {.by = bw::NumberedPages{.total_pages = "/pages"}})).back() ==
          "GET /x: the body could not be decoded: /pages: expected the number of pages");
}

TEST_CASE("a service that does not heed the page number is found out") {
    const World world;
    world.answers({page("[1]"), page("[1]"), page("[1]")});
    CHECK(read(world.client().pages("/x", {.by = bw::NumberedPages{}})) ==
          Seen{"[1]", "[1]", "GET /x: the answer is not valid HTTP: page 2 is the same as the one before"});
}

TEST_CASE("a failed page is the last element, and the position resumes there") {
    const World world;
    world.answers({page("[1]"), Response{.status = 404}, page("[2]"), page("[]")});
    const bw::PageOptions options{.by = bw::NumberedPages{}};
    auto pages = world.client().pages("/x", options);
    CHECK(read(pages) == Seen{"[1]", "GET /x: status 404"});
    REQUIRE(pages.position());
    CHECK(*pages.position() == "2");
    bw::PageOptions rest = options;
    rest.from = *pages.position();
    auto others = world.client().pages("/x", rest);
    CHECK(read(others) == Seen{"[2]", "[]"});
    CHECK_FALSE(others.position());
    CHECK(world.urls().back() == "https://api.test/v1/x?page=3");
    rest.from = "2x";
    CHECK(read(world.client().pages("/x", rest)) == Seen{"GET /x: invalid request: pages: from: no page number"});
}

TEST_CASE("a position of links and cursors is where a later range begins, and does not lead elsewhere") {
    const World world;
    world.answers({page("1", "/v1/x?page=2"), page("2"), page(R"({"next_cursor": "c"})"), page("{}")});
    const auto client = world.client();
    auto pages = client.pages("/x");
    (void)pages.begin();
    CHECK(pages.position() == "https://api.test/v1/x?page=2");
    CHECK(read(client.pages("/x", {.from = *pages.position()})) == Seen{"2"});
    auto cursors = client.pages("/x", {.by = bw::CursorPages{}});
    (void)cursors.begin();
    CHECK(read(client.pages("/x", {.by = bw::CursorPages{}, .from = *cursors.position()})) == Seen{"{}"});
    CHECK(world.urls().back() == "https://api.test/v1/x?cursor=c");
    const auto before = world.service.count();
    CHECK(read(client.pages("/x", {.from = "https://evil.test/x"})).size() == 1);
    CHECK(world.service.count() == before);
}

TEST_CASE("each page is retried and cached as any call") {
    const World world;
    world.answers({page("1", "/v1/x?page=2"), Response{.status = 503}, page("2")});
    const auto client = world.client({.cache = {.ttl = 1h}});
    CHECK(read(client.pages("/x")) == Seen{"1", "2"});
    CHECK(read(client.pages("/x")) == Seen{"1", "2"});
    CHECK(world.service.count() == 3);
}

TEST_CASE("items are read across pages, and an error is the last of them") {
    const World world;
    world.answers({page(R"({"products": [1, 2]})", "/v1/x?page=2"), page(R"({"products": []})", "/v1/x?page=3"),
                   page(R"({"products": [3]})", "/v1/x?page=4"), page(R"({"products": {}})")});
    std::vector<std::string> seen;
    for (auto& item : world.client().items("/x", {.items = "/products"}))
        seen.push_back(item ? item->dump() : item.error().message());
    CHECK(seen == Seen{"1", "2", "3", "GET /x: the body could not be decoded: /products: expected array, got object"});
}
