#include <breakwater/testing/scripted_transport.hpp>

#include <catch_shim.hpp>

#include <atomic>
#include <chrono>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

const bw::Request ping{.url = "http://a.test/ping"};

}  // namespace

TEST_CASE("a scripted transport answers in order and keeps what it was asked") {
    const bw::ScriptedTransport service{bw::Response{.status = 503}, bw::Error{bw::Errc::connect_failed},
                                        [](const bw::Request& request) -> bw::Result<bw::Response> {
                                            return bw::Response{.status = 200, .body = request.body->text()};
                                        }};
    CHECK(service.left() == 3);
    CHECK(service.send(ping, {})->status == 503);
    CHECK(service.send(ping, {.timeout = 7s}).error().code() == bw::Errc::connect_failed);
    CHECK(service.send({.method = bw::Method::post, .url = "http://a.test/x", .body = "echo"}, {})->body == "echo");
    CHECK(service.count() == 3);
    CHECK(service.left() == 0);
    CHECK(service.exchanges()[1].options.timeout == 7s);
    CHECK(service.requests()[2].method == bw::Method::post);
}

TEST_CASE("at the end of its script a scripted transport fails and says so, or repeats itself") {
    const bw::ScriptedTransport fails{bw::Response{.status = 200}};
    CHECK(fails.send(ping, {}));
    const auto beyond = fails.send(ping, {});
    REQUIRE_FALSE(beyond);
    CHECK(beyond.error().code() == bw::Errc::transport_failed);
    CHECK_THAT(beyond.error().message(), Catch::Matchers::ContainsSubstring("no answer left for request 2"));
    fails.add(bw::Response{.status = 204});
    CHECK(fails.send(ping, {})->status == 204);

    const auto always = bw::ScriptedTransport::always(bw::Response{.status = 418});
    for (int i = 0; i < 3; ++i) CHECK(always.send(ping, {})->status == 418);
    const bw::ScriptedTransport repeats{{bw::Response{.status = 200}, bw::Error{bw::Errc::empty_answer}},
                                        bw::ScriptedTransport::AtEnd::repeat};
    CHECK(repeats.send(ping, {}));
    for (int i = 0; i < 3; ++i) CHECK_FALSE(repeats.send(ping, {}));
    CHECK_FALSE(bw::ScriptedTransport{}.send(ping, {}));
}

TEST_CASE("copies of a scripted transport share script and record") {
    const bw::ScriptedTransport one{bw::Response{.status = 200}, bw::Response{.status = 201}};
    const bw::ScriptedTransport other = one;  // NOLINT(performance-unnecessary-copy-initialization)
    CHECK(one.send(ping, {})->status == 200);
    CHECK(other.send(ping, {})->status == 201);
    CHECK(one.count() == 2);
}

TEST_CASE("a scripted transport refuses an invalid request without spending an answer") {
    const bw::ScriptedTransport service{bw::Response{.status = 200}};
    const auto refused = service.send({.url = "http://a.test/\r\n"}, {});
    CHECK(refused.error().code() == bw::Errc::invalid_request);
    CHECK(service.count() == 0);
    CHECK(service.send(ping, {}));
}

TEST_CASE("a scripted exchange takes its time, but no longer than its timeout") {
    const bw::ScriptedTransport service{
        {bw::Response{.status = 200}, 3s}, {bw::Response{.status = 200}, 30s}, bw::Response{.status = 200}};
    std::vector<bw::Duration> elapsed;
    service.on_elapse([&](bw::Duration took) { elapsed.push_back(took); });
    CHECK(service.send(ping, {.timeout = 10s}));
    const auto late = service.send(ping, {.timeout = 10s});
    CHECK(late.error().code() == bw::Errc::attempt_timeout);
    CHECK(late.error().sent() == bw::Sent::maybe);
    CHECK(service.send(ping, {.timeout = 10s}));
    CHECK(elapsed == std::vector<bw::Duration>{3s, 10s, 0s});
}

TEST_CASE("a stop request ends a scripted exchange before it begins or while it lasts") {
    const bw::ScriptedTransport service{bw::Response{.status = 200}, bw::Response{.status = 201}};
    std::stop_source stop;
    service.on_elapse([&](bw::Duration) { stop.request_stop(); });
    const auto during = service.send(ping, {.stop = stop.get_token()});
    CHECK(during.error().code() == bw::Errc::cancelled);
    CHECK(during.error().sent() == bw::Sent::maybe);
    const auto before = service.send(ping, {.stop = stop.get_token()});
    CHECK(before.error().code() == bw::Errc::cancelled);
    CHECK(before.error().sent() == bw::Sent::no);
    CHECK(service.count() == 1);
}

TEST_CASE("a scripted answer names its URL and may be too large") {
    const auto service = bw::ScriptedTransport::always(bw::Response{.status = 200, .body = std::string(100, 'x')});
    CHECK(service.send(ping, {.max_response_bytes = 100})->url == ping.url);
    CHECK(service.send(ping, {.max_response_bytes = 99}).error().code() == bw::Errc::too_large);
}

TEST_CASE("threads may share a scripted transport, and its functions run with nothing held") {
    bw::ScriptedTransport service;
    constexpr int threads = 4;
    constexpr int calls = 100;
    std::atomic<int> answered{0};
    for (int i = 0; i < threads * calls; ++i) {
        service.add([&service](const bw::Request&) -> bw::Result<bw::Response> {
            return bw::Response{.status = service.count() > 0 ? 200 : 500};  // would wait for itself under the lock
        });
    }
    {
        std::vector<std::jthread> workers;
        for (int t = 0; t < threads; ++t) {
            workers.emplace_back([&, copy = service] {
                for (int i = 0; i < calls; ++i) answered += copy.send(ping, {})->status == 200;
            });
        }
    }
    CHECK(answered == threads * calls);
    CHECK(service.left() == 0);
}
