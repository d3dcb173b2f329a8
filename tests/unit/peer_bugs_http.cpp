// Bugs that HTTP clients with retries had, one test each. The whole list is in peer_bugs_circuit_breaker.cpp.
#include <breakwater/http/retry_after.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Response;

namespace {

/// A client of a service that answers 503 with these headers first and 200 then. Its backoff is 1 s.
struct World {
    explicit World(bw::Headers first)
        : service{Response{.status = 503, .headers = std::move(first)}, Response{.status = 200}} {}

    auto client(bw::ClientOptions options = {}) const {
        options.base_url = "http://service.test";
        options.retry.backoff = {.base = 1s, .multiplier = 1, .cap = 1s, .jitter = bw::Jitter::none};
        return bw::ResilientClient{std::move(options), service, bw::MemoryStore{clock}};
    }

    bw::ManualClock clock{};
    bw::ScriptedTransport service;
};

constexpr std::chrono::sys_seconds some_time = std::chrono::sys_days{std::chrono::year{2024} / 7 / 1};

}  // namespace

// failsafe-go reads a Retry-After only as a whole number; iggy#4168 dropped dates, too.
TEST_CASE("a Retry-After as a date is waited for") {
    const World world{{{"Date", "Mon, 01 Jul 2024 12:00:00 GMT"}, {"Retry-After", "Mon, 01 Jul 2024 12:00:10 GMT"}}};
    REQUIRE(world.client().get("/x"));
    CHECK(world.clock.waits() == std::vector<bw::Duration>{11s});
}

// failsafe-go and urllib3 (PR#3743: 9999999999 crashed its sleep) wait however long they are told; in .NET's stack
// the service's wish passes by the cap that was set.
TEST_CASE("a Retry-After beyond reason neither overflows nor is waited for") {
    for (const char* text : {"9999999999", "99999999999999999999999999999999", "31536000"}) {
        CAPTURE(text);
        const World world{{{"Retry-After", text}}};
        const auto result = world.client().get("/x");
        REQUIRE_FALSE(result);
        CHECK(result.error().status() == 503);
        CHECK(result.error().stopped_by() == Errc::deadline_exceeded);
        CHECK(world.clock.waits().empty());

        const World patient{{{"Retry-After", text}}};
        REQUIRE(patient.client({.timeouts = {.deadline = 1h}}).get("/x"));
        CHECK(patient.clock.waits() == std::vector<bw::Duration>{5min + 1s});  // max_retry_after
    }
}

// failsafe-go's HTTP policy, .NET's (dotnet/extensions#5248) and google-cloud-cpp#269 retried any method by default:
// duplicate tickets were made (aspire#4631).
TEST_CASE("a POST that may have arrived is not sent again unless it says that it may be") {
    const World world{{}};
    CHECK(world.client().post("/tickets").error().status() == 503);
    CHECK(world.service.count() == 1);

    const World keyed{{}};
    CHECK(keyed.client().post("/tickets", {.idempotency_key = bw::auto_key}));
    CHECK(keyed.service.count() == 2);
}

// libcurl's CURLINFO_RETRY_AFTER is 0 for "none", for "cannot be read" and for "now".
TEST_CASE("a Retry-After of 0 is now; one that cannot be read is none") {
    CHECK(bw::parse_retry_after({{"Retry-After", "0"}}, some_time) == 0s);
    CHECK(bw::parse_retry_after({{"Retry-After", "soon"}}, some_time) == std::nullopt);
    CHECK(bw::parse_retry_after({{"Retry-After", "-1"}}, some_time) == std::nullopt);
    CHECK(bw::parse_retry_after({{"Retry-After", "1.5"}}, some_time) == std::nullopt);
    CHECK(bw::parse_retry_after({}, some_time) == std::nullopt);
}

// libcurl measures a Retry-After date by the local clock, and caps it at 6 hours.
TEST_CASE("a wrong local clock does not change how long a Retry-After date asks to wait") {
    const bw::Headers answer{{"Date", "Mon, 01 Jul 2024 12:00:00 GMT"},
                             {"Retry-After", "Mon, 01 Jul 2024 20:00:00 GMT"}};
    for (const auto wrong : {-10'000h, -1h, 0h, 1h, 10'000h})
        CHECK(bw::parse_retry_after(answer, some_time + wrong) == 8h);
}
