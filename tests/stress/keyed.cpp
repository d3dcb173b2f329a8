#include <breakwater/keyed.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>
#include <stress/on_threads.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using test::on_threads;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;

}  // namespace

TEST_CASE("threads that find, make and evict keys take each key's permits once, and those of the shared one") {
    constexpr std::size_t keys = 64;
    constexpr std::int64_t permits = 40;
    for (const std::size_t max_keys : {8U, 32U, 64U}) {
        CAPTURE(max_keys);
        const bw::ManualClock clock;  // stands still: nothing that was taken comes back
        const bw::KeyedRateLimiter<bw::TokenBucket, Store> limiter{
            {.each = {.algorithm = {.permits = permits, .period = 1h}}, .max_keys = max_keys}, Store{clock}};
        std::atomic<std::int64_t> taken{0};
        on_threads(4, [&](unsigned thread) {
            std::mt19937_64 random{thread};
            for (int i = 0; i < 5'000; ++i) {
                const std::string key = std::to_string(random() % keys);
                taken += limiter.try_acquire(key).has_value();
                if (i % 512 == 0) (void)limiter.snapshot(4);
            }
        });
        const auto counts = limiter.snapshot(0).counts;
        CHECK(counts.keys <= max_keys);
        CHECK(counts.evicted == 0);
        // Every place is used up, and so is the shared one if it was needed.
        const auto places = static_cast<std::int64_t>(max_keys + (max_keys < keys ? 1 : 0));
        CHECK(taken == places * permits);
    }
}

TEST_CASE("a place that changes its key all the time never gives one key's value to another") {
    bw::KeyedTable<std::uint64_t> table{8, [] { return std::uint64_t{0}; }};
    std::atomic<std::uint64_t> wrong{0};
    std::atomic<std::uint64_t> found{0};
    on_threads(4, [&](unsigned thread) {
        std::mt19937_64 random{thread};
        for (int i = 0; i < 20'000; ++i) {
            const std::uint64_t number = 1 + random() % 32;
            const std::string key = std::to_string(number);
            const bw::KeyHash hash = table.hash(key);
            auto pin = table.find(hash);
            found += static_cast<bool>(pin);
            if (!pin) {
                pin = table.insert(
                    hash, key, {}, [](std::uint64_t&) noexcept { return true; }, [&]() noexcept { return number; });
            }
            wrong += *pin != 0 && (*pin != number || pin.label() != key);
        }
    });
    CHECK(wrong == 0);
    CHECK(found > 100);
    CHECK(table.counts().evicted > 100);
    CHECK(table.counts().keys == 8);
}

TEST_CASE("circuits by key come and go under threads, and the dead key's stays open") {
    const bw::ManualClock clock;
    const bw::KeyedCircuitBreaker<bw::AnyTrip, Store> breaker{
        {.each = {.trip = bw::ConsecutiveFailures{1}}, .max_keys = 8}, Store{clock}};
    const bw::Pipeline guard{breaker};
    (void)guard.run([]() -> bw::Result<int> { return bw::fail(bw::Errc::failure); }, {.key = "dead"});
    std::atomic<int> reached{0};
    std::atomic<int> refused{0};
    on_threads(4, [&](unsigned thread) {
        std::mt19937_64 random{thread};
        for (int i = 0; i < 2'000; ++i) {
            const std::string key = std::to_string(random() % 32);
            refused += !guard.run([] { return 1; }, {.key = key}).has_value();
            if (i % 4 == 0) reached += guard.run([] { return 1; }, {.key = "dead"}).has_value();
        }
    });
    CHECK(refused == 0);
    CHECK(reached == 0);
    CHECK(breaker.snapshot().counts.evicted > 10);
}
