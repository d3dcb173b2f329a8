// Every phase of an exchange ends at once on a stop request and on its timeout, of a blocking and of an asynchronous
// one. "At once" is 100 ms; the bounds here are wider, for a busy machine, and far below what the phase would last
// without.
#include "certificates.hpp"
#include "raw_server.hpp"

#include <breakwater/transport/curl.hpp>

#include <async_calls.hpp>
#include <catch_shim.hpp>

#include <dlfcn.h>
#include <netdb.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stop_token>
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

/// libcurl's resolver threads call this one instead of libc's: for one name the answer takes very long.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
    if (node != nullptr && std::string_view{node} == "slow-to-resolve.test") {
        std::this_thread::sleep_for(30s);  // in a thread that nobody waits for; the program may end meanwhile
        return EAI_AGAIN;
    }
    using Resolve = int(const char*, const char*, const addrinfo*, addrinfo**);
    static auto* const libc = reinterpret_cast<Resolve*>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    return libc(node, service, hints, result);
}

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto far_below = 500ms;  // without a wake-up libcurl looks once a second

/// One of the transport's two faces.
using Send = bw::Result<bw::Response> (*)(const bw::CurlTransport&, bw::Request, bw::SendOptions);
bw::Result<bw::Response> send_blocking(const bw::CurlTransport& transport, bw::Request request,
                                       bw::SendOptions options) {
    return transport.send(request, options);
}

/// A service that lets an exchange hang in one phase.
struct Phase {
    std::string name;
    std::string url;
    bool before_sending;
    std::vector<std::shared_ptr<void>> servers{};
};

std::vector<Phase> phases() {
    const auto full = std::make_shared<bw::test::FullListener>();
    const auto silent = std::make_shared<RawServer>([](Connection& connection) { connection.wait_for_close(); });
    const std::shared_ptr<RawServer> no_answer =
        RawServer::http([](Connection& connection, const std::string&) { return connection.wait_for_close(), false; });
    const std::shared_ptr<RawServer> half_head = RawServer::http([](Connection& connection, const std::string&) {
        return connection.send("HTTP/1.1 200 OK\r\nContent-"), connection.wait_for_close(), false;
    });
    const std::shared_ptr<RawServer> drip = RawServer::http([](Connection& connection, const std::string&) {
        return connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"), connection.drip("x", 5ms), false;
    });
    const std::string silent_tls = "https" + silent->url().substr(4);
    return {{"resolve", "http://slow-to-resolve.test/", true},
            {"connect", full->url(), true, {full}},
            {"TLS", silent_tls, true, {silent}},
            {"answer", no_answer->url(), false, {no_answer}},
            {"headers", half_head->url(), false, {half_head}},
            {"body", drip->url(), false, {drip}}};
}

}  // namespace

TEST_CASE("a stop request ends an exchange at once in every phase") {
    const Send send_by = GENERATE(&send_blocking, &test::send_async<bw::CurlTransport>);
    for (const Phase& phase : phases()) {
        INFO(phase.name);
        // The best of several: a busy machine may hold up one, and be in an earlier phase still (loading certificates
        // under a sanitizer) when the first stop comes.
        auto late = Clock::duration::max();
        for (int tries = 1; tries <= 6 && late >= 100ms; ++tries) {
            const bw::CurlTransport transport;
            std::stop_source source;
            Clock::time_point stopped{};
            Clock::time_point ended{};
            bw::Result<bw::Response> answer = bw::fail(Errc::failure);
            {
                const std::jthread stopper{[&] {
                    std::this_thread::sleep_for(tries * 100ms);
                    stopped = Clock::now();
                    source.request_stop();
                }};
                answer = send_by(transport, {.url = phase.url},
                                 {.stop = source.get_token(), .timeout = 30s, .connect_timeout = 30s});
                ended = Clock::now();
            }
            REQUIRE_FALSE(answer);
            CHECK(answer.error().code() == Errc::cancelled);
            CHECK(answer.error().sent() == (phase.before_sending ? Sent::no : Sent::maybe));
            late = std::min(late, ended - stopped);
        }
        CHECK(late < 100ms);
    }
}

TEST_CASE("the attempt timeout ends an exchange in every phase and says whether it was sent") {
    const Send send_by = GENERATE(&send_blocking, &test::send_async<bw::CurlTransport>);
    for (const Phase& phase : phases()) {
        INFO(phase.name);
        const bw::CurlTransport transport;
        const auto began = Clock::now();
        const auto answer = send_by(transport, {.url = phase.url}, {.timeout = 150ms, .connect_timeout = 30s});
        const auto took = Clock::now() - began;
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code() == Errc::attempt_timeout);
        CHECK(answer.error().sent() == (phase.before_sending ? Sent::no : Sent::maybe));
        CHECK(took >= 149ms);  // libcurl cuts to whole milliseconds
        CHECK(took < 150ms + far_below);
    }
}

TEST_CASE("the connect timeout covers resolving, connecting and TLS, and nothing after") {
    const Send send_by = GENERATE(&send_blocking, &test::send_async<bw::CurlTransport>);
    for (const Phase& phase : phases()) {
        INFO(phase.name);
        const bw::CurlTransport transport;
        const auto began = Clock::now();
        const auto answer = send_by(transport, {.url = phase.url}, {.timeout = 400ms, .connect_timeout = 150ms});
        const auto took = Clock::now() - began;
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code() == (phase.before_sending ? Errc::connect_timeout : Errc::attempt_timeout));
        CHECK(took >= (phase.before_sending ? 149ms : 399ms));
        CHECK(took < 400ms + far_below);
    }
}

TEST_CASE("a timeout that is over already, or below a millisecond, still ends in its error") {
    const Send send_by = GENERATE(&send_blocking, &test::send_async<bw::CurlTransport>);
    const auto server = RawServer::answering(bw::test::answer(200, ""));
    const bw::CurlTransport transport;
    for (const bw::Duration timeout : {bw::Duration{-1s}, bw::Duration{0}}) {
        const auto answer = send_by(transport, {.url = server->url()}, {.timeout = timeout});
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code() == Errc::attempt_timeout);
        CHECK(answer.error().sent() == Sent::no);
        CHECK(send_by(transport, {.url = server->url()}, {.connect_timeout = timeout}).error().code() ==
              Errc::connect_timeout);
    }
    CHECK(server->connections() == 0);
    const bw::test::FullListener full;
    CHECK(send_by(transport, {.url = full.url()}, {.timeout = 10us}).error().code() == Errc::attempt_timeout);
    CHECK(send_by(transport, {.url = server->url()}, {.timeout = bw::Duration::max()}));
}

TEST_CASE("a transport works on after an exchange was broken off") {
    const Send send_by = GENERATE(&send_blocking, &test::send_async<bw::CurlTransport>);
    const auto server = RawServer::http([](Connection& connection, const std::string& request) {
        if (request.starts_with("GET /hang")) connection.wait_for_close();
        return connection.send(bw::test::answer(200, "fine"));
    });
    const bw::CurlTransport transport;
    for (int i = 0; i < 3; ++i) {
        CHECK_FALSE(send_by(transport, {.url = server->url("/hang")}, {.timeout = 20ms}));
        const auto answer = send_by(transport, {.url = server->url("/fine")}, {.timeout = 10s});
        REQUIRE(answer);
        CHECK(answer->body == "fine");
    }
}

TEST_CASE("stop requests racing with the end of an exchange do no harm") {
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    const bw::CurlTransport transport;
    for (int i = 0; i < 200; ++i) {
        std::stop_source source;
        const std::jthread stopper{[&] { source.request_stop(); }};
        const auto answer = transport.send({.url = server->url()}, {.stop = source.get_token()});
        if (!answer) CHECK(answer.error().code() == Errc::cancelled);
    }
    CHECK(transport.send({.url = server->url()}));
}
