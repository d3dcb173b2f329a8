// What a client keeps over a restart.
#include <breakwater/client/saved_state.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Response;
using Json = nlohmann::json;
using Client = test::ScriptedClient;

namespace {

/// A process: its own clock and client, and a service that answers as it is told.
struct Process {
    bw::ManualClock clock{};
    bw::ScriptedTransport service{};
    Client client;

    explicit Process(std::string base_url = "https://api.test")
        : client{bw::ClientOptions{
                     .name = "dairy",
                     .base_url = std::move(base_url),
                     .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 1h},
                     .rate_limit = {.algorithm = bw::TokenBucket{.permits = 10, .period = 24h},
                                    .per_endpoint = {.algorithm = bw::TokenBucket{.permits = 2, .period = 24h}}},
                     .retry = {.max_retries = 0}},
                 service, bw::MemoryStore{clock}} {
        clock.advance(1h);
    }
    bool gets(const std::string& target, int status = 200) const {
        service.add(Response{.status = status});
        return client.get(target).has_value();
    }
};

/// As if the state had been saved this much earlier.
Json aged(Json state, bw::Duration age) {
    state["saved_at_us"] = state["saved_at_us"].get<std::int64_t>() - age.count();
    return state;
}

std::string refusal(const Json& json) {
    const Process process;
    const Json before = process.client.save_state();
    const auto restored = process.client.restore_state(json);
    CHECK(process.client.save_state()["circuit"] == before["circuit"]);
    return restored ? "accepted" : restored.error().message();
}

}  // namespace

TEST_CASE("a restart refills no quota, of the client or an endpoint") {
    const Process before;
    for (int i = 0; i < 2; ++i) CHECK(before.gets("/a"));
    for (int i = 0; i < 2; ++i) CHECK(before.gets("/b"));
    const Process after;
    REQUIRE(after.client.restore_state(Json::parse(before.client.save_state().dump())));
    CHECK(after.client.rate_limiter().snapshot().available == 6);
    CHECK_FALSE(after.gets("/a"));
    CHECK(after.gets("/c"));
}

TEST_CASE("a crash loop spends a quota once") {
    Json state;
    int good = 0;
    for (int crash = 0; crash < 10; ++crash) {
        const Process process;
        if (!state.is_null()) REQUIRE(process.client.restore_state(state));
        for (int i = 0; i < 3; ++i) good += process.gets("/x" + std::to_string(100 * crash + i) + "y");
        state = process.client.save_state();
    }
    CHECK(good == 10);
}

TEST_CASE("an open circuit stays open over a restart for what is left of its time") {
    const Process before;
    CHECK_FALSE(before.gets("/a", 500));
    const Process after;
    REQUIRE(after.client.restore_state(aged(before.client.save_state(), 20min)));
    const auto refused = after.client.get("/a");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Errc::circuit_open);
    CHECK(refused.error().retry_after().value() <= 40min);
    CHECK(refused.error().retry_after().value() > 39min);
}

TEST_CASE("the circuits of other hosts are kept, too") {
    const Process before{""};
    CHECK_FALSE(before.gets("https://down.test/", 500));
    const Json state = before.client.save_state();
    CHECK(state["circuits"].size() == 1);
    const Process after{""};
    REQUIRE(after.client.restore_state(state));
    CHECK(after.client.get("https://down.test/").error().code() == Errc::circuit_open);
    CHECK(after.gets("https://up.test/"));
}

TEST_CASE("a crash loop spends the retry budget once") {
    Json state;
    std::size_t attempts = 0;
    for (int crash = 0; crash < 10; ++crash) {
        const bw::ManualClock clock;
        const auto service = bw::ScriptedTransport::always(Response{.status = 503});
        const Client client{{.name = "dairy",
                             .base_url = "https://api.test",
                             .circuit_breaker = {.trip = bw::never},
                             .retry = {.max_retries = 3, .backoff = {.base = 1ms}},
                             .retry_budget = {.ratio = 0.001, .floor_per_second = 0, .burst = 8}},
                            service,
                            bw::MemoryStore{clock}};
        if (!state.is_null()) REQUIRE(client.restore_state(state));
        CHECK_FALSE(client.get("/x"));
        attempts += service.count();
        state = Json::parse(client.save_state().dump());
    }
    CHECK(attempts == 10 + 8);
}

TEST_CASE("a state that was saved without a retry budget is restored, and leaves the budget as it is") {
    const Process before;
    CHECK_FALSE(before.gets("/a", 500));
    Json state = before.client.save_state();
    CHECK(state.erase("retry_budget") == 1);
    const Process after;
    REQUIRE(after.client.restore_state(state));
    CHECK(after.client.get("/a").error().code() == Errc::circuit_open);
    CHECK(after.client.retry_budget().snapshot().available == 30);
}

TEST_CASE("a saved state is read back as it was written") {
    bw::SavedState saved{.name = "n",
                         .saved_at = std::chrono::sys_time<bw::Duration>{5us},
                         .circuit = {.state = bw::CircuitState::open,
                                     .forced = true,
                                     .left = bw::Duration::max(),
                                     .openings = 3,
                                     .counts = {9, 4, 2}},
                         .circuits = {{"https://a.test", {.state = bw::CircuitState::half_open, .left = 7us}}},
                         .rate_limit = {.spent = 11, .paused_for = 3s},
                         .retry_budget = {.spent_thousandths = 2'345},
                         .endpoints = {{"GET /a", {.spent = 1}}}};
    const auto read = bw::saved_state_from_json(Json::parse(Json(saved).dump()));
    REQUIRE(read);
    CHECK(read->name == "n");
    CHECK(read->saved_at == saved.saved_at);
    CHECK(read->circuit == saved.circuit);
    CHECK(read->circuits == saved.circuits);
    CHECK(read->rate_limit == saved.rate_limit);
    CHECK(read->retry_budget == saved.retry_budget);
    CHECK(read->endpoints == saved.endpoints);
}

TEST_CASE("a saved state that is wrong is refused by the path of the mistake, and changes nothing") {
    const Process process;
    const Json good = process.client.save_state();
    const auto with = [&](const char* pointer, Json value) {
        Json changed = good;
        changed[Json::json_pointer{pointer}] = std::move(value);
        return refusal(changed);
    };
    CHECK(refusal(good) == "accepted");
    CHECK(with("/version", 2) == "version: must be 1, got 2");
    CHECK(with("/name", "other") == "name: must be the client's, \"dairy\", got \"other\"");
    CHECK(with("/circuit/left_us", -1) == "circuit.left_us: must be >= 0, got -1");
    CHECK(with("/circuit/state", "ajar").find("circuit.state: must be") == 0);
    CHECK(with("/endpoints", Json::array()) == "endpoints: must be an object");
    CHECK(with("/endpoints", {{"GET /a", {{"spent", "x"}}}}).find("endpoints.GET /a.spent: must be an integer") == 0);
    CHECK(with("/retry_budget/spent_thousandths", -1) == "retry_budget.spent_thousandths: must be >= 0, got -1");
    CHECK(with("/retry_budget", 3).find("retry_budget: must be an object") == 0);
    CHECK(with("/retry_budget/spent", 1).find("retry_budget.spent") == 0);
    CHECK(with("/circuit/openigs", 1).find("circuit.openigs") == 0);
    CHECK(refusal(Json()).find("must be an object") != std::string::npos);
    CHECK(refusal(Json{{"version", 1}, {"name", "dairy"}}) == "accepted");
}

TEST_CASE("a state from the future counts as saved just now") {
    const Process before;
    CHECK_FALSE(before.gets("/a", 500));
    const Process after;
    REQUIRE(after.client.restore_state(aged(before.client.save_state(), -24h)));
    CHECK(after.client.get("/a").error().retry_after() == 1h);
}
