#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <type_traits>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CountingMachine;
using bw::LazyNow;
using bw::ManualClock;
using bw::MemoryStore;
using bw::Step;

namespace {

using Store = MemoryStore<ManualClock>;

constexpr CountingMachine::Options three{.limit = 3};

auto counter(const Store& store, const std::string& name) {
    return store.cell<CountingMachine>("counter", name, three);
}
bool add(const Store& store, const std::shared_ptr<Store::Cell<CountingMachine>>& cell) {
    LazyNow now{store.clock()};
    return store.apply(Step{*cell, three, CountingMachine::Add{}}, now);
}

/// Counts how often it is read.
struct CountingClock {
    std::shared_ptr<std::atomic<int>> reads = std::make_shared<std::atomic<int>>(0);

    bw::Instant now() const noexcept {
        ++*reads;
        return bw::Instant{1h};
    }
    bw::Wait wait_until(bw::Instant, const std::stop_token&) const { return bw::Wait::elapsed; }
    friend bool operator==(const CountingClock&, const CountingClock&) = default;
};

static_assert(bw::memory::fits_word<CountingMachine>);
static_assert(bw::memory::fits_word<bw::RateMachine<bw::TokenBucket>>);
static_assert(bw::memory::fits_word<bw::PauseMachine>);
static_assert(!bw::memory::fits_word<bw::CircuitMachine<bw::ConsecutiveFailures>>);
static_assert(std::is_same_v<decltype(MemoryStore{}), MemoryStore<bw::SteadyClock>>);
static_assert(std::is_same_v<decltype(MemoryStore{ManualClock{}}), Store>);

}  // namespace

TEST_CASE("each memory store is a world of its own, and copies are the same world") {
    const ManualClock clock;
    const Store one{clock};
    const Store copy = one;
    const Store other{clock};
    CHECK(add(one, counter(one, "a")));
    CHECK(copy.peek(*counter(copy, "a")).count == 1);
    CHECK(other.peek(*counter(other, "a")).count == 0);
    one.put("key", "value", 1s);
    CHECK(copy.get("key") != nullptr);
    CHECK(other.get("key") == nullptr);
}

TEST_CASE("a memory store tells the time of the clock it was given") {
    const ManualClock clock;
    const Store store{clock};
    CHECK(store.clock() == clock);
    clock.advance(5s);
    CHECK(store.clock().now() == clock.now());
}

TEST_CASE("a cell works when its store is gone") {
    std::optional<Store> store{ManualClock{}};
    const auto cell = counter(*store, "a");
    CHECK(add(*store, cell));
    store.reset();
    const Store unrelated{ManualClock{}};
    CHECK(add(unrelated, cell));
    CHECK(unrelated.peek(*cell).count == 2);
}

TEST_CASE("a named cell that nobody has used for the idle time is forgotten") {
    const ManualClock clock;
    const Store store{clock, {.idle_ttl = 1h}};
    add(store, counter(store, "idle"));
    const auto held = counter(store, "held");
    add(store, held);
    store.expire_idle();  // finds it idle: the time begins to count
    CHECK(store.cell_count() == 2);
    clock.advance(1h - 1us);
    store.expire_idle();
    CHECK(store.peek(*counter(store, "idle")).count == 1);  // used again: the time starts over

    clock.advance(1us);
    store.expire_idle();
    CHECK(store.cell_count() == 2);
    clock.advance(1h);
    store.expire_idle();
    CHECK(store.cell_count() == 1);
    CHECK(store.peek(*counter(store, "idle")).count == 0);
    CHECK(store.peek(*counter(store, "held")).count == 1);
}

TEST_CASE("idle cells go by themselves as new ones come, so that keys do not grow for ever") {
    const ManualClock clock;
    const Store store{clock, {.idle_ttl = 1min}};
    for (int i = 0; i < 10'000; ++i) {
        counter(store, "user " + std::to_string(i));
        clock.advance(1s);
    }
    CHECK(store.cell_count() < 1'000);
}

TEST_CASE("a cell without a name is nobody else's and is not kept") {
    const Store store{ManualClock{}};
    const auto one = counter(store, "");
    CHECK(add(store, one));
    CHECK(store.peek(*counter(store, "")).count == 0);
    CHECK(store.cell_count() == 0);
}

TEST_CASE("blobs beyond the byte bound go, the least recently used first") {
    const Store store{ManualClock{}, {.max_blob_bytes = 10'000}};
    const std::string kilobyte(1'000, 'x');
    for (int i = 0; i < 8; ++i) store.put("key" + std::to_string(i), kilobyte, 1h);
    CHECK(store.blob_bytes() > 8'000);
    CHECK(store.blob_bytes() <= 10'000);
    CHECK(store.get("key0") != nullptr);  // used: now key1 is the oldest
    store.put("key8", kilobyte, 1h);
    CHECK(store.get("key1") == nullptr);
    CHECK(store.get("key0") != nullptr);
    CHECK(store.get("key2") != nullptr);
    CHECK(store.blob_bytes() <= 10'000);
    for (int i = 0; i < 1'000; ++i) {
        store.put("many" + std::to_string(i), kilobyte, 1h);
        REQUIRE(store.blob_bytes() <= 10'000);
    }
    CHECK(store.get("key0") == nullptr);
    CHECK(store.get("many999") != nullptr);
}

TEST_CASE("a blob larger than the whole bound is not kept, and neither is what it replaces") {
    const Store store{ManualClock{}, {.max_blob_bytes = 1'000}};
    store.put("small", "value", 1h);
    store.put("key", "value", 1h);
    store.put("key", std::string(1'001, 'x'), 1h);
    CHECK(store.get("key") == nullptr);
    CHECK(store.get("small") != nullptr);
}

TEST_CASE("keys count towards the byte bound, so that empty values do not grow for ever") {
    const Store store{ManualClock{}, {.max_blob_bytes = 10'000}};
    for (int i = 0; i < 1'000; ++i) store.put("key" + std::to_string(i), "", 1h);
    CHECK(store.blob_bytes() <= 10'000);
    CHECK(store.get("key0") == nullptr);
}

TEST_CASE("erased, replaced and expired blobs give their bytes back") {
    const ManualClock clock;
    const Store store{clock};
    CHECK(store.blob_bytes() == 0);
    store.put("a", std::string(1'000, 'x'), 1s);
    const std::size_t once = store.blob_bytes();
    store.put("a", std::string(1'000, 'y'), 1s);
    CHECK(store.blob_bytes() == once);
    store.erase("a");
    CHECK(store.blob_bytes() == 0);
    store.put("a", std::string(1'000, 'x'), 1s);
    clock.advance(1s);
    CHECK(store.get("a") == nullptr);
    CHECK(store.blob_bytes() == 0);
}

TEST_CASE("a blob may be kept for ever") {
    const ManualClock clock;
    const Store store{clock};
    store.put("a", "value", bw::Duration::max());
    clock.advance(24h * 365 * 100);
    CHECK(store.get("a") != nullptr);
}

TEST_CASE("a circuit that is closed and succeeds reads no clock") {
    const CountingClock clock;
    const MemoryStore store{clock};
    const bw::CircuitBreaker<bw::ConsecutiveFailures, MemoryStore<CountingClock>> breaker{{}, store};
    const bw::Pipeline guard{breaker};
    for (int i = 0; i < 10; ++i) CHECK(guard.run([] { return 1; }));
    CHECK(*clock.reads == 0);
}

TEST_CASE("a call reads a clock once before its attempt, however many policies ask for the time") {
    const CountingClock clock;
    const MemoryStore store{clock};
    const bw::Pipeline guard{bw::Deadline{2s}, bw::Retry{},
                             bw::CircuitBreaker<bw::ConsecutiveFailures, MemoryStore<CountingClock>>{{}, store},
                             bw::RateLimiter{bw::TokenBucket{.permits = 1'000}, store}};
    for (int i = 0; i < 10; ++i) CHECK(guard.run([] { return 1; }));
    CHECK(*clock.reads == 10);
}
