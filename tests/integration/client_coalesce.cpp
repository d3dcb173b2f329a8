// Calls of a client that share a transfer, against real servers on loopback.
#include "raw_server.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/task/start.hpp>

#include <catch_shim.hpp>
#include <on_scheduler.hpp>
#include <soon.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::test::Connection;
using bw::test::RawServer;

namespace {

/// Answers GETs with a number once it is let; other methods at once.
struct Service {
    explicit Service(std::string headers = "Cache-Control: max-age=60\r\n")
        : server{RawServer::http([this, headers = std::move(headers)](Connection& c, const std::string& request) {
              const int number = ++requests;
              if (request.starts_with("GET")) may_answer.wait();
              const std::string body = std::to_string(number);
              return c.send("HTTP/1.1 200 OK\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
                            "\r\n\r\n" + body);
          })} {}

    bw::ClientOptions options(std::optional<bw::Duration> ttl = 60s) const {
        return {.name = "service", .base_url = server->url(""), .retry = {.max_retries = 0}, .cache = {.ttl = ttl}};
    }
    bool soon_asked(int times) const {
        return test::soon([&] { return requests == times; });
    }

    std::atomic<int> requests = 0;
    std::latch may_answer{1};
    std::unique_ptr<RawServer> server;
};

using Answer = std::future<bw::Result<bw::Response>>;

Answer begin(const bw::ResilientClient<>& client, bw::RequestOptions options = {}) {
    return bw::as_future(bw::Task<bw::Result<bw::Response>>{client.async_get("/price", std::move(options))});
}
/// How many of the answers came from where, and their bodies.
struct Sources {
    int network = 0;
    int coalesced = 0;
    std::set<std::string> bodies;
};
Sources sources(std::vector<Answer>& answers) {
    Sources seen;
    for (Answer& answer : answers) {
        const auto result = answer.get();
        REQUIRE(result);
        seen.network += result->source == bw::Source::network;
        seen.coalesced += result->source == bw::Source::coalesced;
        seen.bodies.insert(result->body);
    }
    return seen;
}

}  // namespace

TEST_CASE("equal GETs under way share one transfer, whether they block or not") {
    Service service;
    std::atomic<int> told = 0;
    auto options = service.options();
    options.observer = [&](const bw::Event& event) { told += event.kind == bw::EventKind::coalesced; };
    const bw::ResilientClient client{options};
    std::vector<Answer> answers;
    for (int i = 0; i < 3; ++i) answers.push_back(begin(client));
    answers.push_back(std::async(std::launch::async, [client] { return client.get("/price"); }));
    REQUIRE(service.soon_asked(1));
    const auto other = begin(client, {.headers = {{"Authorization", "Bearer another"}}});
    REQUIRE(service.soon_asked(2));
    std::this_thread::sleep_for(20ms);  // the thread waits by then, or is answered by the cache
    service.may_answer.count_down();
    auto cached = 0;
    std::set<std::string> bodies;
    for (Answer& answer : answers) {
        const auto result = answer.get();
        REQUIRE(result);
        cached += result->source != bw::Source::network;
        bodies.insert(result->body);
    }
    CHECK(cached == 3);
    CHECK(bodies.size() == 1);
    CHECK(told >= 2);
    other.wait();
    CHECK(service.requests == 2);
}

TEST_CASE("by default only what the cache may answer is shared") {
    Service service;
    const bw::ResilientClient client{service.options(std::nullopt)};
    std::vector<Answer> answers;
    for (int i = 0; i < 2; ++i) answers.push_back(begin(client));
    REQUIRE(service.soon_asked(2));
    service.may_answer.count_down();
    CHECK(sources(answers).network == 2);
}

TEST_CASE("all GETs are shared if the options say so, and none if they say that") {
    Service service;
    auto options = service.options(std::nullopt);
    options.coalesce.calls = bw::CoalesceCalls::all_gets;
    const bw::ResilientClient client{options};
    std::vector<Answer> answers;
    for (int i = 0; i < 2; ++i) answers.push_back(begin(client));
    REQUIRE(service.soon_asked(1));

    auto apart = service.options();
    apart.coalesce.calls = bw::CoalesceCalls::none;
    const bw::ResilientClient other{apart};
    std::vector<Answer> own;
    for (int i = 0; i < 2; ++i) own.push_back(begin(other));
    REQUIRE(service.soon_asked(3));
    service.may_answer.count_down();
    const Sources seen = sources(answers);
    CHECK(seen.network == 1);
    CHECK(seen.coalesced == 1);
    CHECK(seen.bodies.size() == 1);
    CHECK(sources(own).network == 2);
}

TEST_CASE("an answer that says no-store is its own call's only") {
    Service service{"Cache-Control: no-store\r\n"};
    const bw::ResilientClient client{service.options()};
    std::vector<Answer> answers;
    for (int i = 0; i < 3; ++i) answers.push_back(begin(client));
    REQUIRE(service.soon_asked(1));
    service.may_answer.count_down();
    const Sources seen = sources(answers);
    CHECK(seen.network == 3);
    CHECK(seen.bodies.size() == 3);
}

TEST_CASE("after a write nobody follows what was asked before it") {
    Service service;
    const bw::ResilientClient client{service.options()};
    std::vector<Answer> answers;
    answers.push_back(begin(client));
    REQUIRE(service.soon_asked(1));
    REQUIRE(client.put("/price", {.json = 5}));
    answers.push_back(begin(client));
    CHECK(service.soon_asked(3));
    service.may_answer.count_down();
    CHECK(sources(answers).network == 2);
}

TEST_CASE("a call that saves its answer or watches its progress goes alone") {
    Service service;
    const bw::ResilientClient client{service.options()};
    std::vector<Answer> answers;
    answers.push_back(begin(client));
    REQUIRE(service.soon_asked(1));
    answers.push_back(begin(client, {.progress = [](const bw::Progress&) { return true; }}));
    CHECK(service.soon_asked(2));
    service.may_answer.count_down();
    CHECK(sources(answers).network == 2);
}

TEST_CASE("a cancelled leader's transfer is begun anew by one that waited") {
    Service service;
    const bw::ResilientClient client{service.options()};
    std::stop_source stop;
    Answer leader = begin(client, {.stop = stop.get_token()});
    REQUIRE(service.soon_asked(1));
    std::vector<Answer> answers;
    for (int i = 0; i < 2; ++i) answers.push_back(begin(client));
    stop.request_stop();
    CHECK(leader.get().error().code() == bw::Errc::cancelled);
    REQUIRE(service.soon_asked(2));
    service.may_answer.count_down();
    const Sources seen = sources(answers);
    CHECK(seen.network == 1);
    CHECK(seen.coalesced == 1);
}

TEST_CASE("a blocking call on the transport's thread is refused, not left to wait for what that thread has to bring") {
    Service service;
    const bw::CurlTransport transport;
    const bw::ResilientClient client{service.options(), transport};
    Answer leader = begin(client);
    REQUIRE(service.soon_asked(1));
    bw::Errc said{};
    test::run_on(transport.scheduler(), [&] { said = client.get("/price").error().code(); });
    CHECK(said == bw::Errc::would_deadlock);
    service.may_answer.count_down();
    CHECK(leader.get());
}
