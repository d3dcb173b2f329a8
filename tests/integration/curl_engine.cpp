// The asynchronous face of the curl transport. What ends an exchange in which phase is in curl_phases.cpp.
#include "certificates.hpp"
#include "http2_server.hpp"
#include "raw_server.hpp"

#include <breakwater/transport/curl.hpp>

#include <async_calls.hpp>
#include <catch_shim.hpp>
#include <sanitized.hpp>
#include <soon.hpp>

#include <curl/curl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Sent;
using bw::test::Connection;
using bw::test::RawServer;
using test::AsyncCalls;
using test::Detached;

namespace {

/// Answers `/together` when so many of its requests have come.
std::unique_ptr<RawServer> answers_together(std::ptrdiff_t together) {
    return RawServer::http([all = std::make_shared<std::latch>(together)](Connection& c, const std::string& request) {
        if (request.starts_with("GET /together")) all->arrive_and_wait();
        return c.send(bw::test::answer(200, "x"));
    });
}

std::unique_ptr<RawServer> never_answers() {
    return RawServer::http([](Connection& c, const std::string&) { return c.wait_for_close(), false; });
}

std::ptrdiff_t count(const std::vector<AsyncCalls::Ended>& ended, Errc code) {
    return std::ranges::count_if(ended, [&](const auto& e) { return !e.result && e.result.error().code() == code; });
}

}  // namespace

TEST_CASE("many exchanges are under way on one thread, and connections are kept alive for the next ones") {
    constexpr std::size_t calls = 300;  // more than one multi handle takes
    const auto server = answers_together(static_cast<std::ptrdiff_t>(calls));
    const bw::CurlTransport transport;
    AsyncCalls first;
    for (std::size_t i = 0; i < calls; ++i) first.start(transport, {.url = server->url("/together")});
    const auto thread = first.wait(calls).front().thread;
    CHECK(thread != std::this_thread::get_id());
    for (const auto& ended : first.wait(calls)) {
        REQUIRE(ended.result);
        CHECK(ended.result->body == "x");
        CHECK(ended.result->connection == bw::ConnectionUse::opened);
        CHECK(ended.thread == thread);
    }
    AsyncCalls second;
    for (std::size_t i = 0; i < calls; ++i)
        second.start(transport, {.method = bw::Method::post, .url = server->url(), .body = "b"});
    for (const auto& ended : second.wait(calls)) {
        REQUIRE(ended.result);
        CHECK(ended.result->connection == bw::ConnectionUse::reused);
        CHECK(ended.thread == thread);
    }
    CHECK(server->connections() == static_cast<int>(calls));
    CHECK(transport.counts() == bw::TransportCounts{.requests = 2 * calls,
                                                    .answers = 2 * calls,
                                                    .connections = calls,
                                                    .reused = calls,
                                                    .http1 = 2 * calls,
                                                    .http2 = 0});
}

TEST_CASE("HTTP/2 exchanges that begin together share one connection") {
    const bw::test::CertificateAuthority authority;
    const bw::test::Http2Server over_tls{&authority};
    const bw::test::Http2Server clear_text{nullptr};
    if (!over_tls.wait_until_ready() || !clear_text.wait_until_ready()) {
        WARN("nghttpd is not installed: HTTP/2 is not tested");
        return;
    }
    const auto check = [](const bw::CurlTransport& transport, const std::string& url, bool can_share) {
        constexpr std::size_t together = 50;
        AsyncCalls calls;
        for (std::size_t i = 0; i < together; ++i) calls.start(transport, {.url = url});
        for (const auto& ended : calls.wait(together)) {
            REQUIRE(ended.result);
            CHECK(ended.result->body == "over HTTP/2");
        }
        CHECK(transport.counts().http2 == together);
        CHECK(transport.counts().connections == (can_share ? 1 : together));
    };
    check(bw::CurlTransport{{.ca_file = authority.file()}}, "https://" + over_tls.address() + "hello", true);
    const bool is_7_88 = curl_version_info(CURLVERSION_NOW)->version_num >> 8 == 0x0758;  // cannot
    check(bw::CurlTransport{{.http_version = bw::HttpVersion::http2_prior_knowledge}},
          "http://" + clear_text.address() + "hello", !is_7_88);
}

TEST_CASE("no more connections are made than allowed, to a host and altogether") {
    constexpr std::size_t calls = 24;
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    const auto other = RawServer::answering(bw::test::answer(200, "y"));
    const auto send_all = [&](const bw::CurlTransport& transport) {
        AsyncCalls under_way;
        for (std::size_t i = 0; i < calls; ++i)
            under_way.start(transport, {.url = (i % 2 == 0 ? server : other)->url()});
        CHECK(std::ranges::all_of(under_way.wait(calls), [](const auto& e) { return e.result.has_value(); }));
    };
    send_all(bw::CurlTransport{{.max_connections_per_host = 3}});
    CHECK(server->connections() <= 3);
    CHECK(other->connections() <= 3);

    const auto silent = never_answers();
    const bw::CurlTransport transport{{.max_connections = 2}};
    std::stop_source stop;
    AsyncCalls holding;
    for (int i = 0; i < 2; ++i)
        holding.start(transport, {.url = silent->url()}, {.stop = stop.get_token(), .timeout = 1h});
    CHECK(test::soon([&] { return silent->requests().size() == 2; }));
    AsyncCalls waiting;  // the connect timeout is none of the wait
    for (int i = 0; i < 3; ++i)
        waiting.start(transport, {.url = server->url()}, {.timeout = 300ms, .connect_timeout = 100ms});
    for (const auto& ended : waiting.wait(3)) {
        CHECK(ended.result.error().code() == Errc::attempt_timeout);
        CHECK(ended.result.error().sent() == Sent::no);
    }
    AsyncCalls waits_on;
    waits_on.start(transport, {.url = server->url()});
    stop.request_stop();
    CHECK(waits_on.wait(1).front().result);
    CHECK(count(holding.wait(2), Errc::cancelled) == 2);
    CHECK(silent->connections() == 2);
    send_all(transport);
}

TEST_CASE("those that wait for a connection to share end with the connect timeout, not one after the other") {
    const bw::test::FullListener full;
    const bw::CurlTransport transport;
    AsyncCalls calls;
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 8; ++i)
        calls.start(transport, {.url = "https" + full.url().substr(4)}, {.connect_timeout = 200ms});
    for (const auto& ended : calls.wait(8)) {
        CHECK(ended.result.error().code() == Errc::connect_timeout);
        CHECK(ended.result.error().sent() == Sent::no);
    }
    CHECK(std::chrono::steady_clock::now() - began < 1s);
}

TEST_CASE("a connection that the server has closed meanwhile is replaced") {
    const auto server = RawServer::http([](Connection& c, const std::string&) {
        c.send(bw::test::answer(200, "x"));
        return false;
    });
    const bw::CurlTransport transport;
    for (int i = 1; i <= 5; ++i) {
        CHECK(test::send_async(transport, {.url = server->url()}));
        CHECK(server->connections() == i);
        std::this_thread::sleep_for(10ms);  // until its end has come
    }
}

TEST_CASE("a connection that takes the descriptor of one broken off is listened to") {
    // Over a Unix domain socket, where a connection is made at once: epoll is asked for nothing but its answer.
    const bw::test::TemporaryDirectory directory;
    const std::string path = (directory / "service.sock").string();
    const bw::test::Listener listener{path};
    const std::jthread server{[&] {
        for (int i = 1; i <= 6; ++i) {
            Connection connection{::accept(listener.socket(), nullptr, nullptr), nullptr, i};
            connection.read_request();
            if (i % 2 == 1) {
                connection.wait_for_close();
            } else {
                std::this_thread::sleep_for(20ms);  // until the client sleeps
                connection.send(bw::test::answer(200, "x", "Connection: close\r\n"));
            }
        }
    }};
    const bw::CurlTransport transport{{.unix_socket = path}};
    for (int i = 0; i < 3; ++i) {
        CHECK_FALSE(test::send_async(transport, {.url = "http://service.test/"}, {.timeout = 50ms}));
        CHECK(test::send_async(transport, {.url = "http://service.test/"}));
    }
}

TEST_CASE("a transport that goes away cancels what is under way and leaves nothing behind") {
    const auto server = never_answers();
    const bw::test::FullListener full;
    const std::size_t before = bw::test::open_descriptors();
    for (int round = 0; round < 3; ++round) {
        AsyncCalls calls;
        std::optional<bw::CurlTransport> transport{std::in_place};
        for (int i = 0; i < 10; ++i) {
            calls.start(*transport, {.url = server->url()});
            calls.start(*transport, {.url = full.url()});
        }
        const auto expected = static_cast<std::size_t>(round + 1) * 10;
        if (round < 2) CHECK(test::soon([&] { return server->requests().size() == expected; }));
        transport.reset();  // in the last round perhaps before the engine has seen any of them
        CHECK(count(calls.wait(20), Errc::cancelled) == 20);
    }
    CHECK(test::soon([&] { return bw::test::open_descriptors() <= before; }));
}

TEST_CASE("the last handle may be dropped on the engine's thread") {
    struct Lasts {
        static Detached forever(bw::CurlTransport transport, std::string url, std::atomic<int>& ended) {
            const bw::Request request{.url = std::move(url)};
            const bw::SendOptions options;
            auto answer = co_await transport.async_send(request, options);
            ended += answer.has_value();
        }
    };
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    std::atomic<int> ended{0};
    for (int i = 0; i < 20; ++i) Lasts::forever(bw::CurlTransport{}, server->url(), ended);
    CHECK(test::soon([&] { return ended == 20; }));
}

TEST_CASE("a blocking call on the engine's thread is refused, an asynchronous one is not") {
    struct Blocks {
        static Detached call(const bw::CurlTransport& transport, std::string url, std::latch& done) {
            const bw::Request request{.url = std::move(url)};
            const bw::SendOptions options;
            CHECK((co_await transport.async_send(request, options)).has_value());
            CHECK(transport.scheduler().is_here());
            CHECK(transport.send(request).error().code() == Errc::would_deadlock);
            CHECK((co_await transport.async_send(request, options)).has_value());
            done.count_down();
        }
    };
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    const bw::CurlTransport transport;
    std::latch done{1};
    Blocks::call(transport, server->url(), done);
    done.wait();
    CHECK_FALSE(transport.scheduler().is_here());
    CHECK(transport.send({.url = server->url()}));
}

TEST_CASE("stop requests of many threads at any moment do no harm and end what they are for") {
    constexpr std::size_t rounds = 30;
    constexpr std::size_t calls = 40;
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    const bw::CurlTransport transport;
    std::size_t answered = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
        AsyncCalls under_way;
        std::vector<std::stop_source> sources(calls);
        {
            std::vector<std::jthread> stoppers;
            stoppers.reserve(2);
            for (std::size_t t = 0; t < 2; ++t) {
                stoppers.emplace_back([&, t] {
                    for (std::size_t i = t; i < calls; ++i) sources[i].request_stop();  // some by both
                });
            }
            for (std::size_t i = 0; i < calls; ++i)
                under_way.start(transport, {.url = server->url()}, {.stop = sources[i].get_token()});
        }
        for (const auto& ended : under_way.wait(calls)) {
            answered += ended.result.has_value();
            if (!ended.result) CHECK(ended.result.error().code() == Errc::cancelled);
        }
    }
    CHECK(answered < rounds * calls);
    CHECK(test::send_async(transport, {.url = server->url()}));
}

TEST_CASE("after a fork the child has an engine of its own and the parent keeps its own") {
    if (test::under_thread_sanitizer) {
        WARN("ThreadSanitizer lets no thread be started after a fork");
        return;
    }
    const auto server = RawServer::http(
        [](Connection& c, const std::string&) { return c.send(bw::test::answer(200, std::to_string(c.number()))); });
    bw::CurlTransport transport;
    REQUIRE(test::send_async(transport, {.url = server->url()})->body == "1");
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto first = test::send_async(transport, {.url = server->url()});
        const auto second = test::send_async(transport, {.url = server->url()});
        transport = bw::CurlTransport{};
        ::_exit(first && second && first->body == "2" && second->body == "2" ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK(test::send_async(transport, {.url = server->url()})->body == "1");
}

TEST_CASE("an engine with nothing to do takes no CPU time") {
    const auto server = RawServer::answering(bw::test::answer(200, "x"));
    const auto hanging = never_answers();
    const bw::CurlTransport transport;
    AsyncCalls calls;
    for (int i = 0; i < 20; ++i) calls.start(transport, {.url = server->url()});
    calls.wait(20);
    calls.start(transport, {.url = hanging->url()}, {.timeout = 1s});
    const auto cpu_time = [] {
        rusage usage{};
        ::getrusage(RUSAGE_SELF, &usage);
        return std::chrono::seconds{usage.ru_utime.tv_sec + usage.ru_stime.tv_sec} +
               std::chrono::microseconds{usage.ru_utime.tv_usec + usage.ru_stime.tv_usec};
    };
    const auto before = cpu_time();
    std::this_thread::sleep_for(500ms);
    const auto used = cpu_time() - before;
    INFO(used.count() << " us");
    CHECK(used < 100ms);  // a busy loop takes 500
    CHECK(count(calls.wait(21), Errc::attempt_timeout) == 1);
}
