#include <breakwater/task/start.hpp>
#include <breakwater/testing/fault_injection/transport.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/scripted_transport.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
namespace faults = breakwater::faults;
using namespace std::chrono_literals;
using bw::Errc;

namespace {

const bw::Request ping{.url = "http://a.test/ping"};

/// A service that answers with "whole", and faults before it, by a clock of the test's.
struct World {
    explicit World(bw::FaultOptions options = {}, bw::ManualClock::Mode mode = bw::ManualClock::Mode::advancing)
        : clock{mode}, faulty{service, std::move(options), clock} {}

    bw::ManualClock clock;
    bw::ScriptedTransport service = bw::ScriptedTransport::always(bw::Response{.status = 200, .body = "whole"});
    bw::FaultyTransport<bw::ScriptedTransport, bw::ManualClock> faulty;

    bw::Result<bw::Response> send(const bw::SendOptions& options = {}) const { return faulty.send(ping, options); }
};

/// "200", or the error's name.
std::string told(const bw::Result<bw::Response>& result) {
    return result ? std::to_string(result->status) : std::string{to_string(result.error().code())};
}

/// Faults that all requests meet.
bw::FaultOptions always(bw::Fault fault) { return {.faults = {std::move(fault)}}; }

/// What so many requests come to, a letter each: "." or, of an injected error, "x".
template <class Transport>
std::string pattern(const Transport& transport, std::size_t count) {
    std::string all;
    for (std::size_t i = 0; i < count; ++i) all += transport.send(ping, {}) ? '.' : 'x';
    return all;
}

/// An exchange that is awaited elsewhere; its result, when it is over.
using Later = std::shared_ptr<std::optional<bw::Result<bw::Response>>>;
template <class Transport>
Later start(const Transport& transport, bw::SendOptions options = {}) {
    auto over = std::make_shared<std::optional<bw::Result<bw::Response>>>();
    const auto exchange = [](const Transport* by, bw::SendOptions own) -> bw::Task<bw::Result<bw::Response>> {
        auto sending = by->async_send(ping, own);
        co_return co_await sending;
    };
    bw::start(exchange(&transport, std::move(options)),
              [over](bw::Result<bw::Response> result) { over->emplace(std::move(result)); });
    return over;
}

/// Both faces of a transport, where nothing has to be waited for by anybody but the clock.
enum class Face : std::uint8_t { blocking, asynchronous };
bw::Result<bw::Response> send(Face face, const World& world, const bw::SendOptions& options = {}) {
    return face == Face::blocking ? world.send(options) : start(world.faulty, options)->value();
}

}  // namespace

TEST_CASE("without faults a faulty transport is the one inside") {
    const World world;
    const Face face = GENERATE(Face::blocking, Face::asynchronous);
    CHECK(send(face, world, {.timeout = 7s})->body == "whole");
    CHECK(world.service.exchanges().back().options.timeout == 7s);
    CHECK(world.clock.waits().empty());
    CHECK(world.faulty.snapshot() == bw::FaultCounts{});
}

TEST_CASE("an injected error is the transport's, says that it is injected, and nothing is sent") {
    const World world{always({.then = faults::Error{Errc::connect_failed}})};
    const auto answer = send(GENERATE(Face::blocking, Face::asynchronous), world);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == Errc::connect_failed);
    CHECK(answer.error().sent() == bw::Sent::no);
    CHECK(answer.error().message() == "no connection: injected");
    CHECK(world.service.count() == 0);
    CHECK(world.faulty.snapshot() == bw::FaultCounts{.requests = 1, .errors = 1});
}

TEST_CASE("an injected status is an answer that says so, and nothing is sent") {
    const World world{always(
        {.then = faults::Status{
             .status = 429, .retry_after = 1500ms, .headers = {{"Content-Type", "text/plain"}}, .body = "slow down"}})};
    const auto answer = send(GENERATE(Face::blocking, Face::asynchronous), world);
    REQUIRE(answer);
    CHECK(answer->status == 429);
    CHECK(answer->header("Retry-After") == "2");
    CHECK(answer->header("Content-Type") == "text/plain");
    CHECK(answer->header("X-Injected-Fault") == "status");
    CHECK(answer->body == "slow down");
    CHECK(answer->url == ping.url);
    CHECK(world.service.count() == 0);
    CHECK(world.faulty.snapshot() == bw::FaultCounts{.requests = 1, .statuses = 1});

    CHECK(world.faulty.send({.method = bw::Method::head, .url = ping.url}, {})->body.empty());
    CHECK(world.send({.max_response_bytes = 8}).error().message() == "the answer is too large: injected");
}

TEST_CASE("a reset loses the answer to a request that was sent") {
    const World world{always({.then = faults::Reset{}})};
    std::string got;
    const bw::TakeBytes sink = [&](std::string_view bytes) -> bw::Result<void> {
        got += bytes;
        return {};
    };
    const bw::TakeHead head = [&](const bw::Response&) -> bw::Result<void> {
        got += "head";
        return {};
    };
    const auto answer = send(GENERATE(Face::blocking, Face::asynchronous), world, {.sink = &sink, .head = &head});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == Errc::receive_failed);
    CHECK(answer.error().sent() == bw::Sent::maybe);
    CHECK(answer.error().message() == "the connection broke: injected reset");
    CHECK(got.empty());
    CHECK(world.service.count() == 1);
    CHECK(world.faulty.snapshot() == bw::FaultCounts{.requests = 1, .resets = 1});
}

TEST_CASE("an answer is cut short, and a sink gets as much of it as was said") {
    const auto after = GENERATE(std::uint64_t{0}, std::uint64_t{2}, std::uint64_t{5}, std::uint64_t{9});
    const World world{always({.then = faults::Truncate{.after = after}})};
    std::string got;
    const bw::TakeBytes sink = [&](std::string_view bytes) -> bw::Result<void> {
        got += bytes;
        return {};
    };
    const auto sunk = send(GENERATE(Face::blocking, Face::asynchronous), world, {.sink = &sink});
    REQUIRE_FALSE(sunk);
    CHECK(sunk.error().code() == Errc::truncated);
    CHECK(sunk.error().message() == "the answer was cut short: injected");
    CHECK(got == std::string{"whole"}.substr(0, after));
    CHECK(told(world.send()) == "truncated");
    CHECK(world.service.count() == 2);
    CHECK(world.faulty.snapshot() == bw::FaultCounts{.requests = 2, .truncations = 2});
}

TEST_CASE("an answer that comes in pieces is cut at its byte, and nothing comes after that") {
    struct InPieces {
        bw::Result<bw::Response> send(const bw::Request&, const bw::SendOptions& options) const {
            for (const std::string_view piece : {"who", "le"})
                if (auto taken = bw::give(*options.sink, piece); !taken) return bw::fail(taken.error());
            return bw::Response{.status = 200};
        }
    };
    const auto [after, expected] =
        GENERATE(std::pair<std::uint64_t, std::string>{3, "who"}, std::pair<std::uint64_t, std::string>{4, "whol"},
                 std::pair<std::uint64_t, std::string>{5, "whole"});
    const bw::FaultyTransport faulty{InPieces{}, always({.then = faults::Truncate{.after = after}})};
    std::string got;
    const bw::TakeBytes sink = [&](std::string_view bytes) -> bw::Result<void> {
        got += bytes;
        return {};
    };
    CHECK(told(faulty.send(ping, {.sink = &sink})) == "truncated");
    CHECK(got == expected);
}

TEST_CASE("where there is nothing to lose or cut the exchange ends as it does") {
    const World world{
        {.script = {{.then = faults::Reset{}}, {.then = faults::Truncate{}}, {.then = faults::Truncate{}}}}};
    const bw::FaultyTransport faulty{
        bw::ScriptedTransport{bw::Error{Errc::empty_answer}, bw::Error{Errc::resolve_failed},
                              bw::Response{.status = 204}},
        {.script = {{.then = faults::Reset{}}, {.then = faults::Truncate{}}, {.then = faults::Truncate{}}}},
        world.clock};
    CHECK(faulty.send(ping, {}).error().message() == "the server closed the connection without an answer");
    CHECK(faulty.send(ping, {}).error().message() == "the host name did not resolve");
    CHECK(faulty.send(ping, {})->status == 204);
    CHECK(faulty.snapshot() == bw::FaultCounts{.requests = 3});
}

TEST_CASE("what a sink itself refuses is the sink's, also of a truncated answer") {
    const World world{always({.then = faults::Truncate{.after = 4}})};
    const bw::TakeBytes sink = [](std::string_view) -> bw::Result<void> { return bw::fail(Errc::sink_failed, "full"); };
    CHECK(world.send({.sink = &sink}).error().message() == "the answer could not be stored: full");
    CHECK(world.faulty.snapshot().truncations == 0);
}

TEST_CASE("a dropped request is never answered, and nothing is sent") {
    const World world{always({.then = faults::Drop{}})};
    const auto answer = world.send({.timeout = 7s});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == Errc::attempt_timeout);
    CHECK(answer.error().sent() == bw::Sent::maybe);
    CHECK(answer.error().message() == "no answer in time: injected drop");
    CHECK(world.clock.waits() == std::vector<bw::Duration>{7s});
    CHECK(world.service.count() == 0);
    CHECK(world.faulty.snapshot() == bw::FaultCounts{.requests = 1, .drops = 1});
}

TEST_CASE("a delay comes first, and the exchange has what is left of the timeout") {
    const World world{always({.delay = 3s})};
    const auto answer = send(GENERATE(Face::blocking, Face::asynchronous), world, {.timeout = 10s});
    CHECK(told(answer) == "200");
    CHECK(world.clock.waits() == std::vector<bw::Duration>{3s});
    CHECK(world.service.exchanges().front().options.timeout == 7s);
    CHECK(world.faulty.snapshot() == bw::FaultCounts{.requests = 1, .delays = 1});
}

TEST_CASE("a delay that takes all the time there is is the attempt's timeout, whatever was to follow") {
    const faults::Then then =
        GENERATE(faults::Then{}, faults::Then{faults::Status{}}, faults::Then{faults::Error{Errc::resolve_failed}},
                 faults::Then{faults::Reset{}});
    const World world{always({.delay = GENERATE(10s, 11s, 24h), .then = then})};
    const auto answer = world.send({.timeout = 10s});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code() == Errc::attempt_timeout);
    CHECK_THAT(answer.error().message(), Catch::Matchers::ContainsSubstring("injected delay of"));
    CHECK(world.clock.waits() == std::vector<bw::Duration>{10s});
    CHECK(world.service.count() == 0);
    CHECK(world.faulty.snapshot() == bw::FaultCounts{.requests = 1, .delays = 1});
}

TEST_CASE("an exchange that runs out of time after a delay says what part that had") {
    const bw::ManualClock clock;
    const auto slow = bw::ScriptedTransport::always({bw::Response{.status = 200}, 5s});
    const bw::FaultyTransport faulty{slow, always({.delay = 3s}), clock};
    CHECK(faulty.send(ping, {.timeout = 7s}).error().message() == "no answer in time: after an injected delay of 3 s");
    CHECK(faulty.send(ping, {.timeout = 8s}));
}

TEST_CASE("an injected timeout lasts as long as it says") {
    const World attempt{always({.then = faults::Error{Errc::attempt_timeout}})};
    CHECK(told(attempt.send({.timeout = 7s})) == "attempt_timeout");
    CHECK(attempt.clock.waits() == std::vector<bw::Duration>{7s});

    const World connect{always({.delay = 1s, .then = faults::Error{Errc::connect_timeout}})};
    CHECK(told(connect.send({.timeout = 7s, .connect_timeout = 2s})) == "connect_timeout");
    CHECK(connect.clock.waits() == std::vector<bw::Duration>{3s});

    CHECK(attempt.faulty.snapshot().errors + connect.faulty.snapshot().errors == 2);
    CHECK(attempt.faulty.snapshot().drops == 0);
}

TEST_CASE("a timeout without end is waited for until a stop") {
    const World world{always({.then = faults::Drop{}}), bw::ManualClock::Mode::blocking};
    std::stop_source stop;
    const Later call = start(world.faulty, {.stop = stop.get_token(), .timeout = bw::Duration::max()});
    world.clock.advance(24h * 364);
    CHECK_FALSE(call->has_value());
    stop.request_stop();
    CHECK(told(call->value()) == "cancelled");
}

TEST_CASE("a stop request ends what is injected at once, on both faces") {
    const World world{always({.delay = 1h, .then = faults::Drop{}}), bw::ManualClock::Mode::blocking};
    std::stop_source stop;
    SECTION("of a thread that waits") {
        std::string result;
        {
            const std::jthread caller{[&] { result = told(world.send({.stop = stop.get_token()})); }};
            world.clock.await_blocked();
            stop.request_stop();
        }
        CHECK(result == "cancelled");
    }
    SECTION("of a coroutine that waits") {
        const Later call = start(world.faulty, {.stop = stop.get_token()});
        CHECK_FALSE(call->has_value());
        stop.request_stop();
        CHECK(told(call->value()) == "cancelled");
    }
    CHECK(world.service.count() == 0);
    CHECK(world.faulty.snapshot().requests == 1);
}

TEST_CASE("on the thread that a transport goes on by coroutines meet faults, and calls that block are refused") {
    struct OwnThread : bw::ScriptedTransport {
        bw::Result<bw::Response> send(const bw::Request&, const bw::SendOptions&) const {
            return bw::fail(Errc::would_deadlock);
        }
        static bool is_own_thread() noexcept { return true; }
    };
    const bw::FaultyTransport faulty{OwnThread{}, always({.delay = 1s, .then = faults::Status{}}), bw::ManualClock{}};
    CHECK(faulty.is_own_thread());
    CHECK(told(faulty.send(ping, {})) == "would_deadlock");
    CHECK(faulty.snapshot().requests == 0);
    CHECK(told(start(faulty)->value()) == "503");
}

TEST_CASE("a coroutine waits for the clock and nothing else") {
    const World world{always({.delay = 3s, .then = faults::Status{}}), bw::ManualClock::Mode::blocking};
    const Later call = start(world.faulty);
    world.clock.advance(3s - 1us);
    CHECK_FALSE(call->has_value());
    world.clock.advance(1us);
    CHECK(told(call->value()) == "503");
}

TEST_CASE("what is refused before anything is sent meets no fault") {
    const World world{always({.then = faults::Status{}})};
    std::stop_source stop;
    stop.request_stop();
    CHECK(told(world.faulty.send({.url = "ftp://a.test/"}, {})) == "invalid_request");
    CHECK(told(world.send({.stop = stop.get_token()})) == "cancelled");
    CHECK(world.faulty.snapshot().requests == 0);
}

TEST_CASE("of a script the first requests meet one fault each, and the later ones what is set for all") {
    const World world{{.faults = {{.then = faults::Error{Errc::tls_failed}}},
                       .script = {{.then = faults::Status{500}}, {}, {.delay = 2s}, {.then = faults::Drop{}}}}};
    std::vector<std::string> all;
    for (int i = 0; i < 6; ++i) all.push_back(told(world.send()));
    CHECK(all == std::vector<std::string>{"500", "200", "200", "attempt_timeout", "tls_failed", "tls_failed"});
    CHECK(world.clock.waits() == std::vector<bw::Duration>{2s, 10s});
}

TEST_CASE("faults begin and end by the clock, counted from when they were set") {
    const World world{
        {.faults = {{.from = 10s, .until = 20s, .then = faults::Status{}}, {.from = 30s, .then = faults::Error{}}}}};
    std::vector<std::string> all;
    for (const auto step : {0us, 10s - 1us, 1us, 10s - 1us, 1us, 10s - 1us, 1us}) {
        world.clock.advance(step);
        all.push_back(told(world.send()));
    }
    CHECK(all == std::vector<std::string>{"200", "200", "503", "503", "200", "200", "connect_failed"});
    REQUIRE(world.faulty.set(always({.until = 5s, .then = faults::Status{}})));
    CHECK(told(world.send()) == "503");
    world.clock.advance(5s);
    CHECK(told(world.send()) == "200");
}

TEST_CASE("delays add up, and the first fault that does not pass a request on decides") {
    const World world{{.faults = {{.delay = 1s},
                                  {.delay = 2s, .then = faults::Status{500}},
                                  {.delay = 4s, .then = faults::Error{}},
                                  {.rate = 0, .delay = 8s, .then = faults::Drop{}}}}};
    CHECK(told(world.send()) == "500");
    CHECK(world.clock.waits() == std::vector<bw::Duration>{7s});
}

TEST_CASE("a fault meets its share of the requests, none at 0 and all at 1") {
    const auto share = [](double rate) {
        const World world{{.faults = {{.rate = rate, .then = faults::Error{}}}, .seed = 7}};
        const std::string all = pattern(world.faulty, 2'000);
        return std::ranges::count(all, 'x');
    };
    CHECK(share(0) == 0);
    CHECK(share(1) == 2'000);
    CHECK(share(0.25) > 400);
    CHECK(share(0.25) < 600);
}

TEST_CASE("faults of one rate are drawn apart") {
    const World world{{.faults = {{.rate = 0.5, .then = faults::Error{}}, {.rate = 0.5, .then = faults::Status{}}}}};
    for (int i = 0; i < 200; ++i) (void)world.send();
    CHECK(world.faulty.snapshot().errors > 0);
    CHECK(world.faulty.snapshot().statuses > 0);
}

TEST_CASE("the same seed has the same requests meet the same faults") {
    const auto run = [](std::optional<std::uint64_t> seed, std::vector<bw::Fault> others = {}) {
        bw::FaultOptions options{.faults = {{.rate = 0.5, .then = faults::Error{}}}, .seed = seed};
        options.faults.insert(options.faults.end(), others.begin(), others.end());
        return pattern(World{std::move(options)}.faulty, 200);
    };
    CHECK(run(1) == run(1));
    CHECK(run(1) != run(2));
    CHECK(run({}) != run({}));
    // Nor do faults disturb each other's draws.
    CHECK(run(1) == run(1, {{.rate = 0.5, .delay = faults::LogNormal{}}}));
}

TEST_CASE("faults set again begin again: their script, their draws and their time") {
    const bw::FaultOptions options{
        .faults = {{.rate = 0.5, .then = faults::Error{}}}, .script = {{.delay = 1s}}, .seed = 9};
    const World world{options};
    const std::string first = pattern(world.faulty, 100);
    REQUIRE(world.faulty.set(options));
    CHECK(pattern(world.faulty, 100) == first);
    CHECK(world.clock.waits() == std::vector<bw::Duration>{1s, 1s});
}

TEST_CASE("faults are switched on and off while requests are sent, for all copies") {
    const World world;
    const auto copy = world.faulty;
    CHECK(told(copy.send(ping, {})) == "200");
    REQUIRE(world.faulty.set(always({.then = faults::Error{}})));
    CHECK(told(copy.send(ping, {})) == "connect_failed");
    copy.off();
    CHECK(told(world.send()) == "200");
    CHECK(copy.snapshot() == bw::FaultCounts{.requests = 1, .errors = 1});
}

TEST_CASE("a request under way ends by the faults it began with") {
    const World world{always({.delay = 3s, .then = faults::Status{}}), bw::ManualClock::Mode::blocking};
    const Later call = start(world.faulty);
    world.faulty.off();
    world.clock.advance(3s);
    CHECK(told(call->value()) == "503");
}

TEST_CASE("only the requests that a predicate names meet faults; one that throws names none") {
    const World world{{.faults = {{.then = faults::Error{}}}, .when = [](const bw::Request& request) {
                           if (request.url.ends_with("/bad")) throw std::runtime_error{"no"};
                           return request.headers.contains("X-Chaos");
                       }}};
    CHECK(told(world.send()) == "200");
    CHECK(told(world.faulty.send({.url = ping.url, .headers = {{"X-Chaos", "1"}}}, {})) == "connect_failed");
    CHECK(told(world.faulty.send({.url = "http://a.test/bad"}, {})) == "200");
    CHECK(world.faulty.snapshot().requests == 1);
}

TEST_CASE("a predicate may switch the faults off that it belongs to") {
    const auto faulty = std::make_shared<bw::FaultyTransport<bw::ScriptedTransport, bw::ManualClock>>(
        bw::ScriptedTransport::always(bw::Response{.status = 200}));
    REQUIRE(faulty->set({.faults = {{.then = faults::Error{}}}, .when = [own = faulty.get()](const bw::Request&) {
                             own->off();
                             return true;
                         }}));
    CHECK(told(faulty->send(ping, {})) == "connect_failed");
    CHECK(told(faulty->send(ping, {})) == "200");
}

TEST_CASE("the end of the last handle cancels what is injected and what is sent") {
    bw::ManualClock clock{bw::ManualClock::Mode::blocking};
    using Inner = bw::FaultyTransport<bw::ScriptedTransport, bw::ManualClock>;
    const auto make = [&](bw::FaultOptions outer, bw::FaultOptions inner) {
        const Inner service{bw::ScriptedTransport::always(bw::Response{.status = 200}), std::move(inner), clock};
        return std::make_unique<bw::FaultyTransport<Inner, bw::ManualClock>>(service, std::move(outer), clock);
    };
    SECTION("in a delay") {
        auto faulty = make(always({.delay = 1h}), {});
        const Later call = start(*faulty);
        const auto copy = std::make_unique<bw::FaultyTransport<Inner, bw::ManualClock>>(*faulty);
        faulty.reset();
        CHECK_FALSE(call->has_value());
        const_cast<std::unique_ptr<bw::FaultyTransport<Inner, bw::ManualClock>>&>(copy).reset();
        CHECK(told(call->value()) == "cancelled");
    }
    SECTION("in the transport inside") {
        auto faulty = make(GENERATE(bw::FaultOptions{}, always({.then = faults::Reset{}})), always({.delay = 1h}));
        const Later call = start(*faulty);
        CHECK_FALSE(call->has_value());
        faulty.reset();
        CHECK(told(call->value()) == "cancelled");
    }
}

TEST_CASE("threads may share a faulty transport, and each fault is for one of them") {
    constexpr int threads = 4;
    constexpr int calls = 250;
    bw::FaultOptions options{.faults = {{.rate = 0.5, .then = faults::Error{}}}, .seed = 3};
    const std::string expected = pattern(World{options}.faulty, threads * calls);
    const World world{options};
    std::atomic<int> failed{0};
    {
        std::vector<std::jthread> workers;
        for (int t = 0; t < threads; ++t)
            workers.emplace_back([&] {
                for (int i = 0; i < calls; ++i) failed += !world.send();
            });
        for (int i = 0; i < 100; ++i) (void)world.faulty.snapshot();
    }
    CHECK(failed == std::ranges::count(expected, 'x'));
    CHECK(world.faulty.snapshot().errors == static_cast<std::uint64_t>(failed));
}

TEST_CASE("threads may send while faults are switched") {
    const World world;
    const std::jthread sender{[&](const std::stop_token& stop) {
        while (!stop.stop_requested()) (void)world.send();
    }};
    for (int i = 0; i < 200; ++i) {
        REQUIRE(world.faulty.set(always({.then = faults::Status{.body = std::string(100, 'x')}})));
        world.faulty.off();
    }
    const auto counts = world.faulty.snapshot();
    CHECK(counts.statuses <= counts.requests);
}

TEST_CASE("delays are drawn from their distribution") {
    const auto draw = [](faults::Delay delay) {
        bw::Random random{11};
        std::vector<bw::Duration> all(10'001);
        for (bw::Duration& one : all) one = delay.draw(random);
        std::ranges::sort(all);
        return all;
    };
    const auto fixed = draw(5ms);
    CHECK(fixed.front() == 5ms);
    CHECK(fixed.back() == 5ms);
    const auto range = draw(faults::Uniform{10ms, 20ms});
    CHECK(range.front() >= 10ms);
    CHECK(range.back() <= 20ms);
    CHECK(range[1'000] < 12ms);
    CHECK(range[9'000] > 18ms);
    const auto exponential = draw(faults::Exponential{.mean = 100ms});  // its median is ln 2 of the mean
    CHECK(std::chrono::abs(exponential[5'000] - 69ms) < 4ms);
    CHECK(std::chrono::abs(exponential[9'000] - 230ms) < 15ms);
    const auto log_normal = draw(faults::LogNormal{.median = 100ms, .sigma = 0.5});
    CHECK(std::chrono::abs(log_normal[5'000] - 100ms) < 4ms);
    CHECK(std::chrono::abs(log_normal[8'413] - 165ms) < 8ms);  // one standard deviation: e^0.5
    CHECK(std::chrono::abs(log_normal[1'587] - 61ms) < 4ms);
    CHECK(draw(faults::LogNormal{.median = 24h, .sigma = 5}).back() == 24h);
}

TEST_CASE("wrong faults are refused at construction and when set, and named by their path") {
    const auto why = [](bw::FaultOptions options) {
        const auto made = bw::FaultyTransport<bw::ScriptedTransport>::make({}, std::move(options));
        return made ? "" : std::string{made.error().detail()};
    };
    CHECK(why(always({.rate = 2})) == "faults[0].rate: must be 0 to 1, got 2");
    CHECK(why(always({.rate = -0.5})) == "faults[0].rate: must be 0 to 1, got -0.5");
    CHECK(why(always({.rate = std::numeric_limits<double>::quiet_NaN()})) == "faults[0].rate: must be 0 to 1, got nan");
    CHECK(why({.faults = {{}, {.from = -1s}}}) == "faults[1].from: must be >= 0s, got -1s");
    CHECK(why({.script = {{}, {}, {.from = 3s, .until = 3s}}}) ==
          "script[2].until: must be > from, which is 3s, got 3s");
    CHECK(why(always({.delay = -1ms})) == "faults[0].delay: must be 0s to 24h, got -1ms");
    CHECK(why(always({.delay = faults::Uniform{2s, 1s}})) == "faults[0].delay.most: must be least to 24h, got 1s");
    CHECK(why(always({.delay = faults::Uniform{-2s, 1s}})) == "faults[0].delay.least: must be 0s to 24h, got -2s");
    CHECK(why(always({.delay = faults::Exponential{0s}})) == "faults[0].delay.mean: must be 1us to 24h, got 0s");
    CHECK(why(always({.delay = faults::LogNormal{25h}})) == "faults[0].delay.median: must be 1us to 24h, got 25h");
    CHECK(why(always({.delay = faults::LogNormal{1s, 0}})) ==
          "faults[0].delay.sigma: must be > 0 and at most 5, got 0");
    CHECK(why(always({.then = faults::Error{Errc::circuit_open}})) ==
          "faults[0].then.error: must be an error of a transport, resolve_failed to transport_failed, got "
          "\"circuit_open\"");
    CHECK(why(always({.then = faults::Status{200}})) == "faults[0].then.status: must be 400 to 599, got 200");
    CHECK(why(always({.then = faults::Status{.retry_after = -1s}})) ==
          "faults[0].then.retry_after: must be 0s to 24h, got -1s");
    CHECK(why(always({.then = faults::Status{.headers = {{"X A", "1"}}}})) ==
          "faults[0].then.headers: header name: not a token: \"X A\"");

    const World world{always({.then = faults::Error{}})};
    CHECK(world.faulty.set(always({.rate = 2})).error().code() == Errc::invalid_options);
    CHECK(told(world.send()) == "connect_failed");
    CHECK_THROWS_WITH((World{always({.rate = 2})}), "faults[0].rate: must be 0 to 1, got 2");
}
