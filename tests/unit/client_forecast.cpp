#include <breakwater/client/explain.hpp>
#include <breakwater/client/from_json.hpp>
#include <breakwater/observe/log.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using nlohmann::json;

namespace {

using Store = test::ScriptedStore;
using Client = test::ScriptedClient;
using Lines = std::vector<std::string>;

/// A service of which each answer takes 800 ms.
struct World {
    World() {
        service.on_elapse([clock = clock](bw::Duration took) { clock.advance(took); });
    }
    Client client(bw::ClientOptions options = {.forecast = {.quantile = 0.5, .minimum_samples = 4}}) const {
        options.name = "dairy";
        options.base_url = "http://api.test";
        options.retry.backoff = bw::constant_backoff(100ms);
        options.observer = bw::request_log([lines = lines](std::string_view line) { lines->emplace_back(line); });
        return Client{std::move(options), service, store};
    }
    void teach(const Client& client) const {
        for (int n = 0; n < 4; ++n) CHECK(client.get("/x"));
        lines->clear();
    }

    bw::ManualClock clock{};
    Store store{clock};
    bw::ScriptedTransport service =
        bw::ScriptedTransport::always(bw::ScriptedAnswer{bw::Response{.status = 200}, 800ms});
    std::shared_ptr<Lines> lines = std::make_shared<Lines>();
};

/// Counts how often it is read.
struct CountingClock {
    std::shared_ptr<int> reads = std::make_shared<int>(0);
    bw::Instant now() const noexcept { return bw::Instant{bw::Duration{1'000'000 + 1'000 * ++*reads}}; }
    bw::Wait wait_until(bw::Instant, const std::stop_token&) const { return bw::Wait::elapsed; }
    friend bool operator==(const CountingClock&, const CountingClock&) = default;
};

std::string mistake(const char* text) {
    const auto options = bw::client_options_from_json(json::parse(text));
    return options ? "" : std::string{options.error().detail()};
}

}  // namespace

TEST_CASE("a client begins every attempt unless it is asked to foresee") {
    const World world;
    const Client client = world.client({.circuit_breaker = {.trip = bw::never}, .forecast = {.minimum_samples = 1}});
    for (int n = 0; n < 30; ++n) (void)client.get("/x", {.timeout = 100ms, .deadline = 100ms});
    CHECK(world.service.count() == 30);
    CHECK_FALSE(client.forecast());
    CHECK(client.snapshot()["forecast"] == nullptr);
}

TEST_CASE("a client that foresees does not send what would come too late, and says why") {
    const World world;
    const Client client = world.client();
    world.teach(client);
    const auto result = client.get("/x", {.deadline = 120ms});
    REQUIRE_FALSE(result);
    CHECK(result.error().is_refusal(Errc::deadline_too_near));
    CHECK(result.error().attempts() == 0);
    CHECK(result.error().shortage()->left == 120ms);
    CHECK(result.error().message() ==
          "GET /x: the deadline is too near for another attempt: it is expected to take 819 ms (p50 of 4), 120 ms are "
          "left");
    CHECK(world.service.count() == 4);
    CHECK(client.circuit_breaker().snapshot().counts.failures == 0);
    CHECK(client.get("/x", {.deadline = 1s}));
    CHECK(*world.lines == Lines{"GET /x -> refused: the deadline is too near for another attempt",
                                "GET /x -> 200 (800 ms) attempt 1/4"});
}

TEST_CASE("a reconfigured client expects what it expected") {
    const World world;
    const Client client = world.client();
    world.teach(client);
    bw::ClientOptions options = client.options();
    options.forecast.quantile = 0.9;
    REQUIRE(client.reconfigure(options));
    CHECK(client.forecast()->snapshot().samples == 4);
    CHECK(client.get("/x", {.deadline = 120ms}).error().is_refusal(Errc::deadline_too_near));
    options.forecast.quantile = std::nullopt;
    REQUIRE(client.reconfigure(options));
    CHECK_FALSE(client.forecast());
    CHECK(client.get("/x", {.deadline = 120ms}).error().code() != Errc::deadline_too_near);
}

TEST_CASE("a client's retry that would come too late is not waited for, and the log tells the attempt") {
    World world;
    const Client client = world.client();
    world.teach(client);
    world.service = bw::ScriptedTransport::always({bw::Response{.status = 503}, 800ms});
    world.service.on_elapse([clock = world.clock](bw::Duration took) { clock.advance(took); });
    const Client other = world.client();  // of the same name and store: it knows what the first one learned
    const bw::Instant began = world.clock.now();
    const auto result = other.get("/x", {.deadline = 1500ms});
    CHECK(result.error().status() == 503);
    CHECK(result.error().stopped_by() == Errc::deadline_too_near);
    CHECK(world.clock.now() - began == 800ms);
    CHECK(*world.lines == Lines{"GET /x -> 503 attempt 1/4, gave up after 800 ms: the deadline is too near for "
                                "another attempt"});
}

TEST_CASE("a client's snapshot shows what it expects, and of how many attempts") {
    const World world;
    const Client client = world.client();
    CHECK(client.snapshot()["forecast"] == json{{"name", "dairy"}, {"expected_ms", nullptr}, {"samples", 0}});
    world.teach(client);
    const json seen = client.snapshot()["forecast"];
    CHECK(seen["samples"] == 4);
    CHECK(seen["expected_ms"] == static_cast<double>(client.forecast()->snapshot().expected.count()) / 1'000);
    CHECK(seen["expected_ms"] >= 750.0);
    CHECK(seen["expected_ms"] <= 850.0);
}

TEST_CASE("a client times its attempts anyway: the forecast reads no clock of its own") {
    const auto reads = [](bw::ClientForecastOptions forecast) {
        const CountingClock clock;
        const bw::ResilientClient client{bw::ClientOptions{.base_url = "http://api.test", .forecast = forecast},
                                         bw::ScriptedTransport::always(bw::Response{.status = 200}),
                                         bw::MemoryStore{clock}};
        CHECK(client.get("/x"));
        const int before = *clock.reads;
        CHECK(client.get("/x"));
        return *clock.reads - before;
    };
    CHECK(reads({.quantile = 0.5}) == reads({}));
}

TEST_CASE("a client explains its forecast") {
    const World world;
    const bw::Explanation all = bw::explain(world.client());
    REQUIRE(all.layers.size() > 2);
    CHECK(all.layers[2].policy == "forecast");
    CHECK(all.layers[2].says ==
          "dairy: begins no attempt expected to take longer than is left of the deadline (p50 of the newest 256); a "
          "trial after 1 s without any");
    for (const auto& warning : all.warnings) CHECK(warning.find("forecast") == std::string::npos);
}

TEST_CASE("a client's forecast is read from JSON, and its mistakes are named by their path") {
    const auto options = bw::client_options_from_json(json::parse(
        R"({"forecast": {"quantile": 0.9, "minimum_samples": 50, "max_samples": 500, "trial_interval": "5s"}})"));
    REQUIRE(options);
    CHECK(options->forecast.quantile == 0.9);
    CHECK(options->forecast.minimum_samples == 50);
    CHECK(options->forecast.max_samples == 500);
    CHECK(options->forecast.trial_interval == 5s);
    CHECK_FALSE(bw::client_options_from_json(json::parse("{}"))->forecast.quantile);
    CHECK(mistake(R"({"forecast": {"quantile": 90}})") == "forecast.quantile: must be 0.001 to 0.999, got 90");
    CHECK(mistake(R"({"forecast": {"minimum_samples": 200}})") ==
          "forecast.max_samples: must be at least twice minimum_samples, which is 200, and at most 60000, got 256");
    CHECK(mistake(R"({"forecast": {"trial_interval": 5}})") ==
          "forecast.trial_interval: must be a duration with its unit, such as \"250ms\" or \"2min\", got 5");
    CHECK(mistake(R"({"forecast": {"quantil": 0.5}})") == "forecast.quantil: unknown key; did you mean \"quantile\"?");
}
