// Clients in several processes, here with a store each, that share one cache and so make one call for all.
#include "raw_server.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/store/redis.hpp>

#include <catch_shim.hpp>
#include <redis_server.hpp>
#include <soon.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <string>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::test::Connection;
using bw::test::RawServer;
using bw::test::RedisServer;

namespace {

using Client = bw::ResilientClient<bw::CurlTransport, bw::RedisStore>;

/// Answers with a number and `status` once it is let.
struct Service {
    explicit Service(int status = 200)
        : server{RawServer::http([this, status](Connection& c, const std::string&) {
              const int number = ++requests;
              may_answer.wait();
              return c.send(bw::test::answer(status, std::to_string(number)));
          })} {}

    Client client(const RedisServer& redis) const {
        const bw::ClientOptions options{
            .name = "prices", .base_url = server->url(""), .retry = {.max_retries = 0}, .cache = {.ttl = 60s}};
        const bw::RedisStore store{
            {.url = "unix://" + redis.socket(), .command_timeout = 2s, .secret = std::string(32, 's')}};
        (void)store.get("x");  // connects
        REQUIRE(test::soon([&] { return store.is_up(); }));
        return Client{options, bw::CurlTransport{}, store};
    }

    std::atomic<int> requests = 0;
    std::latch may_answer{1};
    std::unique_ptr<RawServer> server;
};

}  // namespace

TEST_CASE("processes that share the cache make one call for all") {
    const RedisServer redis;
    Service service;
    const Client first = service.client(redis);
    const Client second = service.client(redis);
    const auto get = [](const Client& client) { return client.get("/milk"); };
    auto leader = std::async(std::launch::async, get, first);
    REQUIRE(test::soon([&] { return service.requests == 1; }));
    auto follower = std::async(std::launch::async, get, second);
    CHECK(follower.wait_for(200ms) == std::future_status::timeout);
    CHECK(service.requests == 1);
    service.may_answer.count_down();
    const auto told = leader.get();
    REQUIRE(told);
    CHECK(told->source == bw::Source::network);
    const auto shared = follower.get();
    REQUIRE(shared);
    CHECK(shared->source == bw::Source::coalesced);
    CHECK(shared->body == told->body);
    CHECK(service.requests == 1);
}

TEST_CASE("when the process that makes the call has failed another one makes it") {
    const RedisServer redis;
    Service service{503};
    const Client first = service.client(redis);
    const Client second = service.client(redis);
    const auto get = [](const Client& client) { return client.get("/milk"); };
    auto leader = std::async(std::launch::async, get, first);
    REQUIRE(test::soon([&] { return service.requests == 1; }));
    auto follower = std::async(std::launch::async, get, second);
    CHECK(follower.wait_for(100ms) == std::future_status::timeout);
    service.may_answer.count_down();
    CHECK(leader.get().error().status() == 503);
    CHECK(follower.get().error().status() == 503);
    CHECK(service.requests == 2);
}
