// Asynchronous calls wait for a shared store without a thread: all of this happens on one.
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/event_loop.hpp>
#include <breakwater/keyed.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/store/fleet.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/scripted_transport.hpp>
#include <breakwater/testing/virtual_server.hpp>

#include <catch_shim.hpp>

#include <chrono>
#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

/// A link whose server takes each command at once, and whose answers a test holds back.
class HeldLink : public bw::testing::VirtualLink {
    using Base = bw::testing::VirtualLink;

public:
    using Base::Base;

    bw::Duration patience() const noexcept { return patience_; }
    void be_patient_for(bw::Duration patience) noexcept { patience_ = patience; }
    void hold() noexcept { is_holding_ = true; }
    std::size_t held() const noexcept { return held_.size(); }
    /// The answers that are held come, and those that come of them are held in turn.
    void let_go() {
        for (auto& answer : std::exchange(held_, {})) answer();
    }
    void let_go_of_all() {
        is_holding_ = false;
        let_go();
    }

    /// From now on what the server keeps is none of ours.
    void be_unreadable() noexcept { is_unreadable_ = true; }

    template <class Done, class... Steps>
    void apply(Done done, const Steps&... steps) {
        using bw::fleet::LinkFailure;
        if (is_unreadable_) {
            done(bw::fleet::Reply<Steps...>{std::unexpected{LinkFailure{LinkFailure::Kind::unreadable, "garbled"}}});
            return;
        }
        Base::apply(keeping(std::move(done)), steps...);
    }
    template <class Done, class... Steps>
    void join(bw::Round& round, Done done, const Steps&... steps) {
        Base::join(round, keeping(std::move(done)), steps...);
    }
    template <class M, class Done>
    void read(std::string_view key, const typename M::Options& options, Done done) {
        Base::template read<M>(key, options, keeping(std::move(done)));
    }
    template <class Done>
    void get(std::string_view key, Done done) {
        Base::get(key, keeping(std::move(done)));
    }
    template <class Done>
    void claim(std::string_view key, bw::Duration ttl, Done done) {
        Base::claim(key, ttl, keeping(std::move(done)));
    }

private:
    template <class Done>
    auto keeping(Done done) {
        return [this, done = std::move(done)](auto answer) mutable {
            if (!is_holding_) return done(std::move(answer));
            auto kept = std::make_shared<decltype(answer)>(std::move(answer));
            held_.push_back([kept, done = std::move(done)]() mutable { done(std::move(*kept)); });
        };
    }

    bw::Duration patience_ = 1h;  // who blocked would be seen
    bool is_holding_ = false;
    bool is_unreadable_ = false;
    std::vector<std::function<void()>> held_;
};
static_assert(bw::fleet::Link<HeldLink>);

class HeldStore : public bw::FleetStore<HeldLink> {
public:
    HeldStore(bw::testing::VirtualServer& server, bw::fleet::Options options)
        : FleetStore{std::move(options), server} {}
    HeldLink& link() const { return world().link(); }
};
static_assert(bw::AsyncStore<HeldStore>);

struct World {
    explicit World(bw::fleet::Options options = {.min_reporters = 1}) : store{server, std::move(options)} {}

    /// Begins a call on the loop.
    template <class T>
    void start(bw::Task<bw::Result<T>> call) {
        bw::start(
            std::move(call),
            [this](const bw::Result<T>& result) {
                if (result)
                    ++succeeded;
                else
                    errors.push_back(result.error().code());
            },
            bw::TaskContext{{}, &loop});
    }
    std::size_t ended() const { return static_cast<std::size_t>(succeeded) + errors.size(); }
    /// Runs what can run now.
    void turn() { loop.finish(); }
    void until_ended(std::size_t calls) {
        loop.run_until([&] { return ended() >= calls; });
    }

    bw::EventLoop loop;
    bw::testing::VirtualServer server{bw::ManualClock{bw::ManualClock::Mode::blocking}};
    HeldStore store;
    int succeeded = 0;
    std::vector<bw::Errc> errors;
};

bw::Task<int> one() { co_return 1; }
bw::Task<int> failing() {
    throw std::runtime_error{"down"};
    co_return 0;
}

}  // namespace

TEST_CASE("permits of a shared limiter are awaited side by side") {
    World world;
    const bw::RateLimiter limiter{{.name = "api", .algorithm = bw::FixedWindow{.permits = 2, .window = 60s}},
                                  world.store};
    REQUIRE(limiter.retry_after() == 0s);
    const bw::Pipeline guard{limiter};
    world.store.link().hold();
    for (int i = 0; i < 3; ++i) world.start(guard.run_async(one));
    CHECK(world.store.link().held() == 3);
    world.turn();
    CHECK(world.ended() == 0);
    world.store.link().let_go();
    CHECK(world.ended() == 0);  // they go on on the loop
    world.turn();
    CHECK(world.succeeded == 2);
    CHECK(world.errors == std::vector{bw::Errc::rate_limited});
}

TEST_CASE("one call asks for a lease, and all others wait for what it gets") {
    World world{{.lease = 4}};
    const bw::RateLimiter limiter{{.name = "api", .algorithm = bw::TokenBucket{.permits = 100, .period = 1s}},
                                  world.store};
    const bw::Pipeline guard{limiter};
    world.store.link().hold();
    for (int i = 0; i < 6; ++i) world.start(guard.run_async(one));
    CHECK(world.store.link().held() == 1);
    world.store.link().let_go();
    world.turn();
    CHECK(world.succeeded == 4);
    CHECK(world.store.link().held() == 1);
    world.store.link().let_go();
    world.turn();
    CHECK(world.succeeded == 6);
}

TEST_CASE("who is told that a lease cannot be had may ask the limiter meanwhile") {
    using Limiter = bw::RateLimiter<bw::AnyAlgorithm, HeldStore>;
    const Limiter* asked = nullptr;
    int granted = 0;
    World world{{.lease = 4, .observer = [&](const bw::Event&) { granted += asked->try_acquire().has_value(); }}};
    const Limiter limiter{{.name = "api", .algorithm = bw::FixedWindow{.permits = 9, .window = 60s}}, world.store};
    REQUIRE(limiter.retry_after() == 0s);
    asked = &limiter;
    world.store.link().be_unreadable();
    CHECK(limiter.try_acquire());
    CHECK(granted == 1);
}

TEST_CASE("a permit whose call was stopped meanwhile goes back") {
    World world;
    const bw::RateLimiter limiter{{.name = "api", .algorithm = bw::FixedWindow{.permits = 1, .window = 60s}},
                                  world.store};
    REQUIRE(limiter.retry_after() == 0s);
    const bw::Pipeline guard{limiter};
    std::stop_source stop;
    world.store.link().hold();
    world.start<int>(guard.run_async(one, {.stop = stop.get_token()}));
    stop.request_stop();
    world.store.link().let_go_of_all();
    world.turn();
    CHECK(world.errors == std::vector{bw::Errc::cancelled});
    CHECK(limiter.try_acquire());
}

TEST_CASE("a probe and its verdict are awaited, and no other call probes meanwhile") {
    World world;
    const bw::CircuitBreaker circuit{{.name = "ledger", .trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 10s},
                                     world.store};
    const bw::Pipeline guard{circuit};
    world.start(guard.run_async(failing));
    world.turn();
    REQUIRE(circuit.state() == bw::CircuitState::open);
    world.server.advance(10s);

    world.store.link().hold();
    world.start(guard.run_async(one));
    world.start(guard.run_async(one));
    CHECK(world.store.link().held() == 2);
    world.store.link().let_go();
    world.turn();
    CHECK(world.errors == std::vector{bw::Errc::exception, bw::Errc::circuit_open});
    CHECK(world.succeeded == 0);  // what the probe saw is on its way
    world.store.link().let_go();
    world.turn();
    CHECK(world.succeeded == 1);
    CHECK(circuit.state() == bw::CircuitState::closed);
}

TEST_CASE("a failure that may open the circuit is reported before its call ends") {
    World world;
    std::vector<bw::EventKind> events;
    const bw::CircuitBreaker circuit{{.name = "ledger", .trip = bw::ConsecutiveFailures{2}}, world.store};
    const bw::Pipeline guard{bw::Observe{[&](const bw::Event& event) {
                                 if (event.kind == bw::EventKind::circuit_opened) events.push_back(event.kind);
                             }},
                             circuit};
    world.start(guard.run_async(failing));
    world.turn();
    CHECK(world.ended() == 1);
    world.store.link().hold();
    world.start(guard.run_async(failing));
    world.turn();
    CHECK(world.ended() == 1);
    CHECK(events.empty());
    world.store.link().let_go();
    world.turn();
    CHECK(world.ended() == 2);
    CHECK(events == std::vector{bw::EventKind::circuit_opened});
}

TEST_CASE("a process's first call waits for one answer") {
    World world;
    const bw::CircuitBreaker circuit{{.name = "ledger", .trip = bw::ConsecutiveFailures{1}}, world.store};
    const bw::RateLimiter limiter{{.name = "ledger", .algorithm = bw::FixedWindow{2, 1h}}, world.store};
    const bw::RateLimiter another{{.name = "other", .algorithm = bw::FixedWindow{2, 1h}}, world.store};
    world.store.link().hold();
    world.start(bw::Pipeline{circuit, limiter, another}.run_async(one));
    world.turn();
    CHECK(world.ended() == 0);
    world.store.link().let_go();
    world.turn();
    CHECK(world.succeeded == 1);
}

TEST_CASE("after a wait for a permit the circuit is asked again, and may have to ask the store") {
    World world;
    const bw::CircuitBreakerOptions<> options{
        .name = "ledger", .trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 1s};
    const bw::CircuitBreaker circuit{options, world.store};
    const bw::RateLimiter limiter{
        {.name = "ledger", .algorithm = bw::FixedWindow{.permits = 1, .window = 5s}, .max_wait = 10s}, world.store};
    const bw::Pipeline guard{circuit, limiter};
    world.start(guard.run_async(one));
    world.turn();
    REQUIRE(world.succeeded == 1);
    world.start(guard.run_async(one));  // waits for the next window
    world.turn();
    const bw::CircuitBreaker elsewhere{options, HeldStore{world.server, {.min_reporters = 1}}};
    REQUIRE(elsewhere.try_acquire()->record(bw::Outcome::failure));
    REQUIRE(circuit.state() == bw::CircuitState::open);
    world.store.link().hold();
    world.server.advance(5s);
    world.turn();
    CHECK(world.store.link().held() == 2);  // a probe and a permit
    while (world.store.link().held() > 0) {
        world.store.link().let_go();
        world.turn();
    }
    CHECK(world.succeeded == 2);
    CHECK(circuit.state() == bw::CircuitState::closed);
}

TEST_CASE("an answer that is late does not undo what was heard since") {
    World world;
    const bw::CircuitBreakerOptions<> options{.name = "ledger", .trip = bw::ConsecutiveFailures{1}};
    const bw::CircuitBreaker circuit{options, world.store};
    const HeldStore other{world.server, {.min_reporters = 1}};
    const bw::CircuitBreaker elsewhere{options, other};
    REQUIRE(elsewhere.try_acquire()->record(bw::Outcome::failure));
    REQUIRE(circuit.state() == bw::CircuitState::open);
    world.store.link().hold();
    world.server.stop();
    world.server.start();  // what is there is read again
    REQUIRE(world.store.link().held() > 0);
    elsewhere.reset();
    REQUIRE(circuit.state() == bw::CircuitState::closed);
    world.store.link().let_go_of_all();
    CHECK(circuit.state() == bw::CircuitState::closed);
    CHECK(elsewhere.state() == bw::CircuitState::closed);
}

TEST_CASE("who gets no answer in time goes on alone") {
    World world;
    const bw::RateLimiter limiter{{.name = "api", .algorithm = bw::FixedWindow{.permits = 5, .window = 60s}},
                                  world.store};
    REQUIRE(limiter.retry_after() == 0s);
    const bw::Pipeline guard{limiter};
    world.store.link().be_patient_for(1ms);
    world.store.link().hold();
    for (int i = 0; i < 3; ++i) world.start(guard.run_async(one));
    world.until_ended(3);
    CHECK(world.succeeded == 3);
    world.store.link().let_go_of_all();
}

TEST_CASE("keyed limits and circuits are awaited as well") {
    World world;
    const bw::KeyedRateLimiter limiter{
        {.each = {.name = "tenant", .algorithm = bw::FixedWindow{.permits = 1, .window = 60s}}}, world.store};
    const bw::KeyedCircuitBreaker<bw::AnyTrip, HeldStore> circuits{
        {.each = {.name = "tenant", .trip = bw::ConsecutiveFailures{1}}}, world.store};
    const bw::Pipeline guard{circuits.by([](const auto& call) { return call.key(); }), limiter};
    world.store.link().hold();
    for (const std::string_view tenant : {"a", "a", "b"}) world.start<int>(guard.run_async(one, {.key = tenant}));
    CHECK(world.store.link().held() > 0);
    while (world.store.link().held() > 0) {
        world.store.link().let_go();
        world.turn();
    }
    CHECK(world.succeeded == 2);
    CHECK(world.errors == std::vector{bw::Errc::rate_limited});
}

TEST_CASE("a client awaits the shared cache, claims, limits and permits for redirects, and blocks no thread") {
    World world;
    const bw::ScriptedTransport transport{bw::Response{.status = 200, .body = "42"},
                                          bw::Response{.status = 302, .headers = {{"Location", "/new"}}},
                                          bw::Response{.status = 200}};
    const bw::ResilientClient client{
        bw::ClientOptions{.name = "supplier",
                          .base_url = "https://api.example.com",
                          .rate_limit = {.algorithm = bw::FixedWindow{.permits = 10, .window = 60s},
                                         .per_endpoint = {.algorithm = bw::FixedWindow{.permits = 5, .window = 60s}}},
                          .cache = {.ttl = 60s},
                          .coalesce = {.calls = bw::CoalesceCalls::cached}},
        transport, world.store};
    HeldLink& link = world.store.link();
    const auto let_go_until_ended = [&](std::size_t calls) {
        CHECK(link.held() > 0);
        CHECK(world.ended() < calls);
        for (int rounds = 0; rounds < 20 && world.ended() < calls; ++rounds) {
            link.let_go();
            world.turn();
        }
        CHECK(world.ended() == calls);
    };
    link.hold();
    for (int i = 0; i < 3; ++i) world.start<bw::Response>(client.async_get("/stock"));
    CHECK(link.held() == 3);  // three looks into the cache
    let_go_until_ended(3);
    CHECK(transport.requests().size() == 1);
    world.start<bw::Response>(client.async_get("/stock"));
    let_go_until_ended(4);
    CHECK(transport.requests().size() == 1);
    world.start<bw::Response>(client.async_get("/old"));
    let_go_until_ended(5);
    CHECK(transport.requests().size() == 3);
    CHECK(world.succeeded == 5);
}

TEST_CASE("an answer that varies is looked up in one round trip, once that is known") {
    World world;
    const bw::Response german{.status = 200, .headers = {{"Vary", "Accept-Language"}}, .body = "de"};
    const bw::Response french{.status = 200, .headers = {{"Vary", "Accept-Language"}}, .body = "fr"};
    const bw::ScriptedTransport transport{german, french};
    const bw::ResilientClient client{
        bw::ClientOptions{.name = "supplier", .base_url = "https://api.example.com", .cache = {.ttl = 60s}}, transport,
        world.store};
    const bw::RequestOptions in_german{.headers = {{"Accept-Language", "de"}}};
    const bw::RequestOptions in_french{.headers = {{"Accept-Language", "fr"}}};
    CHECK(client.get("/stock", in_german).value().body == "de");
    CHECK(client.get("/stock", in_french).value().body == "fr");
    HeldLink& link = world.store.link();
    link.hold();
    for (const auto& [options, body] : {std::pair{in_german, "de"}, std::pair{in_french, "fr"}}) {
        std::string got;
        auto call = client.async_get("/stock", options);
        bw::start(
            std::move(call), [&](const bw::Result<bw::Response>& result) { got = result.value().body; },
            bw::TaskContext{{}, &world.loop});
        CHECK(link.held() == 2);
        link.let_go();
        world.turn();
        CHECK(got == body);
    }
    CHECK(transport.requests().size() == 2);
}
