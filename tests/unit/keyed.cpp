#include <breakwater/keyed.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>
#include <sanitized.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

namespace bw = breakwater;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;
template <class Algorithm>
using Limiter = bw::KeyedRateLimiter<Algorithm, Store>;
using Breaker = bw::KeyedCircuitBreaker<bw::AnyTrip, Store>;

constexpr bw::TokenBucket one_a_second{.permits = 1, .period = 1s};

auto fails = []() -> bw::Result<int> { return bw::fail(bw::Errc::failure); };
auto works = [] { return 1; };

/// As FixedWindow in the past and OncePerBoot in the documentation: a rule that does not say what is fresh.
struct OncePerBoot {
    using State = bw::LimiterState;
    struct Prepared {};
    constexpr Prepared prepare(bw::Duration) const noexcept { return {}; }
    static constexpr bw::Grant take(State& s, const Prepared& p, std::int64_t n, bw::Instant now) noexcept {
        const bw::Grant grant = peek(s, p, n, now);
        return s.word |= grant.granted ? 1U : 0U, grant;
    }
    static constexpr bw::Grant peek(const State& s, const Prepared&, std::int64_t n, bw::Instant) noexcept {
        return n == 1 && s.word == 0 ? bw::Grant{.granted = true} : bw::Grant{.never = true};
    }
    static constexpr void pause(State&, const Prepared&, bw::Instant, bw::Instant) noexcept {}
    static constexpr void give_back(State& s, const Prepared&, std::int64_t, bw::Instant) noexcept { s = {}; }
    static constexpr std::int64_t available(const State& s, const Prepared&, bw::Instant) noexcept { return !s.word; }
    [[maybe_unused]] friend bw::Result<void> validate(const OncePerBoot&, std::string_view) { return {}; }
};

/// Random takes and pauses of few keys, of each as of a limiter of its own, as long as no key had to share one.
template <class Algorithm>
void check_against_one_limiter_each(Algorithm algorithm, std::size_t max_keys, std::uint64_t seed) {
    CAPTURE(max_keys, seed);
    const bw::ManualClock clock;
    const Store store{clock};
    const Limiter<Algorithm> keyed{{.each = {.algorithm = algorithm}, .max_keys = max_keys}, store};
    std::map<std::string, bw::RateLimiter<Algorithm, Store>> naive;
    std::mt19937_64 random{seed};
    std::uint64_t overflowed = 0;
    std::uint64_t compared = 0;
    for (int step = 0; step < 20'000; ++step) {
        clock.advance(bw::Duration{static_cast<std::int64_t>(random() % 400'000)});
        const std::string key = "key " + std::to_string(random() % 24);
        bw::RateLimiter<Algorithm, Store>& own =
            naive.try_emplace(key, bw::RateLimiterOptions<Algorithm>{.algorithm = algorithm}, store).first->second;
        const bool pauses = random() % 16 == 0;
        const auto permits = static_cast<std::int64_t>(1 + random() % 3);
        bw::Result<void> got;
        if (pauses)
            keyed.pause_for(key, 2s);
        else
            got = keyed.try_acquire(key, permits);
        const std::uint64_t before = std::exchange(overflowed, keyed.snapshot(0).counts.overflowed);
        if (overflowed > before) continue;  // shared: the naive one knows nothing of it
        ++compared;
        if (pauses) {
            own.pause_for(2s);
            continue;
        }
        const auto expected = own.try_acquire(permits);
        REQUIRE(got.has_value() == expected.has_value());
        if (!got) REQUIRE(got.error().retry_after() == expected.error().retry_after());
        REQUIRE(keyed.retry_after(key) == own.retry_after());
    }
    const bw::KeyedCounts counts = keyed.snapshot(0).counts;
    CHECK(counts.keys <= max_keys);
    CHECK(compared > 1'000);
    if (max_keys < 24) CHECK(counts.evicted > 100);
    if (max_keys >= 24) CHECK(counts.overflowed == 0);
}

/// Resident memory of this process, in bytes. A sanitizer's own memory is not to be told from it: 0 then.
std::size_t resident() {
    if (test::under_address_sanitizer || test::under_thread_sanitizer) return 0;
    std::size_t pages = 0;
    std::ifstream{"/proc/self/statm"} >> pages >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

// --- Limiters ---

TEST_CASE("each key has a limit of its own") {
    const bw::ManualClock clock;
    const Limiter<bw::TokenBucket> limiter{one_a_second, Store{clock}};
    CHECK(limiter.try_acquire("ann"));
    const auto refused = limiter.try_acquire("ann");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().is_refusal(bw::Errc::rate_limited));
    CHECK(refused.error().retry_after() == bw::Duration{1s});
    CHECK(refused.error().policy() == "ann");
    CHECK(limiter.try_acquire("bob"));
    CHECK(limiter.try_acquire(""));
    CHECK_FALSE(limiter.try_acquire(""));
    CHECK(limiter.try_acquire("*"));
    CHECK(limiter.try_acquire("ann", 2).error().is_refusal(bw::Errc::exceeds_burst));
    clock.advance(1s);
    CHECK(limiter.try_acquire("ann"));
    limiter.give_back("ann");
    CHECK(limiter.try_acquire("ann"));
}

TEST_CASE("a key may be waited for, and is not forgotten meanwhile") {
    const bw::ManualClock clock;
    const Limiter<bw::TokenBucket> limiter{one_a_second, Store{clock}};
    CHECK(limiter.try_acquire("ann"));
    CHECK_FALSE(limiter.acquire("ann", 1, 999ms));
    CHECK(limiter.acquire("ann", 1, 1s));
    CHECK(clock.waits() == std::vector<bw::Duration>{1s});
}

TEST_CASE("to ask when a key may be served again takes nothing and makes no key") {
    const Store store{bw::ManualClock{}};
    const Limiter<bw::TokenBucket> limiter{{.each = {.algorithm = one_a_second}, .max_keys = 1}, store};
    CHECK(limiter.retry_after("ann") == 0s);
    CHECK(limiter.retry_after("ann", 2) == bw::Duration::max());
    CHECK(limiter.snapshot().counts.keys == 0);
    CHECK(limiter.try_acquire("ann"));
    CHECK(limiter.retry_after("ann") == 1s);
    CHECK(limiter.try_acquire("bob"));  // from the shared one
    CHECK(limiter.retry_after("cid") == 1s);
}

TEST_CASE("a Retry-After pauses one key") {
    const bw::ManualClock clock;
    const Limiter<bw::FixedWindow> limiter{bw::FixedWindow{.permits = 9}, Store{clock}};
    CHECK(limiter.pause_for("ann", 20s) == 20s);
    CHECK(limiter.retry_after("ann") == 20s);
    CHECK(limiter.try_acquire("bob"));
    clock.advance(20s);
    CHECK(limiter.try_acquire("ann"));
}

TEST_CASE("a limiter that a call takes is that of the call's key, or of what a function makes of the call") {
    const Limiter<bw::TokenBucket> limiter{one_a_second, Store{bw::ManualClock{}}};
    const bw::Pipeline guard{limiter};
    CHECK(guard.run(works, {.key = "ann"}));
    const auto refused = guard.run(works, {.key = "ann"});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().policy() == "ann");
    CHECK(guard.run(works, {.key = "bob"}));
    CHECK(guard.run(works));
    CHECK_FALSE(guard.run(works, {.key = ""}));

    const bw::Pipeline by_subject{limiter.by([](const auto& call) { return call.subject(); })};
    CHECK_FALSE(by_subject.run(works, {.subject = "ann"}));
    CHECK(by_subject.run(works, {.subject = "cid"}));
    const bw::Pipeline broken{limiter.by([](const auto&) -> std::string { throw 1; })};
    CHECK_FALSE(broken.run(works, {.key = "dan"}));  // the empty key, which has none left
}

TEST_CASE("a call of a pipeline waits for its key, and a permit that no attempt used goes back to it") {
    const bw::ManualClock clock;
    const Store store{clock};
    const Limiter<bw::TokenBucket> limiter{{.each = {.algorithm = one_a_second, .max_wait = 1s}}, store};
    const bw::RateLimiter<bw::TokenBucket, Store> inner{bw::TokenBucket{.permits = 1, .period = 1h}, store};
    CHECK(limiter.try_acquire("ann"));
    CHECK(bw::Pipeline{limiter}.run(works, {.key = "ann"}));
    CHECK(clock.waits() == std::vector<bw::Duration>{1s});
    const bw::Pipeline guard{limiter, inner};
    CHECK(guard.run(works, {.key = "bob"}));
    clock.advance(1s);
    CHECK_FALSE(guard.run(works, {.key = "bob"}));
    CHECK(limiter.retry_after("bob") == 0s);
}

TEST_CASE("a key is forgotten only if its limiter decides as a new one would: one limiter for each key knows it all") {
    for (const std::size_t max_keys : {1U, 3U, 8U, 16U, 24U}) {
        const std::uint64_t seed = max_keys;
        check_against_one_limiter_each(bw::TokenBucket{.permits = 3, .period = 4s}, max_keys, seed);
        check_against_one_limiter_each(bw::FixedWindow{.permits = 3, .window = 2s}, max_keys, seed);
        check_against_one_limiter_each(bw::SlidingWindow{.permits = 3, .window = 1s}, max_keys, seed);
        check_against_one_limiter_each(bw::AnyAlgorithm{bw::TokenBucket{.permits = 3, .period = 4s}}, max_keys, seed);
    }
}

TEST_CASE("a key of an algorithm that does not say what is fresh goes only while nothing was taken") {
    const bw::ManualClock clock;
    const Limiter<OncePerBoot> limiter{{.each = {.algorithm = {}}, .max_keys = 2}, Store{clock}};
    CHECK(limiter.try_acquire("a"));
    CHECK(limiter.pause_for("b", 1s) == 1s);
    clock.advance(24h);
    CHECK(limiter.try_acquire("c"));
    CHECK(limiter.snapshot().counts == bw::KeyedCounts{.keys = 2, .max_keys = 2, .evicted = 1, .overflowed = 0});
    CHECK_FALSE(limiter.try_acquire("a"));
}

TEST_CASE("keys that find no place share one limiter: none is unlimited, and none that has one loses it") {
    const bw::ManualClock clock;
    const Limiter<bw::TokenBucket> limiter{
        {.each = {.name = "api", .algorithm = {.permits = 2, .period = 2s}}, .max_keys = 2}, Store{clock}};
    CHECK(limiter.try_acquire("a", 2));
    CHECK(limiter.try_acquire("b"));
    CHECK(limiter.try_acquire("c"));
    CHECK(limiter.try_acquire("d"));
    const auto refused = limiter.try_acquire("e");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().policy() == "api *");
    CHECK_FALSE(limiter.try_acquire("a"));
    const auto seen = limiter.snapshot();
    CHECK(seen.name == "api");
    CHECK(seen.counts == bw::KeyedCounts{.keys = 2, .max_keys = 2, .evicted = 0, .overflowed = 3});
    CHECK(seen.shared.name == "*");
    CHECK(seen.shared.available == 0);
    REQUIRE(seen.limiters.size() == 2);
    CHECK(seen.limiters[0].name == "a");
    CHECK(seen.limiters[0].retry_after == 1s);
    CHECK(seen.limiters[1].name == "b");
    CHECK(limiter.snapshot(1).limiters.size() == 1);
    CHECK(limiter.snapshot(1).limiters[0].name == "a");
    clock.advance(1s);  // b is full again
    CHECK(limiter.try_acquire("c"));
    CHECK(limiter.snapshot().counts.evicted == 1);
    CHECK(limiter.try_acquire("a"));
    clock.advance(1h);
    CHECK(limiter.snapshot().limiters.empty());
}

TEST_CASE("a key that a call holds is not forgotten, however fresh it is") {
    const Limiter<bw::NoLimit> limiter{{.each = {}, .max_keys = 1}, Store{bw::ManualClock{}}};
    const bw::Pipeline guard{limiter};
    const auto inner = guard.run(
        [&] {
            (void)limiter.try_acquire("b");
            return limiter.snapshot().counts;
        },
        {.key = "a"});
    CHECK(inner.value() == bw::KeyedCounts{.keys = 1, .max_keys = 1, .evicted = 0, .overflowed = 1});
    CHECK(limiter.try_acquire("b"));
    CHECK(limiter.snapshot().counts.evicted == 1);
}

TEST_CASE("a limiter that took another's place is not used at an earlier time than that") {
    const bw::ManualClock clock;
    const Limiter<bw::TokenBucket> limiter{{.each = {.algorithm = one_a_second}, .max_keys = 1}, Store{clock}};
    clock.advance(1h);
    CHECK(limiter.try_acquire("a"));
    clock.advance(1s);
    CHECK(limiter.try_acquire("b"));  // a is forgotten
    clock.advance(1s);
    CHECK(limiter.try_acquire("a"));  // b is
    clock.advance(-1s);               // as a thread sees it that read the clock and then waited
    CHECK(limiter.retry_after("a") == 1s);
    clock.advance(1s);
    CHECK_FALSE(limiter.try_acquire("a"));
    clock.advance(1s);
    CHECK(limiter.try_acquire("a"));
}

TEST_CASE("keyed limiters of one store and name share their keys, others do not") {
    const Store store{bw::ManualClock{}};
    const bw::KeyedRateLimiterOptions<bw::TokenBucket> options{.each = {.name = "api", .algorithm = one_a_second}};
    const Limiter<bw::TokenBucket> one{options, store};
    const Limiter<bw::TokenBucket> two{options, store};
    CHECK(one.try_acquire("ann"));
    CHECK_FALSE(two.try_acquire("ann"));
    const Limiter<bw::TokenBucket> faster{{.each = {.name = "api", .algorithm = {.permits = 9, .period = 1s}}}, store};
    CHECK(faster.try_acquire("ann"));
    CHECK(Limiter<bw::TokenBucket>{one_a_second, store}.try_acquire("ann"));
    CHECK(Limiter<bw::TokenBucket>{options, Store{store.clock()}}.try_acquire("ann"));
}

TEST_CASE("wrong options of a keyed policy are named by their path") {
    const auto limit = [](bw::KeyedRateLimiterOptions<> options) {
        const auto made = bw::KeyedRateLimiter<>::make(std::move(options));
        return made ? std::string{} : std::string{made.error().detail()};
    };
    CHECK(limit({}) == "");
    CHECK(limit({.max_keys = 0}) == "max_keys: must be 1 to 16777216, got 0");
    CHECK(limit({.each = {.algorithm = bw::FixedWindow{.permits = 0}}}) ==
          "each.algorithm.permits: must be 1 to 2147483648, got 0");
    CHECK_THROWS_AS((Breaker{{.each = {.half_open_probes = 0}}}), bw::Exception);
}

TEST_CASE("a key is shown whole if it is short and can be printed, else so that it is told from its like") {
    const Limiter<bw::TokenBucket> limiter{one_a_second, Store{bw::ManualClock{}}};
    const std::string long_one(200, 'x');
    const std::string whole(79, 'y');
    for (const std::string& key : {long_one, long_one + "z", std::string{"a\nb"}, std::string{"a\tb"}, whole})
        CHECK(limiter.try_acquire(key));
    std::set<std::string> names;
    for (const auto& seen : limiter.snapshot().limiters) names.insert(seen.name);
    CHECK(names.size() == 5);
    CHECK(names.contains(whole));
    for (const std::string& name : names) {
        CHECK(name.size() <= 79);
        CHECK(std::ranges::all_of(name, [](char c) { return c >= ' ' && c <= '~'; }));
        if (name.starts_with("a")) CHECK(name.starts_with("a?b~"));
    }
}

TEST_CASE("a key that is known costs no allocation") {
    const Limiter<bw::TokenBucket> limiter{bw::TokenBucket{.permits = 1'000'000, .period = 1s}, Store{}};
    const bw::Pipeline guard{limiter};
    (void)limiter.try_acquire("ann");
    CHECK(test::allocations_in([&] {
              for (int i = 0; i < 100; ++i) {
                  (void)limiter.try_acquire("ann");
                  (void)limiter.try_acquire("new " + std::string(1, static_cast<char>('a' + i % 20)));  // in the table
                  (void)guard.run(works, {.key = "ann"});
              }
          }) == 0);
}

TEST_CASE("a million keys take 128 bytes each and an index, and a flood of others not one more") {
    const bw::ManualClock clock;
    constexpr std::size_t many = 1'000'000;
    const std::size_t before = resident();
    const Limiter<bw::TokenBucket> limiter{{.each = {.algorithm = one_a_second}, .max_keys = many}, Store{clock}};
    const std::size_t empty = resident();
    CHECK(empty - before < 8U << 20);  // a large page or two
    for (std::size_t i = 0; i < many; ++i) (void)limiter.try_acquire("tenant-" + std::to_string(i));
    CHECK(limiter.snapshot(0).counts == bw::KeyedCounts{.keys = many, .max_keys = many, .evicted = 0, .overflowed = 0});
    const std::size_t full = resident();
    CHECK(full - before <= std::size_t{160} << 20);
    CHECK_FALSE(limiter.try_acquire("tenant-0"));
    CHECK_FALSE(limiter.try_acquire("tenant-999999"));
    CHECK(limiter.snapshot(10).limiters.size() == 10);
    for (std::size_t i = 0; i < 100'000; ++i) (void)limiter.try_acquire("hostile-" + std::to_string(i));
    CHECK(limiter.snapshot(0).counts.overflowed == 100'000);
    CHECK_FALSE(limiter.try_acquire("tenant-7"));
    clock.advance(1s);
    for (std::size_t i = 0; i < 100'000; ++i) (void)limiter.try_acquire("hostile-" + std::to_string(i));
    CHECK(limiter.snapshot(0).counts.evicted == 100'000);
    CHECK(resident() - full < 4U << 20);
}

// --- Circuits ---

TEST_CASE("each key has a circuit of its own") {
    const bw::ManualClock clock;
    const Breaker breaker{{.each = {.name = "shards", .trip = bw::ConsecutiveFailures{2}}}, Store{clock}};
    const bw::Pipeline guard{breaker};
    CHECK_FALSE(guard.run(fails, {.key = "one"}));
    CHECK_FALSE(guard.run(fails, {.key = "one"}));
    const auto refused = guard.run(works, {.key = "one"});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().is_refusal(bw::Errc::circuit_open));
    CHECK(refused.error().policy() == "shards one");
    CHECK(guard.run(works, {.key = "two"}));
    CHECK(breaker.state("one") == bw::CircuitState::open);
    CHECK(breaker.retry_after("one") == 60s);
    CHECK(breaker.retry_after("two") == 0s);
    CHECK(breaker.state("three") == bw::CircuitState::closed);
    CHECK(breaker.snapshot().counts.keys == 2);
    REQUIRE(breaker.snapshot().circuits.size() == 1);
    CHECK(breaker.snapshot().circuits[0].name == "one");
    clock.advance(60s);
    CHECK(guard.run(works, {.key = "one"}));
    CHECK(breaker.state("one") == bw::CircuitState::closed);
    CHECK(breaker.snapshot().circuits.empty());
}

TEST_CASE("a permit of a key's circuit may outlive the breaker, and the key is not forgotten before it goes") {
    const bw::ManualClock clock;
    std::optional<Breaker> breaker{std::in_place, bw::KeyedCircuitBreakerOptions<>{.max_keys = 1}, Store{clock}};
    auto permit = breaker->try_acquire("a");
    REQUIRE(permit);
    CHECK(breaker->try_acquire("b"));
    CHECK(breaker->snapshot().counts.overflowed == 1);
    breaker.reset();
    CHECK_FALSE(permit->record(bw::Outcome::failure));
}

TEST_CASE("a key whose circuit has something against it is not forgotten; one without makes room") {
    const bw::ManualClock clock;
    const Breaker breaker{{.each = {.trip = bw::ConsecutiveFailures{2}}, .max_keys = 2}, Store{clock}};
    const bw::Pipeline guard{breaker};
    (void)guard.run(fails, {.key = "one failure"});
    breaker.force_open("forced");
    for (int i = 0; i < 10; ++i) (void)guard.run(fails, {.key = "flood " + std::to_string(i)});
    CHECK(breaker.snapshot().counts == bw::KeyedCounts{.keys = 2, .max_keys = 2, .evicted = 0, .overflowed = 10});
    CHECK(breaker.snapshot().shared.state == bw::CircuitState::open);
    CHECK(breaker.snapshot("one failure").counts.failures == 1);
    CHECK(breaker.state("forced") == bw::CircuitState::open);
    CHECK(guard.run(works, {.key = "one failure"}));
    CHECK(guard.run(works, {.key = "new"}));
    CHECK(breaker.snapshot().counts.evicted == 1);
    breaker.reset("forced");
    CHECK(guard.run(works, {.key = "newer"}));
    CHECK(breaker.snapshot().counts.evicted == 2);
}

TEST_CASE("keyed breakers of one store and name share their circuits, and circuits forgotten leave nothing behind") {
    const Store store{bw::ManualClock{}};
    const bw::KeyedCircuitBreakerOptions<> options{.each = {.name = "shards", .trip = bw::ConsecutiveFailures{1}},
                                                   .max_keys = 4};
    const Breaker one{options, store};
    const Breaker two{options, store};
    (void)bw::Pipeline{one}.run(fails, {.key = "a"});
    CHECK(two.state("a") == bw::CircuitState::open);
    const std::size_t cells = store.cell_count();
    for (int i = 0; i < 1'000; ++i) (void)bw::Pipeline{two}.run(works, {.key = std::to_string(i)});
    CHECK(store.cell_count() == cells);
    CHECK(one.snapshot().counts.keys == 4);
    CHECK(one.state("a") == bw::CircuitState::open);
}

TEST_CASE("a probe of a key's circuit that waits inside asks the circuit again") {
    const bw::ManualClock clock;
    const Store store{clock};
    const Breaker breaker{{.each = {.trip = bw::ConsecutiveFailures{1}}}, store};
    const bw::RateLimiter<bw::TokenBucket, Store> inner{{.algorithm = one_a_second, .max_wait = 1s}, store};
    const bw::Pipeline guard{breaker, inner};
    CHECK(guard.run(works, {.key = "a"}));
    CHECK(guard.run(works, {.key = "a"}));  // waits, and is asked again
    CHECK(clock.waits() == std::vector<bw::Duration>{1s});
    clock.advance(1s);
    CHECK_FALSE(guard.run(fails, {.key = "a"}));
    clock.advance(60s);
    CHECK(inner.try_acquire());
    CHECK(guard.run(works, {.key = "a"}).error().is_refusal(bw::Errc::rate_limited));  // a probe does not wait
    clock.advance(1s);
    CHECK(guard.run(works, {.key = "a"}));
}
