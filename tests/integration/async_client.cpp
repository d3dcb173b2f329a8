// The client's asynchronous calls through its own transport, against real servers on loopback.
#include "raw_server.hpp"

#include <breakwater/resilient_client.hpp>
#include <breakwater/task/resume_on.hpp>
#include <breakwater/task/when_all.hpp>
#include <breakwater/task/when_any.hpp>

#include <catch_shim.hpp>
#include <soon.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::test::Connection;
using bw::test::RawServer;

namespace {

/// `/flaky` fails every other time, `/slow` hangs, all else is answered at once.
class Service {
public:
    Service()
        : server_{RawServer::http([this](Connection& c, const std::string& request) {
              ++requests;
              if (request.starts_with("GET /slow")) return c.wait_for_close(), ++left, false;
              if (request.starts_with("GET /flaky") && ++tries % 2 == 1) return c.send(bw::test::answer(503, "no"));
              if (request.starts_with("GET /missing")) return c.send(bw::test::answer(404, "none"));
              if (request.starts_with("GET /dead")) return c.send(bw::test::answer(500, "dead"));
              return c.send(bw::test::answer(200, "{\"n\":7}"));
          })} {}

    bw::ClientOptions options() const {
        return {.name = "service",
                .base_url = server_->url(""),
                .retry = {.max_retries = 3, .backoff = {.base = 2ms, .cap = 5ms}},
                .retry_budget = {.ratio = std::nullopt}};
    }

    std::atomic<int> requests = 0;
    std::atomic<int> left = 0;
    std::atomic<int> tries = 0;

private:
    std::unique_ptr<RawServer> server_;
};

struct Answer {
    int n = 0;
    friend void from_json(const nlohmann::json& json, Answer& answer) { json.at("n").get_to(answer.n); }
};

bw::Task<bw::Result<bw::Response>> get(bw::ResilientClient<> client, std::string target) {
    co_return co_await client.async_get(target);
}

}  // namespace

TEST_CASE("an asynchronous call goes by the policies of a blocking one") {
    Service service;
    const bw::ResilientClient client{service.options()};
    const auto retried = bw::sync_wait(client.async_get("/flaky"));
    REQUIRE(retried);
    CHECK(retried->timeline.size() == 2);
    CHECK(retried->timeline.front().status == 503);
    CHECK(retried->source == bw::Source::network);

    const auto missing = bw::sync_wait(client.async_get("/missing"));
    REQUIRE_FALSE(missing);
    CHECK(missing.error().status() == 404);
    CHECK(missing.error().response()->body == "none");
    CHECK(missing.error().subject() == "GET /missing");

    const auto wrong = bw::sync_wait(client.async_get("//elsewhere"));
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().code() == Errc::invalid_request);
    const int before = service.requests;
    CHECK(bw::sync_wait(bw::Task<bw::Result<bw::Response>>{
        client.async_get("/dead", {.fallback = [](const bw::Error&) { return bw::Response{.status = 203}; }})}));
    CHECK(service.requests == before + 4);
}

TEST_CASE("an asynchronous call's body is read as a T") {
    Service service;
    const bw::ResilientClient client{service.options()};
    CHECK(bw::sync_wait(client.async_get_as<Answer>("/a"))->n == 7);
    const auto unreadable = bw::sync_wait(client.async_get_as<std::vector<int>>("/a"));
    REQUIRE_FALSE(unreadable);
    CHECK(unreadable.error().code() == Errc::decode_failed);
    CHECK(unreadable.error().subject() == "GET /a");
}

TEST_CASE("hundreds of calls are in flight on the engine's one thread, with all their waits") {
    Service service;
    auto options = service.options();
    options.circuit_breaker.trip = bw::never;
    const bw::ResilientClient client{options};
    std::atomic<int> good = 0;
    auto work = [](bw::ResilientClient<> own, std::atomic<int>& count,
                   std::set<std::thread::id>& threads) -> bw::Task<> {
        for (int i = 0; i < 3; ++i) {
            const auto answer = co_await own.async_get("/flaky");
            threads.insert(std::this_thread::get_id());
            if (answer) ++count;
        }
    };
    std::set<std::thread::id> threads;  // of one thread only, or this is a race
    std::vector<bw::Task<>> tasks;
    for (int i = 0; i < 200; ++i) tasks.push_back(work(client, good, threads));
    (void)bw::sync_wait(bw::when_all(std::move(tasks)));
    CHECK(good > 500);
    CHECK(threads.size() == 1);
    CHECK(threads.count(std::this_thread::get_id()) == 0);
}

TEST_CASE("a stop request ends the call wherever it is, and its transfer on the wire") {
    Service service;
    const bw::ResilientClient client{service.options()};
    std::stop_source stop;
    auto by_context = bw::as_future(get(client, "/slow"), stop.get_token());
    std::stop_source own;
    auto by_option =
        bw::as_future(bw::Task<bw::Result<bw::Response>>{client.async_get("/slow", {.stop = own.get_token()})});
    REQUIRE(test::soon([&] { return service.requests == 2; }));
    stop.request_stop();
    own.request_stop();
    CHECK(by_context.get().error().code() == Errc::cancelled);
    CHECK(by_option.get().error().code() == Errc::cancelled);
    CHECK(test::soon([&] { return service.left == 2; }));

    auto options = service.options();
    options.retry.backoff = {.base = 1h, .cap = 1h, .jitter = bw::Jitter::none};
    options.timeouts.deadline = 24h;
    const bw::ResilientClient patient{options};
    std::stop_source later;
    auto asleep = bw::as_future(get(patient, "/dead"), later.get_token());
    REQUIRE(test::soon([&] { return service.requests == 3; }));
    later.request_stop();
    CHECK(asleep.get().error().code() == Errc::cancelled);
}

TEST_CASE("a deadline ends an asynchronous call") {
    Service service;
    const bw::ResilientClient client{service.options()};
    const auto late = bw::sync_wait(bw::Task<bw::Result<bw::Response>>{client.async_get("/slow", {.deadline = 50ms})});
    REQUIRE_FALSE(late);
    CHECK(late.error().code() == Errc::deadline_exceeded);
}

TEST_CASE("when a client's last handle goes, its calls are cancelled") {
    Service service;
    std::vector<std::future<bw::Result<bw::Response>>> futures;
    {
        const bw::ResilientClient client{service.options()};
        for (int i = 0; i < 10; ++i) futures.push_back(bw::as_future(client.async_get("/slow")));
        REQUIRE(test::soon([&] { return service.requests == 10; }));
    }
    for (auto& future : futures) CHECK(future.get().error().code() == Errc::cancelled);
}

TEST_CASE("a callback is called on the engine's thread, where a blocking call is refused") {
    Service service;
    const bw::ResilientClient client{service.options()};
    std::promise<Errc> refused;
    client.async_send(bw::Request{.url = "/a"}, [&](bw::Result<bw::Response> answer) {
        if (!answer) return refused.set_value(answer.error().code());
        refused.set_value(client.get("/a").error().code());
    });
    CHECK(refused.get_future().get() == Errc::would_deadlock);
}

TEST_CASE("calls side by side, and the first of several") {
    Service service;
    const bw::ResilientClient client{service.options()};
    const auto [one, two, three] = bw::sync_wait(
        bw::when_all(client.async_get("/a"), client.async_get_as<Answer>("/b"), client.async_get("/missing")));
    CHECK(one);
    CHECK(two->n == 7);
    CHECK(three.error().status() == 404);
    const auto [index, first] = bw::sync_wait(bw::when_any(client.async_get("/slow"), client.async_get("/c")));
    CHECK(index == 1);
    CHECK(first);
    CHECK(test::soon([&] { return service.left == 1; }));
}
