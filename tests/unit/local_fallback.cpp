#include <breakwater/circuit_breaker.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/store/local_fallback.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/fault_injection/store.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include "../telling_memory.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::faults::StoreThen;

namespace {

struct Told {
    bw::EventKind kind;
    std::string name;
    std::string why;
    friend bool operator==(const Told&, const Told&) = default;
};

/// A store that can be switched off, its fallback, and the same memory as another process uses it.
template <bool TellsLatest = true>
struct World {
    using Memory = bw::MemoryStore<bw::ManualClock>;
    using Inside = std::conditional_t<TellsLatest, bw::test::TellingMemory, Memory>;
    using Inner = bw::FaultyStore<Inside>;
    using Store = bw::LocalFallback<Inner>;
    using Breaker = bw::CircuitBreaker<bw::ConsecutiveFailures, Store>;
    using Limiter = bw::RateLimiter<bw::TokenBucket, Store>;

    bw::ManualClock clock{};
    std::shared_ptr<std::vector<Told>> told = std::make_shared<std::vector<Told>>();
    Memory memory{clock};
    Inner inner{Inside{memory}};
    Store store;

    explicit World(bw::OnStoreFailure mode = bw::OnStoreFailure::local)
        : store{inner, {.name = "shelf", .on_store_failure = mode, .observer = [list = told](const bw::Event& event) {
                            list->push_back({event.kind, std::string{event.policy}, std::string{event.subject}});
                        }}} {}

    static bw::CircuitBreakerOptions<bw::ConsecutiveFailures> circuit() {
        return {.name = "service", .trip = {2}, .recovery_timeout = 60s};
    }
    static bw::RateLimiterOptions<bw::TokenBucket> limit(std::string name = "service") {
        return {.name = std::move(name), .algorithm = {.permits = 10, .period = 24h}};
    }
    Breaker breaker() const { return Breaker{circuit(), store}; }
    Limiter limiter() const { return Limiter{limit(), store}; }
    auto others_breaker() const {
        return bw::CircuitBreaker<bw::ConsecutiveFailures, bw::MemoryStore<bw::ManualClock>>{circuit(), memory};
    }
    auto others_limiter() const {
        return bw::RateLimiter<bw::TokenBucket, bw::MemoryStore<bw::ManualClock>>{limit(), memory};
    }
    /// An outage of the store.
    void fail(StoreThen how = StoreThen::no_answer) const { REQUIRE(inner.set({.faults = {{.then = how}}})); }
    std::uint64_t tries() const { return inner.snapshot().tries; }
    /// Its end, and time to ask.
    void restore() const {
        inner.off();
        clock.advance(1s);
    }
};

template <class Breaker>
void fail_twice(const Breaker& breaker) {
    for (int i = 0; i < 2; ++i) breaker.try_acquire()->record(bw::Outcome::failure);
}
template <class Limiter>
int take_all(const Limiter& limiter) {
    int taken = 0;
    while (limiter.try_acquire()) ++taken;
    return taken;
}

constexpr bw::CountingMachine::Options three{.limit = 3};
using Add = bw::CountingMachine::Add;

}  // namespace

TEST_CASE("LocalFallback is a store, and what it stands around need not be one") {
    STATIC_REQUIRE(bw::Store<World<true>::Store>);
    STATIC_REQUIRE(bw::Store<World<false>::Store>);
    STATIC_REQUIRE_FALSE(bw::Store<World<>::Inner>);
    STATIC_REQUIRE_FALSE(bw::FallibleStore<bw::MemoryStore<>>);
}

TEST_CASE("policies share the store's state while it answers") {
    const World world;
    REQUIRE(world.limiter().try_acquire(4));
    CHECK(take_all(world.others_limiter()) == 6);
    CHECK_FALSE(world.limiter().try_acquire());
    fail_twice(world.others_breaker());
    CHECK_FALSE(world.breaker().try_acquire());
    CHECK(world.told->empty());
    CHECK(world.store.is_up());
}

TEST_CASE("a store that fails fails no call: policies go on with what was seen last") {
    const World world;
    const auto limiter = world.limiter();
    REQUIRE(limiter.try_acquire(4));
    world.fail(GENERATE(StoreThen::no_answer, StoreThen::error));
    CHECK(limiter.snapshot().available == 6);
    CHECK(take_all(limiter) == 6);
    CHECK(take_all(world.others_limiter()) == 6);
    fail_twice(world.breaker());
    CHECK(world.breaker().state() == bw::CircuitState::open);
}

TEST_CASE("both edges of an outage are told once, with the store's name and what was wrong") {
    const World world;
    const auto limiter = world.limiter();
    world.fail(StoreThen::error);
    for (int i = 0; i < 3; ++i) CHECK(limiter.try_acquire());
    world.clock.advance(1s);
    CHECK(limiter.try_acquire());
    CHECK_FALSE(world.store.is_up());
    REQUIRE(*world.told ==
            std::vector<Told>{{bw::EventKind::store_degraded, "shelf", "the state store is unavailable: injected"}});
    world.restore();
    for (int i = 0; i < 3; ++i) CHECK(limiter.try_acquire());
    CHECK(world.store.is_up());
    CHECK(world.told->size() == 2);
    CHECK(world.told->back() == Told{bw::EventKind::store_rejoined, "shelf", ""});
    world.fail();
    CHECK(limiter.try_acquire());
    CHECK(world.told->back() == Told{bw::EventKind::store_degraded, "shelf", "no answer"});
}

TEST_CASE("a store that has failed is left alone, and then asked by one call at a time") {
    const World world;
    const auto limiter = world.limiter();
    const auto breaker = world.breaker();
    world.fail();
    const auto before = world.tries();
    const auto use_all = [&] {
        CHECK(limiter.try_acquire());
        CHECK(limiter.snapshot().name == "service");
        CHECK(breaker.try_acquire());
        world.store.put("page", "text", 60s);
        CHECK(world.store.get("page") == nullptr);
        world.store.erase("page");
    };
    use_all();
    CHECK(world.tries() == before + 1);
    world.clock.advance(999ms);
    use_all();
    CHECK(world.tries() == before + 1);
    world.clock.advance(1ms);
    use_all();
    use_all();
    CHECK(world.tries() == before + 2);
    world.clock.set(bw::Instant{10s});  // a clock that is set back puts nothing off for longer
    world.clock.advance(1s);
    use_all();
    CHECK(world.tries() == before + 3);
}

TEST_CASE("a store that is back has the last word") {
    const World world;
    const auto limiter = world.limiter();
    REQUIRE(limiter.try_acquire(4));
    world.fail();
    CHECK(take_all(limiter) == 6);
    CHECK(world.others_limiter().try_acquire(1));
    world.restore();
    CHECK(limiter.snapshot().available == 5);
    CHECK(take_all(limiter) == 5);
    CHECK_FALSE(world.others_limiter().try_acquire());
    world.fail();
    CHECK_FALSE(limiter.try_acquire());  // and what it said is gone on with in the next outage
}

TEST_CASE("a circuit that was open before the outage stays open, and closes by the store's word") {
    const World world;
    const auto breaker = world.breaker();
    const auto other = world.others_breaker();
    SECTION("opened here") { fail_twice(breaker); }
    SECTION("opened elsewhere, and met here") {
        fail_twice(other);
        CHECK_FALSE(breaker.try_acquire());
    }
    world.fail();
    CHECK(breaker.state() == bw::CircuitState::open);
    CHECK_FALSE(breaker.try_acquire());
    world.clock.advance(60s);
    other.try_acquire()->record(bw::Outcome::success);
    world.inner.off();
    CHECK(breaker.state() == bw::CircuitState::closed);
    CHECK(breaker.try_acquire());
}

TEST_CASE("a circuit that is open before and after the outage has one probe for all") {
    const World world;
    const auto breaker = world.breaker();
    fail_twice(breaker);
    world.fail();
    CHECK_FALSE(breaker.try_acquire());
    world.restore();
    world.clock.advance(60s);
    const auto probe = breaker.try_acquire();
    CHECK(probe);
    CHECK_FALSE(world.others_breaker().try_acquire());
}

TEST_CASE("a circuit that opens during the outage stays open for this process until its own recovery") {
    const World world;
    const auto breaker = world.breaker();
    const auto other = world.others_breaker();
    CHECK(breaker.try_acquire());
    world.fail();
    fail_twice(breaker);
    world.restore();
    CHECK(breaker.state() == bw::CircuitState::open);
    CHECK_FALSE(breaker.try_acquire());
    CHECK(world.store.is_up());
    CHECK(other.try_acquire());
    SECTION("its probe closes it, and then it is shared again") {
        world.clock.advance(60s);
        auto probe = breaker.try_acquire();
        REQUIRE(probe);
        CHECK(probe->is_probe());
        CHECK_FALSE(breaker.try_acquire());
        probe->record(bw::Outcome::success);
        CHECK(breaker.state() == bw::CircuitState::closed);
        other.try_acquire()->record(bw::Outcome::failure);
        breaker.try_acquire()->record(bw::Outcome::failure);
        CHECK(other.state() == bw::CircuitState::open);
    }
    SECTION("what becomes of it in the store later holds here, too") {
        world.clock.advance(1s);
        fail_twice(other);
        world.clock.advance(60s);
        other.try_acquire()->record(bw::Outcome::success);
        CHECK(breaker.state() == bw::CircuitState::closed);
        CHECK_FALSE(breaker.try_acquire()->is_probe());
    }
    SECTION("it stays so through the next outage") {
        world.fail();
        CHECK_FALSE(breaker.try_acquire());
    }
}

TEST_CASE("a result from before the outage is counted on either side of it") {
    const World world;
    const auto breaker = world.breaker();
    auto first = breaker.try_acquire();
    auto second = breaker.try_acquire();
    auto third = breaker.try_acquire();
    first->record(bw::Outcome::failure);
    world.fail();
    second->record(bw::Outcome::failure);
    CHECK(breaker.state() == bw::CircuitState::open);
    breaker.reset();
    world.restore();
    third->record(bw::Outcome::failure);
    CHECK(world.others_breaker().state() == bw::CircuitState::open);
}

TEST_CASE("a pause that was heard of during the outage holds to its end, and permits are the store's again") {
    const World world;
    const auto limiter = world.limiter();
    world.fail();
    limiter.pause_for(10s);
    world.restore();
    CHECK_FALSE(limiter.try_acquire());
    CHECK(world.others_limiter().try_acquire(4));
    world.clock.advance(9s);
    CHECK(take_all(limiter) == 6);
}

TEST_CASE("a store that does not tell what it saw last is read now and then, for what to go on with") {
    const World<false> world;
    const auto limiter = world.limiter();
    REQUIRE(limiter.try_acquire(4));
    const auto before = world.tries();
    CHECK(limiter.try_acquire(1));
    CHECK(world.tries() == before + 1);  // not this time
    CHECK(world.others_limiter().try_acquire(2));
    world.clock.advance(1s);
    CHECK(limiter.try_acquire(1));
    const auto after = world.tries();
    CHECK(after > before + 2);
    world.fail();
    CHECK(take_all(limiter) == 2);

    const auto breaker = world.breaker();
    world.restore();
    fail_twice(world.others_breaker());
    CHECK_FALSE(breaker.try_acquire());
    world.fail();
    CHECK_FALSE(breaker.try_acquire());
}

TEST_CASE("steps are taken together by the store, and here without it") {
    const World world;
    const auto full = world.store.cell<bw::CountingMachine>("kind", "full", three);
    const auto empty = world.store.cell<bw::CountingMachine>("kind", "empty", three);
    const auto take_both = [&] {
        bw::LazyNow now{world.clock};
        return world.store.apply(now, bw::Step{*empty, three, Add{}}, bw::Step{*full, three, Add{}});
    };
    for (int i = 0; i < 3; ++i) {
        bw::LazyNow now{world.clock};
        REQUIRE(world.store.apply(bw::Step{*full, three, Add{}}, now));
    }
    const auto before = world.tries();
    CHECK(take_both() == std::tuple{std::optional{true}, std::optional{false}});
    CHECK(world.tries() == before + 1);
    world.fail();
    CHECK(take_both() == std::tuple{std::optional{true}, std::optional{false}});
    CHECK(world.tries() == before + 2);
    CHECK(world.store.peek(*empty).count == 0);
    CHECK(world.store.peek(*full).count == 3);
}

TEST_CASE("a cell without a name is this process's: the store is not asked") {
    const World world;
    const World<>::Limiter limiter{World<>::limit(""), world.store};
    CHECK(take_all(limiter) == 10);
    CHECK(limiter.snapshot().available == 0);
    const World<>::Limiter another{World<>::limit(""), world.store};
    CHECK(another.try_acquire());
    CHECK(world.tries() == 0);
}

TEST_CASE("blobs are the store's: without it there are none") {
    const World world;
    world.store.put("page", "text", 60s);
    REQUIRE(world.store.get("page"));
    world.fail();
    CHECK(world.store.get("page") == nullptr);
    CHECK(world.told->size() == 1);
    world.store.put("other", "text", 60s);
    world.store.erase("page");
    world.restore();
    REQUIRE(world.store.get("page"));
    CHECK(*world.store.get("page") == "text");
    CHECK(world.store.get("other") == nullptr);
    world.fail();
    world.store.put("other", "text", 60s);
    CHECK(world.told->size() == 3);
    world.restore();
    world.store.erase("page");
    CHECK(world.store.get("page") == nullptr);
}

TEST_CASE("a store that fails closed has every call refused until it is back") {
    const World world{bw::OnStoreFailure::closed};
    const auto limiter = world.limiter();
    const auto breaker = world.breaker();
    const bw::Pipeline guard{breaker, limiter};
    CHECK(guard.run([] { return 1; }));
    CHECK_FALSE(world.store.refuses_all());
    world.fail();
    CHECK(limiter.try_acquire().error().code() == bw::Errc::store_unavailable);  // the call at the onset, too
    CHECK(world.store.refuses_all());
    CHECK(breaker.try_acquire().error().code() == bw::Errc::store_unavailable);
    CHECK(guard.run([] { return 1; }).error().is_refusal(bw::Errc::store_unavailable));
    world.restore();
    CHECK(limiter.snapshot().available == 9);
    CHECK(guard.run([] { return 1; }));
    CHECK_FALSE(world.store.refuses_all());
}

TEST_CASE("a store that fails open has every call let through, and nothing is counted") {
    const World world{bw::OnStoreFailure::open};
    const auto limiter = world.limiter();
    const auto breaker = world.breaker();
    CHECK(take_all(limiter) == 10);
    fail_twice(breaker);
    world.fail();
    for (int i = 0; i < 20; ++i) {
        CHECK(limiter.try_acquire());
        auto permit = breaker.try_acquire();
        REQUIRE(permit);
        permit->record(bw::Outcome::failure);
    }
    CHECK_FALSE(world.store.refuses_all());
    world.restore();
    CHECK_FALSE(limiter.try_acquire());
    CHECK_FALSE(breaker.try_acquire());
}

TEST_CASE("a circuit that changes its options in the outage goes on by them") {
    const World world;
    const auto breaker = world.breaker();
    world.fail(StoreThen::error);
    auto options = World<>::circuit();
    options.trip = {3};
    REQUIRE(breaker.reconfigure(options));
    fail_twice(breaker);
    CHECK(breaker.state() == bw::CircuitState::closed);
    breaker.try_acquire()->record(bw::Outcome::failure);
    CHECK(breaker.state() == bw::CircuitState::open);
}

TEST_CASE("threads that meet a failing store lose no decision of the outage") {
    const World world;
    const bw::CountingMachine::Options many{.limit = 1'000'000};
    const auto counted = world.store.cell<bw::CountingMachine>("kind", "shared", many);
    for (int outage = 0; outage < 20; ++outage) {
        world.fail();
        const auto before = world.memory.cell<bw::CountingMachine>("kind", "shared", many)->peek().count;
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                for (int k = 0; k < 50; ++k) {
                    bw::LazyNow now{world.clock};
                    world.store.apply(bw::Step{*counted, many, Add{}}, now);
                }
            });
        threads.clear();
        CHECK(world.store.peek(*counted).count == before + 200);
        world.restore();
        CHECK(world.store.peek(*counted).count == before);
        bw::LazyNow now{world.clock};
        CHECK(world.store.apply(bw::Step{*counted, many, Add{}}, now));
    }
    CHECK(world.told->size() == 40);
}

TEST_CASE("a time to leave the store alone that makes no sense is refused") {
    const World world;
    const auto with = [&](bw::Duration retry_after) {
        return [&world, retry_after] { World<>::Store{world.inner, {.retry_after = retry_after}}; };
    };
    CHECK_NOTHROW(with(1ms)());
    CHECK_THROWS_WITH(with(0s)(), "local_fallback.retry_after: must be 1ms to 24h, got 0s");
    CHECK_THROWS_AS(with(25h)(), bw::Exception);
    CHECK(World<>::Store::make(world.inner, {.retry_after = 25h}).error().code() == bw::Errc::invalid_options);
    CHECK(World<>::Store::make(world.inner));
}
