#include "raw_server.hpp"

#include <breakwater/transport/curl.hpp>

#include <catch_shim.hpp>

#include <stdlib.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Sent;
using bw::test::Connection;
using bw::test::RawServer;

namespace {

/// What comes of a server that sends these bytes and closes.
bw::Result<bw::Response> receive(std::string bytes, const bw::SendOptions& options = {},
                                 const bw::CurlOptions& curl = {}) {
    const auto server = RawServer::http([bytes = std::move(bytes)](Connection& connection, const std::string&) {
        return connection.send(bytes), false;
    });
    return bw::CurlTransport{curl}.send({.url = server->url("/x?key=secret")}, options);
}

bw::Error failure(std::string bytes, const bw::SendOptions& options = {}, const bw::CurlOptions& curl = {}) {
    const auto answer = receive(std::move(bytes), options, curl);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().sent() == Sent::maybe);
    CHECK(answer.error().message().find("secret") == std::string::npos);
    return answer.error();
}

/// So many copies of a letter as gzip makes them (RFC 1951 and 1952): the letter, then "the same again, 258 times" in
/// 13 bits, over and over.
std::string gzip(char letter, std::size_t count) {
    std::string packed{"\x1f\x8b\x08\0\0\0\0\0\0\3", 10};
    unsigned bits = 0;
    int bit_count = 0;
    const auto bit = [&](unsigned value) {
        bits |= value << bit_count;
        if (++bit_count < 8) return;
        packed += static_cast<char>(bits);
        bits = 0;
        bit_count = 0;
    };
    const auto code = [&](unsigned value, int length) {
        while (length-- > 0) bit(value >> length & 1);
    };
    const auto number = [&](std::uint32_t value) {
        for (int i = 0; i < 4; ++i) packed += static_cast<char>(value >> 8 * i & 0xff);
    };
    code(0b110, 3);  // the last block, of fixed codes
    std::size_t left = count;
    const auto literal = [&] { code(0x30U + static_cast<unsigned char>(letter), 8), --left; };
    literal();
    for (; left >= 258; left -= 258) code(0b11000101'00000, 13);
    while (left > 0) literal();
    code(0, 7);  // the end
    while (bit_count != 0) bit(0);

    std::uint32_t crc = 0xffffffff;
    for (std::size_t i = 0; i < count; ++i) {
        crc ^= static_cast<unsigned char>(letter);
        for (int step = 0; step < 8; ++step) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
    }
    number(~crc);
    number(static_cast<std::uint32_t>(count));
    return packed;
}

/// The bytes a request arrives as.
std::string arrives(bw::Request request, const bw::CurlOptions& options = {}) {
    const auto server = RawServer::answering(bw::test::answer(200, ""));
    request.url = server->url(request.url);
    REQUIRE(bw::CurlTransport{options}.send(request));
    REQUIRE(server->requests().size() == 1);
    return server->requests().front();
}

bool has(const std::string& request, std::string_view line) {
    return request.find("\r\n" + std::string{line} + "\r\n") != std::string::npos;
}

}  // namespace

TEST_CASE("only the final answer's headers are kept") {
    const auto answer = receive(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        "HTTP/1.1 200 OK\r\nX-Padded: \t a b \t\r\nX-Empty:\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n"
        "3\r\nabc\r\n2\r\nde\r\n0\r\nX-Late: 1\r\n\r\n");
    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK(answer->http_version == "1.1");
    CHECK(answer->body == "abcde");
    CHECK(answer->header("X-Padded") == "a b");
    CHECK(answer->header("X-Empty") == "");
    CHECK_FALSE(answer->headers.contains("Link"));
    CHECK_FALSE(answer->headers.contains("X-Late"));
}

TEST_CASE("an HTTP/1.0 answer without a length ends with the connection") {
    const auto answer = receive("HTTP/1.0 200 OK\r\n\r\nto the end");
    REQUIRE(answer);
    CHECK(answer->http_version == "1.0");
    CHECK(answer->body == "to the end");
}

TEST_CASE("an answer cut short is truncated") {
    CHECK(failure("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this").code() == Errc::truncated);
    CHECK(failure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab").code() == Errc::truncated);
}

TEST_CASE("what is not HTTP is a protocol error") {
    CHECK(failure("220 smtp.test ESMTP\r\n").code() == Errc::protocol_error);
    CHECK(failure("<html>Hello</html>\r\n\r\n").code() == Errc::protocol_error);
    CHECK(failure(std::string("\0\1\2\3\4\5\6\7\r\n\r\n", 12)).code() == Errc::protocol_error);
    CHECK(failure("HTTP/1.1 999 Odd\r\n\r\n").code() == Errc::protocol_error);
    CHECK(failure(std::string{"HTTP/1.1 200 OK\r\nX-A: b"} + '\0' + "c\r\n\r\n").code() == Errc::protocol_error);
    CHECK(failure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n").code() == Errc::protocol_error);
    CHECK(failure("HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\n").code() == Errc::protocol_error);
}

TEST_CASE("a connection reset while reading is told from one that was closed") {
    const auto server = RawServer::http([](Connection& connection, const std::string& request) {
        if (request.starts_with("GET /body")) connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
        connection.reset();
        return false;
    });
    const bw::CurlTransport transport;
    CHECK(transport.send({.url = server->url("/head")}).error().code() == Errc::receive_failed);
    CHECK(transport.send({.url = server->url("/body")}).error().code() == Errc::receive_failed);
}

TEST_CASE("compressed answers are decoded; a broken or unknown coding is an error") {
    const std::string text(5'000, 'a');
    const auto answer = receive(bw::test::answer(200, gzip('a', text.size()), "Content-Encoding: gzip\r\n"));
    REQUIRE(answer);
    CHECK(answer->body == text);
    CHECK(failure(bw::test::answer(200, "not gzip at all", "Content-Encoding: gzip\r\n")).code() == Errc::bad_encoding);
    CHECK(failure(bw::test::answer(200, "x", "Content-Encoding: rot13\r\n")).code() == Errc::bad_encoding);
}

TEST_CASE("a gzip bomb stops at max_response_bytes") {
    constexpr std::size_t size = 8 << 20;
    const std::string bomb = bw::test::answer(200, gzip('a', size), "Content-Encoding: gzip\r\n");
    REQUIRE(bomb.size() < size / 100);
    CHECK(failure(bomb, {.max_response_bytes = size - 1}).code() == Errc::too_large);
    CHECK(failure(bomb, {.max_response_bytes = 100'000}).code() == Errc::too_large);
    CHECK(receive(bomb, {.max_response_bytes = size})->body.size() == size);
}

TEST_CASE("a body announced above the limit is refused before it comes, an endless one while it comes") {
    const auto server = RawServer::http([](Connection& connection, const std::string& request) {
        if (request.starts_with("GET /announced ")) {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9000000000000\r\n\r\n");
            connection.wait_for_close();
            return false;
        }
        connection.send("HTTP/1.1 200 OK\r\n\r\n");
        connection.drip(std::string(10'000, 'x'), 0ms);
        return false;
    });
    const bw::CurlTransport transport;
    CHECK(transport.send({.url = server->url("/announced")}).error().code() == Errc::too_large);
    CHECK(transport.send({.url = server->url("/endless")}, {.max_response_bytes = 100'000}).error().code() ==
          Errc::too_large);
}

TEST_CASE("the length announced in an answer to HEAD, or with 304, is not a body") {
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 9000000000000\r\n\r\n";
    const auto server = RawServer::answering(head);
    const bw::CurlTransport transport;
    for (int i = 0; i < 2; ++i) {
        const auto answer = transport.send({.method = bw::Method::head, .url = server->url()});
        REQUIRE(answer);
        CHECK(answer->header("content-length") == "9000000000000");
        CHECK(answer->body.empty());
    }
    CHECK(receive("HTTP/1.1 304 Not Modified\r\nContent-Length: 9000000000000\r\n\r\n"));
}

TEST_CASE("huge headers are refused") {
    std::string many = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 40; ++i) many += "X-" + std::to_string(i) + ": " + std::string(1'000, 'x') + "\r\n";
    CHECK(receive(many + "\r\n"));
    CHECK(failure(many + "\r\n", {}, {.max_header_bytes = 32'000}).code() == Errc::too_large);
    std::string endless;
    for (int i = 0; i < 20'000; ++i) endless += "HTTP/1.1 100 Continue\r\n\r\n";
    CHECK(failure(endless).code() == Errc::too_large);
    const bw::Error one_line = failure("HTTP/1.1 200 OK\r\nX: " + std::string(300'000, 'x') + "\r\n\r\n");
    CHECK((one_line.code() == Errc::too_large || one_line.code() == Errc::transport_failed));
}

TEST_CASE("a request carries what was asked for and what HTTP needs, no more") {
    const std::string get = arrives({.url = "/a/../b?q=%20"});
    CHECK(get.starts_with("GET /a/../b?q=%20 HTTP/1.1\r\nHost: 127.0.0.1:"));
    CHECK(has(get, "Accept: */*"));
    CHECK(get.find("\r\nAccept-Encoding: gzip") != get.npos);
    CHECK(get.find("User-Agent") == get.npos);
    CHECK(get.find("Content-") == get.npos);

    const std::string own = arrives({.url = "/",
                                     .headers = {{"accept", "text/html"},
                                                 {"USER-AGENT", "me/1"},
                                                 {"Accept-Encoding", "identity"},
                                                 {"Host", "h.test"}}},
                                    {.user_agent = "default/1"});
    CHECK(has(own, "accept: text/html"));
    CHECK(has(own, "USER-AGENT: me/1"));
    CHECK(has(own, "Accept-Encoding: identity"));
    CHECK(has(own, "Host: h.test"));
    for (const char* absent : {"*/*", "default/1", "gzip", "Host: 127"}) CHECK(own.find(absent) == own.npos);
    CHECK(has(arrives({.url = "/"}, {.user_agent = "default/1"}), "User-Agent: default/1"));
}

TEST_CASE("bodies are announced, sent at once and without a content type of libcurl's") {
    const std::string large(3 << 20, 'x');  // libcurl would wait for 100 Continue
    const auto began = std::chrono::steady_clock::now();
    const std::string put = arrives({.method = bw::Method::put, .url = "/", .body = large});
    CHECK(std::chrono::steady_clock::now() - began < 900ms);
    CHECK(put.starts_with("PUT / HTTP/1.1\r\n"));
    CHECK(has(put, "Content-Length: 3145728"));
    CHECK(put.ends_with("\r\n\r\n" + large));
    for (const char* absent : {"Expect", "Content-Type"}) CHECK(put.find(absent) == put.npos);

    CHECK(has(arrives({.method = bw::Method::post, .url = "/"}), "Content-Length: 0"));
    CHECK(has(arrives({.method = bw::Method::post, .url = "/", .body = ""}), "Content-Length: 0"));
    CHECK(has(arrives({.method = bw::Method::patch, .url = "/"}), "Content-Length: 0"));
    CHECK(has(arrives({.method = bw::Method::post, .url = "/", .headers = {{"Content-Type", "a/b"}}, .body = "{}"}),
              "Content-Type: a/b"));
    const std::string query = arrives({.method = bw::Method::get, .url = "/", .body = "{}"});
    CHECK(query.starts_with("GET / "));
    CHECK(query.ends_with("\r\n\r\n{}"));
    CHECK(arrives({.method = bw::Method::del, .url = "/"}).find("Content-Length") == std::string::npos);
    const auto head = bw::CurlTransport{}.send({.method = bw::Method::head, .url = "http://127.0.0.1:1/", .body = "x"});
    CHECK(head.error().code() == Errc::invalid_request);
}

TEST_CASE("a proxy in the environment is not used") {
    ::setenv("http_proxy", "http://127.0.0.1:1", 1);
    const auto server = RawServer::answering(bw::test::answer(200, ""));
    CHECK(bw::CurlTransport{}.send({.url = server->url()}));
    ::unsetenv("http_proxy");
}

TEST_CASE("cookies are not kept") {
    const auto server = RawServer::answering(bw::test::answer(200, "", "Set-Cookie: a=b\r\n"));
    const bw::CurlTransport transport;
    for (int i = 0; i < 2; ++i) REQUIRE(transport.send({.url = server->url()}));
    CHECK(server->requests()[1].find("Cookie") == std::string::npos);
}

TEST_CASE("nothing listening, and a name that does not resolve, are told apart") {
    const bw::CurlTransport transport;
    std::uint16_t free_port = 0;
    {
        free_port = bw::test::Listener{}.port();
    }
    const auto refused = transport.send({.url = "http://127.0.0.1:" + std::to_string(free_port) + "/x?key=secret"});
    CHECK(refused.error().code() == Errc::connect_failed);
    CHECK(refused.error().sent() == Sent::no);
    CHECK(refused.error().message().find("secret") == std::string::npos);
    const auto unknown = transport.send({.url = "http://no-such-host.invalid/x?key=secret"});
    CHECK(unknown.error().code() == Errc::resolve_failed);
    CHECK(unknown.error().sent() == Sent::no);
}
