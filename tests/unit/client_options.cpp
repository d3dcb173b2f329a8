#include <breakwater/client/options.hpp>
#include <catch_shim.hpp>

#include <limits>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

std::string mistake(const bw::ClientOptions& options) {
    const auto ok = validate(options);
    if (ok) return "";
    CHECK(ok.error().code() == bw::Errc::invalid_options);
    return std::string{ok.error().detail()};
}

}  // namespace

TEST_CASE("the defaults are valid") { CHECK(mistake({}) == ""); }

TEST_CASE("a base URL is an http URL that targets can be appended to") {
    CHECK(mistake({.base_url = "https://api.example.com/v1"}) == "");
    CHECK(mistake({.base_url = "http://[::1]:8080/"}) == "");
    CHECK(mistake({.base_url = "ftp://example.com"}) == "base_url: the scheme must be http or https");
    CHECK(mistake({.base_url = "example.com"}).starts_with("base_url: must be absolute"));
    CHECK(mistake({.base_url = "http://h/?key=1"}) == "base_url: must not have a query");
    CHECK(mistake({.base_url = "http://h/v1/../v2"}).starts_with("base_url: must not hold"));
    const std::string said = mistake({.base_url = "http://user:hush@h/"});
    CHECK(said == "base_url: must not hold a user name or password");
}

TEST_CASE("timeouts are in range and fit each other") {
    CHECK(mistake({.timeouts = {.attempt = 0s}}) == "timeouts.attempt: must be 1ms to 24h, got 0s");
    CHECK(mistake({.timeouts = {.connect = -1s}}) == "timeouts.connect: must be 1ms to 24h, got -1s");
    CHECK(mistake({.timeouts = {.deadline = 25h}}) == "timeouts.deadline: must be 1ms to 24h, got 25h");
    CHECK(mistake({.timeouts = {.attempt = 31s}}) ==
          "timeouts.attempt: must be <= timeouts.deadline, which is 30s, got 31s");
    CHECK(mistake({.timeouts = {.attempt = 31s, .deadline = 1min}}) ==
          "timeouts.attempt: must be <= circuit_breaker.probe_lease, which is 30s, got 31s");
    CHECK(mistake({.timeouts = {.attempt = 30s}}) == "");
}

TEST_CASE("the policies' options are checked under their own paths") {
    CHECK(mistake({.circuit_breaker = {.recovery_timeout = -5s}}) ==
          "circuit_breaker.recovery_timeout: must be > 0s, got -5s");
    CHECK(mistake({.rate_limit = {.max_wait = -1s}}) == "rate_limit.max_wait: must be 0s to 24h, got -1s");
    CHECK(mistake({.rate_limit = {.per_endpoint = {.algorithm = bw::FixedWindow{.permits = 0}}}}) ==
          "rate_limit.per_endpoint.algorithm.permits: must be 1 to 2147483648, got 0");
    CHECK(mistake({.circuits = {.max_circuits = 0}}) == "circuits.max_circuits: must be 1 to 1000000, got 0");
    CHECK(mistake({.rate_limit = {.per_endpoint = {.max_endpoints = 0}}}) ==
          "rate_limit.per_endpoint.max_endpoints: must be 1 to 1000000, got 0");
    CHECK(mistake({.retry = {.backoff = {.base = 0s}}}) == "retry.backoff.base: must be > 0s, got 0s");
    CHECK(mistake({.cache = {.ttl = 0s}}) == "cache.ttl: must be > 0s and at most 365 days, got 0s");
    CHECK(mistake({.cache = {.stale_if_error = -1s}}) == "cache.stale_if_error: must be 0s to 365 days, got -1s");
    CHECK(mistake({.max_response_bytes = 0}) == "max_response_bytes: must be >= 1, got 0");
    CHECK(mistake({.redirects = {.max = 101}}) == "redirects.max: must be 0 to 100, got 101");
}

TEST_CASE("headers and credentials that cannot be sent are refused without being repeated") {
    CHECK(mistake({.headers = {{"X", "a\r\nhush: 1"}}}) ==
          "headers: header X: the value holds CR, LF, NUL or another control");
    CHECK(mistake({.headers = {{"Content-Length", "5"}}}) ==
          "headers: header Content-Length: is the transport's to set");
    CHECK(mistake({.auth = bw::Bearer{"hush\n"}}) ==
          "auth: header Authorization: the value holds CR, LF, NUL or another control");
    CHECK(mistake({.auth = bw::HeaderAuth{"", "hush"}}) == "auth: header name: not a token: \"\"");
    CHECK(mistake({.auth = bw::HeaderAuth{"user-agent", "hush"}}) ==
          "auth: the header must not be Accept or User-Agent, which other hosts are told as well");
    CHECK(mistake({.auth = bw::Basic{"a:b", "hush"}}) == "auth: the user name must not hold a ':'");
    CHECK(mistake({.auth = bw::Basic{"a", "any:\n\"password\""}}) == "");
}
