// The public surface as the design shows it, block by block, compiled and run.
#include <breakwater/breakwater.hpp>
#include <breakwater/testing/scripted_transport.hpp>

#include <catch_shim.hpp>

#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

struct Row {
    int id = 0;
};
struct Database {
    Row fetch(int id) { return {id}; }
};

}  // namespace

TEST_CASE("block 1: the client") {
    const std::string api_key = "key";
    const bw::ScriptedTransport service{bw::Response{.status = 200, .body = R"({"products": [{"sku": "VAN-001"}]})"},
                                        bw::Response{.status = 201, .body = R"({"id": 7})"}};
    bw::ResilientClient client{
        bw::ClientOptions{
            .name = "dairy_supplier",
            .base_url = "https://api.supplier.example.com/v1",
            .auth = bw::Bearer{api_key},
            .circuit_breaker = {.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 300s},
            .rate_limit = {.algorithm = bw::FixedWindow{.permits = 20, .window = 60s}},
            .retry = {.max_retries = 3, .backoff = {.base = 1s, .cap = 30s, .jitter = bw::Jitter::full}},
            .cache = {.ttl = 120s, .stale_if_error = 1h},
        },
        service};
    bw::Result<bw::Response> page = client.get("/inventory", {.query = {{"page", "1"}, {"per_page", "100"}}});
    REQUIRE(page);
    int products = 0;
    for (auto& product : page->json()["products"]) products += product["sku"] == "VAN-001";
    CHECK(products == 1);
    auto order = bw::value_or_throw(
        client.post("/orders", {.json = {{"sku", "VAN-001"}, {"qty", 100}}, .idempotency_key = bw::auto_key}));
    CHECK(order.json()["id"] == 7);
    CHECK(service.requests().back().headers.get("Idempotency-Key")->size() == 36);
}

TEST_CASE("block 2: any callable") {
    Database db;
    const int id = 1;
    bw::Pipeline guard{bw::Deadline{2s}, bw::Retry{{.max_retries = 3}},
                       bw::CircuitBreaker{{.name = "ledger", .trip = bw::ConsecutiveFailures{5}}},
                       bw::RateLimiter{bw::TokenBucket{.permits = 100, .period = 1s, .burst = 20}}};
    bw::Result<Row> row = guard.run([&] { return db.fetch(id); });
    auto fetch = guard.wrap([&](int key) { return db.fetch(key); });
    CHECK(row.value().id == 1);
    CHECK(fetch(2).value().id == 2);
    bw::CircuitBreaker<bw::FailureRate> hot{{.name = "hot", .trip = {.ratio = 0.5, .window = bw::TimeWindow{10s}}}};
    CHECK(hot.state() == bw::CircuitState::closed);
}

TEST_CASE("block 5: from a file, every mistake named by its path") {
    const std::string text = R"({"circuit_breaker": {"recovery_timeout": "-5s"}})";
    bw::Result<bw::ClientOptions> options = bw::client_options_from_json(nlohmann::json::parse(text));
    REQUIRE_FALSE(options);
    CHECK(options.error().detail() == "circuit_breaker.recovery_timeout: must be > 0s, got -5s");
}
