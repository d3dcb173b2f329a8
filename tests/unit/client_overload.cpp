// A client with an adaptive limit, a throttle, hedges or coalesced calls: by its options, from a file, and in its
// words.
#include <breakwater/client/explain.hpp>
#include <breakwater/client/from_json.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <sstream>
#include <string>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using nlohmann::json;

namespace {

using Client = test::ScriptedClient;

Client client_of(bw::ClientOptions options, bw::ScriptedTransport service) {
    options.name = "dairy";
    options.base_url = "http://api.test";
    options.retry.max_retries = 0;
    options.circuit_breaker.trip = bw::never;
    const bw::ManualClock clock;
    service.on_elapse([clock](bw::Duration took) { clock.advance(took); });
    return Client{std::move(options), std::move(service), test::ScriptedStore{clock}};
}
bw::ScriptedTransport broken() { return bw::ScriptedTransport::always(bw::Response{.status = 503}); }

bw::ClientOptions read(const char* text) {
    auto options = bw::client_options_from_json(json::parse(text));
    if (!options) FAIL(options.error().detail());
    return *std::move(options);
}
std::string mistake(const char* text) {
    const auto options = bw::client_options_from_json(json::parse(text));
    return options ? "" : std::string{options.error().detail()};
}

}  // namespace

TEST_CASE("a client with a throttle refuses part of what the service does not accept") {
    const auto service = broken();
    const Client client = client_of({.throttle = bw::ThrottleOptions{.seed = 1}}, service);
    int refused = 0;
    for (int i = 0; i < 200; ++i) refused += client.get("/x").error().code() == Errc::throttled;
    CHECK(refused > 100);
    CHECK(service.count() == static_cast<std::size_t>(200 - refused));
    CHECK(client.snapshot()["throttle"]["requests"] == 200);
    CHECK(client.throttle()->snapshot().refusal_probability > 0.5);

    const Client plain = client_of({}, broken());
    CHECK_FALSE(plain.throttle());
    CHECK(plain.snapshot()["throttle"].is_null());
}

TEST_CASE("a client with an adaptive limit shrinks it when calls are dropped") {
    const Client client = client_of(
        {.adaptive_limit = bw::AdaptiveLimitOptions<>{.algorithm = bw::Aimd{}, .window = 10ms, .minimum_samples = 10}},
        bw::ScriptedTransport::always(bw::ScriptedAnswer{bw::Response{.status = 503}, 5ms}));
    for (int i = 0; i < 30; ++i) CHECK_FALSE(client.get("/x"));
    CHECK(client.adaptive_limit()->snapshot().limit < 20);
    CHECK(client.snapshot()["adaptive_limit"]["limit"].get<int>() < 20);
    CHECK_FALSE(client_of({}, broken()).adaptive_limit());
}

TEST_CASE("what a client has learned about overload outlasts new options") {
    bw::ClientOptions options{.throttle = bw::ThrottleOptions{}, .hedge = {.max_hedges = 1, .after = 1s}};
    const Client client = client_of(options, broken());
    for (int i = 0; i < 20; ++i) (void)client.get("/x");
    auto next = client.options();
    next.throttle->accepts_multiplier = 5;
    next.hedge.after = 2s;
    next.adaptive_limit.emplace().max_limit = 30;
    REQUIRE(client.reconfigure(next));
    CHECK(client.throttle()->snapshot().requests == 20);
    CHECK(client.throttle()->options().accepts_multiplier == 5);
    CHECK(client.hedge()->snapshot().after == 2s);
    CHECK(client.adaptive_limit()->options().max_limit == 30);
    next.hedge.name = "another";
    CHECK_FALSE(client.reconfigure(next));
    next = client.options();
    next.throttle.reset();
    next.hedge.max_hedges = 0;
    REQUIRE(client.reconfigure(next));
    CHECK_FALSE(client.throttle());
    CHECK_FALSE(client.hedge());
}

TEST_CASE("the policies against overload are read from a file") {
    const auto options = read(R"({
        "adaptive_limit": {"algorithm": "vegas", "initial_limit": 10, "min_limit": 2, "max_limit": 50, "window": "2s",
                           "minimum_samples": 50, "drop_ratio": 0.2, "slow_after": "3s", "max_queue": 5,
                           "max_wait": "1s"},
        "throttle": {"accepts_multiplier": 1.5, "max_probability": 0.8, "window": {"duration": "1min", "buckets": 30},
                     "minimum_requests": 20},
        "coalesce": {"calls": "all_gets", "max_wait": "3s"},
        "hedge": {"max_hedges": 2, "after": "80ms", "quantile": 0.9, "minimum_samples": 40,
                  "budget": {"ratio": 0.1, "floor_per_second": 2, "burst": 5}}})");
    REQUIRE(options.adaptive_limit);
    CHECK(options.adaptive_limit->algorithm == bw::AnyLimitAlgorithm{bw::Vegas{}});
    CHECK(options.adaptive_limit->initial_limit == 10);
    CHECK(options.adaptive_limit->min_limit == 2);
    CHECK(options.adaptive_limit->max_limit == 50);
    CHECK(options.adaptive_limit->window == 2s);
    CHECK(options.adaptive_limit->minimum_samples == 50);
    CHECK(options.adaptive_limit->drop_ratio == 0.2);
    CHECK(options.adaptive_limit->slow_after == 3s);
    CHECK(options.adaptive_limit->max_queue == 5);
    CHECK(options.adaptive_limit->max_wait == 1s);
    REQUIRE(options.throttle);
    CHECK(options.throttle->accepts_multiplier == 1.5);
    CHECK(options.throttle->max_probability == 0.8);
    CHECK(options.throttle->window.duration == 1min);
    CHECK(options.throttle->window.buckets == 30);
    CHECK(options.throttle->minimum_requests == 20);
    CHECK(options.coalesce.calls == bw::CoalesceCalls::all_gets);
    CHECK(options.coalesce.max_wait == 3s);
    CHECK(options.hedge == bw::HedgeOptions{.max_hedges = 2,
                                            .after = 80ms,
                                            .quantile = 0.9,
                                            .minimum_samples = 40,
                                            .budget = {.ratio = 0.1, .floor_per_second = 2, .burst = 5}});

    CHECK(mistake(R"({"adaptive_limit": {"algorithm": "guess"}})").starts_with("adaptive_limit.algorithm: "));
    CHECK(mistake(R"({"adaptive_limit": {"max_limit": 0}})").starts_with("adaptive_limit.max_limit: "));
    CHECK(mistake(R"({"throttle": {"max_probability": 2}})").starts_with("throttle.max_probability: "));
    CHECK(mistake(R"({"coalesce": {"calls": "some"}})").starts_with("coalesce.calls: "));
    CHECK(mistake(R"({"coalesce": {"max_wait": "0s"}})").starts_with("coalesce.max_wait: "));
    CHECK(mistake(R"({"hedge": {"max_hedges": 11}})").starts_with("hedge.max_hedges: "));
    CHECK(mistake(R"({"hedge": {"budget": {"ratio": 7}}})").starts_with("hedge.budget.ratio: "));
}

TEST_CASE("a client explains what it does about overload") {
    std::ostringstream text;
    text << explain(client_of({.adaptive_limit = bw::AdaptiveLimitOptions<>{},
                               .throttle = bw::ThrottleOptions{},
                               .hedge = {.max_hedges = 1, .after = 80ms},
                               .cache = {.ttl = 1min}},
                              broken()));
    std::size_t at = 0;
    for (const char* layer : {"  cache ", "  coalesce ", "  deadline ", "  retry ", "  hedge ", "  throttle ",
                              "  circuit breaker ", "  adaptive limit ", "  rate limiter "}) {
        INFO(layer << "\n" << text.str());
        const auto found = text.str().find(layer, at);
        REQUIRE(found != std::string::npos);
        at = found;
    }
}
