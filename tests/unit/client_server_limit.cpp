#include <breakwater/client/from_json.hpp>
#include <breakwater/observe/log.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::HeedServer;

namespace {

using Store = test::ScriptedStore;
using Client = test::ScriptedClient;

struct World {
    Client client(bw::ClientRateLimitOptions limit = {}, bw::Observer observer = {}) const {
        return Client{bw::ClientOptions{.name = "dairy",
                                        .base_url = "http://api.test",
                                        .rate_limit = std::move(limit),
                                        .retry = {.max_retries = 0},
                                        .observer = std::move(observer)},
                      service, store};
    }
    void answer(int status, bw::Headers headers = {}) const {
        service.add(bw::Response{.status = status, .headers = std::move(headers)});
    }

    bw::ManualClock clock;
    Store store{clock};
    bw::ScriptedTransport service;
};

bw::Headers quota(std::string remaining, std::string reset) {
    return {{"X-RateLimit-Remaining", std::move(remaining)}, {"X-RateLimit-Reset", std::move(reset)}};
}

/// When a call is refused; zero if it is not.
bw::Duration refused_for(const Client& client, std::string_view target = "/x") {
    const auto result = client.get(target);
    if (result) return 0s;
    CHECK(result.error().is_refusal(Errc::rate_limited));
    CHECK(result.error().attempts() == 0);
    return result.error().retry_after().value_or(-1s);
}

}  // namespace

TEST_CASE("a good answer that says nothing is left stops the client before the 429") {
    for (const bw::Headers& headers :
         {bw::Headers{{"RateLimit", R"("default";r=0;t=20)"}}, quota("0", "20"),
          bw::Headers{{"RateLimit", R"("default";r=0)"}, {"RateLimit-Policy", R"("default";q=10;w=20)"}},
          bw::Headers{{"Date", "Mon, 01 Jul 2024 12:00:00 GMT"},
                      {"X-Rate-Limit-Remaining", "0"},
                      {"X-Rate-Limit-Reset", "1719835220"}}}) {
        const World world;
        world.answer(200, headers);
        world.answer(200);
        const Client client = world.client();
        const Client other = world.client();  // of the same name and store
        CHECK(client.get("/x"));
        CHECK(refused_for(client) == 20s);
        CHECK(refused_for(other) == 20s);
        CHECK(world.service.count() == 1);
        world.clock.advance(20s);
        CHECK(client.get("/x"));
    }
}

TEST_CASE("an error answer is heeded as well, whatever its status") {
    for (const int status : {403, 404, 429, 500, 503}) {
        const World world;
        world.answer(status, quota("0", "20"));
        const Client client = world.client();
        CHECK_FALSE(client.get("/x"));
        CHECK(refused_for(client) == 20s);
    }
}

TEST_CASE("a Retry-After outranks what is said about the quota") {
    const World world;
    bw::Headers headers = quota("0", "20");
    headers.add("Retry-After", "5");
    world.answer(429, headers);
    world.answer(200, headers);  // there it means nothing
    const Client client = world.client();
    CHECK_FALSE(client.get("/x"));
    CHECK(refused_for(client) == 5s);
    world.clock.advance(5s);
    CHECK(client.get("/x"));
    CHECK(refused_for(client) == 20s);
}

TEST_CASE("no header pauses for longer than max_pause") {
    const World world;
    world.answer(200, quota("0", "30000000"));
    const Client client = world.client({.max_pause = 1min});
    CHECK(client.get("/x"));
    CHECK(refused_for(client) == 1min);
}

TEST_CASE("the pause begins once, is told once and has a line in the log") {
    const World world;
    std::vector<std::string> lines;
    int pauses = 0;
    const Client client = world.client({}, [&](const bw::Event& event) {
        if (event.kind != bw::EventKind::limiter_paused) return;
        ++pauses;
        lines.push_back(bw::log_line(event));
    });
    world.answer(200, quota("0", "20"));
    CHECK(client.get("/x"));
    CHECK(refused_for(client) == 20s);
    CHECK(lines == std::vector<std::string>{"rate limit dairy: paused for 20 s (asked by the service)"});
    CHECK(pauses == 1);
}

TEST_CASE("a quota that is not spent changes nothing unless it is to be spent down") {
    const World world;
    for (int left = 2; left >= 1; --left) world.answer(200, quota(std::to_string(left), "20"));
    world.answer(200);
    world.answer(200);
    const Client client = world.client();
    for (int i = 0; i < 4; ++i) CHECK(client.get("/x"));
}

TEST_CASE("a quota to be spent down is never overrun, even if the answers stop telling") {
    const World world;
    world.answer(200, quota("2", "20"));
    for (int i = 0; i < 3; ++i) world.answer(200);
    const Client client = world.client({.heed_server = HeedServer::spend_down});
    for (int i = 0; i < 3; ++i) CHECK(client.get("/x"));
    CHECK(refused_for(client) == 20s);
    CHECK(client.snapshot()["rate_limit"]["available"] == 0);
    world.clock.advance(20s);
    CHECK(client.get("/x"));
}

TEST_CASE("others who share the quota make it smaller, never larger") {
    const World world;
    for (const char* left : {"50", "7", "1", "9"}) world.answer(200, quota(left, "20"));
    const Client client = world.client({.heed_server = HeedServer::spend_down});
    for (int i = 0; i < 3; ++i) CHECK(client.get("/x"));
    CHECK(client.rate_limiter().snapshot().available == 1);
    CHECK(client.get("/x"));
    CHECK(refused_for(client) == 20s);
}

TEST_CASE("what the service says is heeded by the endpoint alone if endpoints are limited") {
    const World world;
    world.answer(200, quota("0", "20"));
    world.answer(200);
    std::vector<std::string> paused;
    const Client client = world.client({.per_endpoint = {.algorithm = bw::FixedWindow{.permits = 9, .window = 1min}}},
                                       [&](const bw::Event& event) {
                                           if (event.kind == bw::EventKind::limiter_paused)
                                               paused.emplace_back(event.policy);
                                       });
    CHECK(client.get("/a"));
    CHECK(refused_for(client, "/a") == 20s);
    CHECK(client.get("/b"));
    CHECK(paused == std::vector<std::string>{"dairy GET /a"});
}

TEST_CASE("switched off, no header but Retry-After pauses") {
    const World world;
    world.answer(200, quota("0", "20"));
    world.answer(429, {{"Retry-After", "5"}});
    const Client client = world.client({.heed_server = HeedServer::off});
    CHECK(client.get("/x"));
    CHECK_FALSE(client.get("/x"));
    CHECK(refused_for(client) == 5s);
}

TEST_CASE("how headers are heeded can be read from JSON") {
    const auto read = [](const char* text) { return bw::client_options_from_json(nlohmann::json::parse(text)); };
    CHECK(read("{}")->rate_limit.heed_server == HeedServer::when_spent);
    CHECK(read(R"({"rate_limit": {"heed_server": "off"}})")->rate_limit.heed_server == HeedServer::off);
    CHECK(read(R"({"rate_limit": {"heed_server": "when_spent"}})")->rate_limit.heed_server == HeedServer::when_spent);
    CHECK(read(R"({"rate_limit": {"heed_server": "spend_down"}})")->rate_limit.heed_server == HeedServer::spend_down);
    CHECK(read(R"({"rate_limit": {"heed_server": true}})").error().detail() ==
          R"(rate_limit.heed_server: must be one of "off", "when_spent", "spend_down", got true)");
}
