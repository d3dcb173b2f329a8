#include <breakwater/observe/json_log.hpp>
#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <chrono>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Level;
using nlohmann::json;

namespace {

constexpr std::chrono::sys_time<bw::Duration> moment =
    std::chrono::sys_days{std::chrono::year{2026} / 10 / 30} + 7h + 5min + 9s + 250ms + 7us;

/// The parsed lines of a log.
std::vector<json> parsed(const std::string& text) {
    std::vector<json> lines;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
    return lines;
}

}  // namespace

TEST_CASE("an event that knows everything is one line of JSON, in this order") {
    const bw::Event event{.kind = bw::EventKind::call_ended,
                          .client = "dairy",
                          .policy = "ledger",
                          .key = "tenant-7",
                          .subject = "GET /x",
                          .tag = "report",
                          .correlation_id = "order-81",
                          .trace_id = "0af7651916cd43dd8448eb211c80319c",
                          .call = 3,
                          .sequence = 12,
                          .attempt = 2,
                          .max_attempts = 4,
                          .code = Errc::http_status,
                          .status = 503,
                          .delay = 1300ms,
                          .took = 12'345us,
                          .stopped_by = Errc::budget_exhausted,
                          .source = bw::Source::stale_cache,
                          .circuit = bw::CircuitState::open,
                          .limit = 7,
                          .count = 2,
                          .url = "https://a.test/x",
                          .resends = 1,
                          .span_id = "b7ad6b7169203331",
                          .parent_span_id = "00f067aa0ba902b7"};
    CHECK(bw::json_line(event, Level::warning, moment) ==
          R"({"v":1,"time":"2026-10-30T07:05:09.250Z","level":"warning","event":"call_ended","sequence":12,)"
          R"("client":"dairy","call":3,"policy":"ledger","key":"tenant-7","subject":"GET /x","tag":"report",)"
          R"("correlation_id":"order-81","attempt":2,"max_attempts":4,"code":"http_status",)"
          R"("stopped_by":"budget_exhausted","status":503,"delay_ms":1300.0,"took_ms":12.345,)"
          R"("source":"stale_cache","circuit":"open","limit":7,"count":2,)"
          R"("trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331",)"
          R"("parent_span_id":"00f067aa0ba902b7","url":"https://a.test/x","resends":1})");
}

TEST_CASE("a line of JSON leaves out what the event does not know") {
    CHECK(bw::json_line({.kind = bw::EventKind::circuit_closed}, Level::info, moment) ==
          R"({"v":1,"time":"2026-10-30T07:05:09.250Z","level":"info","event":"circuit_closed","sequence":0})");
}

TEST_CASE("a line of JSON is of printable ASCII, whatever the call is named") {
    const std::string name = "dairy\n\"forged\": 1\x1b[2J\x7f\u009b\u2028\xff Käse\\";
    const std::string line =
        bw::json_line({.kind = bw::EventKind::circuit_closed, .policy = name, .tag = name, .correlation_id = name},
                      Level::info, moment);
    for (const char c : line) REQUIRE((c >= ' ' && c <= '~'));
    const json read = json::parse(line);
    CHECK(read.size() == 8);
    CHECK(read["policy"] == "dairy\n\"forged\": 1\x1b[2J\x7f\u009b\u2028\ufffd Käse\\");
    CHECK(read["correlation_id"] == read["policy"]);
}

TEST_CASE("a client's calls can be followed in lines of JSON") {
    std::ostringstream out;
    const bw::ManualClock clock;
    const bw::ScriptedTransport service{bw::Response{.status = 503}, bw::Response{.status = 200}};
    service.on_elapse([&](bw::Duration) { clock.advance(2ms); });
    const test::ScriptedClient client{{.name = "dairy",
                                       .base_url = "http://dairy.test",
                                       .retry = {.backoff = {.base = 1s, .cap = 1s, .jitter = bw::Jitter::none}},
                                       .observer = bw::json_log(out, {.least = Level::debug})},
                                      service,
                                      bw::MemoryStore{clock}};
    CHECK(client.get("/stock", {.query = {{"token", "hush"}}, .correlation_id = "order-81"}));
    const auto lines = parsed(out.str());
    std::vector<std::string> events;
    for (const json& line : lines) {
        CHECK(line["v"] == 1);
        CHECK(line["client"] == "dairy");
        CHECK(line["subject"] == "GET /stock");
        CHECK(line["correlation_id"] == "order-81");
        CHECK(line["call"] == lines[0]["call"]);
        events.push_back(line["event"]);
    }
    CHECK(events == std::vector<std::string>{"attempt_started", "attempt_ended", "retry_scheduled", "attempt_started",
                                             "attempt_ended", "call_ended"});
    CHECK(lines[1]["status"] == 503);
    CHECK(lines[1]["code"] == "http_status");
    CHECK(lines[1]["level"] == "debug");
    CHECK(lines[2]["delay_ms"] == 1000.0);
    CHECK(lines[2]["level"] == "warning");
    CHECK(lines[4]["took_ms"] == 2.0);
    CHECK(lines[5]["source"] == "network");
    CHECK(lines[5]["took_ms"] == 1004.0);
    CHECK(out.str().find("hush") == std::string::npos);
}

TEST_CASE("lines of JSON have the levels and options of other logs, and their time is the wall clock's") {
    std::vector<std::pair<Level, json>> told;
    const bw::Observer observer = bw::json_log(
        [&](Level level, std::string_view line) { told.emplace_back(level, json::parse(line)); }, {.attempts = true});
    observer({.kind = bw::EventKind::hedge_won});
    observer({.kind = bw::EventKind::attempt_started, .attempt = 1});
    observer({.kind = bw::EventKind::circuit_opened});
    REQUIRE(told.size() == 2);
    CHECK(told[0].first == Level::info);
    CHECK(told[0].second["level"] == "info");
    CHECK(told[1].first == Level::error);
    CHECK(told[1].second["sequence"] > told[0].second["sequence"]);
    CHECK(told[1].second["time"].get<std::string>() > "2024-01-01");
}
