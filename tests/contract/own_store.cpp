#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/keyed.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include "store_contract.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <typeinfo>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

/// The archetype of a store: the least that satisfies the concept. No glances, no words, one lock for everything.
class LeastStore {
public:
    template <class M>
    struct Cell {
        using Machine = M;
        typename M::State state;
    };
    static constexpr bool is_deferred = false;

    explicit LeastStore(bw::ManualClock clock = bw::ManualClock{}) : shared_{std::make_shared<Shared>()} {
        shared_->clock = clock;
    }
    const bw::ManualClock& clock() const noexcept { return shared_->clock; }

    template <bw::Machine M>
    std::shared_ptr<Cell<M>> cell(std::string_view kind, std::string_view name,
                                  const typename M::Options& options) const {
        auto made = std::make_shared<Cell<M>>(M::make_state(options));
        if (name.empty()) return made;
        const std::scoped_lock lock{shared_->mutex};
        auto& kept = shared_->cells[{std::string{kind}, std::string{name}, typeid(M).name() + M::layout(options)}];
        if (!kept) kept = made;
        return std::static_pointer_cast<Cell<M>>(kept);
    }

    template <class Cell, class Command, class Now>
    auto apply(const bw::Step<Cell, Command>& step, Now& now) const noexcept {
        const std::scoped_lock lock{shared_->mutex};
        return Cell::Machine::apply(step.cell.state, step.options, step.command, now());
    }

    template <class Now, class... Cells, class... Commands>
    auto apply(Now& now, const bw::Step<Cells, Commands>&... steps) const noexcept {
        const std::scoped_lock lock{shared_->mutex};
        return bw::apply_in_order([&](const auto& step) { return apply(step, now); }, steps...);
    }

    template <class Cell>
    auto peek(const Cell& cell) const {
        const std::scoped_lock lock{shared_->mutex};
        return cell.state;
    }

    void put(std::string_view key, std::string value, bw::Duration ttl) const {
        const std::scoped_lock lock{shared_->mutex};
        shared_->blobs[std::string{key}] = {std::make_shared<const std::string>(std::move(value)), clock().now() + ttl};
    }
    std::shared_ptr<const std::string> get(std::string_view key) const {
        const std::scoped_lock lock{shared_->mutex};
        const auto found = shared_->blobs.find(std::string{key});
        return found != shared_->blobs.end() && clock().now() < found->second.second ? found->second.first : nullptr;
    }
    void erase(std::string_view key) const {
        const std::scoped_lock lock{shared_->mutex};
        shared_->blobs.erase(std::string{key});
    }

private:
    struct Shared {
        bw::ManualClock clock;
        std::recursive_mutex mutex;
        std::map<std::tuple<std::string, std::string, std::string>, std::shared_ptr<void>> cells;
        std::map<std::string, std::pair<std::shared_ptr<const std::string>, bw::Instant>> blobs;
    };
    std::shared_ptr<Shared> shared_;
};
static_assert(bw::Store<LeastStore>);

struct WithoutPeek : LeastStore {
    template <class Cell>
    void peek(const Cell&) const = delete;
};
static_assert(!bw::Store<WithoutPeek>);

struct WithoutClock : LeastStore {
    int clock() const noexcept { return 0; }
};
static_assert(!bw::Store<WithoutClock>);

struct LeastWorld {
    static constexpr bw::Duration unit = 1s;
    bw::ManualClock clock{};
    LeastStore store{clock};

    void advance(bw::Duration by) const { clock.advance(by); }
};

}  // namespace

TEST_CASE("the least store keeps the promises of a store") { bw::test::check_store_contract<LeastWorld>(); }

TEST_CASE("a whole pipeline runs on a store of the user's own") {
    const bw::ManualClock clock;
    const LeastStore store{clock};
    const bw::CircuitBreaker<bw::ConsecutiveFailures, LeastStore> breaker{{.name = "service", .trip = {2}}, store};
    const bw::RateLimiter limiter{bw::TokenBucket{.permits = 10, .period = 1s, .burst = 10}, store};
    const bw::Pipeline guard{bw::Deadline{10min},
                             bw::Retry{{.backoff = {.base = 1s, .cap = 1s, .jitter = bw::Jitter::none}}}, breaker,
                             limiter};
    int calls = 0;
    const auto result = guard.run([&]() -> int {
        ++calls;
        throw 1;
    });
    CHECK(calls == 2);
    CHECK(result.error().code() == bw::Errc::exception);
    CHECK(result.error().stopped_by() == bw::Errc::circuit_open);
    clock.advance(60s);
    CHECK(guard.run([&] { return ++calls; }) == 3);
    CHECK(breaker.state() == bw::CircuitState::closed);
    CHECK(clock.waits() == std::vector<bw::Duration>{1s, 1s});
}

TEST_CASE("keyed policies run on a store of the user's own, where each key is a cell named after it") {
    const LeastStore store;
    const bw::KeyedRateLimiterOptions<bw::TokenBucket> options{
        .each = {.name = "api", .algorithm = {.permits = 1, .period = 1s}}, .max_keys = 1};
    const bw::KeyedRateLimiter<bw::TokenBucket, LeastStore> limiter{options, store};
    const bw::KeyedRateLimiter<bw::TokenBucket, LeastStore> other{options, store};
    CHECK(limiter.try_acquire("ann"));
    CHECK_FALSE(other.try_acquire("ann"));
    CHECK(limiter.try_acquire("bob"));  // in ann's place, whose state is the store's to keep
    CHECK_FALSE(limiter.try_acquire("ann"));
    CHECK(limiter.retry_after("bob") == 1s);

    const bw::KeyedCircuitBreaker<bw::ConsecutiveFailures, LeastStore> breaker{
        {.each = {.name = "shards", .trip = {1}}, .max_keys = 1}, store};
    const bw::Pipeline guard{breaker};
    CHECK_FALSE(guard.run([]() -> bw::Result<int> { return bw::fail(bw::Errc::failure); }, {.key = "a"}));
    CHECK(guard.run([] { return 1; }, {.key = "b"}));
    CHECK(guard.run([] { return 1; }, {.key = "a"}).error().is_refusal(bw::Errc::circuit_open));
}

TEST_CASE("on a store of the user's own, keyed policies go on by other options with what the store keeps") {
    const LeastStore store;
    store.clock().advance(1h);
    const bw::KeyedRateLimiter<bw::AnyAlgorithm, LeastStore> limiter{
        {.each = {.name = "tenants", .algorithm = bw::TokenBucket{.permits = 10, .period = 24h}}}, store};
    const std::string long_key(200, 'k');
    for (const std::string& key : {std::string{"a"}, long_key}) REQUIRE(limiter.try_acquire(key, 7));
    const auto more = limiter.reconfigured(
        {.each = {.name = "tenants", .algorithm = bw::TokenBucket{.permits = 10, .period = 24h}}, .max_keys = 20});
    REQUIRE(more);
    for (const std::string& key : {std::string{"a"}, long_key}) {
        CHECK(more->try_acquire(key, 3));
        CHECK_FALSE(limiter.try_acquire(key));
    }
    const auto window =
        limiter.reconfigured({.each = {.name = "tenants", .algorithm = bw::FixedWindow{.permits = 20, .window = 24h}}});
    REQUIRE(window);
    CHECK(window->try_acquire("a", 10));
    CHECK_FALSE(window->try_acquire("a"));

    const bw::KeyedCircuitBreaker<bw::ConsecutiveFailures, LeastStore> breaker{
        {.each = {.name = "shards", .trip = {2}}}, store};
    breaker.try_acquire(long_key)->record(bw::Outcome::failure);
    const auto lenient = breaker.reconfigured({.each = {.name = "shards", .trip = {3}}});
    REQUIRE(lenient);
    lenient->try_acquire(long_key)->record(bw::Outcome::failure);
    CHECK(breaker.state(long_key) == bw::CircuitState::closed);
    CHECK(breaker.snapshot(long_key).counts.failures == 2);
}
