#include <breakwater/store/redis/url.hpp>
#include <catch_shim.hpp>

#include <string>
#include <string_view>

namespace bw = breakwater;
using bw::redis::Url;

namespace {

std::string mistake(std::string_view text) {
    const auto url = Url::parse(text);
    if (url) return "";
    CHECK(url.error().code() == bw::Errc::invalid_options);
    return std::string{url.error().detail()};
}

Url parsed(std::string_view text) {
    const auto url = Url::parse(text);
    INFO(text);
    REQUIRE(url.has_value());
    return *url;
}

}  // namespace

TEST_CASE("a Redis URL names host, port, database, user and password, and all but the host has a default") {
    CHECK(parsed("redis://localhost") == Url{.host = "localhost"});
    CHECK(parsed("redis://localhost/") == Url{.host = "localhost"});
    CHECK(parsed("redis://cache.test:6380/2") == Url{.host = "cache.test", .port = 6380, .database = 2});
    CHECK(parsed("redis://ann:s3cret@10.0.0.1:1/1000000") ==
          Url{.host = "10.0.0.1", .port = 1, .user = "ann", .password = "s3cret", .database = 1'000'000});
    CHECK(parsed("redis://:s3cret@h:65535") == Url{.host = "h", .port = 65535, .password = "s3cret"});
    CHECK(parsed("rediss://h") == Url{.scheme = Url::Scheme::rediss, .host = "h"});
}

TEST_CASE("user and password are percent-decoded, and may hold an @ and colons") {
    CHECK(parsed("redis://a%40b%3a:p%2Fq%25@h") == Url{.host = "h", .user = "a@b:", .password = "p/q%"});
    CHECK(parsed("redis://ann:p:q@r@h") == Url{.host = "h", .user = "ann", .password = "p:q@r"});
}

TEST_CASE("an IPv6 address stands in brackets") {
    CHECK(parsed("redis://[::1]") == Url{.host = "::1"});
    CHECK(parsed("redis://[fe80::1]:7000/3") == Url{.host = "fe80::1", .port = 7000, .database = 3});
    CHECK(parsed("redis://[::1]:7000").address() == "[::1]:7000");
    CHECK(mistake("redis://::1") == "an IPv6 address must be in brackets");
    CHECK(mistake("redis://[::1") == "the \"]\" after an IPv6 address is missing");
    CHECK(mistake("redis://[host]") == "what is in brackets must be an IPv6 address");
    CHECK(mistake("redis://[::1]7000") == "after \"]\" there may only be a port");
}

TEST_CASE("a Unix socket is named by its path") {
    CHECK(parsed("unix:///run/redis.sock") == Url{.scheme = Url::Scheme::unix_socket, .path = "/run/redis.sock"});
    CHECK(parsed("unix://ann:hush@/run/my%20redis?db=4") == Url{.scheme = Url::Scheme::unix_socket,
                                                                .path = "/run/my redis",
                                                                .user = "ann",
                                                                .password = "hush",
                                                                .database = 4});
    CHECK(parsed("unix:///tmp/a@b").path == "/tmp/a@b");
    CHECK(parsed("unix:///tmp/x").address() == "/tmp/x");
    CHECK(mistake("unix://run/redis.sock").starts_with("unix:// must be followed by an absolute path"));
    CHECK(mistake("unix:///") == "the path of a Unix socket must be of 2 to 107 bytes");
    CHECK(mistake("unix:///" + std::string(107, 'x')) == "the path of a Unix socket must be of 2 to 107 bytes");
    CHECK(mistake("unix:///x%00y").starts_with("in the path \"%\""));
    CHECK(mistake("unix:///x?database=1") == "a unix:// URL has no parameter but \"?db=N\"");
    CHECK(mistake("unix:///x?db=one") == "the database must be a number from 0 to 1000000");
}

TEST_CASE("every mistake in a Redis URL is a sentence") {
    CHECK(mistake("").starts_with("must begin with redis://"));
    CHECK(mistake("127.0.0.1:6379").starts_with("must begin with redis://"));
    CHECK(mistake("http://h").starts_with("must begin with redis://"));
    CHECK(mistake("redis://") == "the host is missing");
    CHECK(mistake("redis://:6379") == "the host is missing");
    CHECK(mistake("redis://h!") == "the host is neither a DNS name nor an IP address");
    CHECK(mistake("redis://h:0") == "the port must be a number from 1 to 65535");
    CHECK(mistake("redis://h:65536") == "the port must be a number from 1 to 65535");
    CHECK(mistake("redis://h:") == "the port must be a number from 1 to 65535");
    CHECK(mistake("redis://h/zero") == "the database must be a number from 0 to 1000000");
    CHECK(mistake("redis://h/-1") == "the database must be a number from 0 to 1000000");
    CHECK(mistake("redis://h/0/1") == "the database must be a number from 0 to 1000000");
    CHECK(mistake("redis://h?db=1") == "must not have a query (\"?…\")");
    CHECK(mistake("redis://h#x") == "must not have a fragment (\"#…\")");
    CHECK(mistake("redis://h /").starts_with("spaces, control characters"));
    CHECK(mistake("redis://ann@h").starts_with("a user needs a password"));
    CHECK(mistake("redis://ann:@h") == "the password is empty");
    CHECK(mistake("redis://ann:%zz@h").starts_with("in the user or password \"%\""));
}

TEST_CASE("no message about a URL repeats its password") {
    for (const char* text : {"redis://u:hush@", "redis://u:hush@h:0", "redis://u:hu/sh@h", "redis://u:hush%@h",
                             "redis://u:hush@h/x", "http://u:hush@h", "redis://u:hush @h", "unix://u:hush@x"}) {
        INFO(text);
        CHECK_FALSE(mistake(text).empty());
        CHECK(mistake(text).find("hu") == std::string::npos);
    }
    CHECK(parsed("redis://u:hush@h").address() == "h:6379");
}
