#pragma once

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/store/store.hpp>
#include <catch_shim.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace breakwater::test {

/// A store to be tested, in a world of its own. `store` is a handle to it, `advance(by)` makes its time pass (by
/// waiting, if there is no other way), and `unit` is a span that the store can tell from none and from two.
template <class W>
concept StoreWorld = std::default_initializable<W> && Store<decltype(W::store)> && requires(W& world, Duration by) {
    world.advance(by);
    { W::unit } -> std::convertible_to<Duration>;
};

/// A state of more than a word; remembers who added what. Its layout is an option.
struct LedgerMachine {
    struct State {
        std::array<std::uint64_t, 8> entries{};
        std::uint64_t sum = 0;
        Instant last{};
        friend bool operator==(const State&, const State&) = default;
    };
    struct Options {
        std::uint64_t limit = 100;
        std::string form = "ledger";
    };
    struct Add {
        std::uint64_t amount = 1;
        std::size_t entry = 0;
    };
    struct Remove {
        std::uint64_t amount = 1;
        std::size_t entry = 0;
    };
    struct Decision {
        bool added = false;
        std::uint64_t sum = 0;
    };

    static State make_state(const Options&) { return {}; }
    static std::string layout(const Options& options) { return options.form; }
    static Decision apply(State& state, const Options& options, const Add& add, Instant now) noexcept {
        if (state.sum + add.amount > options.limit) return {false, state.sum};
        state.entries[add.entry] += add.amount;
        state.sum += add.amount;
        state.last = now;
        return {true, state.sum};
    }
    static Decision apply(State& state, const Options&, const Remove& remove, Instant now) noexcept {
        state.entries[remove.entry] -= remove.amount;
        state.sum -= remove.amount;
        state.last = now;
        return {true, state.sum};
    }
    static bool is_refusal(const Decision& decision) noexcept { return !decision.added; }
    static Remove undo(const Add& add, const Decision&) noexcept { return {add.amount, add.entry}; }
};

/// Runs `work(i)` on each of `count` threads at once.
template <class F>
void on_threads(int count, F work) {
    std::atomic<bool> go = false;
    std::vector<std::jthread> threads;
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            while (!go) std::this_thread::yield();
            work(i);
        });
    go = true;
}

/// How often each of four threads writes in a test: fewer times if the world of a slow store says so.
template <StoreWorld W>
consteval std::uint32_t thread_rounds() {
    if constexpr (requires { W::thread_rounds; })
        return W::thread_rounds;
    else
        return 20'000;
}

/// The promises of the concept `Store`, as sections of the test case that calls this.
template <StoreWorld W>
void check_store_contract() {
    W world;
    const auto& store = world.store;
    const CountingMachine::Options three{.limit = 3};
    const LedgerMachine::Options hundred{};
    const auto apply = [&](const auto& step) {
        LazyNow now{store.clock()};
        return store.apply(step, now);
    };
    const auto apply_all = [&](const auto&... steps) {
        LazyNow now{store.clock()};
        return store.apply(now, steps...);
    };
    const auto cell = [&](const char* name) { return store.template cell<CountingMachine>("kind", name, three); };
    const auto ledger = [&](const char* name) { return store.template cell<LedgerMachine>("kind", name, hundred); };
    const auto count = [&](const auto& counted) { return store.peek(*counted).count; };

    SECTION("the same kind, name and layout is the same cell") {
        const auto one = cell("a");
        const auto again = cell("a");
        CHECK(apply(Step{*one, three, CountingMachine::Add{}}));
        CHECK(count(again) == 1);
        const auto copy = store;
        CHECK(count(copy.template cell<CountingMachine>("kind", "a", three)) == 1);
        // Other options of the same layout are the same cell too; each caller's own options hold for it.
        const CountingMachine::Options one_only{.limit = 1};
        const auto strict = store.template cell<CountingMachine>("kind", "a", one_only);
        CHECK_FALSE(apply(Step{*strict, one_only, CountingMachine::Add{}}));
        CHECK(apply(Step{*strict, three, CountingMachine::Add{}}));
        CHECK(count(one) == 2);
    }
    SECTION("another kind, name, layout or machine is another cell, and an empty name is a cell of its own") {
        const auto one = ledger("a");
        apply(Step{*one, hundred, LedgerMachine::Add{.amount = 7}});
        const LedgerMachine::Options other_form{.form = "other"};
        CHECK(store.peek(*ledger("b")).sum == 0);
        CHECK(store.peek(*store.template cell<LedgerMachine>("other", "a", hundred)).sum == 0);
        CHECK(store.peek(*store.template cell<LedgerMachine>("kind", "a", other_form)).sum == 0);
        CHECK(count(cell("a")) == 0);
        const auto counted = cell("b");
        CHECK(apply(Step{*counted, three, CountingMachine::Add{}}));
        const LedgerMachine::Options same_form{.form = CountingMachine::layout(three)};
        CHECK(store.peek(*store.template cell<LedgerMachine>("kind", "b", same_form)).sum == 0);
        CHECK(store.peek(*one).sum == 7);

        const auto nameless = ledger("");
        apply(Step{*nameless, hundred, LedgerMachine::Add{.amount = 7}});
        CHECK(store.peek(*ledger("")).sum == 0);
        CHECK(store.peek(*nameless).sum == 7);
    }
    SECTION("names that only look alike when joined are different names") {
        apply(Step{*store.template cell<CountingMachine>("kind", "ab", three), three, CountingMachine::Add{}});
        CHECK(count(store.template cell<CountingMachine>("kinda", "b", three)) == 0);
        CHECK(count(store.template cell<CountingMachine>("kin", "dab", three)) == 0);
        CHECK(count(store.template cell<CountingMachine>("kind", "a:b", three)) == 0);
    }
    SECTION("commands are applied one after another and their decisions returned") {
        const auto counted = cell("a");
        for (int i = 0; i < 3; ++i) CHECK(apply(Step{*counted, three, CountingMachine::Add{}}));
        CHECK_FALSE(apply(Step{*counted, three, CountingMachine::Add{}}));
        CHECK(count(counted) == 3);
        CHECK(apply(Step{*counted, three, CountingMachine::Remove{}}));
        CHECK(apply(Step{*counted, three, CountingMachine::Add{}}));

        const auto kept = ledger("a");
        const auto decision = apply(Step{*kept, hundred, LedgerMachine::Add{.amount = 60, .entry = 3}});
        CHECK(decision.added);
        CHECK(decision.sum == 60);
        CHECK_FALSE(apply(Step{*kept, hundred, LedgerMachine::Add{.amount = 41}}).added);
        CHECK(store.peek(*kept).entries[3] == 60);
    }
    SECTION("what is peeked at is a copy, and peeking changes nothing") {
        const auto kept = ledger("a");
        apply(Step{*kept, hundred, LedgerMachine::Add{}});
        auto copy = store.peek(*kept);
        copy.sum = 99;
        CHECK(copy.sum != store.peek(*kept).sum);
        CHECK(store.peek(*kept).sum == 1);
        CHECK(store.peek(*kept) == store.peek(*kept));
    }
    SECTION("a machine is given the store's time") {
        const auto kept = ledger("a");
        apply(Step{*kept, hundred, LedgerMachine::Add{}});
        const Instant first = store.peek(*kept).last;
        CHECK(first > Instant{});
        world.advance(W::unit);
        apply(Step{*kept, hundred, LedgerMachine::Add{}});
        CHECK(store.peek(*kept).last - first >= W::unit);
        CHECK(store.clock().now() - first >= W::unit);
    }
    SECTION("steps taken together are all taken if none refuses") {
        const auto counted = cell("a");
        const auto kept = ledger("a");
        const auto [first, second] = apply_all(Step{*counted, three, CountingMachine::Add{}},
                                               Step{*kept, hundred, LedgerMachine::Add{.amount = 5}});
        CHECK(first == true);
        REQUIRE(second.has_value());
        CHECK(second->sum == 5);
        CHECK(count(counted) == 1);
        CHECK(store.peek(*kept).sum == 5);
    }
    SECTION("the first refusal undoes the steps before it, and those after it are not taken") {
        const auto before = ledger("before");
        const auto refusing = cell("refusing");
        const auto after = ledger("after");
        apply(Step{*before, hundred, LedgerMachine::Add{.amount = 2, .entry = 1}});
        for (int i = 0; i < 3; ++i) apply(Step{*refusing, three, CountingMachine::Add{}});
        const auto [first, second, third] =
            apply_all(Step{*before, hundred, LedgerMachine::Add{.amount = 5, .entry = 1}},
                      Step{*refusing, three, CountingMachine::Add{}}, Step{*after, hundred, LedgerMachine::Add{}});
        CHECK(first.has_value());
        CHECK(second == false);
        CHECK_FALSE(third.has_value());
        CHECK(store.peek(*before).sum == 2);
        CHECK(store.peek(*before).entries[1] == 2);
        CHECK(count(refusing) == 3);
        CHECK(store.peek(*after).sum == 0);
    }
    SECTION("a refusal at the first step changes nothing") {
        const auto refusing = cell("refusing");
        const auto after = cell("after");
        for (int i = 0; i < 3; ++i) apply(Step{*refusing, three, CountingMachine::Add{}});
        const auto [first, second] =
            apply_all(Step{*refusing, three, CountingMachine::Add{}}, Step{*after, three, CountingMachine::Add{}});
        CHECK(first == false);
        CHECK_FALSE(second.has_value());
        CHECK(count(refusing) == 3);
        CHECK(count(after) == 0);
    }
    SECTION("threads that add through one cell never get past its limit") {
        constexpr std::uint32_t rounds = thread_rounds<W>();
        constexpr std::uint32_t most = rounds * 5 / 2;
        const CountingMachine::Options limit{.limit = most};
        const auto counted = store.template cell<CountingMachine>("kind", "shared", limit);
        const LedgerMachine::Options ledger_limit{.limit = most};
        std::atomic<std::uint32_t> counts = 0;
        std::atomic<std::uint32_t> entries = 0;
        on_threads(4, [&](int thread) {
            const auto kept = store.template cell<LedgerMachine>("kind", "shared", ledger_limit);
            for (std::uint32_t i = 0; i < rounds; ++i) {
                counts += apply(Step{*counted, limit, CountingMachine::Add{}});
                entries +=
                    apply(Step{*kept, ledger_limit, LedgerMachine::Add{.entry = static_cast<std::size_t>(thread)}})
                        .added;
            }
        });
        CHECK(counts == most);
        CHECK(entries == most);
        CHECK(count(counted) == most);
        const auto state = store.peek(*store.template cell<LedgerMachine>("kind", "shared", ledger_limit));
        CHECK(state.sum == most);
        CHECK(state.entries[0] + state.entries[1] + state.entries[2] + state.entries[3] == most);
    }
    SECTION("what threads take together and give back is conserved") {
        const auto counted = cell("shared");
        const auto kept = ledger("shared");
        std::atomic<bool> above = false;
        on_threads(4, [&](int) {
            for (int i = 0; i < 300; ++i) {
                const auto [first, second] = apply_all(Step{*kept, hundred, LedgerMachine::Add{}},
                                                       Step{*counted, three, CountingMachine::Add{}});
                if (count(counted) > 3) above = true;
                if (!second || !*second) continue;
                apply(Step{*counted, three, CountingMachine::Remove{}});
                apply(Step{*kept, hundred, LedgerMachine::Remove{}});
            }
        });
        CHECK_FALSE(above);
        CHECK(count(counted) == 0);
        CHECK(store.peek(*kept).sum == 0);
    }
    SECTION("a blob is kept as it is until its time has passed") {
        const std::string bytes{"zero \0 and \xff", 12};
        store.put("key", bytes, 2 * W::unit);
        REQUIRE(store.get("key"));
        CHECK(*store.get("key") == bytes);
        CHECK(store.get("other") == nullptr);
        world.advance(W::unit);
        CHECK(store.get("key") != nullptr);
        world.advance(W::unit);
        CHECK(store.get("key") == nullptr);
    }
    SECTION("putting a blob replaces the earlier one and its time") {
        store.put("key", "first", W::unit);
        store.put("key", "second", 3 * W::unit);
        world.advance(W::unit);
        REQUIRE(store.get("key"));
        CHECK(*store.get("key") == "second");
        store.put("key", "third", Duration{0});  // nothing can be kept for no time
        CHECK(store.get("key") == nullptr);
        store.put("key", "fourth", W::unit);
        store.put("key", "fifth", -W::unit);
        CHECK(store.get("key") == nullptr);
    }
    SECTION("an erased blob is gone, and a value in hand stays whole") {
        store.put("key", "value", 9 * W::unit);
        store.put("other", "", 9 * W::unit);
        const auto held = store.get("key");
        store.erase("key");
        store.erase("never there");
        CHECK(store.get("key") == nullptr);
        REQUIRE(held);
        CHECK(*held == "value");
        REQUIRE(store.get("other"));
        CHECK(store.get("other")->empty());
    }
    SECTION("blobs and cells of one name do not meet") {
        store.put("a", "value", 9 * W::unit);
        apply(Step{*cell("a"), three, CountingMachine::Add{}});
        store.erase("a");
        CHECK(count(cell("a")) <= 1);  // a store may forget a cell that no handle refers to
    }
    SECTION("a circuit breaker lives in the store: it opens, recovers, and shares its circuit by name") {
        const CircuitBreakerOptions<ConsecutiveFailures> options{
            .name = "service", .trip = {2}, .recovery_timeout = 2 * W::unit, .probe_lease = 60 * W::unit};
        using Breaker = CircuitBreaker<ConsecutiveFailures, std::remove_cvref_t<decltype(store)>>;
        const Breaker breaker{options, store};
        const Breaker same{options, store};
        breaker.try_acquire()->record(Outcome::failure);
        same.try_acquire()->record(Outcome::failure);
        CHECK(breaker.state() == CircuitState::open);
        const auto refused = same.try_acquire();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().retry_after() <= 2 * W::unit);
        world.advance(2 * W::unit);
        auto probe = same.try_acquire();
        REQUIRE(probe);
        CHECK(probe->is_probe());
        CHECK_FALSE(breaker.try_acquire());
        probe->record(Outcome::success);
        CHECK(breaker.state() == CircuitState::closed);
    }
    SECTION("a rate limiter lives in the store, and a pause holds for all who share it") {
        const RateLimiterOptions<TokenBucket> options{
            .name = "service", .algorithm = {.permits = 1, .period = 3600 * W::unit, .burst = 2}};
        using Limiter = RateLimiter<TokenBucket, std::remove_cvref_t<decltype(store)>>;
        const Limiter limiter{options, store};
        const Limiter same{options, store};
        CHECK(limiter.try_acquire());
        CHECK(same.try_acquire());
        CHECK_FALSE(limiter.try_acquire());
        limiter.give_back(2);
        same.pause_for(2 * W::unit);
        CHECK_FALSE(limiter.try_acquire());
        world.advance(2 * W::unit);
        CHECK(limiter.try_acquire());
    }
}

}  // namespace breakwater::test
