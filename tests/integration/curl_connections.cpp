#include "certificates.hpp"
#include "http2_server.hpp"
#include "raw_server.hpp"

#include <breakwater/transport/curl.hpp>

#include <catch_shim.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::test::Connection;
using bw::test::Http2Server;
using bw::test::open_descriptors;
using bw::test::RawServer;

namespace {

/// Sends from so many threads that all exchanges are under way at the same time.
void send_at_once(const bw::CurlTransport& transport, const std::string& url, int threads) {
    std::vector<std::jthread> running;
    for (int i = 0; i < threads; ++i) running.emplace_back([&] { (void)transport.send({.url = url}); });
}

/// Answers `/together` only when so many of its requests have arrived.
std::unique_ptr<RawServer> answers_together(int together) {
    return RawServer::http(
        [arrived = std::make_shared<std::barrier<>>(together)](Connection& c, const std::string& request) {
            if (request.starts_with("GET /together")) arrived->arrive_and_wait();
            return c.send(bw::test::answer(200, "x"));
        });
}

}  // namespace

TEST_CASE("one thread keeps using one connection, also through copies and after other hosts") {
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    const auto other = RawServer::answering(bw::test::answer(200, "y"));
    const bw::CurlTransport transport;
    const bw::CurlTransport copy = transport;
    for (int i = 0; i < 10; ++i) {
        CHECK(transport.send({.url = server->url("/" + std::to_string(i))})->body == "x");
        CHECK(copy.send({.url = other->url()})->body == "y");
    }
    CHECK(server->connections() == 1);
    CHECK(other->connections() == 1);
}

TEST_CASE("a connection outlives the thread that made it") {
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    const bw::CurlTransport transport;
    for (int i = 0; i < 5; ++i) std::jthread{[&] { CHECK(transport.send({.url = server->url()})); }}.join();
    CHECK(server->connections() == 1);
}

TEST_CASE("parallel exchanges use a connection each, and no more than max_idle are kept") {
    constexpr int threads = 6;
    const auto server = answers_together(threads);
    const bw::CurlTransport transport{{.max_idle = 2}};
    send_at_once(transport, server->url("/together"), threads);
    CHECK(server->requests().size() == threads);
    CHECK(server->connections() == threads);
    for (int i = 0; i < 10; ++i) CHECK(transport.send({.url = server->url()}));
    CHECK(server->connections() == threads);
    send_at_once(transport, server->url("/together"), threads);
    CHECK(server->connections() == 2 * threads - 2);
}

TEST_CASE("a transport that is gone leaves no descriptors behind") {
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    {
        CHECK(bw::CurlTransport{}.send({.url = server->url()}));
    }
    std::this_thread::sleep_for(20ms);
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 20; ++i) {
        const bw::CurlTransport transport;
        CHECK(transport.send({.url = server->url()}));
    }
    std::this_thread::sleep_for(50ms);  // the server's ends
    CHECK(open_descriptors() <= before + 2);
}

TEST_CASE("a connection idle for longer than max_idle_time is replaced") {
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    const bw::CurlTransport transport{{.max_idle_time = 1s}};
    CHECK(transport.send({.url = server->url()}));
    CHECK(transport.send({.url = server->url()}));
    CHECK(server->connections() == 1);
    std::this_thread::sleep_for(2100ms);  // libcurl counts whole seconds
    CHECK(transport.send({.url = server->url()}));
    CHECK(server->connections() == 2);
}

TEST_CASE("after a fork the child makes connections of its own and the parent keeps its own") {
    const bool use_tls = GENERATE(false, true);
    const bw::test::CertificateAuthority authority;
    const auto tls = authority.serve("IP:127.0.0.1");
    const auto server = RawServer::http(
        [](Connection& c, const std::string& request) {
            const auto path = request.substr(5, request.find(' ', 5) - 5);
            return c.send(bw::test::answer(200, path + " on " + std::to_string(c.number())));
        },
        use_tls ? tls.get() : nullptr);
    bw::CurlTransport transport{{.ca_file = authority.file()}};
    REQUIRE(transport.send({.url = server->url("/parent")})->body == "parent on 1");

    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto first = transport.send({.url = server->url("/child")});
        const auto second = transport.send({.url = server->url("/child")});
        transport = bw::CurlTransport{};  // the last handle of the inherited pool
        ::_exit(first && second && first->body == "child on 2" && second->body == "child on 2" ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK(transport.send({.url = server->url("/parent")})->body == "parent on 1");
    CHECK(server->connections() == 2);
}

TEST_CASE("HTTP/2 is spoken where the server offers it over TLS, and without asking if told so") {
    const bw::test::CertificateAuthority authority;
    const Http2Server over_tls{&authority};
    const Http2Server clear_text{nullptr};
    if (!over_tls.wait_until_ready() || !clear_text.wait_until_ready()) {
        WARN("nghttpd is not installed: HTTP/2 is not tested");
        return;
    }
    const bw::CurlTransport transport{{.ca_file = authority.file()}};
    for (int i = 0; i < 3; ++i) {
        const auto answer = transport.send({.url = "https://" + over_tls.address() + "hello"});
        REQUIRE(answer);
        CHECK(answer->http_version == "2");
        CHECK(answer->status == 200);
        CHECK(answer->body == "over HTTP/2");
        CHECK(answer->connection == (i == 0 ? bw::ConnectionUse::opened : bw::ConnectionUse::reused));
        CHECK(answer->headers.contains("Content-Length"));
    }
    CHECK(transport.send({.method = bw::Method::post, .url = "https://" + over_tls.address() + "none", .body = "b"})
              ->status == 404);
    CHECK(transport.counts() ==
          bw::TransportCounts{.requests = 4, .answers = 4, .connections = 1, .reused = 3, .http1 = 0, .http2 = 4});

    const bw::CurlTransport only_1_1{{.http_version = bw::HttpVersion::http1_1, .ca_file = authority.file()}};
    const auto old = only_1_1.send({.url = "https://" + over_tls.address() + "hello"});
    CHECK((!old || old->http_version == "1.1"));  // nghttpd itself speaks HTTP/2 only

    const bw::CurlTransport knows{{.http_version = bw::HttpVersion::http2_prior_knowledge}};
    for (int i = 0; i < 3; ++i) {
        const auto answer = knows.send({.url = "http://" + clear_text.address() + "hello"});
        REQUIRE(answer);
        CHECK(answer->http_version == "2");
        CHECK(answer->body == "over HTTP/2");
    }
}

TEST_CASE("an HTTP/2 server that goes away is an error, not a second try") {
    // A preface and SETTINGS frame, the acknowledgement, and then nothing but the end.
    const RawServer server{[](Connection& connection) {
        connection.send(std::string("\0\0\0\4\0\0\0\0\0", 9));
        connection.wait_for_bytes();
    }};
    const bw::CurlTransport transport{{.http_version = bw::HttpVersion::http2_prior_knowledge}};
    const auto answer = transport.send({.method = bw::Method::post, .url = server.url(), .body = "b"});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().sent() == bw::Sent::maybe);
    CHECK(server.connections() == 1);
}
