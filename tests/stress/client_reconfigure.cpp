// A client that many threads call while others change its options.
#include <breakwater/resilient_client.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/scripted_transport.hpp>

#include <catch_shim.hpp>
#include <stress/on_threads.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;

/// Answers every other attempt with 503, by its own count, and keeps nothing.
struct Unsteady {
    /// Whether the options that a request came by are those of its first attempt.
    std::function<void(const bw::Request&, const bw::SendOptions&)> check;

    bw::Result<bw::Response> send(const bw::Request& request, const bw::SendOptions& options) const {
        check(request, options);
        return bw::Response{.status = request.url.find("bad") == std::string::npos ? 200 : 503};
    }
};

/// Options of which every part says its number.
bw::ClientOptions numbered(int n) {
    const bw::FixedWindow window{.permits = 1'000'000, .window = n % 2 == 0 ? 24h : 12h};
    bw::ClientOptions options{.name = "dairy",
                              .headers = {{"X-Number", std::to_string(n)}},
                              .auth = bw::Bearer{"secret of number " + std::to_string(n)},
                              .timeouts = {.attempt = 1s + n * 1ms},
                              .bulkhead = {.max_concurrent = static_cast<std::uint32_t>(8 + n % 3)},
                              .rate_limit = {.algorithm = window, .per_endpoint = {.algorithm = window}},
                              .retry = {.max_retries = 2, .backoff = {.base = 1us}},
                              .cache = {.ttl = 1us}};
    options.circuit_breaker.trip = bw::FailureRate{
        .ratio = 1.0, .window = bw::CountWindow{static_cast<std::uint32_t>(100 + n % 2)}, .minimum_calls = 100};
    options.circuit_breaker.recovery_timeout = 1ms;
    options.circuits.max_circuits = static_cast<std::size_t>(4 + n % 3);
    if (n % 5 == 0) options.bulkhead = {};
    return options;
}

}  // namespace

TEST_CASE("threads call a client while others reconfigure it: no call sees two versions") {
    constexpr int versions = 60;
    constexpr unsigned calls = 300;
    constexpr unsigned callers = 3;
    std::atomic<unsigned> attempts{0};
    std::atomic<bool> mixed{false};
    const Unsteady transport{[&](const bw::Request& request, const bw::SendOptions& options) {
        const std::string number{request.headers.get("X-Number").value_or("none")};
        mixed = mixed || options.timeout != 1s + std::stoi(number) * 1ms ||
                request.headers.get("Authorization") != "Bearer secret of number " + number;
        ++attempts;
    }};
    const bw::ManualClock clock;
    clock.advance(48h);
    const bw::ResilientClient<Unsteady, Store> client{numbered(0), transport, Store{clock}};

    std::atomic<int> refused{0};
    std::atomic<int> changes{0};
    std::atomic<int> unnamed{0};
    test::on_threads(callers + 2, [&](unsigned thread) {
        if (thread >= callers) {
            for (int n = static_cast<int>(thread - callers); n < versions; n += 2)
                changes += client.reconfigure(numbered(n)).has_value();
            return;
        }
        for (unsigned i = 0; i < calls; ++i) {
            const std::string host = "https://host-" + std::to_string(i % 7) + ".test";
            const auto result =
                client.get(host + (i % 4 == 0 ? "/bad" : "/good"), {.query = {{"n", thread * calls + i}}});
            refused += !result && result.error().attempts() == 0;
            if (i % 50 == 0) {
                const auto bulkhead = client.bulkhead();
                unnamed += client.options().name != "dairy" || client.circuit_breaker().name() != "dairy" ||
                           client.snapshot()["name"] != "dairy" || client.save_state()["name"] != "dairy" ||
                           (bulkhead && bulkhead->name() != "dairy");
            }
        }
    });

    CHECK_FALSE(mixed);
    CHECK(changes == versions);
    CHECK(unnamed == 0);
    CHECK(refused == 0);
    CHECK(attempts >= callers * calls);
    if (const auto bulkhead = client.bulkhead()) CHECK(bulkhead->snapshot().in_flight == 0);
    REQUIRE(client.reconfigure(numbered(1)));
    CHECK(client.bulkhead()->snapshot().in_flight == 0);
    CHECK(client.rate_limiter().snapshot().available < 1'000'000);
}

TEST_CASE("of options that are set at the same time, one is left as a whole") {
    const bw::ManualClock clock;
    clock.advance(48h);
    const bw::ResilientClient<Unsteady, Store> client{numbered(0), Unsteady{[](auto&&...) {}}, Store{clock}};
    for (int round = 0; round < 20; ++round) {
        std::atomic<unsigned> changes{0};
        test::on_threads(3, [&](unsigned thread) {
            changes += client.reconfigure(numbered(static_cast<int>(thread) + 1)).has_value();
        });
        CHECK(changes == 3);
        const auto options = client.options();
        const int n = std::stoi(std::string{options.headers.get("X-Number").value_or("0")});
        CHECK(options.timeouts.attempt == 1s + n * 1ms);
        CHECK(client.rate_limiter().options().algorithm == options.rate_limit.algorithm);
        CHECK(client.circuit_breaker().options().trip == options.circuit_breaker.trip);
        CHECK(client.bulkhead()->snapshot().max_concurrent == options.bulkhead.max_concurrent);
    }
}

TEST_CASE("while a limit changes in number but not in form, each attempt takes one permit of it") {
    std::atomic<std::int64_t> attempts{0};
    const Unsteady transport{[&](auto&&...) { ++attempts; }};
    const bw::ManualClock clock;
    clock.advance(48h);
    const auto with = [](int n) {
        bw::ClientOptions options = numbered(2 * n);
        options.bulkhead = {};
        options.circuit_breaker.trip = bw::never;
        options.rate_limit.algorithm = bw::FixedWindow{.permits = 1'000'000 + n, .window = 24h};
        return options;
    };
    const bw::ResilientClient<Unsteady, Store> client{with(0), transport, Store{clock}};
    test::on_threads(3, [&](unsigned thread) {
        for (int i = 0; i < 100; ++i) {
            if (thread == 0)
                (void)client.reconfigure(with(i));
            else
                (void)client.get("https://host.test/bad");
        }
    });
    CHECK(client.rate_limiter().snapshot().available == 1'000'099 - attempts);
}
