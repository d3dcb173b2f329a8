// The client with its own transport against real servers on loopback.
#include <catch_shim.hpp>

#include <breakwater/resilient_client.hpp>

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

/// An httplib server on a free port; counts its requests.
class Service {
public:
    Service() {
        server_.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response&) {
            const std::scoped_lock lock{mutex_};
            ++count_;
            last_headers_.clear();
            for (const auto& [name, value] : request.headers) last_headers_.emplace(name, value);
            return httplib::Server::HandlerResponse::Unhandled;
        });
        port_ = server_.bind_to_any_port("127.0.0.1");
    }
    ~Service() {
        server_.stop();
        if (thread_.joinable()) thread_.join();
    }
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    httplib::Server& routes() { return server_; }
    void start() {
        thread_ = std::thread{[this] { server_.listen_after_bind(); }};
        while (!server_.is_running()) std::this_thread::yield();
    }
    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
    int count() const {
        const std::scoped_lock lock{mutex_};
        return count_;
    }
    std::string last_header(const std::string& name) const {
        const std::scoped_lock lock{mutex_};
        const auto found = last_headers_.find(name);
        return found == last_headers_.end() ? "" : found->second;
    }

private:
    httplib::Server server_;
    int port_ = 0;
    std::thread thread_;
    mutable std::mutex mutex_;
    int count_ = 0;
    std::map<std::string, std::string> last_headers_;
};

constexpr bw::Backoff<> quick{.base = 1ms, .cap = 2ms};

}  // namespace

TEST_CASE("a service that fails twice is asked three times") {
    Service service;
    std::atomic<int> asked{0};
    service.routes().Get("/v1/inventory", [&](const httplib::Request& request, httplib::Response& answer) {
        if (++asked <= 2) {
            answer.status = 503;
            return;
        }
        answer.set_content("{\"page\": \"" + request.get_param_value("page") + "\"}", "application/json");
    });
    service.start();
    const bw::ResilientClient client{bw::ClientOptions{
        .name = "t", .base_url = service.url() + "/v1", .auth = bw::Bearer{"secret"}, .retry = {.backoff = quick}}};

    bw::Result<bw::Response> page = client.get("/inventory", {.query = {{"page", "a b&c"}}});
    REQUIRE(page);
    CHECK(page->json()["page"] == "a b&c");
    CHECK(page->source == bw::Source::network);
    CHECK(page->timeline.size() == 3);
    CHECK(page->timeline[0].status == 503);
    CHECK(page->timeline[0].wait);
    CHECK(service.last_header("Authorization") == "Bearer secret");
    CHECK(service.last_header("User-Agent") == "breakwater/" BREAKWATER_VERSION_STRING);
}

TEST_CASE("an error status is an error with the readable response inside") {
    Service service;
    service.routes().Get("/missing", [](const httplib::Request&, httplib::Response& answer) {
        answer.status = 404;
        answer.set_content(R"({"reason": "no such item"})", "application/json");
    });
    service.start();
    const bw::ResilientClient client{bw::ClientOptions{.base_url = service.url()}};

    const auto answer = client.get("/missing", {.query = {{"token", "hush"}}});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().status() == 404);
    REQUIRE(answer.error().response() != nullptr);
    CHECK(answer.error().response()->json()["reason"] == "no such item");
    CHECK(answer.error().message() == "GET /missing: status 404: {\"reason\": \"no such item\"}");
    CHECK(service.count() == 1);
}

TEST_CASE("an answer that is late is an attempt timeout, and a deadline when the deadline cut it") {
    Service service;
    service.routes().Get("/slow", [](const httplib::Request&, httplib::Response& answer) {
        std::this_thread::sleep_for(1s);
        answer.set_content("late", "text/plain");
    });
    service.start();
    const bw::ResilientClient client{bw::ClientOptions{.base_url = service.url(), .retry = {.max_retries = 0}}};

    const auto late = client.get("/slow", {.timeout = 50ms});
    REQUIRE_FALSE(late);
    CHECK(late.error().code() == bw::Errc::attempt_timeout);
    CHECK(late.error().sent() == bw::Sent::maybe);

    const auto cut = client.get("/slow", {.deadline = 50ms});
    REQUIRE_FALSE(cut);
    CHECK(cut.error().code() == bw::Errc::deadline_exceeded);
}

TEST_CASE("a hung service opens the circuit, and a hurried caller does not") {
    Service service;
    service.routes().Get("/slow",
                         [](const httplib::Request&, httplib::Response&) { std::this_thread::sleep_for(300ms); });
    service.start();
    const auto options = [&] {
        return bw::ClientOptions{.base_url = service.url(),
                                 .timeouts = {.attempt = 100ms},
                                 .circuit_breaker = {.trip = bw::ConsecutiveFailures{2}},
                                 .retry = {.max_retries = 0}};
    };
    const bw::ResilientClient hurried{options()};
    for (int i = 0; i < 4; ++i) CHECK_FALSE(hurried.get("/slow", {.deadline = 5ms}));
    CHECK(hurried.circuit_breaker().state() == bw::CircuitState::closed);

    const bw::ResilientClient patient{options()};
    for (int i = 0; i < 2; ++i) CHECK_FALSE(patient.get("/slow"));
    CHECK(patient.circuit_breaker().state() == bw::CircuitState::open);
    const auto refused = patient.get("/slow");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().is_refusal(bw::Errc::circuit_open));
    CHECK(refused.error().retry_after().value() > 50s);
}

TEST_CASE("a stop request ends a transfer and a backoff at once") {
    Service service;
    service.routes().Get("/slow",
                         [](const httplib::Request&, httplib::Response&) { std::this_thread::sleep_for(1500ms); });
    service.routes().Get("/fails", [](const httplib::Request&, httplib::Response& answer) { answer.status = 500; });
    service.start();
    const bw::ResilientClient client{bw::ClientOptions{
        .base_url = service.url(), .retry = {.backoff = {.base = 20s, .cap = 20s, .jitter = bw::Jitter::none}}}};
    for (const char* target : {"/slow", "/fails"}) {
        std::stop_source source;
        std::jthread stopper{[&] {
            std::this_thread::sleep_for(100ms);
            source.request_stop();
        }};
        const auto began = std::chrono::steady_clock::now();
        const auto answer = client.get(target, {.stop = source.get_token()});
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code() == bw::Errc::cancelled);
        CHECK(std::chrono::steady_clock::now() - began < 1s);
        CHECK(client.circuit_breaker().state() == bw::CircuitState::closed);
    }
}

TEST_CASE("a redirect to another origin gets no credential") {
    Service other;
    other.routes().Get("/landing", [](const httplib::Request&, httplib::Response& answer) {
        answer.set_content("there", "text/plain");
    });
    other.start();
    Service service;
    service.routes().Get("/away", [&](const httplib::Request&, httplib::Response& answer) {
        answer.set_redirect(other.url() + "/landing");
    });
    service.routes().Get("/home",
                         [](const httplib::Request&, httplib::Response& answer) { answer.set_redirect("/end"); });
    service.routes().Get(
        "/end", [](const httplib::Request&, httplib::Response& answer) { answer.set_content("here", "text/plain"); });
    service.routes().Get("/loop",
                         [](const httplib::Request&, httplib::Response& answer) { answer.set_redirect("/loop"); });
    service.start();
    bw::ClientOptions options{
        .base_url = service.url(), .headers = {{"X-Tenant", "t1"}}, .auth = bw::HeaderAuth{"X-Api-Key", "secret"}};

    const bw::ResilientClient strict{options};
    CHECK(strict.get("/home").value().body == "here");
    CHECK(service.last_header("X-Api-Key") == "secret");
    const auto refused = strict.get("/away");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == bw::Errc::redirect_refused);
    CHECK(other.count() == 0);
    const auto loop = strict.get("/loop");
    REQUIRE_FALSE(loop);
    CHECK(loop.error().code() == bw::Errc::too_many_redirects);

    options.redirects.cross_origin = true;
    const bw::ResilientClient open{options};
    CHECK(open.get("/away").value().body == "there");
    CHECK(other.last_header("X-Api-Key").empty());
    CHECK(other.last_header("X-Tenant").empty());
    CHECK_FALSE(other.last_header("User-Agent").empty());
}

TEST_CASE("threads share one client: connections are reused and the limit holds") {
    Service service;
    service.routes().Get(
        "/x", [](const httplib::Request&, httplib::Response& answer) { answer.set_content("x", "text/plain"); });
    service.start();
    const bw::ResilientClient client{
        bw::ClientOptions{.base_url = service.url(),
                          .rate_limit = {.algorithm = bw::TokenBucket{.permits = 1, .period = 1h, .burst = 50}},
                          .retry = {.max_retries = 0}}};
    std::atomic<int> good{0};
    std::atomic<int> limited{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < 25; ++i) {
                    const auto answer = client.get("/x");
                    if (answer)
                        ++good;
                    else if (answer.error().is_refusal(bw::Errc::rate_limited))
                        ++limited;
                }
            });
        }
    }
    CHECK(good == 50);
    CHECK(limited == 50);
    CHECK(service.count() == 50);
}

TEST_CASE("a fresh answer comes from the cache, and a stale one stands in for an outage") {
    Service service;
    std::atomic<bool> down{false};
    service.routes().Get("/stock", [&](const httplib::Request&, httplib::Response& answer) {
        if (down)
            answer.status = 500;
        else
            answer.set_content("7", "text/plain");
    });
    service.start();
    const bw::ResilientClient client{bw::ClientOptions{
        .base_url = service.url(), .retry = {.max_retries = 0}, .cache = {.ttl = 50ms, .stale_if_error = 1h}}};
    CHECK(client.get("/stock").value().source == bw::Source::network);
    CHECK(client.get("/stock").value().source == bw::Source::cache);
    CHECK(service.count() == 1);
    down = true;
    std::this_thread::sleep_for(60ms);
    const auto stale = client.get("/stock");
    REQUIRE(stale);
    CHECK(stale->source == bw::Source::stale_cache);
    CHECK(stale->body == "7");
    CHECK(service.count() == 2);
}
