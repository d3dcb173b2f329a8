#include <breakwater/circuit_breaker.hpp>
#include <breakwater/coalesce.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/events.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/hedge.hpp>
#include <breakwater/keyed.hpp>
#include <breakwater/observe/on_open.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/local_fallback.hpp>
#include <breakwater/testing/fault_injection/store.hpp>
#include <catch_shim.hpp>
#include <drivers.hpp>
#include <unit/scripted_client.hpp>

#include <algorithm>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Errc;
using bw::EventKind;
using bw::Source;
using bw::test::run;

namespace {

/// An event that may be kept.
struct Seen {
    EventKind kind{};
    std::string client{}, policy{}, key{}, subject{}, tag{}, correlation_id{};
    std::uint64_t call = 0, sequence = 0;
    std::optional<Errc> code{};
    std::optional<bw::Duration> delay{};
    std::optional<Source> source{};
    std::optional<CircuitState> circuit{};
    std::optional<std::uint32_t> count{};
};

/// Keeps what it is told.
class Ear {
public:
    bw::Observer observer() const {
        return [all = all_](const bw::Event& e) {
            const std::scoped_lock lock{all->mutex};
            all->seen.push_back({e.kind, std::string{e.client}, std::string{e.policy}, std::string{e.key},
                                 std::string{e.subject}, std::string{e.tag}, std::string{e.correlation_id}, e.call,
                                 e.sequence, e.code, e.delay, e.source, e.circuit, e.count});
        };
    }
    /// What was heard since the last time.
    std::vector<Seen> take() const {
        const std::scoped_lock lock{all_->mutex};
        return std::exchange(all_->seen, {});
    }
    std::vector<Seen> take(EventKind kind) const {
        auto seen = take();
        std::erase_if(seen, [kind](const Seen& one) { return one.kind != kind; });
        return seen;
    }
    std::vector<EventKind> kinds() const {
        std::vector<EventKind> kinds;
        for (const Seen& one : take()) kinds.push_back(one.kind);
        return kinds;
    }

private:
    struct All {
        std::mutex mutex;
        std::vector<Seen> seen;
    };
    std::shared_ptr<All> all_ = std::make_shared<All>();
};

using Clocked = bw::MemoryStore<bw::ManualClock>;

bw::RetryOptions<bw::FullJitter> retries(std::uint32_t count) { return {.max_retries = count}; }
bw::Result<int> broken() { return bw::fail(Errc::receive_failed); }
std::set<std::uint64_t> calls_of(const std::vector<Seen>& seen) {
    std::set<std::uint64_t> calls;
    for (const Seen& one : seen) calls.insert(one.call);
    return calls;
}
bool rises(const std::vector<Seen>& seen) {
    return std::ranges::is_sorted(seen, std::less_equal<>{}, &Seen::sequence) && seen.front().sequence > 0;
}

struct World {
    bw::ManualClock clock;
    Clocked store{clock};
    Ear ear;
    bw::ScriptedTransport service;

    test::ScriptedClient client(bw::ClientOptions options = {}) const {
        options.name = "dairy";
        options.base_url = "http://dairy.test";
        if (!options.observer) options.observer = ear.observer();
        return test::ScriptedClient{std::move(options), service, store};
    }
};

}  // namespace

TEST_CASE("every kind of event has a name of its own") {
    std::set<std::string_view> names;
    const auto last = static_cast<unsigned>(EventKind::call_ended);
    for (unsigned kind = 0; kind <= last; ++kind) names.insert(to_string(static_cast<EventKind>(kind)));
    CHECK(names.size() == last + 1);
    CHECK_FALSE(names.contains("unknown"));
}

TEST_CASE("every event of a pipeline's call tells whose it is, and numbers rise") {
    bw::test::through_both_drivers();
    const World world;
    const bw::Pipeline guard{
        bw::UseClock{world.clock}, bw::Observe{world.ear.observer(), "ledger"}, bw::Retry{retries(2)},
        bw::CircuitBreaker{bw::CircuitBreakerOptions<>{.name = "books", .trip = bw::ConsecutiveFailures{3}},
                           world.store}};
    const bw::CallOptions<int> options{
        .subject = "fetch row", .tag = "report", .key = "tenant-7", .correlation_id = "order-81"};
    CHECK_FALSE(run(guard, &broken, options));
    const auto first = world.ear.take();
    CHECK(first.size() == 3 * 2 + 2 + 2);  // attempts, retries, the circuit's opening and the end
    for (const Seen& one : first) {
        CHECK(one.client == "ledger");
        CHECK(one.subject == "fetch row");
        CHECK(one.tag == "report");
        CHECK(one.key == "tenant-7");
        CHECK(one.correlation_id == "order-81");
    }
    CHECK(calls_of(first).size() == 1);
    CHECK(first.front().call > 0);
    CHECK(rises(first));
    CHECK(first.back().kind == EventKind::call_ended);

    CHECK_FALSE(run(guard, &broken));
    const auto second = world.ear.take();
    REQUIRE(calls_of(second).size() == 1);
    CHECK(second.front().call > first.front().call);
    CHECK(second.front().sequence > first.back().sequence);
    for (const Seen& one : second) CHECK((one.client == "ledger" && one.correlation_id.empty() && one.key.empty()));
}

TEST_CASE("every event of a client's call tells whose it is, whether the call blocks or not") {
    const bool is_blocking = GENERATE(true, false);
    const World world;
    const auto client = world.client({.retry = {.max_retries = 1, .backoff = {.base = 1ms, .cap = 1ms}}});
    world.service.add(bw::Response{.status = 503});
    world.service.add(bw::Response{.status = 200});
    const bw::RequestOptions options{.correlation_id = "order-81", .tag = "report"};
    if (is_blocking)
        CHECK(client.get("/stock", options));
    else
        CHECK(bw::sync_wait<bw::Result<bw::Response>>(client.async_get("/stock", options)));
    const auto seen = world.ear.take();
    CHECK(seen.size() == 6);
    for (const Seen& one : seen) {
        CHECK(one.client == "dairy");
        CHECK(one.subject == "GET /stock");
        CHECK(one.tag == "report");
        CHECK(one.correlation_id == "order-81");
    }
    CHECK(calls_of(seen).size() == 1);
    CHECK(seen.front().call > 0);
    CHECK(rises(seen));
}

TEST_CASE("attempts made side by side are of one call") {
    const World world;
    bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    const bw::Pipeline guard{bw::Observe{world.ear.observer(), "ledger"},
                             bw::Hedge{bw::HedgeOptions{.max_hedges = 1, .after = 100ms}, Clocked{clock}},
                             bw::CircuitBreaker{bw::CircuitBreakerOptions<>{}, Clocked{clock}}};
    std::optional<bw::Result<int>> over;
    int attempts = 0;
    bw::start(bw::Task<bw::Result<int>>{guard.run_async(
                  [&]() -> bw::Task<int> {
                      const int number = ++attempts;
                      auto sleep = clock.sleep_until(clock.now() + 1s, {});
                      co_await sleep;
                      co_return number;
                  },
                  bw::CallOptions<int>{.correlation_id = "order-81"})},
              [&](bw::Result<int> result) { over.emplace(std::move(result)); });
    clock.advance(100ms);
    clock.advance(2s);
    REQUIRE(over.has_value());
    const auto seen = world.ear.take();
    CHECK(std::ranges::count(seen, EventKind::attempt_started, &Seen::kind) == 2);
    CHECK(std::ranges::count(seen, EventKind::call_ended, &Seen::kind) == 1);
    CHECK(calls_of(seen).size() == 1);
    CHECK(rises(seen));
    for (const Seen& one : seen) CHECK((one.client == "ledger" && one.correlation_id == "order-81"));
}

TEST_CASE("numbers are drawn only if somebody observes") {
    const bool is_observed = GENERATE(false, true);
    const Ear ear;
    const bw::Pipeline guard{bw::Observe{is_observed ? ear.observer() : bw::Observer{}}, bw::Retry{retries(0)}};
    const auto calls = bw::detail::next_call_number();
    const auto events = bw::detail::next_event_number();
    CHECK(guard.run([] { return 1; }));
    CHECK(bw::detail::next_call_number() == calls + 1 + (is_observed ? 1 : 0));
    CHECK(bw::detail::next_event_number() == events + 1 + (is_observed ? 3 : 0));
}

TEST_CASE("the end of a pipeline's call tells where its answer is from") {
    bw::test::through_both_drivers();
    const World world;
    const auto end_of = [&](const auto& guard, auto function, const bw::CallOptions<int>& options = {}) {
        (void)run(guard, function, options);
        const auto ends = world.ear.take(EventKind::call_ended);
        REQUIRE(ends.size() == 1);
        return ends.front();
    };
    const bw::Observe observe{world.ear.observer()};
    const bw::Pipeline plain{observe, bw::Retry{retries(0)}};
    CHECK(end_of(plain, [] { return 1; }).source == Source::network);
    const Seen failed = end_of(plain, &broken);
    CHECK_FALSE(failed.source);
    CHECK(failed.code == Errc::receive_failed);
    CHECK(end_of(plain, &broken, {.fallback = [](const bw::Error&) { return 2; }}).source == Source::fallback);

    const bw::Pipeline falling{observe, bw::Fallback{3}, bw::Retry{retries(0)}};
    CHECK(end_of(falling, &broken).source == Source::fallback);
    CHECK(end_of(falling, [] { return 1; }).source == Source::network);
    const bw::Pipeline vainly{observe, bw::Fallback{[]() -> int { throw std::runtime_error{"nothing"}; }},
                              bw::Retry{retries(0)}};
    CHECK_FALSE(end_of(vainly, &broken).source);
}

TEST_CASE("the end of a call that had another's answer says so") {
    const World world;
    bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    const bw::Pipeline guard{bw::UseClock{clock}, bw::Observe{world.ear.observer()}, bw::Coalesce<int>{}};
    std::vector<bw::Result<int>> over;
    for (int i = 0; i < 2; ++i) {
        bw::start(bw::Task<bw::Result<int>>{guard.run_async(
                      [&]() -> bw::Task<int> {
                          auto sleep = clock.sleep_until(clock.now() + 1s, {});
                          co_await sleep;
                          co_return 7;
                      },
                      bw::CallOptions<int>{.key = "row 7"})},
                  [&](bw::Result<int> result) { over.push_back(std::move(result)); });
    }
    clock.advance(1s);
    REQUIRE(over.size() == 2);
    std::multiset<Source> sources;
    for (const Seen& one : world.ear.take(EventKind::call_ended)) sources.insert(one.source.value());
    CHECK(sources == std::multiset<Source>{Source::network, Source::coalesced});
}

TEST_CASE("the end of a client's call tells where its answer is from") {
    const World world;
    const auto client = world.client({.retry = {.max_retries = 0}, .cache = {.ttl = 1min, .stale_if_error = 1h}});
    const auto source_of = [&](const bw::RequestOptions& options = {}) {
        (void)client.get("/stock", options);
        const auto ends = world.ear.take(EventKind::call_ended);
        REQUIRE(ends.size() == 1);
        return ends.front().source;
    };
    world.service.add(bw::Response{.status = 200});
    for (int i = 0; i < 3; ++i) world.service.add(bw::Response{.status = 503});
    CHECK(source_of() == Source::network);
    CHECK(source_of() == Source::cache);
    world.clock.advance(2min);
    CHECK(source_of() == Source::stale_cache);
    world.clock.advance(2h);
    CHECK(source_of() == std::nullopt);
    CHECK(source_of({.fallback = [](const bw::Error&) { return bw::Response{.status = 200}; }}) == Source::fallback);
}

TEST_CASE("events of a keyed circuit tell its key, also where a function found it") {
    const World world;
    const bw::KeyedCircuitBreaker breaker{
        bw::KeyedCircuitBreakerOptions<>{
            .each = {.name = "shards", .trip = bw::ConsecutiveFailures{1}, .observer = world.ear.observer()}},
        world.store};
    const bw::Pipeline guard{bw::Observe{world.ear.observer()},
                             breaker.by([](const auto& call) { return std::string{call.tag()}; })};
    CHECK_FALSE(guard.run(&broken, {.tag = "shard-7", .key = "tenant"}));
    CHECK_FALSE(guard.run(&broken, {.tag = "shard-7", .key = "tenant"}));
    for (const Seen& one : world.ear.take()) {
        INFO(to_string(one.kind));
        const bool is_circuits = one.kind == EventKind::circuit_opened || one.kind == EventKind::permit_refused;
        CHECK(one.key == (is_circuits ? "shard-7" : "tenant"));
        if (one.kind == EventKind::circuit_opened) CHECK(one.policy == "shards shard-7");
        if (one.kind == EventKind::permit_refused) CHECK(one.policy == "shards");
    }
    breaker.force_closed("shard-8", 1min);
    const auto forced = world.ear.take();
    REQUIRE(forced.size() == 1);
    CHECK(forced[0].policy == "shards shard-8");
    CHECK(forced[0].key == "shard-8");

    CHECK(breaker.reconfigure({.each = {.name = "shards", .observer = world.ear.observer()}}));
    breaker.reset("shard-8");
    const auto later = world.ear.take();
    REQUIRE(later.size() == 2);
    CHECK(later[0].kind == EventKind::reconfigured);
    CHECK(later[0].policy == "shards");
    CHECK(later[1].kind == EventKind::circuit_forced);
    CHECK(later[1].key == "shard-8");
}

TEST_CASE("events of a keyed limiter tell its key") {
    bw::test::through_both_drivers();
    const World world;
    const bw::KeyedRateLimiter limiter{
        bw::KeyedRateLimiterOptions<>{
            .each = {.name = "api", .algorithm = bw::FixedWindow{.permits = 1, .window = 1min}, .max_wait = 1min}},
        world.store};
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Observe{world.ear.observer()},
                             limiter.by([](const auto& call) { return std::string{call.tag()}; })};
    const bw::CallOptions<int> options{.tag = "tenant-7", .key = "other"};
    CHECK(run(guard, [] { return 1; }, options));
    world.ear.take();
    CHECK(run(guard, [] { return 1; }, options));
    const auto waited = world.ear.take(EventKind::limiter_waited);
    REQUIRE(waited.size() == 1);
    CHECK(waited[0].policy == "api");
    CHECK(waited[0].key == "tenant-7");
    CHECK_FALSE(run(guard, [] { return 1; }, {.deadline = 1ms, .tag = "tenant-7", .key = "other"}));
    const auto refused = world.ear.take(EventKind::permit_refused);
    REQUIRE(refused.size() == 1);
    CHECK(refused[0].key == "tenant-7");
    CHECK(refused[0].code == Errc::rate_limited);
    const auto asked = [] {
        return bw::Result<int>{bw::fail(bw::Error{Errc::http_status}.set_status(429).set_retry_after(5min))};
    };
    world.clock.advance(1min);
    CHECK_FALSE(run(guard, asked, options));
    const auto paused = world.ear.take(EventKind::limiter_paused);
    REQUIRE(paused.size() == 1);
    CHECK(paused[0].policy == "api tenant-7");
    CHECK(paused[0].key == "tenant-7");
}

TEST_CASE("a client's circuits and endpoints tell their keys") {
    const World world;
    const auto client =
        world.client({.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}},
                      .circuits = {.per = bw::by_endpoint()},
                      .rate_limit = {.per_endpoint = {.algorithm = bw::FixedWindow{.permits = 1, .window = 1h}}},
                      .retry = {.max_retries = 0}});
    world.service.add(bw::Response{.status = 200});
    world.service.add(bw::Response{.status = 500});
    CHECK(client.get("/a"));
    CHECK_FALSE(client.get("/a"));
    const auto limited = world.ear.take(EventKind::permit_refused);
    REQUIRE(limited.size() == 1);
    CHECK(limited[0].key == "GET /a");
    CHECK_FALSE(client.get("/b"));
    const auto opened = world.ear.take(EventKind::circuit_opened);
    REQUIRE(opened.size() == 1);
    CHECK(opened[0].key == "GET /b");
    CHECK_FALSE(client.get("/b"));
    const auto refused = world.ear.take(EventKind::permit_refused);
    REQUIRE(refused.size() == 1);
    CHECK(refused[0].key == "GET /b");
    CHECK(refused[0].code == Errc::circuit_open);
}

TEST_CASE("a circuit tells its observer what befalls it outside calls") {
    const World world;
    const bw::CircuitBreaker breaker{
        bw::CircuitBreakerOptions<>{
            .name = "ledger", .trip = bw::ConsecutiveFailures{1}, .observer = world.ear.observer().for_client("books")},
        world.store};
    breaker.force_open();
    breaker.force_closed(5min);
    breaker.reset();
    const auto forced = world.ear.take();
    REQUIRE(forced.size() == 3);
    for (const Seen& one : forced) {
        CHECK(one.kind == EventKind::circuit_forced);
        CHECK(one.policy == "ledger");
        CHECK(one.client == "books");
        CHECK(one.call == 0);
    }
    CHECK(rises(forced));
    CHECK(forced[0].circuit == CircuitState::open);
    CHECK_FALSE(forced[0].delay);
    CHECK(forced[1].circuit == CircuitState::closed);
    CHECK(forced[1].delay == 5min);
    CHECK_FALSE(forced[2].circuit);

    CHECK(breaker.try_acquire()->record(bw::Outcome::failure));
    world.clock.advance(1min);
    CHECK(breaker.try_acquire()->record(bw::Outcome::success));
    auto options = breaker.options();
    options.recovery_timeout = 1s;
    CHECK(breaker.reconfigure(options));
    using enum EventKind;
    CHECK(world.ear.kinds() == std::vector{circuit_opened, circuit_half_opened, circuit_closed, reconfigured});

    (void)bw::Pipeline{breaker}.run(&broken);  // who observes the pipeline is told of that
    CHECK(world.ear.take().empty());
}

TEST_CASE("who observes a client is told when its circuits are forced and when it is reconfigured") {
    const World world;
    const auto client = world.client({.circuits = {.per = bw::by_endpoint()}});
    client.circuit_breaker().force_open(1min);
    client.circuit_breakers()->reset("GET /a");
    const auto forced = world.ear.take();
    REQUIRE(forced.size() == 2);
    for (const Seen& one : forced) {
        CHECK(one.kind == EventKind::circuit_forced);
        CHECK(one.client == "dairy");
    }
    CHECK(forced[0].policy == "dairy");
    CHECK(forced[1].policy == "dairy GET /a");

    const Ear other;
    auto options = client.options();
    options.observer = other.observer();
    CHECK(client.reconfigure(options));
    const auto told = other.take();
    REQUIRE(told.size() == 1);
    CHECK(told[0].kind == EventKind::reconfigured);
    CHECK(told[0].client == "dairy");
    client.circuit_breaker().reset();
    CHECK(other.take().size() == 1);
    CHECK(world.ear.take().empty());
    options.timeouts.attempt = 0s;
    CHECK_FALSE(client.reconfigure(options));
    CHECK(other.take().empty());
}

TEST_CASE("an answer that drives others out of the memory store says how many") {
    World world;
    world.store = Clocked{world.clock, {.max_blob_bytes = 3'000}};
    const auto client = world.client({.cache = {.ttl = 1min}});
    for (const int size : {300, 300, 300, 2'000})
        world.service.add(bw::Response{.status = 200, .body = std::string(static_cast<std::size_t>(size), 'x')});
    for (const char* target : {"/a", "/b", "/c"}) CHECK(client.get(target));
    CHECK(world.ear.take(EventKind::cache_evicted).empty());
    CHECK(client.get("/d"));
    const auto evicted = world.ear.take(EventKind::cache_evicted);
    REQUIRE(evicted.size() == 1);
    CHECK(evicted[0].count >= 2U);
    CHECK(evicted[0].subject == "GET /d");
    CHECK(client.get("/d")->source == Source::cache);
}

TEST_CASE("a spent retry budget is a refusal by the budget's name") {
    const World world;
    const auto client =
        world.client({.retry = {.max_retries = 3, .backoff = {.base = 1ms, .cap = 1ms}},
                      .retry_budget = {.name = "thrift", .ratio = 0.01, .floor_per_second = 0, .burst = 1}});
    for (int i = 0; i < 4; ++i) world.service.add(bw::Response{.status = 503});
    CHECK_FALSE(client.get("/a"));
    const auto refused = world.ear.take(EventKind::permit_refused);
    REQUIRE(refused.size() == 1);
    CHECK(refused[0].code == Errc::budget_exhausted);
    CHECK(refused[0].policy == "thrift");
}

TEST_CASE("observers are told in order of the same event, and what one throws is kept from the others") {
    const Ear first, last;
    const bw::Observer all = bw::observers(
        first.observer(), bw::Observer{}, [](const bw::Event&) { throw std::runtime_error{"broken observer"}; },
        last.observer());
    all({.kind = EventKind::circuit_closed});
    all({.kind = EventKind::cache_hit});
    const auto heard = first.take();
    REQUIRE(heard.size() == 2);
    CHECK(rises(heard));
    const auto also = last.take();
    REQUIRE(also.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(also[i].kind == heard[i].kind);
        CHECK(also[i].sequence == heard[i].sequence);
    }
}

TEST_CASE("observers of nobody are nobody") {
    CHECK_FALSE(bw::observers());
    CHECK_FALSE(bw::observers(bw::Observer{}, bw::Observer{}));
    const bw::Observer one = [](const bw::Event&) {};
    CHECK(bw::observers(one, bw::Observer{}));
    CHECK(one == bw::Observer{one});
    CHECK_FALSE(one == one.for_client("dairy"));
}

TEST_CASE("the client that an observer stands for is told to all it is made of, unless the event has another") {
    const Ear ear, own;
    const bw::Observer all = bw::observers(ear.observer(), own.observer().for_client("own")).for_client("dairy");
    all({.kind = EventKind::cache_hit});
    all({.kind = EventKind::cache_hit, .client = "other"});
    for (const Ear& each : {ear, own}) {
        const auto seen = each.take();
        REQUIRE(seen.size() == 2);
        CHECK(seen[0].client == "dairy");
        CHECK(seen[1].client == "other");
    }
}

TEST_CASE("a slow observer keeps its own call waiting and no other") {
    std::promise<void> entered, leave;
    const auto left = leave.get_future().share();
    const Ear ear;
    const World world;
    const auto client = world.client({.observer = bw::observers(
                                          [&](const bw::Event& event) {
                                              if (event.kind != EventKind::attempt_started || event.tag != "slow")
                                                  return;
                                              entered.set_value();
                                              left.wait();
                                          },
                                          ear.observer())});
    for (int i = 0; i < 2; ++i) world.service.add(bw::Response{.status = 200});
    auto slow = std::async(std::launch::async, [&] { return client.get("/a", {.tag = "slow"}); });
    entered.get_future().wait();
    CHECK(client.get("/b"));
    client.circuit_breaker().reset();
    CHECK(client.reconfigure(client.options()));
    CHECK(ear.take().size() == 5);
    leave.set_value();
    CHECK(slow.get());
    using enum EventKind;  // of the call that began before the reset
    CHECK(ear.kinds() == std::vector{attempt_started, attempt_ended, late_result, call_ended});
}

TEST_CASE("an observer may come back to the client in every way") {
    const World world;
    std::optional<test::ScriptedClient> client;
    std::set<EventKind> kinds;
    int depth = 0;
    bw::ClientOptions options{
        .circuit_breaker = {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 1s},
        .bulkhead = {.max_concurrent = 8},
        .adaptive_limit = bw::AdaptiveLimitOptions<>{},
        .throttle = bw::ThrottleOptions{},
        .circuits = {.per = bw::by_endpoint()},
        .rate_limit = {.algorithm = bw::TokenBucket{.permits = 100, .period = 1s, .burst = 100},
                       .per_endpoint = {.algorithm = bw::FixedWindow{.permits = 50, .window = 1s}}},
        .retry = {.max_retries = 1},
        .cache = {.ttl = 1min, .stale_if_error = 1h}};
    options.observer = [&](const bw::Event& event) {
        kinds.insert(event.kind);
        if (depth > 0) return;
        ++depth;
        CHECK(client->reconfigure(client->options()));
        (void)client->snapshot();
        (void)client->get("/inner");
        (void)client->post("/inner");
        client->circuit_breaker().force_closed(1ms);
        client->circuit_breaker().reset();
        client->circuit_breakers()->reset("GET /a");
        CHECK(client->restore_state(client->save_state()));
        --depth;
    };
    client.emplace(world.client(options));
    int count = 0;
    const bw::ScriptedTransport service = world.service;
    for (int i = 0; i < 500; ++i)
        service.add(bw::ScriptedAnswer{[&count](const bw::Request&) -> bw::Result<bw::Response> {
            return bw::Response{.status = ++count % 3 == 0 ? 503 : 200, .headers = {{"Retry-After", "0"}}};
        }});
    for (int i = 0; i < 6; ++i) {
        (void)client->get("/a");
        (void)client->get("/b", {.cache_ttl = 0s});
        world.clock.advance(90s);
    }
    using enum EventKind;
    for (const EventKind kind :
         {attempt_started, attempt_ended, retry_scheduled, circuit_forced, cache_stored, reconfigured, call_ended}) {
        INFO(to_string(kind));
        CHECK(kinds.contains(kind));
    }
}

TEST_CASE("an observer that the store tells of its outage may reconfigure what has met it") {
    using Faulty = bw::FaultyStore<bw::MemoryStore<bw::ManualClock>>;
    const Faulty inner{bw::MemoryStore{bw::ManualClock{}}};
    std::optional<bw::CircuitBreaker<bw::AnyTrip, bw::LocalFallback<Faulty>>> breaker;
    bool done = false;
    const bw::LocalFallback store{inner, {.name = "shelf", .observer = [&](const bw::Event& event) {
                                              if (event.kind != EventKind::store_degraded) return;
                                              done = breaker->reconfigure(breaker->options()).has_value();
                                          }}};
    breaker.emplace(bw::CircuitBreakerOptions<>{.name = "ledger"}, store);
    REQUIRE(inner.set({.faults = {{.then = bw::faults::StoreThen::no_answer}}}));
    CHECK(breaker->reconfigure(breaker->options()));
    CHECK(done);
}

TEST_CASE("on_open tells of openings, not of those by hand") {
    std::vector<std::string> alerts;
    const World world;
    const auto client = world.client({.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 1min},
                                      .retry = {.max_retries = 0},
                                      .observer = bw::on_open([&](const bw::Event& event) {
                                          alerts.push_back(std::string{event.client}.append("/").append(event.policy) +
                                                           " " + bw::format_duration(event.delay.value_or(0s)));
                                      })});
    world.service.add(bw::Response{.status = 200});
    world.service.add(bw::Response{.status = 500});
    world.service.add(bw::Response{.status = 500});
    CHECK(client.get("/a"));
    CHECK(alerts.empty());
    CHECK_FALSE(client.get("/a"));
    CHECK(alerts == std::vector<std::string>{"dairy/dairy 60 s"});
    world.clock.advance(1min);
    CHECK_FALSE(client.get("/a"));  // the probe
    CHECK(alerts.size() == 2);
    client.circuit_breaker().force_open();
    CHECK(alerts.size() == 2);
}
