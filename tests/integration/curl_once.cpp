// A transport makes an exchange once. The server's count of the requests it has read whole is the judge.
#include "raw_server.hpp"

#include <breakwater/transport/curl.hpp>

#include <catch_shim.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Sent;
using bw::test::Connection;
using bw::test::RawServer;

namespace {

/// Answers the first request of a connection, reads the next one whole, and does `then` without answering.
template <class Then>
std::unique_ptr<RawServer> answers_once(Then then) {
    return RawServer::http(
        [then, served = std::make_shared<std::atomic<int>>(0)](Connection& connection, const std::string& request) {
            if (request.starts_with("GET /first ")) return connection.send(bw::test::answer(200, "first"));
            ++*served;
            then(connection);
            return false;
        });
}

bw::Request request(const RawServer& server, const bw::Method& method) {
    bw::Request request{.method = method, .url = server.url("/second")};
    if (method == bw::Method::post) request.body = R"({"order":1})";
    return request;
}

}  // namespace

TEST_CASE("a request on a reused connection that dies unanswered is sent exactly once, whatever its method") {
    const bool reset = GENERATE(false, true);
    const auto server = answers_once([reset](Connection& connection) {
        if (reset) connection.reset();
    });
    for (const auto& method : {bw::Method::post, bw::Method::get, bw::Method::del, bw::Method{"LOCK"}}) {
        for (const bool resendable : {false, true}) {
            INFO(method.name() << (reset ? " reset" : " closed") << (resendable ? " resendable" : ""));
            const bw::CurlTransport transport;
            const std::size_t before = server->requests().size();
            const int connections_before = server->connections();
            REQUIRE(transport.send({.url = server->url("/first")}));

            const auto answer = transport.send(request(*server, method), {.resendable = resendable});
            REQUIRE_FALSE(answer);
            CHECK((answer.error().code() == Errc::empty_answer || answer.error().code() == Errc::receive_failed));
            CHECK(answer.error().sent() == Sent::maybe);
            std::this_thread::sleep_for(20ms);  // a second copy would be here by now
            CHECK(server->requests().size() - before == 2);
            CHECK(server->connections() - connections_before == 1);

            // The transport is none the worse for it.
            CHECK(transport.send({.url = server->url("/first")}));
        }
    }
}

TEST_CASE("a large body on a connection reset meanwhile is not sent again") {
    const auto server = std::make_unique<RawServer>([](Connection& connection) {
        if (connection.read_request().empty()) return;
        connection.send(bw::test::answer(200, ""));
        connection.wait_for_bytes();  // the next request's first bytes, then no more
        connection.reset();
    });
    const bw::CurlTransport transport;
    REQUIRE(transport.send({.url = server->url()}));
    const auto answer =
        transport.send({.method = bw::Method::post, .url = server->url(), .body = std::string(8 << 20, 'x')});
    REQUIRE_FALSE(answer);
    CHECK((answer.error().code() == Errc::send_failed || answer.error().code() == Errc::receive_failed ||
           answer.error().code() == Errc::empty_answer));
    CHECK(answer.error().sent() == Sent::maybe);
    CHECK(server->connections() == 1);
}

TEST_CASE("a new connection that dies unanswered is an empty answer") {
    const auto server = RawServer::http([](Connection&, const std::string&) { return false; });
    const bw::CurlTransport transport;
    const auto answer = transport.send(request(*server, bw::Method::post));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == Errc::empty_answer);
    CHECK(answer.error().sent() == Sent::maybe);
    CHECK(server->requests().size() == 1);
}

TEST_CASE("an idle connection that the server has closed is replaced before anything is sent") {
    const auto server = RawServer::http([](Connection& connection, const std::string&) {
        connection.send(bw::test::answer(200, "bye"));
        return false;  // closes without "Connection: close"
    });
    const bw::CurlTransport transport;
    for (int i = 0; i < 5; ++i) {
        CHECK(transport.send(request(*server, bw::Method::post)));
        std::this_thread::sleep_for(10ms);  // so that the FIN is here
    }
    CHECK(server->connections() == 5);
    CHECK(server->requests().size() == 5);
}
