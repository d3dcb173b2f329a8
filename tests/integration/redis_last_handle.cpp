// The last handle of a store goes while the store's own thread is busy with it.
#include <breakwater/rate_limiter.hpp>
#include <breakwater/store/redis.hpp>

#include <catch_shim.hpp>
#include <redis_server.hpp>
#include <soon.hpp>

#include <atomic>
#include <chrono>
#include <optional>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::test::RedisServer;

TEST_CASE("a store may go with its last handle in the midst of what it tells") {
    using Limiter = bw::RateLimiter<bw::TokenBucket, bw::RedisStore>;
    RedisServer server;
    std::optional<Limiter> limiter;
    std::atomic<bool> is_away = false;
    std::atomic<bool> is_gone = false;
    bw::RedisStoreOptions options{.url = "unix://" + server.socket(), .command_timeout = 500ms};
    options.observer = [&](const bw::Event& event) {  // on the store's thread, but for the first
        if (event.kind == bw::EventKind::store_degraded) is_away = true;
        if (event.kind != bw::EventKind::store_rejoined) return;
        limiter.reset();
        is_gone = true;
    };
    limiter.emplace(bw::RateLimiterOptions<bw::TokenBucket>{.name = "ledger"}, bw::RedisStore{options});
    CHECK(limiter->try_acquire());
    server.kill();
    REQUIRE(test::soon([&] { return is_away.load(); }));
    server.restart();
    CHECK(test::soon([&] { return is_gone.load(); }));
}
