#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/redis.hpp>

#include <catch_shim.hpp>
#include <redis_server.hpp>
#include <sanitized.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

struct Usage {
    std::ptrdiff_t descriptors = 0;
    std::ptrdiff_t threads = 0;
    std::size_t bytes = 0;

    static Usage now() {
        const auto entries = [](const char* path) {
            return std::distance(std::filesystem::directory_iterator{path}, std::filesystem::directory_iterator{});
        };
        std::size_t pages = 0;
        std::ifstream{"/proc/self/statm"} >> pages >> pages;
        return {entries("/proc/self/fd"), entries("/proc/self/task"),
                pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))};
    }
};

/// Four threads call through everything that is shared while the server is killed and restarted `rounds` times.
void soak(int rounds, bw::Duration each) {
    bw::test::RedisServer server;
    const bw::RedisStore store{{.url = "unix://" + server.socket(),
                                .reconnect = {.base = 10ms, .cap = 100ms},
                                .lease = 16,
                                .secret = "0123456789abcdef0123456789abcdef"}};
    const bw::CircuitBreaker breaker{bw::CircuitBreakerOptions<>{.name = "soak", .trip = bw::FailureRate{.ratio = 0.9}},
                                     store};
    const bw::RateLimiter limiter{
        bw::RateLimiterOptions<>{.name = "soak",
                                 .algorithm = bw::TokenBucket{.permits = 1'000'000, .burst = 1'000'000}},
        store};
    const bw::RetryBudget budget{bw::RetryBudgetOptions{.name = "soak"}, store};
    const bw::Pipeline guard{bw::Retry{{.max_retries = 1, .backoff = {.base = 1ms, .cap = 2ms}}, budget}, breaker,
                             limiter};

    std::atomic<bool> over = false;
    std::atomic<std::size_t> calls = 0, failed = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (std::size_t n = 0; !over; ++n) {
                const bool stumbles = n % 8 == 0;  // and is retried
                bool first = true;
                const auto result = guard.run([&]() -> bw::Result<int> {
                    if (stumbles && std::exchange(first, false)) return bw::fail(bw::Errc::connect_failed);
                    return 1;
                });
                ++calls;
                if (!result && result.error().code() != bw::Errc::connect_failed) ++failed;
                store.put("key " + std::to_string(t), "value", 10s);
                (void)store.get("key " + std::to_string(t));
                std::this_thread::sleep_for(200us);
            }
        });
    }
    std::this_thread::sleep_for(each);
    server.kill();
    std::this_thread::sleep_for(each);
    server.restart();
    std::this_thread::sleep_for(each);
    const Usage before = Usage::now();
    for (int round = 0; round < rounds; ++round) {
        server.kill();
        std::this_thread::sleep_for(each / 2);
        server.restart();
        std::this_thread::sleep_for(each / 2);
    }
    std::this_thread::sleep_for(500ms);
    const Usage after = Usage::now();
    over = true;
    threads.clear();
    INFO(calls << " calls");
    CHECK(calls > 1'000);
    CHECK(failed == 0);
    CHECK(store.is_up());
    CHECK(after.threads == before.threads);
    CHECK(after.descriptors <= before.descriptors + 1);
    if (!test::under_address_sanitizer && !test::under_thread_sanitizer)
        CHECK(after.bytes < before.bytes + (std::size_t{8} << 20));
}

}  // namespace

TEST_CASE("calls go on while the server is killed and restarted, and nothing grows") { soak(3, 500ms); }

TEST_CASE("calls go on while the server is killed and restarted for a minute, and nothing grows", "[.deep]") {
    soak(12, 5s);
}
