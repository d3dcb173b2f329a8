// A client whose options change while it works: what a call sees of that, and what the client keeps.
#include <breakwater/client/from_json.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::Errc;
using bw::ManualClock;
using bw::Response;
using Json = nlohmann::json;

namespace {

using Store = test::ScriptedStore;
using Client = test::ScriptedClient;

/// A service that answers by path ("/503" with 503, "/dead" not at all), and a client of it.
struct World {
    explicit World(bw::ClientOptions given) : World{std::move(given), ManualClock{}} {}
    World(bw::ClientOptions given, ManualClock time)
        : clock{std::move(time)}, options{named(std::move(given))}, client{options, service, store} {
        clock.advance(1h);
    }

    static bw::ClientOptions named(bw::ClientOptions options) {
        if (options.name.empty()) options.name = "dairy";
        return options;
    }
    static bw::ClientOptions of_one_host(bw::ClientOptions options) {
        options.base_url = "https://api.test";
        return options;
    }

    /// The options there are, changed.
    void change(const std::function<void(bw::ClientOptions&)>& how) {
        how(options);
        const auto changed = client.reconfigure(options);
        if (!changed) FAIL(changed.error().message());
    }
    Errc code_of(const std::string& target, const bw::RequestOptions& own = {}) const {
        const auto result = client.get(target, own);
        return result ? Errc{} : result.error().code();
    }
    bool gets(const std::string& target) const { return client.get(target).has_value(); }
    std::int64_t available() const { return client.rate_limiter().snapshot().available; }

    ManualClock clock;
    Store store{clock};
    std::shared_ptr<std::function<void()>> during = std::make_shared<std::function<void()>>();
    bw::ScriptedTransport service = bw::ScriptedTransport::always([during = during](const bw::Request& request) {
        if (const auto meanwhile = std::exchange(*during, {})) meanwhile();
        if (request.url.find("dead") != std::string::npos) return bw::Result<Response>{bw::fail(Errc::connect_failed)};
        const bool fails = request.url.find("/503") != std::string::npos;
        return bw::Result<Response>{Response{.status = fails ? 503 : 200, .body = "fresh"}};
    });
    bw::ClientOptions options;
    Client client;
};

constexpr bw::FixedWindow per_day(std::int64_t permits) { return {.permits = permits, .window = 24h}; }
constexpr bw::TokenBucket daily(std::int64_t permits) { return {.permits = permits, .period = 24h}; }

}  // namespace

TEST_CASE("every copy of a client goes by its new options, over the transport there was") {
    World world{World::of_one_host({.retry = {.max_retries = 0}})};
    const Client copy = world.client;
    world.change([](auto& options) {
        options.base_url = "https://new.test/v2";
        options.headers = {{"X-Version", "2"}};
        options.timeouts.attempt = 1s;
        options.max_response_bytes = 7;
    });
    REQUIRE(copy.get("/x"));
    const auto asked = world.service.exchanges();
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].request.url == "https://new.test/v2/x");
    CHECK(asked[0].request.headers.get("X-Version") == "2");
    CHECK(asked[0].options.timeout == 1s);
    CHECK(asked[0].options.max_response_bytes == 7);
    CHECK(copy.options().base_url == "https://new.test/v2");
}

TEST_CASE("a call goes by the options it began with, in all its attempts and to its last event") {
    std::vector<std::string> told;
    const auto observer = [&](std::string who) {
        return bw::Observer{[&told, who](const bw::Event& event) {
            if (event.kind == bw::EventKind::call_ended) told.push_back(who);
        }};
    };
    World world{World::of_one_host(
        {.headers = {{"X-Version", "1"}},
         .auth = bw::Bearer{"first token"},
         .timeouts = {.attempt = 2s},
         .circuit_breaker = {.trip = bw::ConsecutiveFailures{100}},
         .rate_limit = {.algorithm = per_day(3)},
         .retry = {.max_retries = 2, .backoff = {.base = 5s, .jitter = bw::Jitter::none}},
         .fallback = {.answer = [](const bw::Error&) { return bw::Result<Response>{Response{.body = "old"}}; }},
         .observer = observer("old")})};
    *world.during = [&] {
        world.change([&](auto& options) {
            options.headers = {{"X-Version", "2"}};
            options.auth = bw::Bearer{"second token"};
            options.timeouts = {.attempt = 1s, .deadline = 1s};
            options.circuit_breaker.trip = bw::ConsecutiveFailures{1};
            options.rate_limit.algorithm = bw::no_limit;
            options.retry = {.max_retries = 0};
            options.fallback = {};
            options.observer = observer("new");
        });
    };
    const auto first = world.client.get("/503");
    REQUIRE(first);
    CHECK(first->body == "old");
    CHECK(world.service.count() == 3);
    for (const auto& exchange : world.service.exchanges()) {
        CHECK(exchange.request.headers.get("X-Version") == "1");
        CHECK(exchange.request.headers.get("Authorization") == "Bearer first token");
        CHECK(exchange.options.timeout == 2s);
    }
    CHECK(world.clock.waits() == std::vector<bw::Duration>{5s, 10s});

    const auto next = world.client.get("/503");
    REQUIRE_FALSE(next);
    CHECK(next.error().attempts() == 1);
    CHECK(world.service.exchanges().back().request.headers.get("Authorization") == "Bearer second token");
    CHECK(told == std::vector<std::string>{"old", "new"});
}

TEST_CASE("what the old options refer to lives until the last call by them has ended") {
    auto kept = std::make_shared<int>(7);
    World world{World::of_one_host({.retry = {.max_retries = 0}})};
    world.change([&](auto& options) {
        options.fallback.answer = [kept](const bw::Error&) {
            return bw::Result<Response>{Response{.body = std::to_string(*kept)}};
        };
    });
    const std::weak_ptr<int> seen = std::exchange(kept, nullptr);
    *world.during = [&] {
        world.change([](auto& options) { options.fallback = {}; });
        CHECK_FALSE(seen.expired());
    };
    const auto answer = world.client.get("/503");
    REQUIRE(answer);
    CHECK(answer->body == "7");
    CHECK(seen.expired());
}

TEST_CASE("a client can be reconfigured from within its own calls") {
    World world{World::of_one_host({.retry = {.max_retries = 0}})};
    int changes = 0;
    const auto change = [&] {
        const auto changed = world.client.reconfigure(World::named(World::of_one_host({.retry = {.max_retries = 0}})));
        changes += changed.has_value();
    };
    world.change([&](auto& options) {
        options.observer = bw::Observer{[&](const bw::Event& event) {
            if (event.kind == bw::EventKind::attempt_ended) change();
        }};
        options.fallback.answer = [&](const bw::Error&) {
            change();
            return bw::Result<Response>{Response{}};
        };
    });
    CHECK(world.gets("/503"));
    CHECK(changes == 2);
}

TEST_CASE("options that are wrong are refused by their field, and change nothing") {
    World world{World::of_one_host({.headers = {{"X-Version", "1"}}, .rate_limit = {.algorithm = per_day(9)}})};
    const auto refusal = [&](const std::function<void(bw::ClientOptions&)>& how) {
        bw::ClientOptions changed = world.options;
        changed.headers = {{"X-Version", "2"}};
        how(changed);
        const auto result = world.client.reconfigure(changed);
        CHECK(world.client.options().headers.get("X-Version") == "1");
        return result ? "accepted" : result.error().message();
    };
    CHECK(refusal([](auto& o) { o.timeouts.attempt = -5s; }) == "timeouts.attempt: must be 1ms to 24h, got -5s");
    CHECK(refusal([](auto& o) { o.rate_limit.algorithm = per_day(0); }) ==
          "rate_limit.algorithm.permits: must be 1 to 2147483648, got 0");
    CHECK(refusal([](auto& o) { o.base_url = "gopher://x"; }).starts_with("base_url: "));
    CHECK(world.available() == 9);
}

TEST_CASE("a client's names stay, since what it knows is found by them") {
    const World world{World::of_one_host({})};
    const auto refusal = [&](const bw::ClientOptions& options) {
        const auto result = world.client.reconfigure(options);
        return result ? "accepted" : result.error().message();
    };
    CHECK(refusal({.name = "other"}) == "name: must be the client's, \"dairy\", got \"other\"");
    CHECK(refusal({.name = "dairy", .circuit_breaker = {.name = "other"}}) ==
          "circuit_breaker.name: must be the circuit's, \"dairy\", got \"other\"");
    CHECK(refusal({.name = "dairy", .retry_budget = {.name = "other"}}) ==
          "retry_budget.name: must be the budget's, \"dairy\", got \"other\"");
    CHECK(refusal({.name = "dairy", .circuit_breaker = {.name = "dairy"}}) == "accepted");
}

TEST_CASE("a circuit goes on with what it has counted, whoever has a copy of the client") {
    World world{
        World::of_one_host({.circuit_breaker = {.trip = bw::ConsecutiveFailures{3}}, .retry = {.max_retries = 0}})};
    for (int i = 0; i < 2; ++i) CHECK_FALSE(world.gets("/503"));
    SECTION("under the same rule") {}
    SECTION("under another number") {
        world.change([](auto& options) { options.circuit_breaker.trip = bw::ConsecutiveFailures{4}; });
        CHECK_FALSE(world.gets("/503"));
    }
    world.change([](auto& options) { options.headers = {{"X-Version", "2"}}; });
    CHECK(world.client.circuit_breaker().state() == CircuitState::closed);
    CHECK_FALSE(world.gets("/503"));
    CHECK(world.client.circuit_breaker().state() == CircuitState::open);
}

TEST_CASE("a client without a name keeps what it knows all the same") {
    const ManualClock clock;
    clock.advance(1h);
    bw::ClientOptions options{.base_url = "https://api.test",
                              .circuit_breaker = {.trip = bw::ConsecutiveFailures{5}},
                              .rate_limit = {.algorithm = daily(20), .per_endpoint = {.algorithm = daily(10)}},
                              .retry = {.max_retries = 1, .backoff = {.base = 1us}},
                              .retry_budget = {.ratio = 0.001, .floor_per_second = 0}};
    const Client client{options, bw::ScriptedTransport::always(Response{.status = 503}), Store{clock}};
    CHECK_FALSE(client.get("/x"));
    for (const bw::AnyAlgorithm& algorithm : {bw::AnyAlgorithm{per_day(20)}, bw::AnyAlgorithm{daily(20)}}) {
        options.rate_limit.algorithm = algorithm;
        options.rate_limit.per_endpoint.algorithm = algorithm;
        REQUIRE(client.reconfigure(options));
        CHECK(client.rate_limiter().snapshot().available == 18);
        CHECK(client.snapshot()["endpoints"]["GET /x"]["available"] == 18);
    }
    CHECK(client.retry_budget().snapshot().available == 29);
    CHECK(client.circuit_breaker().snapshot().counts.failures == 2);
}

TEST_CASE("a client without a name remembers the circuits and limits that it did not ask for a while") {
    const ManualClock clock;
    clock.advance(1h);
    bw::ClientOptions options{.circuit_breaker = {.trip = bw::ConsecutiveFailures{2}},
                              .rate_limit = {.per_endpoint = {.algorithm = daily(3)}},
                              .retry = {.max_retries = 0}};
    const Client client{options, bw::ScriptedTransport::always(bw::Error{Errc::connect_failed}), Store{clock}};
    for (int i = 0; i < 2; ++i) CHECK_FALSE(client.get("https://dead.test/x"));
    options.circuits.per = bw::by_client();
    options.rate_limit.per_endpoint.algorithm = bw::no_limit;
    REQUIRE(client.reconfigure(options));
    CHECK(client.get("https://dead.test/x").error().code() == Errc::connect_failed);
    options.circuits.per = bw::by_host();
    options.rate_limit.per_endpoint.algorithm = daily(3);
    REQUIRE(client.reconfigure(options));
    CHECK(client.get("https://dead.test/x").error().code() == Errc::circuit_open);
    CHECK(client.get("https://other.test/x").error().code() == Errc::connect_failed);
    CHECK(client.get("https://other.test/x").error().code() == Errc::rate_limited);
}

TEST_CASE("a window keeps its outcomes, as many as its new size can hold") {
    World world{World::of_one_host(
        {.circuit_breaker = {.trip = bw::FailureRate{.ratio = 0.5, .window = bw::CountWindow{10}, .minimum_calls = 8}},
         .retry = {.max_retries = 0}})};
    for (int i = 0; i < 3; ++i) CHECK(world.gets("/200"));
    for (int i = 0; i < 3; ++i) CHECK_FALSE(world.gets("/503"));
    world.change([](auto& options) {
        options.circuit_breaker.trip = bw::FailureRate{.ratio = 0.5, .window = bw::CountWindow{20}, .minimum_calls = 7};
    });
    CHECK(world.client.circuit_breaker().snapshot().counts.calls == 6);
    CHECK_FALSE(world.gets("/503"));
    CHECK(world.client.circuit_breaker().state() == CircuitState::open);
}

TEST_CASE("an open circuit stays open until its time, and not longer than the new options allow") {
    World world{World::of_one_host({.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 60s},
                                    .retry = {.max_retries = 0}})};
    CHECK_FALSE(world.gets("/503"));
    world.clock.advance(10s);
    world.change([](auto& options) { options.circuit_breaker.recovery_timeout = 1h; });
    CHECK(world.client.get("/200").error().retry_after() == 50s);
    world.change([](auto& options) { options.circuit_breaker.recovery_timeout = 20s; });
    CHECK(world.client.get("/200").error().retry_after() == 20s);
    world.clock.advance(20s);
    CHECK(world.gets("/200"));
}

TEST_CASE("a circuit forced by hand stays so") {
    World world{World::of_one_host({.retry = {.max_retries = 0}})};
    world.client.circuit_breaker().force_open();
    world.change([](auto& options) { options.circuit_breaker.recovery_timeout = 1ms; });
    world.clock.advance(1h);
    CHECK(world.code_of("/200") == Errc::circuit_open);
    world.client.circuit_breaker().force_closed();
    world.change([](auto& options) { options.circuit_breaker.trip = bw::ConsecutiveFailures{1}; });
    for (int i = 0; i < 3; ++i) CHECK(world.code_of("/503") == Errc::http_status);
}

TEST_CASE("a half-open circuit's probe keeps its slot, and its verdict counts") {
    World world{World::of_one_host({.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 60s},
                                    .retry = {.max_retries = 0}})};
    CHECK_FALSE(world.gets("/503"));
    world.clock.advance(60s);
    *world.during = [&] {
        world.change([](auto& options) { options.circuit_breaker.recovery_timeout = 30s; });
        CHECK(world.code_of("/200") == Errc::circuit_open);  // the slot is taken
    };
    CHECK(world.gets("/200"));
    CHECK(world.client.circuit_breaker().state() == CircuitState::closed);
    CHECK(world.client.circuit_breaker().snapshot().late_results == 0);
}

TEST_CASE("an attempt that began under the old options votes in the circuit there is now") {
    World world{
        World::of_one_host({.circuit_breaker = {.trip = bw::ConsecutiveFailures{2}}, .retry = {.max_retries = 0}})};
    *world.during = [&] { world.change([](auto& options) { options.circuit_breaker.recovery_timeout = 5s; }); };
    CHECK_FALSE(world.gets("/503"));
    CHECK_FALSE(world.gets("/503"));
    CHECK(world.client.get("/200").error().retry_after() == 5s);
}

TEST_CASE("the circuits of hosts go on under other options, open ones first if there is less room") {
    World world{
        {.circuit_breaker = {.trip = bw::ConsecutiveFailures{2}, .recovery_timeout = 1h}, .retry = {.max_retries = 0}}};
    const std::string long_host = "https://dead." + std::string(60, 'x') + "." + std::string(60, 'y') + ".test";
    for (const std::string host : {"https://dead-1.test", "https://dead-2.test", long_host.c_str()})
        for (int i = 0; i < 2; ++i) CHECK_FALSE(world.gets(host + "/"));
    CHECK_FALSE(world.gets("https://dead-3.test/"));
    CHECK(world.gets("https://good.test/"));
    SECTION("the same options") {}
    SECTION("another rule") {
        world.change([](auto& options) { options.circuit_breaker.recovery_timeout = 30min; });
        CHECK(world.client.get("https://dead-1.test/").error().retry_after() == 30min);
    }
    SECTION("a rule with a function, twice") {
        for (int i = 0; i < 2; ++i)
            world.change([](auto& options) {
                options.circuit_breaker.classify = [](const bw::Error& error) { return bw::default_outcome(error); };
            });
    }
    SECTION("room for those that matter only") {
        world.change([](auto& options) { options.circuits.max_circuits = 4; });
    }
    SECTION("one circuit for all, and back") {
        world.change([](auto& options) { options.circuits.per = bw::by_client(); });
        CHECK_FALSE(world.client.circuit_breakers());
        CHECK(world.code_of("https://dead-1.test/") == Errc::connect_failed);
        world.change([](auto& options) { options.circuits.per = bw::by_host(); });
    }
    CHECK(world.code_of("https://dead-1.test/") == Errc::circuit_open);
    CHECK(world.code_of("https://dead-2.test/") == Errc::circuit_open);
    CHECK(world.code_of(long_host + "/") == Errc::circuit_open);
    CHECK(world.code_of("https://dead-3.test/") == Errc::connect_failed);
    CHECK(world.code_of("https://dead-3.test/") == Errc::circuit_open);  // its second failure
    CHECK(world.gets("https://good.test/"));
}

TEST_CASE("what is spent of the client's limit stays spent, and is counted once however often the limit changes") {
    World world{World::of_one_host({.rate_limit = {.algorithm = daily(20)}})};
    for (int i = 0; i < 6; ++i) CHECK(world.gets("/x"));
    for (int i = 0; i < 3; ++i) {
        world.change([](auto& options) { options.rate_limit.algorithm = per_day(20); });
        CHECK(world.available() == 14);
        world.change([](auto& options) { options.rate_limit.algorithm = daily(20); });
        CHECK(world.available() == 14);
    }
    world.change([](auto& options) { options.rate_limit.algorithm = per_day(20); });
    for (int i = 0; i < 5; ++i) CHECK(world.gets("/x"));
    world.change([](auto& options) { options.rate_limit.algorithm = daily(25); });
    CHECK(world.available() == 25 - 11);
}

TEST_CASE("a pause that the service asked for goes on") {
    World world{World::of_one_host({.retry = {.max_retries = 0}})};
    world.service = bw::ScriptedTransport{Response{.status = 503, .headers = {{"Retry-After", "100"}}}};
    world.client = Client{world.options, world.service, world.store};
    CHECK(world.code_of("/x") == Errc::http_status);
    world.change([](auto& options) { options.rate_limit.algorithm = per_day(10); });
    CHECK(world.client.get("/x").error().retry_after() == 100s);
    CHECK(world.client.get("/x").error().code() == Errc::rate_limited);
}

TEST_CASE("the limits of endpoints go on, whatever changes in them") {
    World world{
        World::of_one_host({.rate_limit = {.per_endpoint = {.algorithm = daily(4)}}, .retry = {.max_retries = 0}})};
    const std::string long_path = "/" + std::string(200, 'p');
    for (int i = 0; i < 3; ++i) CHECK(world.gets("/a"));
    CHECK(world.gets("/b"));
    for (int i = 0; i < 4; ++i) CHECK(world.gets(long_path));
    SECTION("the same options") {
        world.change([](auto&) {});
    }
    SECTION("another form of the limit, and back, and again") {
        for (int i = 0; i < 3; ++i) {
            world.change([](auto& options) { options.rate_limit.per_endpoint.algorithm = per_day(4); });
            world.change([](auto& options) { options.rate_limit.per_endpoint.algorithm = daily(4); });
        }
        world.change([](auto& options) { options.rate_limit.per_endpoint.algorithm = per_day(4); });
    }
    SECTION("another number of endpoints, and back") {
        world.change([](auto& options) { options.rate_limit.per_endpoint.max_endpoints = 5'000; });
        CHECK(world.client.snapshot()["endpoint_keys"]["max_keys"] == 5'000);
        world.change([](auto& options) { options.rate_limit.per_endpoint.max_endpoints = 3; });
        CHECK(world.client.snapshot()["endpoint_keys"]["max_keys"] == 3);
    }
    SECTION("off for a while") {
        world.change([](auto& options) { options.rate_limit.per_endpoint.algorithm = bw::no_limit; });
        CHECK(world.gets(long_path));
        world.change([](auto& options) { options.rate_limit.per_endpoint.algorithm = daily(4); });
    }
    CHECK(world.gets("/a"));
    CHECK(world.code_of("/a") == Errc::rate_limited);
    CHECK(world.code_of(long_path) == Errc::rate_limited);
    for (int i = 0; i < 3; ++i) CHECK(world.gets("/b"));
    CHECK(world.code_of("/b") == Errc::rate_limited);
}

TEST_CASE("what the service asked of an endpoint holds under another form of its limit") {
    World world{World::of_one_host(
        {.rate_limit = {.per_endpoint = {.algorithm = daily(100)}, .heed_server = bw::HeedServer::spend_down},
         .retry = {.max_retries = 0}})};
    world.service = bw::ScriptedTransport{
        Response{.status = 429, .headers = {{"Retry-After", "100"}}},
        Response{.status = 200, .headers = {{"X-RateLimit-Remaining", "2"}, {"X-RateLimit-Reset", "60"}}},
        Response{.status = 200}, Response{.status = 200}};
    world.client = Client{world.options, world.service, world.store};
    CHECK(world.code_of("/paused") == Errc::http_status);
    CHECK(world.gets("/told"));
    world.change([](auto& options) { options.rate_limit.per_endpoint.algorithm = per_day(100); });
    CHECK(world.client.get("/paused").error().retry_after() == 100s);
    CHECK(world.gets("/told"));
    CHECK(world.gets("/told"));
    CHECK(world.client.get("/told").error().retry_after() == 60s);
}

TEST_CASE("what is spent of the retry budget stays spent") {
    World world{World::of_one_host({.circuit_breaker = {.trip = bw::never},
                                    .retry = {.max_retries = 3, .backoff = {.base = 1ms, .jitter = bw::Jitter::none}},
                                    .retry_budget = {.ratio = 0.001, .floor_per_second = 0, .burst = 6}})};
    CHECK_FALSE(world.gets("/503"));
    CHECK(world.client.retry_budget().snapshot().available == 3);
    world.change([](auto& options) { options.retry_budget.burst = 5; });
    CHECK(world.client.retry_budget().snapshot().available == 2);
    const auto last = world.client.get("/503");
    REQUIRE_FALSE(last);
    CHECK(last.error().attempts() == 3);
    CHECK(last.error().stopped_by() == Errc::budget_exhausted);
}

TEST_CASE("what the cache holds is served under other options, and after the cache was off") {
    World world{World::of_one_host({.retry = {.max_retries = 0}, .cache = {.ttl = 1h}})};
    CHECK(world.gets("/x"));
    world.change([](auto& options) { options.cache.ttl = 2h; });
    REQUIRE(world.gets("/x"));
    CHECK(world.service.count() == 1);
    world.change([](auto& options) { options.cache.ttl.reset(); });
    REQUIRE(world.gets("/x"));
    CHECK(world.service.count() == 2);
    world.change([](auto& options) { options.cache.ttl = 1h; });
    CHECK(world.client.get("/x")->source == bw::Source::cache);
    world.change([](auto& options) { options.auth = bw::Bearer{"another caller"}; });
    CHECK(world.client.get("/x")->source == bw::Source::network);
}

TEST_CASE("calls in flight count against the new bulkhead") {
    World world{World::of_one_host({.bulkhead = {.max_concurrent = 5}, .retry = {.max_retries = 0}})};
    bool off_between = false;
    SECTION("if it is smaller") {}
    SECTION("if it was off between") { off_between = true; }
    *world.during = [&] {
        *world.during = [&] {  // two calls are in flight
            if (off_between) {
                world.change([](auto& options) { options.bulkhead = {}; });
                CHECK_FALSE(world.client.bulkhead());
                CHECK(world.gets("/x"));
            }
            world.change([](auto& options) { options.bulkhead.max_concurrent = 2; });
            CHECK(world.client.bulkhead()->snapshot().in_flight == 2);
            CHECK(world.code_of("/x") == Errc::bulkhead_full);
            world.change([](auto& options) { options.bulkhead.max_concurrent = 3; });
            CHECK(world.gets("/x"));
        };
        CHECK(world.gets("/x"));
    };
    CHECK(world.gets("/x"));
    CHECK(world.client.bulkhead()->snapshot().in_flight == 0);
}

TEST_CASE("a call that queues waits as long as it was going to, and a larger bulkhead lets it in") {
    World world{World::of_one_host({.bulkhead = {.max_concurrent = 1, .max_queue = 1, .max_wait = 8s}}),
                ManualClock{ManualClock::Mode::blocking}};
    const std::optional held{*world.client.bulkhead()->try_acquire()};
    auto queued = std::async(std::launch::async, [client = world.client] { return client.get("/x"); });
    world.clock.await_blocked(1);
    world.change([](auto& options) { options.bulkhead = {.max_concurrent = 1, .max_queue = 0, .max_wait = 1s}; });
    CHECK(world.code_of("/x") == Errc::bulkhead_full);  // a new call does not queue
    CHECK(world.client.bulkhead()->snapshot().queued == 1);
    CHECK(world.clock.waits() == std::vector<bw::Duration>{8s});
    world.change([](auto& options) { options.bulkhead.max_concurrent = 2; });
    CHECK(queued.get());
}

TEST_CASE("a handle taken from the client before it is reconfigured still works") {
    World world{World::of_one_host({.circuit_breaker = {.trip = bw::ConsecutiveFailures{2}},
                                    .bulkhead = {.max_concurrent = 3},
                                    .rate_limit = {.algorithm = per_day(9)},
                                    .retry = {.max_retries = 0}})};
    const auto circuit = world.client.circuit_breaker();
    const auto bulkhead = world.client.bulkhead();
    const auto limiter = world.client.rate_limiter();
    const auto budget = world.client.retry_budget();
    world.change([](auto& options) {
        options.circuit_breaker.trip = bw::ConsecutiveFailures{1};
        options.bulkhead.max_concurrent = 2;
        options.rate_limit.algorithm = per_day(20);
    });
    CHECK_FALSE(world.gets("/503"));
    CHECK(circuit.state() == CircuitState::open);
    circuit.reset();
    CHECK(world.gets("/200"));
    CHECK(bulkhead->snapshot().max_concurrent == 2);
    CHECK(limiter.snapshot().available == 7);
    CHECK(budget.snapshot().available == 30);
}

TEST_CASE("secrets of the old options and of the new ones are kept out of words") {
    World world{World::of_one_host({.auth = bw::Bearer{"first-token-1234"}, .retry = {.max_retries = 0}})};
    const auto echo = [](const bw::Request&) {
        return bw::Result<Response>{Response{.status = 401,
                                             .headers = {{"Content-Type", "text/plain"}},
                                             .body = "first-token-1234 gave way to second-token-5678"}};
    };
    world.service = bw::ScriptedTransport::always(echo);
    world.client = Client{world.options, world.service, world.store};
    CHECK(world.client.get("/x").error().message().find("first-token-1234") == std::string::npos);
    world.change([](auto& options) { options.auth = bw::Bearer{"second-token-5678"}; });
    const std::string said = world.client.get("/x").error().message();
    CHECK(said.find("*** gave way to ***") != std::string::npos);
    world.change([](auto& options) { options.auth = bw::Bearer{"third-token-9012"}; });
    CHECK(world.client.get("/x").error().message().find("second-token") == std::string::npos);
}

TEST_CASE("options read again from a file's text are applied to the client that works") {
    const std::string before = R"({"name": "dairy", "base_url": "https://api.test",
        "circuit_breaker": {"trip": {"consecutive_failures": 2}, "recovery_timeout": "60s"},
        "retry": {"max_retries": 0}})";
    const std::string after = R"({"name": "dairy", "base_url": "https://api.test",
        "circuit_breaker": {"trip": {"consecutive_failures": 2}, "recovery_timeout": "10s"},
        "retry": {"max_retries": 1, "backoff": {"base": "1ms"}}})";
    const auto reload = [](const Client& client, const std::string& text) -> bw::Result<void> {
        const auto options = bw::client_options_from_json(Json::parse(text));
        return options ? client.reconfigure(*options) : bw::fail(options.error());
    };
    const auto first = bw::client_options_from_json(Json::parse(before));
    if (!first) FAIL(first.error().message());
    World world{*first};
    CHECK_FALSE(world.gets("/503"));
    REQUIRE(reload(world.client, after));
    CHECK_FALSE(world.gets("/503"));  // the second failure
    const auto refused = world.client.get("/200");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().retry_after().value() <= 10s);
    const auto wrong = reload(world.client, R"({"name": "dairy", "circuit_breaker": {"recovery_timeout": "-5s"}})");
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().message().find("circuit_breaker.recovery_timeout") == 0);
    CHECK(world.client.options().retry.max_retries == 1);
}

TEST_CASE("a client that was reconfigured is saved and restored as any other") {
    World world{World::of_one_host({.circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 1h},
                                    .rate_limit = {.algorithm = daily(10)},
                                    .retry = {.max_retries = 0}})};
    CHECK(world.gets("/x"));
    world.change([](auto& options) { options.rate_limit.algorithm = per_day(10); });
    CHECK_FALSE(world.gets("/503"));
    World other{world.options};
    other.change([](auto& options) { options.headers = {{"X-Version", "2"}}; });
    REQUIRE(other.client.restore_state(world.client.save_state()));
    CHECK(other.code_of("/x") == Errc::circuit_open);
    CHECK(other.available() == 8);
}
