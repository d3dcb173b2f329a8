// Secrets are put everywhere, and everything a client says is searched for them.
#include <breakwater/client/from_json.hpp>
#include <breakwater/observe/json_log.hpp>
#include <breakwater/observe/log.hpp>
#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Response;

namespace {

using Client = test::ScriptedClient;

/// In every secret; found in a word, its base64 or its encoding, too.
constexpr std::string_view canary = "C4nary";

/// Everything that people may read of what a client does.
class Ear {
public:
    bw::Observer observer() {
        return bw::Observer{[this](const bw::Event& event) {
            hear(bw::log_line(event));
            hear(bw::json_line(event, bw::Level::info));
            for (const std::string_view words :
                 {event.client, event.policy, event.key, event.subject, event.tag, event.correlation_id})
                hear(words);
        }};
    }
    void hear(std::string_view words) { heard_.append(words).append("\n"); }
    void hear(const bw::Error& error) {
        hear(error.message());
        hear(error.detail());
        hear(error.subject());
        hear(error.policy());
        hear(bw::Exception{error}.what());
    }
    template <class T>
    void hear(const bw::Result<T>& result) {
        REQUIRE_FALSE(result);
        hear(result.error());
    }
    const std::string& heard() const { return heard_; }
    bool has_secret() const {
        return heard_.find(canary) != heard_.npos ||
               heard_.find(bw::detail::base64("ann:" + secret("pass"))) != heard_.npos;
    }
    static std::string secret(const std::string& what) { return what + " " + std::string{canary} + "/+\"1"; }
    static std::string token(const std::string& what) { return what + "-" + std::string{canary} + "/1"; }

private:
    std::string heard_;
};

bw::ClientOptions options_with(bw::Auth auth, Ear& ear) {
    return {
        .name = "dairy",
        .base_url = "https://api.test/" + Ear::token("path"),
        .headers = {{"X-Api-Key", Ear::token("key")}, {"X-Pin", Ear::token("pin")}, {"Cookie", "s=" + Ear::token("c")}},
        .auth = std::move(auth),
        .circuit_breaker = {.trip = bw::never},
        .rate_limit = {.per_endpoint = {.algorithm = bw::FixedWindow{.permits = 2, .window = 1h}}},
        .retry = {.max_retries = 1},
        .redirects = {.cross_origin = true},
        .redact = {.query = {"ticket"}, .headers = {"X-Pin"}, .values = {Ear::token("path")}},
        .observer = ear.observer()};
}

/// What a hostile or careless service answers: everything it was told, and more.
Response echo(const bw::Request& request, int status) {
    std::string body = R"({"url": ")" + request.url + "\", \"headers\": {";
    for (const auto& [name, value] : request.headers) body += "\"" + name + "\": \"" + value + "\", ";
    body += R"("access_token": "new-)" + std::string{canary} + "\"}}";
    return {.status = status, .body = std::move(body)};
}

}  // namespace

TEST_CASE("no secret is in any error, log line, event or snapshot, whatever the service echoes") {
    for (const bw::Auth& auth :
         {bw::Auth{bw::Bearer{Ear::token("bearer")}}, bw::Auth{bw::Basic{"ann", Ear::secret("pass")}},
          bw::Auth{bw::HeaderAuth{"X-Odd", Ear::token("odd")}}, bw::Auth{}}) {
        Ear ear;
        const bw::ManualClock clock;
        const bw::ScriptedTransport service;
        const Client client{options_with(auth, ear), service, bw::MemoryStore{clock}};
        const bw::RequestOptions options{.query = {{"page", 1},
                                                   {"Token", Ear::secret("query")},
                                                   {"signature", Ear::token("sig")},
                                                   {"ticket", Ear::token("ticket")}},
                                         .headers = {{"Proxy-Authorization", "Basic " + Ear::token("proxy")}},
                                         .correlation_id = "order " + Ear::token("pin"),
                                         .tag = "ticket=" + Ear::token("ticket")};
        const auto echoing = [](int status) {
            return bw::ScriptedAnswer{
                [status](const bw::Request& request) -> bw::Result<Response> { return echo(request, status); }};
        };
        const auto saying = [&](Errc code) {
            return bw::ScriptedAnswer{[code](const bw::Request& request) -> bw::Result<Response> {
                return bw::fail(code, "at " + request.url + " with " + echo(request, 0).body);
            }};
        };
        const auto leading_to = [](const std::string& where) {
            return bw::ScriptedAnswer{Response{.status = 302, .headers = {{"Location", where}}}};
        };
        int calls = 0;
        const auto get = [&](std::vector<bw::ScriptedAnswer> answers) {
            for (auto& one : answers) service.add(std::move(one));
            ear.hear(client.get("/call" + std::to_string(++calls) + "x", options));
        };
        get({echoing(422)});
        get({echoing(503), echoing(503)});
        get({saying(Errc::receive_failed), saying(Errc::connect_failed)});
        const bw::ScriptedAnswer throwing{[](const bw::Request& request) -> bw::Result<Response> {
            throw std::runtime_error{"sending " + request.url + " " + echo(request, 0).body};
        }};
        get({throwing, throwing});
        get({leading_to("https://ann:" + Ear::token("user") + "@api.test/")});
        get({leading_to("http://api.test/?token=" + Ear::token("l"))});
        get({leading_to("https://other.test/?token=" + Ear::token("l")), echoing(404)});
        ear.hear(client.get("https://ann:" + std::string{canary} + "@api.test/x"));
        ear.hear(client.get("https://other.test/x?token=" + Ear::token("t")));
        ear.hear(client.get("/y?token=" + Ear::token("t") + "#"));
        for (int i = 0; i < 3; ++i) {
            service.add(echoing(500));
            ear.hear(client.get("/" + Ear::token("path") + "/z", {.cache_ttl = 0s}));  // the third: endpoint refused
        }
        service.add(Response{.status = 200, .body = "[\"" + std::string{canary} + "\"]"});
        ear.hear(client.get_as<int>("/decoded", options));
        service.add(Response{.status = 200, .body = "oops " + std::string{canary}});
        ear.hear(client.get_as<int>("/decoded", options));
        service.add(Response{.status = 200,
                             .headers = {{"Link", "<https://other.test/?key=" + Ear::token("k") + ">; rel=next"}},
                             .body = "[]"});
        for (auto& page : client.pages("/pages"))
            if (!page) ear.hear(page.error());
        ear.hear(client.snapshot().dump());
        INFO(ear.heard());
        CHECK_FALSE(ear.has_secret());
        CHECK(ear.heard().find("***") != std::string::npos);
        CHECK(ear.heard().find("status 422: {\"url\": \"https://api.test/***/call1x?page=1&") != std::string::npos);
    }
}

TEST_CASE("a fallback and a retry rule are told no secret, either") {
    Ear ear;
    const bw::ManualClock clock;
    const bw::ScriptedTransport service{
        bw::ScriptedAnswer{[](const bw::Request& request) -> bw::Result<Response> { return echo(request, 500); }}};
    bw::ClientOptions options = options_with(bw::Bearer{Ear::token("bearer")}, ear);
    options.retry.on = [&](const bw::Error& error) {
        ear.hear(error);
        return false;
    };
    options.fallback.answer = [&](const bw::Error& error) -> bw::Result<Response> {
        ear.hear(error);
        return Response{.status = 200};
    };
    CHECK(Client{options, service, bw::MemoryStore{clock}}.get("/x"));
    CHECK(ear.heard().find("status 500: {") != std::string::npos);
    CHECK_FALSE(ear.has_secret());
}

TEST_CASE("options that are wrong are named without a secret") {
    Ear ear;
    const auto hear = [&](bw::ClientOptions options) { ear.hear(bw::ResilientClient<>::make(std::move(options))); };
    const std::string bad = std::string{canary} + "\n";
    hear({.base_url = "https://ann:" + bad + "@api.test"});
    hear({.base_url = "https://ann:" + std::string{canary} + "@api.test"});
    hear({.base_url = "https://api.test/?token=" + std::string{canary}});
    hear({.headers = {{"Authorization", bad}}});
    hear({.auth = bw::Bearer{bad}});
    hear({.auth = bw::HeaderAuth{"X-Key", bad}});
    hear({.auth = bw::Basic{std::string{canary} + ":", "x"}});
    for (const std::string text :
         {R"({"auth": {"bearer": "C4nary"}})", R"({"auth": {"basic": {"user": "ann", "password": "C4nary"}}})",
          R"({"headers": {"Authorization": "C4nary"}})", R"({"auth": {"header": {"name": "X", "value": "C4nary"}}})",
          R"({"base_url": "https://ann:C4nary@api.test"})"})
        ear.hear(bw::client_options_from_json(nlohmann::json::parse(text)));
    INFO(ear.heard());
    CHECK_FALSE(ear.has_secret());
}

TEST_CASE("an error says what a readable body says, in one bounded line; the body in it stays whole") {
    const bw::ManualClock clock;
    const bw::ScriptedTransport service{
        Response{.status = 422, .body = "{\"error\":\n\t\"sku unknown\"}"},
        Response{.status = 404, .headers = {{"Content-Type", "text/html"}}, .body = "<html>no</html>"},
        Response{.status = 404, .headers = {{"Content-Type", "image/png"}}, .body = "\x89PNG"},
        Response{.status = 400, .headers = {{"Content-Type", "application/problem+json"}}, .body = "{}"},
        Response{.status = 400, .body = std::string(9'000, 'x')},
        Response{.status = 400}};
    const Client client{bw::ClientOptions{.base_url = "https://api.test"}, service, bw::MemoryStore{clock}};
    const auto get = [&] { return client.get("/x").error(); };
    CHECK(get().message() == "GET /x: status 422: {\"error\": \"sku unknown\"}");
    CHECK(get().message() == "GET /x: status 404");
    CHECK(get().message() == "GET /x: status 404");
    CHECK(get().message() == "GET /x: status 400: {}");
    const bw::Error large = get();
    CHECK(large.message() == "GET /x: status 400: " + std::string(200, 'x') + "…");
    CHECK(large.response()->body.size() == 9'000);
    CHECK(get().message() == "GET /x: status 400");
}

TEST_CASE("no automatic header leaves the client's host: not by a redirect, not by a link to the next page") {
    const bw::ManualClock clock;
    const bw::ScriptedTransport service{Response{.status = 302, .headers = {{"Location", "https://other.test/"}}},
                                        Response{.status = 200}};
    const Client client{bw::ClientOptions{.base_url = "https://api.test",
                                          .headers = {{"X-Tenant", "t"}, {"Cookie", "c=d"}, {"Accept", "text/plain"}},
                                          .auth = bw::Bearer{"hush"},
                                          .redirects = {.cross_origin = true}},
                        service, bw::MemoryStore{clock}};
    for (auto& page : client.pages("/x", {.request = {.headers = {{"X-Own", "o"}}, .idempotency_key = bw::auto_key}}))
        CHECK(page);
    const auto sent = service.requests();
    REQUIRE(sent.size() == 2);
    CHECK(sent[0].headers.size() == 7);
    std::vector<std::string> names;
    for (const auto& header : sent[1].headers) names.push_back(header.name);
    CHECK(names == std::vector<std::string>{"Accept", "User-Agent"});
}
