#include <breakwater/client/explain.hpp>

#include <catch_shim.hpp>
#include <unit/scripted_client.hpp>

#include <optional>
#include <sstream>
#include <string>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

bw::Explanation explained(bw::ClientOptions options) {
    return bw::explain(
        bw::ResilientClient{std::move(options), bw::ScriptedTransport{}, bw::MemoryStore{bw::ManualClock{}}});
}

}  // namespace

TEST_CASE("a client explains its order, its worst case and the timeout of each phase") {
    std::ostringstream page;
    page << explained({.name = "dairy",
                       .timeouts = {.attempt = 8s, .connect = 2s, .deadline = 30s},
                       .rate_limit = {.algorithm = bw::FixedWindow{.permits = 20, .window = 60s}, .max_wait = 1s},
                       .cache = {.ttl = 120s, .stale_if_error = 1h}});
    CHECK(page.str() ==
          "  cache            answers GET and HEAD for 2 min, in place of an error for 60 min more\n"
          "  coalesce         equal GETs under way share one transfer; waits 10 s for it, then goes alone\n"
          "  deadline         30 s for all attempts and waits\n"
          "  retry            up to 3 more attempts, waiting at most 1.4 s in all, and what Retry-After asks for (each "
          "up to 5 min); of all calls no more than 20 % and 3 per second\n"
          "  circuit breaker  dairy: opens after 5 failures in a row, for 60 s; then 1 probe of up to 30 s\n"
          "  rate limiter     dairy: 20 calls per 60 s, by the clock; waits up to 1 s\n"
          "  attempt timeout  8 s, then the transfer is aborted\n"
          "at worst a call makes 4 attempts and takes 30 s\n"
          "while the service fails it gets up to 4 calls for each one made, in the long run 1.2, until the circuit "
          "opens\n"
          "timeout of connect: 2 s (until TLS stands, within the attempt)\n"
          "timeout of attempt: 8 s (redirects included; the deadline if that is nearer)\n"
          "timeout of call:    30 s (the deadline)\n"
          "warning: attempts that take their full 8 s leave room for 3 of 4 within the deadline\n");
}

TEST_CASE("a client warns of an attempt that may outlast an open circuit") {
    const bw::Explanation all = explained({.circuit_breaker = {.recovery_timeout = 3s}});
    REQUIRE_FALSE(all.warnings.empty());
    CHECK(all.warnings.front().find("an attempt may take 10 s, longer than the circuit stays open (3 s)") == 0);
}

TEST_CASE("without a budget the load of retries is the same in the long run") {
    CHECK(explained({.retry_budget = {.ratio = std::nullopt}}).load_in_the_long_run == 4.0);
    CHECK(explained({.retry = {.max_retries = 0}}).load_in_the_long_run == 1.0);
}

TEST_CASE("the longest wait between attempts counts what jitter can add") {
    const auto waits = [](bw::Backoff<> backoff) {
        return bw::explain(bw::Pipeline{bw::Retry{{.max_retries = 2, .backoff = backoff, .max_retry_after = 0s}},
                                        bw::CircuitBreaker{{}}, bw::AttemptTimeout{1s}})
                   .duration.value() -
               3s;
    };
    CHECK(waits({.base = 1s, .jitter = bw::Jitter::full}) == 3s);
    CHECK(waits({.base = 1s, .jitter = bw::Jitter::around, .spread = 0.5}) == 4500ms);
    CHECK(waits({.base = 1s, .cap = 5s, .jitter = bw::Jitter::decorrelated}) == 10s);
}
