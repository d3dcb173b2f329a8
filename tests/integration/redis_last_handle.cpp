// The last handle of a store goes while the store's own thread is busy with it.
#include <breakwater/rate_limiter.hpp>
#include <breakwater/store/redis.hpp>

#include <catch_shim.hpp>
#include <redis_server.hpp>
#include <soon.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::test::RedisServer;

TEST_CASE("a store may go with its last handle in the midst of what it tells") {
    using Limiter = bw::RateLimiter<bw::TokenBucket, bw::RedisStore>;
    RedisServer server;
    std::optional<Limiter> limiter;
    std::atomic<bool> is_gone = false;
    bw::RedisStoreOptions options{
        .url = "unix://" + server.socket(), .command_timeout = 500ms, .heartbeat_interval = 50ms};
    options.observer = [&](const bw::Event& event) {
        if (event.kind != bw::EventKind::store_lost) return;
        limiter.reset();
        is_gone = true;
    };
    limiter.emplace(bw::RateLimiterOptions<bw::TokenBucket>{.name = "ledger"}, bw::RedisStore{options});
    CHECK(limiter->try_acquire());
    CHECK(test::soon([&] {  // it has to have been heard of before
        std::this_thread::sleep_for(300ms);
        if (!is_gone) server.restart();
        return is_gone.load();
    }));
}
