#include <breakwater/store/redis/options.hpp>
#include <catch_shim.hpp>

#include <chrono>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

std::string mistake(const bw::RedisStoreOptions& options) {
    const auto ok = validate(options);
    if (ok) return "";
    CHECK(ok.error().code() == bw::Errc::invalid_options);
    return std::string{ok.error().detail()};
}

}  // namespace

TEST_CASE("the defaults of a Redis store are valid") {
    CHECK(mistake({}) == "");
    CHECK(mistake({.url = "unix:///run/redis.sock"}) == "");
    CHECK(mistake({.nodes = {"redis://a:7000", "redis://b:7000"}}) == "");
}

TEST_CASE("a Redis store's mistakes are named by field, range and value") {
    CHECK(mistake({.ca_file = ""}) == "redis.ca_file: must be a path, got \"\"");
    CHECK(mistake({.prefix = ""}).starts_with("redis.prefix: must be 1 to 64 printable"));
    CHECK(mistake({.prefix = "a{b"}).starts_with("redis.prefix: must be 1 to 64 printable"));
    CHECK(mistake({.command_timeout = 0s}) == "redis.command_timeout: must be 1ms to 10s, got 0s");
    CHECK(mistake({.command_timeout = 11s}) == "redis.command_timeout: must be 1ms to 10s, got 11s");
    CHECK(mistake({.connect_timeout = 2min}) == "redis.connect_timeout: must be 1ms to 1min, got 2min");
    CHECK(mistake({.flush_interval = -1ms}) == "redis.flush_interval: must be 1ms to 10s, got -1ms");
    CHECK(mistake({.ping_interval = 1ms}) == "redis.ping_interval: must be 10ms to 1h, got 1ms");
    CHECK(mistake({.heartbeat_interval = 2h}) == "redis.heartbeat_interval: must be 10ms to 1h, got 2h");
    CHECK(mistake({.reconnect = {.base = 0s}}) == "redis.reconnect.base: must be > 0s, got 0s");
    CHECK(mistake({.lease = 0}) == "redis.lease: must be 1 to 8000, got 0");
    CHECK(mistake({.lease = 8'001}) == "redis.lease: must be 1 to 8000, got 8001");
    CHECK(mistake({.min_reporters = 0}) == "redis.min_reporters: must be 1 to 16, got 0");
    CHECK(mistake({.min_reporters = 17}) == "redis.min_reporters: must be 1 to 16, got 17");
    CHECK(mistake({.max_blob_bytes = 100}) == "redis.max_blob_bytes: must be 1024 to 536870912, got 100");
    CHECK(validate(bw::RedisStoreOptions{.lease = 0}, "").error().detail() == "lease: must be 1 to 8000, got 0");
}

TEST_CASE("URLs are checked, with their field named") {
    CHECK(mistake({.url = "redis://"}) == "redis.url: the host is missing");
    CHECK(mistake({.nodes = {"redis://a", "b"}}).starts_with("redis.nodes[1]: must begin with redis://"));
    CHECK(mistake({.nodes = {"unix:///x"}}) == "redis.nodes[0]: a cluster's node must be given by host and port");
    CHECK(mistake({.nodes = {"redis://a/1"}}) == "redis.nodes[0]: must name database 0: a cluster has no other");
    CHECK(mistake({.url = "nonsense, and unused", .nodes = {"redis://a"}}) == "");
}

TEST_CASE("TLS is refused where hiredis was built without it") {
    if (bw::redis::has_tls) {
        CHECK(mistake({.url = "rediss://h"}) == "");
    } else {
        CHECK(mistake({.url = "rediss://h"}) ==
              "redis.url: rediss:// needs hiredis with TLS, without which this program was built");
    }
}

TEST_CASE("no message repeats a password or the secret") {
    CHECK(mistake({.url = "redis://user:hush@"}).find("hush") == std::string::npos);
    CHECK(mistake({.nodes = {"redis://user:hush@h/3"}}).find("hush") == std::string::npos);
    CHECK(mistake({.secret = "hush hush"}) == "redis.secret: must be empty or at least 32 bytes");
    CHECK(mistake({.secret = std::string(32, 's')}) == "");
}
