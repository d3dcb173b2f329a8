#include <breakwater/circuit_breaker.hpp>
#include <breakwater/event_loop.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/store/redis.hpp>
#include <breakwater/task/sleep.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/testing/scripted_transport.hpp>

#include <catch_shim.hpp>
#include <redis_server.hpp>
#include <soon.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::CircuitState;
using bw::test::RedisServer;
using test::soon;

namespace {

using Breaker = bw::CircuitBreaker<bw::AnyTrip, bw::RedisStore>;
using Limiter = bw::RateLimiter<bw::AnyAlgorithm, bw::RedisStore>;

bw::RedisStoreOptions options_for(const RedisServer& server) {
    // Patient, for machines that have other things to do.
    return {.url = "unix://" + server.socket(), .command_timeout = 500ms, .min_reporters = 1};
}
Breaker breaker(const bw::RedisStore& store, std::uint32_t failures = 3, bw::Duration recovery = 60s) {
    return Breaker{{.name = "ledger", .trip = bw::ConsecutiveFailures{failures}, .recovery_timeout = recovery}, store};
}
Limiter limiter(const bw::RedisStore& store, bw::AnyAlgorithm algorithm) {
    return Limiter{{.name = "ledger", .algorithm = algorithm}, store};
}
bool call(const Breaker& breaker, bw::Outcome outcome) {
    auto permit = breaker.try_acquire();
    if (permit) (void)permit->record(outcome);
    return permit.has_value();
}
bool fails(const Breaker& breaker) { return call(breaker, bw::Outcome::failure); }
bool succeeds(const Breaker& breaker) { return call(breaker, bw::Outcome::success); }

/// The events of a store, as "kind subject". Kept for as long as the store may tell of some: its thread ends after it.
class Events {
public:
    bw::Observer observer() const {
        return [seen = seen_](const bw::Event& event) {
            const std::scoped_lock lock{seen->mutex};
            seen->events.push_back(std::string{to_string(event.kind)} + " " + std::string{event.subject});
        };
    }
    int count(std::string_view word) const {
        const std::scoped_lock lock{seen_->mutex};
        int count = 0;
        for (const auto& event : seen_->events) count += event.find(word) != std::string::npos;
        return count;
    }

private:
    struct Seen {
        std::mutex mutex;
        std::vector<std::string> events;
    };
    std::shared_ptr<Seen> seen_ = std::make_shared<Seen>();
};

/// What the server answers, a line for each word or number.
std::string say(const RedisServer& server, std::initializer_list<std::string_view> words) {
    const std::string reply = server.ask(words);
    std::string lines;
    for (std::size_t at = 0; at < reply.size();) {
        const std::size_t end = std::min(reply.find("\r\n", at), reply.size());
        const std::string_view line = std::string_view{reply}.substr(at, end - at);
        if (!line.starts_with('*') && !line.starts_with('$'))
            lines.append(line.substr(line.starts_with(':') || line.starts_with('+') ? 1 : 0)).append("\n");
        at = end + 2;
    }
    return lines;
}

/// How often the server was asked to run a script, by its own count.
std::int64_t scripts_run(const RedisServer& server) {
    const std::string stats = say(server, {"INFO", "commandstats"});
    constexpr std::string_view field = "cmdstat_evalsha:calls=";
    const auto at = stats.find(field);
    return at == std::string::npos ? 0 : std::strtoll(stats.c_str() + at + field.size(), nullptr, 10);
}

}  // namespace

TEST_CASE("stores of many processes refuse when one has seen the failure that trips") {
    const RedisServer server;
    std::vector<bw::RedisStore> stores;
    std::vector<Breaker> circuits;
    for (int i = 0; i < 8; ++i) circuits.push_back(breaker(stores.emplace_back(options_for(server))));
    for (const auto& circuit : circuits) CHECK(succeeds(circuit));
    for (int i = 0; i < 3; ++i) CHECK(fails(circuits[0]));
    CHECK_FALSE(succeeds(circuits[0]));
    for (const auto& circuit : circuits) CHECK(soon([&] { return circuit.state() == CircuitState::open; }));
    CHECK(say(server, {"HGET", "breakwater:{ledger}:circuit:streak", "phase"}) == "open\n");
}

TEST_CASE("what the store costs, by the server's own count") {
    const RedisServer server;
    auto options = options_for(server);
    options.heartbeat_interval = 1min;  // none meanwhile
    SECTION("a closed circuit: nothing for a call") {
        const bw::RedisStore store{options};
        const Breaker circuit = breaker(store);
        CHECK(succeeds(circuit));
        std::this_thread::sleep_for(200ms);  // what it reads when it comes up
        const auto before = scripts_run(server);
        for (int i = 0; i < 10'000; ++i) CHECK(succeeds(circuit));
        CHECK(scripts_run(server) == before);
    }
    SECTION("a failure rate: a report in each interval") {
        options.flush_interval = 10s;
        const bw::RedisStore store{options};
        const Breaker circuit{{.name = "ledger", .trip = bw::FailureRate{}}, store};
        CHECK(succeeds(circuit));
        std::this_thread::sleep_for(200ms);
        const auto before = scripts_run(server);
        for (int i = 0; i < 10'000; ++i) CHECK(succeeds(circuit));
        CHECK(scripts_run(server) == before);
    }
    SECTION("an exact limiter: one for a permit") {
        const Limiter exact = limiter(bw::RedisStore{options}, bw::TokenBucket{.permits = 100'000});
        CHECK(exact.try_acquire());
        const auto before = scripts_run(server);
        for (int i = 0; i < 500; ++i) CHECK(exact.try_acquire());
        CHECK(scripts_run(server) - before == 500);
    }
    SECTION("a client's exact limits and a probe: one for an attempt, and one for the probe's verdict") {
        const bw::Response good{.status = 200}, bad{.status = 500};
        std::vector<bw::ScriptedAnswer> answers(501, good);
        answers.insert(answers.end(), {good, bad, good});
        const bw::ResilientClient client{
            bw::ClientOptions{.name = "supplier",
                              .base_url = "https://api.example.com",
                              .circuit_breaker = {.trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 50ms},
                              .rate_limit = {.algorithm = bw::TokenBucket{.permits = 100'000},
                                             .per_endpoint = {.algorithm = bw::FixedWindow{100'000, 1h}}},
                              .retry = {.max_retries = 0}},
            bw::ScriptedTransport{std::move(answers)}, bw::RedisStore{options}};
        CHECK(client.get("/stock"));
        std::this_thread::sleep_for(200ms);
        CHECK(client.get("/stock"));  // the server gets to know the script
        auto before = scripts_run(server);
        for (int i = 0; i < 500; ++i) CHECK(client.get("/stock"));
        CHECK(scripts_run(server) - before == 500);
        CHECK_FALSE(client.get("/stock"));
        CHECK(client.circuit_breaker().state() == CircuitState::open);
        std::this_thread::sleep_for(100ms);
        before = scripts_run(server);
        CHECK(client.get("/stock"));
        CHECK(scripts_run(server) - before == 2);
        CHECK(client.circuit_breaker().state() == CircuitState::closed);
    }
    SECTION("a leased one: one for so many") {
        options.lease = 32;
        const Limiter leased = limiter(bw::RedisStore{options}, bw::FixedWindow{.permits = 100'000, .window = 1h});
        CHECK(leased.try_acquire());
        std::this_thread::sleep_for(200ms);
        for (int i = 0; i < 32; ++i) CHECK(leased.try_acquire());  // the server gets to know the script
        const auto before = scripts_run(server);
        for (int i = 0; i < 3'200; ++i) CHECK(leased.try_acquire());
        CHECK(scripts_run(server) - before == 100);
    }
}

TEST_CASE("a limit holds for all processes together, whatever races") {
    const RedisServer server;
    std::atomic<int> granted = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 6; ++i) {
            threads.emplace_back([&] {
                const Limiter own =
                    limiter(bw::RedisStore{options_for(server)}, bw::FixedWindow{.permits = 500, .window = 1h});
                for (int n = 0; n < 200; ++n) granted += own.try_acquire().has_value();
            });
        }
    }
    CHECK(granted == 500);
}

TEST_CASE("asynchronous calls on one thread wait for the server side by side, and hold nobody up") {
    const RedisServer server;
    auto options = options_for(server);
    options.command_timeout = 10s;
    const bw::RedisStore store{options};
    const bw::Pipeline guard{breaker(store), limiter(store, bw::FixedWindow{.permits = 90, .window = 1h})};
    REQUIRE(guard.run([] { return 1; }));
    bw::EventLoop loop;
    const bw::TaskContext context{{}, &loop};
    int granted = 0, refused = 0, elsewhere = 0, ticks = 0;
    REQUIRE(say(server, {"CLIENT", "PAUSE", "300"}) == "OK\n");
    for (int i = 0; i < 100; ++i) {
        bw::start(
            guard.run_async([]() -> bw::Task<int> { co_return 1; }),
            [&](const bw::Result<int>& result) {
                result ? ++granted : ++refused;
                elsewhere += loop.is_here() ? 0 : 1;
            },
            context);
    }
    const auto ended = [&] { return granted + refused; };
    CHECK(ended() == 0);
    const auto tick = [&]() -> bw::Task<> {
        for (; ended() < 100; ++ticks) {
            auto sleeping = bw::sleep_for(1ms);
            co_await sleeping;
        }
    };
    bool is_ticking = true;
    bw::start(tick(), [&] { is_ticking = false; }, context);
    loop.run_until([&] { return ended() == 100; });
    CHECK(granted == 89);
    CHECK(elsewhere == 0);
    CHECK(ticks >= 10);  // of some 300
    loop.run_until([&] { return !is_ticking; });
}

TEST_CASE("never more probes than the option says, whatever races") {
    const RedisServer server;
    std::vector<Breaker> circuits;
    for (int i = 0; i < 6; ++i)
        circuits.emplace_back(
            bw::CircuitBreakerOptions<>{
                .name = "ledger", .trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 50ms, .half_open_probes = 2},
            bw::RedisStore{options_for(server)});
    for (int round = 0; round < 10; ++round) {
        CHECK(fails(circuits[0]));
        for (const auto& circuit : circuits) REQUIRE(soon([&] { return circuit.state() == CircuitState::open; }));
        std::this_thread::sleep_for(60ms);
        std::mutex mutex;
        std::vector<Breaker::Permit> probes;
        {
            std::vector<std::jthread> threads;
            for (const auto& circuit : circuits) {
                threads.emplace_back([&] {
                    for (int n = 0; n < 10; ++n) {
                        auto permit = circuit.try_acquire();
                        const std::scoped_lock lock{mutex};
                        if (permit) probes.push_back(*std::move(permit));
                    }
                });
            }
        }
        CHECK(probes.size() == 2);
        for (auto& probe : probes) (void)probe.record(bw::Outcome::success);
        probes.clear();
        for (const auto& circuit : circuits) REQUIRE(soon([&] { return circuit.state() == CircuitState::closed; }));
    }
}

TEST_CASE("a process that is killed with a probe gives it back when the lease ends") {
    const RedisServer server;
    const bw::CircuitBreakerOptions<> options{
        .name = "ledger", .trip = bw::ConsecutiveFailures{1}, .recovery_timeout = 50ms, .probe_lease = 500ms};
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    const pid_t prober = ::fork();
    if (prober == 0) {
        const Breaker circuit{options, bw::RedisStore{options_for(server)}};
        (void)fails(circuit);
        std::this_thread::sleep_for(100ms);
        auto probe = circuit.try_acquire();
        const char has_probe = probe && probe->is_probe() ? 'y' : 'n';
        if (::write(pipe[1], &has_probe, 1) != 1) ::_exit(1);
        ::pause();
    }
    char has_probe = 0;
    REQUIRE(::read(pipe[0], &has_probe, 1) == 1);
    CHECK(has_probe == 'y');
    const Breaker circuit{options, bw::RedisStore{options_for(server)}};
    CHECK_FALSE(succeeds(circuit));
    ::kill(prober, SIGKILL);
    ::waitpid(prober, nullptr, 0);
    CHECK(soon([&] { return succeeds(circuit); }));
    CHECK(circuit.state() == CircuitState::closed);
    ::close(pipe[0]);
    ::close(pipe[1]);
}

TEST_CASE("a pause asked of one process holds for all") {
    const RedisServer server;
    const Limiter one = limiter(bw::RedisStore{options_for(server)}, bw::no_limit);
    const Limiter two = limiter(bw::RedisStore{options_for(server)}, bw::TokenBucket{});
    CHECK(one.try_acquire());
    CHECK(two.try_acquire());
    CHECK(one.pause_for(60s) == bw::Duration{60s});
    CHECK(soon([&] { return !two.try_acquire(); }));
    const auto wait = two.try_acquire().error().retry_after();
    REQUIRE(wait);
    CHECK(*wait > 50s);
    CHECK(*wait < 61s);  // each process tells the server's time for itself, within a round trip
}

TEST_CASE("no call fails while the store is away, however it goes") {
    const Events events;
    RedisServer server{{.config = {"enable-debug-command local"}}};
    auto options = options_for(server);
    options.observer = events.observer();
    options.reconnect = {.base = 10ms, .cap = 50ms};
    const bw::RedisStore store{options};
    const Breaker circuit = breaker(store, 1'000);
    const Limiter limit = limiter(store, bw::TokenBucket{.permits = 1'000'000, .burst = 1'000'000});
    bw::Pipeline guard{circuit, limit};
    const auto works = [&] { return guard.run([] { return 1; }).has_value(); };
    REQUIRE(works());
    REQUIRE(store.is_up());

    std::function<void()> end;
    SECTION("killed") {
        server.kill();
        end = [&] { server.restart(); };
    }
    SECTION("hung") {
        server.stop();
        end = [&] { server.proceed(); };
    }
    SECTION("a replica that takes no writes") {
        (void)say(server, {"REPLICAOF", "127.0.0.1", "1"});
        end = [&] { (void)say(server, {"REPLICAOF", "NO", "ONE"}); };
    }
    SECTION("full") {
        (void)say(server, {"CONFIG", "SET", "maxmemory", "1"});
        end = [&] { (void)say(server, {"CONFIG", "SET", "maxmemory", "0"}); };
    }
    REQUIRE(end);
    int calls = 0;
    CHECK(soon([&] {
        CHECK(works());
        ++calls;
        return !store.is_up();
    }));
    for (int i = 0; i < 1'000; ++i) CHECK(works());
    CHECK(soon([&] { return events.count("store_degraded") >= 1; }));
    end();
    CHECK(soon([&] { return works() && store.is_up(); }));
    CHECK(soon([&] { return events.count("store_rejoined") >= 1; }));
    const auto before = scripts_run(server);
    CHECK(works());
    CHECK(scripts_run(server) > before);
}

TEST_CASE("a server that answers late is away, and calls are not held up by it") {
    const Events events;
    const RedisServer server{{.config = {"enable-debug-command local"}}};
    auto options = options_for(server);
    options.command_timeout = 50ms;
    options.observer = events.observer();
    const bw::RedisStore store{options};
    const Limiter limit = limiter(store, bw::TokenBucket{.permits = 1'000'000, .burst = 1'000'000});
    REQUIRE(soon([&] { return limit.try_acquire() && store.is_up(); }));
    std::atomic<bool> over = false;
    std::jthread slow{[&] {
        while (!over) (void)say(server, {"DEBUG", "SLEEP", "0.2"});
    }};
    CHECK(soon([&] { return limit.try_acquire() && !store.is_up(); }));
    for (int i = 0; i < 1'000; ++i) CHECK(limit.try_acquire());
    over = true;
    slow.join();
    CHECK(soon([&] { return store.is_up(); }));
}

TEST_CASE("a circuit that is open stays open over a restart of the server, for newcomers too") {
    RedisServer server;
    auto options = options_for(server);
    options.reconnect = {.base = 10ms, .cap = 50ms};
    const bw::RedisStore store{options};
    const Breaker circuit = breaker(store, 1);
    CHECK(fails(circuit));
    server.kill();
    CHECK(soon([&] { return !store.is_up(); }));
    CHECK_FALSE(succeeds(circuit));
    server.restart();
    CHECK(soon([&] { return store.is_up(); }));
    CHECK_FALSE(succeeds(circuit));
    const Breaker late = breaker(bw::RedisStore{options}, 1);
    CHECK(soon([&] { return late.state() == CircuitState::open; }));
}

TEST_CASE("a server that forgets everything is told again what is known, and says so") {
    const Events events;
    const RedisServer server;
    auto options = options_for(server);
    options.observer = events.observer();
    options.heartbeat_interval = 50ms;
    const Breaker circuit = breaker(bw::RedisStore{options}, 1);
    CHECK(fails(circuit));
    std::this_thread::sleep_for(200ms);
    (void)say(server, {"FLUSHALL"});
    CHECK(soon([&] { return say(server, {"HGET", "breakwater:{ledger}:circuit:streak", "phase"}) == "open\n"; }));
    CHECK(events.count("store_lost") == 1);
    CHECK_FALSE(succeeds(breaker(bw::RedisStore{options_for(server)}, 1)));
}

TEST_CASE("state that cannot be read is an event and local operation, never a closed circuit for all") {
    const Events events;
    const RedisServer server;
    auto options = options_for(server);
    options.observer = events.observer();
    (void)say(server, {"HSET", "breakwater:{ledger}:circuit:streak", "v", "2", "phase", "open"});
    const Breaker circuit = breaker(bw::RedisStore{options}, 2);
    CHECK(soon([&] { return events.count("store_unreadable BREAKWATER unreadable") == 1; }));
    CHECK(fails(circuit));
    CHECK(fails(circuit));
    CHECK_FALSE(succeeds(circuit));  // by its own count
    CHECK(say(server, {"HGET", "breakwater:{ledger}:circuit:streak", "v"}) == "2\n");
    CHECK(events.count("store_unreadable") == 1);
}

TEST_CASE("who is told that a limiter's state cannot be read may ask the limiter meanwhile") {
    const RedisServer server;
    auto options = options_for(server);
    options.lease = 32;
    const bw::AnyAlgorithm bucket = bw::TokenBucket{.permits = 1'000, .burst = 1'000};
    std::string key;
    {
        const Limiter first = limiter(bw::RedisStore{options}, bucket);
        REQUIRE(soon([&] {
            CHECK(first.try_acquire());
            key = say(server, {"KEYS", "*rate:token*"});
            return key.ends_with('\n');
        }));
    }
    key.pop_back();
    (void)say(server, {"DEL", key});
    (void)say(server, {"HSET", key, "v", "2"});

    std::atomic<int> granted = -1;
    std::optional<Limiter> own;
    options.observer = [&](const bw::Event& event) {
        if (event.kind == bw::EventKind::store_unreadable) granted = own->try_acquire().has_value();
    };
    own.emplace(limiter(bw::RedisStore{options}, bucket));
    CHECK(soon([&] { return own->try_acquire() && granted >= 0; }));
    CHECK(granted == 1);
}

TEST_CASE("a user without a right to the channels still shares, by asking, and the operator is told the rule") {
    const Events events;
    const RedisServer server;
    (void)say(server, {"ACL", "SETUSER", "worker", "on", ">secret", "~*", "+@all", "resetchannels"});
    auto options = options_for(server);
    options.url = "unix://worker:secret@" + server.socket();
    options.observer = events.observer();
    options.ping_interval = 50ms;
    const Breaker one = breaker(bw::RedisStore{options_for(server)}, 1);
    const Breaker two = breaker(bw::RedisStore{options}, 1);
    CHECK(succeeds(two));
    CHECK(soon([&] { return events.count("ACL SETUSER worker") >= 1; }));
    CHECK(events.count("secret") == 0);
    CHECK(fails(one));
    CHECK(soon([&] { return two.state() == CircuitState::open; }));
}

TEST_CASE("every key has an end, and nothing that a policy keeps is called by its secret") {
    const RedisServer server;
    auto options = options_for(server);
    options.secret = "0123456789abcdef0123456789abcdef";
    const bw::RedisStore store{options};
    const Breaker circuit = breaker(store);
    circuit.force_open();
    CHECK(fails(breaker(bw::RedisStore{options_for(server)}, 5)) == false);
    const Limiter limit = limiter(store, bw::SlidingWindow{});
    CHECK(limit.try_acquire());
    (void)limit.pause_for(1s);
    store.put("key with Bearer token", "value", 10s);
    CHECK(soon([&] { return store.get("key with Bearer token") != nullptr; }));
    const std::string keys = say(server, {"KEYS", "*"});
    CHECK(keys.find("token") == keys.find("token_bucket"));
    std::size_t at = 0, count = 0;
    for (std::size_t end = keys.find('\n'); end != keys.npos; at = end + 1, end = keys.find('\n', at), ++count) {
        const std::string key = keys.substr(at, end - at);
        INFO(key);
        CHECK(std::atoll(say(server, {"PTTL", key}).c_str()) > 0);
    }
    CHECK(count >= 6);
}

TEST_CASE("a cached value that was forged, moved or made with another secret is a miss and an event") {
    const Events events;
    const RedisServer server;
    auto options = options_for(server);
    options.observer = events.observer();
    const bw::RedisStore keyless{options};
    keyless.put("a", "x", 10s);
    CHECK_FALSE(keyless.get("a"));
    CHECK(events.count("store_cache_off") == 1);

    options.secret = "0123456789abcdef0123456789abcdef";
    const bw::RedisStore store{options};
    store.put("a", "first", 10s);
    store.put("b", "second", 10s);
    REQUIRE(soon([&] { return store.get("b") != nullptr; }));
    CHECK(*store.get("a") == "first");
    const std::string keys = say(server, {"KEYS", "breakwater:blob:*"});
    const std::string one = keys.substr(0, keys.find('\n'));
    const std::string two = keys.substr(one.size() + 1, keys.find('\n', one.size() + 1) - one.size() - 1);
    CHECK(say(server, {"COPY", one, two, "REPLACE"}) == "1\n");
    CHECK((store.get("a") == nullptr) != (store.get("b") == nullptr));
    (void)say(server, {"SET", one, "forged"});
    (void)say(server, {"SET", two, std::string(100, 'x')});
    CHECK_FALSE(store.get("a"));
    CHECK_FALSE(store.get("b"));
    CHECK(events.count("store_unreadable") >= 2);
    options.secret.back() = 'g';
    const bw::RedisStore other{options};
    store.put("a", "first", 10s);
    REQUIRE(soon([&] { return store.get("a") != nullptr; }));
    CHECK_FALSE(other.get("a"));
}

TEST_CASE("a store inherited by fork is not used in the child, which makes its own") {
    const RedisServer server;
    const bw::RedisStore store{options_for(server)};
    const Limiter parents = limiter(store, bw::FixedWindow{.permits = 10, .window = 1h});
    CHECK(parents.try_acquire());
    const pid_t child = ::fork();
    if (child == 0) {
        const bool is_up = store.is_up() && parents.try_acquire().has_value() && store.is_up();
        const Limiter own = limiter(bw::RedisStore{options_for(server)}, bw::FixedWindow{.permits = 10, .window = 1h});
        int granted = 0;
        for (int i = 0; i < 20; ++i) granted += own.try_acquire().has_value();
        ::_exit(granted == 9 && !is_up ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK_FALSE(parents.try_acquire());
}

namespace {

/// Trips when the failures since the last opening reach a number: a rule that the server knows nothing of.
struct TotalFailures {
    std::uint32_t most = 3;

    struct State {
        std::uint32_t failures = 0;
    };
    State make_state() const { return {}; }
    bool record(State& state, const bw::Tally& tally, bw::Instant) const noexcept {
        state.failures += tally.failures;
        return tally.failures > 0 && state.failures >= most;
    }
    bool is_settled(const State&) const noexcept { return true; }
    void clear(State& state) const noexcept { state = {}; }
    bw::TripCounts counts(const State& state, bw::Instant) const noexcept { return {state.failures, state.failures}; }
    std::string layout() const { return "total_failures"; }
    friend bw::Result<void> validate(const TotalFailures&, std::string_view) { return {}; }
};

}  // namespace

namespace {

/// Ten permits, ever: an algorithm that the server knows nothing of.
struct TenEver {
    using State = bw::LimiterState;
    struct Prepared {};
    static constexpr Prepared prepare(bw::Duration = {}) noexcept { return {}; }
    static constexpr bw::Grant take(State& s, const Prepared& p, std::int64_t n, bw::Instant now) noexcept {
        const bw::Grant grant = peek(s, p, n, now);
        if (grant.granted) s.word += static_cast<std::uint64_t>(n);
        return grant;
    }
    static constexpr bw::Grant peek(const State& s, const Prepared& p, std::int64_t n, bw::Instant now) noexcept {
        return n <= available(s, p, now) ? bw::Grant{.granted = true} : bw::Grant{.never = true};
    }
    static constexpr void pause(State&, const Prepared&, bw::Instant, bw::Instant) noexcept {}
    static constexpr void give_back(State& s, const Prepared&, std::int64_t n, bw::Instant) noexcept {
        s.word -= std::min(s.word, static_cast<std::uint64_t>(n));
    }
    static constexpr std::int64_t available(const State& s, const Prepared&, bw::Instant) noexcept {
        return 10 - static_cast<std::int64_t>(s.word);
    }
    [[maybe_unused]] friend bw::Result<void> validate(const TenEver&, std::string_view) { return {}; }
};

}  // namespace

TEST_CASE("an algorithm of the user's is shared without a line of Lua, with pauses and quotas as any other") {
    const RedisServer server;
    using Own = bw::RateLimiter<TenEver, bw::RedisStore>;
    const Own one{{.name = "own"}, bw::RedisStore{options_for(server)}};
    const Own two{{.name = "own"}, bw::RedisStore{options_for(server)}};
    CHECK(one.try_acquire(4));
    CHECK(two.try_acquire(4));
    CHECK(one.try_acquire(3).error().code() == bw::Errc::exceeds_burst);
    one.give_back(2);
    one.limit_to(1, 60s);
    CHECK(soon([&] { return two.snapshot().available == 1; }));
    CHECK(two.try_acquire());
    CHECK(one.try_acquire().error().code() == bw::Errc::rate_limited);
    CHECK(say(server, {"HGET", "breakwater:{own}:pause:pause", "v"}) == "1\n");
}

TEST_CASE("a trip rule of the user's is shared without a line of Lua") {
    const RedisServer server;
    using Own = bw::CircuitBreaker<TotalFailures, bw::RedisStore>;
    const bw::CircuitBreakerOptions<TotalFailures> options{.name = "own", .recovery_timeout = 50ms};
    auto store = options_for(server);
    store.ping_interval = 50ms;
    const Own one{options, bw::RedisStore{store}};
    const Own two{options, bw::RedisStore{store}};
    const auto fail = [](const Own& own) {
        auto permit = own.try_acquire();
        if (permit) (void)permit->record(bw::Outcome::failure);
    };
    fail(one);
    std::this_thread::sleep_for(100ms);
    fail(two);
    std::this_thread::sleep_for(100ms);
    fail(two);
    CHECK(soon([&] { return one.state() == CircuitState::open && two.state() == CircuitState::open; }));
    std::this_thread::sleep_for(60ms);
    auto probe = two.try_acquire();
    REQUIRE(probe);
    CHECK_FALSE(one.try_acquire());
    (void)probe->record(bw::Outcome::success);
    CHECK(soon([&] { return one.try_acquire().has_value(); }));
}
