#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/store/redis.hpp>
#include <breakwater/testing/scripted_transport.hpp>

#include <catch_shim.hpp>
#include <redis_cluster.hpp>
#include <soon.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::test::RedisCluster;
using test::soon;

namespace {

using Breaker = bw::CircuitBreaker<bw::AnyTrip, bw::RedisStore>;
using Limiter = bw::RateLimiter<bw::AnyAlgorithm, bw::RedisStore>;

/// A policy's name whose cells one master keeps.
std::string name_on(std::size_t master) {
    const std::string key = RedisCluster::key_of(master);
    return key.substr(1, key.find('}') - 1);
}

}  // namespace

TEST_CASE("a fleet shares in a cluster, and no call fails while a master dies and its replica takes over") {
    RedisCluster cluster;
    const bw::RedisStoreOptions options{
        .nodes = {cluster.url(0), cluster.url(1)}, .reconnect = {.base = 20ms, .cap = 200ms}, .min_reporters = 1};
    const bw::RedisStore one{options}, two{options};
    struct Service {
        Breaker circuit, other;
        Limiter limit;
    };
    std::vector<Service> services;
    for (std::size_t master = 0; master < 3; ++master) {
        const bw::CircuitBreakerOptions<> circuit{
            .name = name_on(master), .trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 60s};
        const bw::RateLimiterOptions<> limit{.name = name_on(master),
                                             .algorithm = bw::TokenBucket{.permits = 1'000'000, .burst = 1'000'000}};
        services.push_back({Breaker{circuit, one}, Breaker{circuit, two}, Limiter{limit, one}});
    }
    for (const Service& service : services) CHECK(service.limit.try_acquire());
    std::this_thread::sleep_for(1s);  // until all masters are connected: what is decided before is one process's own

    // Each circuit, wherever it is kept, opens for the other process.
    for (const Service& service : services) {
        CHECK(service.limit.try_acquire());
        for (int i = 0; i < 3; ++i) {
            auto permit = service.circuit.try_acquire();
            REQUIRE(permit);
            (void)permit->record(bw::Outcome::failure);
        }
        CHECK(soon([&] { return service.other.state() == CircuitState::open; }));
    }

    // A client's limit and its endpoints' are asked by one command, so one master must keep them.
    const auto client_of = [](const bw::RedisStore& store) {
        return bw::ResilientClient{
            bw::ClientOptions{.name = "supplier",
                              .base_url = "https://api.example.com",
                              .rate_limit = {.algorithm = bw::FixedWindow{5, 1h},
                                             .per_endpoint = {.algorithm = bw::FixedWindow{3, 1h}}}},
            bw::ScriptedTransport{std::vector<bw::ScriptedAnswer>(9, bw::Response{.status = 200})}, store};
    };
    const auto here = client_of(one), there = client_of(two);
    int stock = 0, prices = 0;
    for (int i = 0; i < 4; ++i) {
        stock += here.get("/stock").has_value() + there.get("/stock").has_value();
        prices += here.get("/prices").has_value() + there.get("/prices").has_value();
    }
    CHECK(stock == 3);
    CHECK(prices == 2);

    std::atomic<bool> over = false;
    std::atomic<int> calls = 0, refused = 0;
    std::vector<std::jthread> callers;
    for (const Service& service : services) {
        callers.emplace_back([&] {
            while (!over) {
                ++calls;
                if (!service.limit.try_acquire()) ++refused;
                std::this_thread::sleep_for(100us);
            }
        });
    }
    std::this_thread::sleep_for(100ms);
    cluster[0].kill();
    std::this_thread::sleep_for(300ms);
    for (const Service& service : services) CHECK_FALSE(service.circuit.try_acquire());
    CHECK(soon([&] {  // what was kept by the dead master is shared again
        services[0].circuit.reset();
        return services[0].other.state() == CircuitState::closed;
    }));
    over = true;
    callers.clear();
    CHECK(calls > 100);
    CHECK(refused == 0);
    CHECK(services[1].other.state() == CircuitState::open);
}
