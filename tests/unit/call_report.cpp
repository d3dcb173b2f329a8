#include <breakwater/observe/call_report.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

bw::ClientOptions options() {
    return {.name = "dairy",
            .base_url = "https://dairy.test",
            .auth = bw::Bearer{"s3cr3t"},
            .circuit_breaker = {.trip = bw::ConsecutiveFailures{3}},
            .retry = {.max_retries = 5, .backoff = {.base = 250ms, .multiplier = 1, .jitter = bw::Jitter::none}}};
}

}  // namespace

TEST_CASE("the report of an answer tells each attempt, where the answer is from, and its version") {
    const bw::ScriptedTransport service{bw::Response{.status = 503}, bw::Response{.status = 200, .body = "milk"}};
    const test::ScriptedClient client{options(), service, test::ScriptedStore{bw::ManualClock{}}};
    const json report = bw::call_report(client.get("/stock"));
    CHECK(report == json::parse(R"({
        "version": 1, "outcome": "answer", "status": 200, "source": "network", "answered_by": 2,
        "attempts": [
            {"number": 1, "began_ms": 0.0, "took_ms": 0.0, "error": "http_status", "status": 503,
             "connection": "unknown", "hedge": false, "wait_ms": 250.0},
            {"number": 2, "began_ms": 250.0, "took_ms": 0.0, "error": null, "status": 200,
             "connection": "unknown", "hedge": false, "wait_ms": null}]})"));
}

TEST_CASE("the report of an error tells what stopped the call and when to come back, and no secret") {
    const bw::ScriptedTransport service{bw::Response{.status = 503}, bw::Response{.status = 503},
                                        bw::Response{.status = 503, .body = "s3cr3t \xff\nwas wrong"}};
    const test::ScriptedClient client{options(), service, test::ScriptedStore{bw::ManualClock{}}};
    const auto failed = client.get("/stock");
    const json report = bw::call_report(failed);
    CHECK(report["version"] == 1);
    CHECK(report["outcome"] == "error");
    CHECK(report["error"] == "http_status");
    CHECK(report["status"] == 503);
    CHECK(report["subject"] == "GET /stock");
    CHECK(report["stopped_by"] == "circuit_open");
    CHECK(report["retry_after_ms"] == 60'000.0 - 250.0);
    CHECK(report["attempts"].size() == 3);
    CHECK(report["attempts"][1]["wait_ms"] == 250.0);
    const std::string text = report.dump();  // throws if it is no UTF-8
    CHECK(text.find("s3cr3t") == std::string::npos);
    CHECK(text.find("\\n") == std::string::npos);

    const json refused = bw::call_report(client.get("/stock"));
    CHECK(refused["error"] == "circuit_open");
    CHECK(refused["policy"] == "dairy");
    CHECK(refused["status"].is_null());
    CHECK(refused["stopped_by"].is_null());
    CHECK(refused["attempts"].empty());
}

TEST_CASE("a report can be of ordered JSON, too") {
    const auto report = bw::call_report<nlohmann::ordered_json>(bw::Response{.status = 204});
    CHECK(report.dump() ==
          R"({"version":1,"outcome":"answer","status":204,"source":"network","answered_by":0,"attempts":[]})");
}
