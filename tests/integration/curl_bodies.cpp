// Bodies that are read while they are sent.
#include "certificates.hpp"
#include "raw_server.hpp"

#include <breakwater/http/file_body.hpp>
#include <breakwater/transport/curl.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Sent;
using bw::test::Connection;
using bw::test::RawServer;

namespace {

/// `size` bytes of 'x'.
bw::BodyReader xs(std::size_t size) {
    return [left = size](std::span<char> to) mutable {
        const std::size_t count = std::min(left, to.size());
        std::fill_n(to.begin(), count, 'x');
        left -= count;
        return count;
    };
}

}  // namespace

TEST_CASE("a file arrives whole with its length") {
    const bw::test::TemporaryDirectory directory;
    std::string content(300'000, 'a');
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
    const auto path = directory / "upload.bin";
    std::ofstream{path, std::ios::binary} << content;
    const auto server = RawServer::answering(bw::test::answer(201, "made"));
    const bw::CurlTransport transport;
    for (int i = 0; i < 2; ++i) {
        REQUIRE(transport.send({.method = bw::Method::put, .url = server->url(), .body = bw::from_file(path)}));
        const std::string seen = server->requests().back();
        CHECK_THAT(seen, Catch::Matchers::ContainsSubstring("Content-Length: 300000\r\n"));
        CHECK(seen.substr(seen.find("\r\n\r\n") + 4) == content);
        REQUIRE(transport.send({.method = bw::Method::post, .url = server->url(), .body = "text"}));  // no mix-up
        CHECK(server->requests().back().ends_with("\r\n\r\ntext"));
        REQUIRE(transport.send({.url = server->url()}));
    }
    CHECK(server->connections() == 1);
}

TEST_CASE("a body of unknown length is sent in chunks") {
    RawServer server{[&server](Connection& connection) {
        server.record(connection.read_until("0\r\n\r\n"));
        connection.send(bw::test::answer(200, ""));
    }};
    const bw::CurlTransport transport;
    REQUIRE(transport.send({.method = bw::Method::post, .url = server.url(), .body = bw::one_shot_body(xs(10))}));
    const std::string seen = server.requests().at(0);
    CHECK_THAT(seen, Catch::Matchers::ContainsSubstring("Transfer-Encoding: chunked\r\n"));
    CHECK(seen.find("Content-Length") == seen.npos);
    CHECK(seen.ends_with("\r\n\r\na\r\nxxxxxxxxxx\r\n0\r\n\r\n"));
}

TEST_CASE("a reader that fails or ends early breaks the exchange off at once with its own error") {
    const auto server = RawServer::answering(bw::test::answer(200, ""));
    const bw::CurlTransport transport;
    const auto failure = [&](bw::Body body) {
        auto answer = transport.send({.method = bw::Method::put, .url = server->url(), .body = std::move(body)});
        REQUIRE_FALSE(answer);
        CHECK(answer.error().sent() == Sent::maybe);
        return answer.error();
    };
    CHECK(failure(bw::one_shot_body(xs(5), 6)).code() == Errc::body_failed);
    const bw::Error thrown =
        failure(bw::one_shot_body([](std::span<char>) -> std::size_t { throw std::runtime_error{"mine"}; }));
    CHECK(thrown.code() == Errc::body_failed);
    CHECK_THROWS_WITH(std::rethrow_exception(thrown.exception()), "mine");
    for (const std::string& seen : server->requests()) CHECK(seen.find("xxxxxx") == seen.npos);  // never whole
    CHECK(transport.send({.url = server->url()}));
}

TEST_CASE("a file that cannot be opened never makes a connection") {
    const auto server = RawServer::answering(bw::test::answer(200, ""));
    const auto answer = bw::CurlTransport{}.send(
        {.method = bw::Method::put, .url = server->url(), .body = bw::from_file("/nowhere/at/all")});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == Errc::invalid_request);
    CHECK(answer.error().sent() == Sent::no);
    CHECK(server->connections() == 0);
}

TEST_CASE("a streamed body is never sent twice on a connection that dies, replayable or not") {
    const bool reset = GENERATE(false, true);
    const bool one_shot = GENERATE(false, true);
    const auto server = RawServer::http([&](Connection& connection, const std::string& request) {
        if (request.starts_with("GET ")) return connection.send(bw::test::answer(200, ""));
        if (reset) connection.reset();
        return false;
    });
    const bw::CurlTransport transport;
    REQUIRE(transport.send({.url = server->url()}));
    int opened = 0;
    const bw::Body body = one_shot ? bw::one_shot_body(xs(100), 100)
                                   : bw::replayable_body(
                                         [&] {
                                             ++opened;
                                             return xs(100);
                                         },
                                         100);
    const auto answer =
        transport.send({.method = bw::Method::put, .url = server->url(), .body = body}, {.resendable = true});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().sent() == Sent::maybe);
    std::this_thread::sleep_for(20ms);  // a second copy would be here by now
    CHECK(server->requests().size() == 2);
    CHECK(server->connections() == 1);
    CHECK(opened == (one_shot ? 0 : 1));
}

TEST_CASE("a large streamed body is in memory by the piece only") {
    RawServer server{[](Connection& connection) {
        if (connection.read_until("\r\n\r\n").empty()) return;
        connection.drop(std::size_t{64} << 20);
        connection.send(bw::test::answer(200, ""));
    }};
    std::size_t largest = 0;
    auto inner = xs(std::size_t{64} << 20);
    const auto body = bw::one_shot_body(
        [&](std::span<char> to) {
            largest = std::max(largest, to.size());
            return inner(to);
        },
        std::size_t{64} << 20);
    CHECK(bw::CurlTransport{}.send({.method = bw::Method::put, .url = server.url(), .body = body}));
    CHECK(largest <= std::size_t{1} << 20);
}

TEST_CASE("a sink takes the decoded body of a 2xx answer piece by piece, and of no other") {
    const std::string content(200'000, 'y');
    int status = 200;
    const auto server =
        RawServer::http([&](Connection& c, const std::string&) { return c.send(bw::test::answer(status, content)); });
    const bw::CurlTransport transport;
    std::string got;
    std::size_t pieces = 0;
    const bw::TakeBytes sink = [&](std::string_view bytes) -> bw::Result<void> {
        got += bytes;
        ++pieces;
        return {};
    };
    const auto answer = transport.send({.url = server->url()}, {.max_response_bytes = 1, .sink = &sink});
    REQUIRE(answer);
    CHECK(answer->body.empty());
    CHECK(got == content);
    CHECK(pieces > 1);
    CHECK(transport.send({.url = server->url()}, {.sink = &sink, .max_sink_bytes = 199'999}).error().code() ==
          Errc::too_large);
    got.clear();
    for (const int other : {404, 500, 302}) {
        status = other;
        const auto refused = transport.send({.url = server->url()}, {.sink = &sink});
        REQUIRE(refused);
        CHECK(refused->body == content);
        CHECK(got.empty());
    }
    status = 200;
    CHECK(transport.send({.url = server->url()}, {}).value().body == content);  // the sink is forgotten
}

TEST_CASE("an answer cut short is an error to a sink, too") {
    const auto server = RawServer::http([](Connection& c, const std::string&) {
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        return false;
    });
    std::string got;
    const bw::TakeBytes sink = [&](std::string_view bytes) -> bw::Result<void> {
        got += bytes;
        return {};
    };
    CHECK(bw::CurlTransport{}.send({.url = server->url()}, {.sink = &sink}).error().code() == Errc::truncated);
    CHECK(got == "only this");
}

TEST_CASE("a sink that fails ends the exchange, and the transport goes on") {
    const auto server = RawServer::answering(bw::test::answer(200, std::string(100'000, 'y')));
    const bw::CurlTransport transport;
    const bw::TakeBytes full = [](std::string_view) { return bw::Result<void>{bw::fail(Errc::failure, "disk full")}; };
    const bw::TakeBytes throws = [](std::string_view) -> bw::Result<void> { throw std::runtime_error{"mine"}; };
    const auto failed = transport.send({.url = server->url()}, {.sink = &full});
    CHECK(failed.error().code() == Errc::sink_failed);
    CHECK(failed.error().detail() == "disk full");
    const auto thrown = transport.send({.url = server->url()}, {.sink = &throws});
    CHECK(thrown.error().code() == Errc::sink_failed);
    CHECK_THROWS_WITH(std::rethrow_exception(thrown.error().exception()), "mine");
    CHECK(transport.send({.url = server->url()}));
}

TEST_CASE("progress runs both ways up to the totals, and can cancel") {
    const auto server = RawServer::answering(bw::test::answer(200, std::string(100'000, 'y')));
    const bw::CurlTransport transport;
    std::vector<bw::Progress> seen;
    const bw::OnProgress note = [&](const bw::Progress& progress) {
        seen.push_back(progress);
        return true;
    };
    REQUIRE(
        transport.send({.method = bw::Method::put, .url = server->url(), .body = bw::one_shot_body(xs(50'000), 50'000)},
                       {.progress = &note}));
    REQUIRE_FALSE(seen.empty());
    CHECK(seen.back() == bw::Progress{50'000, 50'000, 100'000, 100'000});
    for (std::size_t i = 1; i < seen.size(); ++i) {
        CHECK(seen[i].sent >= seen[i - 1].sent);
        CHECK(seen[i].received >= seen[i - 1].received);
    }
    seen.clear();
    REQUIRE(transport.send({.url = server->url()}));
    CHECK(seen.empty());
    const bw::OnProgress stop = [](const bw::Progress& progress) { return progress.received == 0; };
    CHECK(transport.send({.url = server->url()}, {.progress = &stop}).error().code() == Errc::cancelled);
    CHECK(transport.send({.url = server->url()}));
}
