#include <breakwater/circuit_breaker.hpp>
#include <breakwater/keyed.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/scripted_transport.hpp>
#include <catch_shim.hpp>
#include <temporary_directory.hpp>

#include "../../examples/sqlite_store/sqlite_store.hpp"
#include "store_contract.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using ManualStore = SqliteStore<bw::ManualClock>;
using Limiter = bw::RateLimiter<bw::TokenBucket, ManualStore>;
using Breaker = bw::CircuitBreaker<bw::AnyTrip, ManualStore>;

struct SqliteWorld {
    static constexpr bw::Duration unit = 1s;
    static constexpr std::uint32_t thread_rounds = 1'000;

    bw::test::TemporaryDirectory folder{};
    bw::ManualClock clock{};
    ManualStore store = another();

    void advance(bw::Duration by) const { clock.advance(by); }
    /// As another process would have it. What waits for the file waits for long, unless it is to give up.
    ManualStore another(bw::Duration max_wait = 60s) const {
        return ManualStore{{.path = folder / "state.db", .max_wait = max_wait, .retry_after = 20ms}, clock};
    }
};

/// What is said on std::clog.
class Said {
public:
    Said() : before_{std::clog.rdbuf(text_.rdbuf())} {}
    Said(const Said&) = delete;
    Said& operator=(const Said&) = delete;
    ~Said() { std::clog.rdbuf(before_); }
    std::string text() const { return text_.str(); }

private:
    std::ostringstream text_;
    std::streambuf* before_;
};

Limiter limiter_of(const ManualStore& store, std::int64_t permits = 10) {
    return Limiter{{.name = "service", .algorithm = {.permits = permits, .period = 24h}}, store};
}
Breaker breaker_of(const ManualStore& store, bw::AnyTrip trip = bw::ConsecutiveFailures{2}) {
    return Breaker{{.name = "service", .trip = trip}, store};
}
int take_all(const Limiter& limiter) {
    int taken = 0;
    while (limiter.try_acquire()) ++taken;
    return taken;
}

/// What `work` returns in another process.
template <class Work>
pid_t in_another_process(Work work) {
    const pid_t process = ::fork();
    if (process == 0) ::_exit(work());
    return process;
}
int result_of(pid_t process) {
    int status = 0;
    while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("SqliteStore keeps the promises of a store") { bw::test::check_store_contract<SqliteWorld>(); }

TEST_CASE("stores of one file share limits and circuits, whatever a circuit counts in") {
    const SqliteWorld world;
    const ManualStore other = world.another();
    CHECK(take_all(limiter_of(world.store)) == 10);
    CHECK_FALSE(limiter_of(other).try_acquire());

    const bw::AnyTrip trip = GENERATE(
        bw::AnyTrip{bw::ConsecutiveFailures{2}}, bw::AnyTrip{bw::FailureRate{.minimum_calls = 2}},
        bw::AnyTrip{bw::FailureRate{.window = bw::TimeWindow{}, .minimum_calls = 2, .slow_call = {.duration = 1s}}});
    breaker_of(world.store, trip).try_acquire()->record(bw::Outcome::failure);
    breaker_of(other, trip).try_acquire()->record(bw::Outcome::failure);
    CHECK(breaker_of(world.store, trip).state() == bw::CircuitState::open);
    CHECK_FALSE(breaker_of(other, trip).try_acquire());
}

TEST_CASE("processes that draw on one limit at once get just what it allows") {
    const bw::test::TemporaryDirectory folder;
    constexpr int processes = 4;
    constexpr int permits = 200;
    const auto work = [&] {
        const SqliteStore<> store{{.path = folder / "state.db", .max_wait = 60s}};
        const bw::RateLimiter<bw::FixedWindow, SqliteStore<>> limiter{
            {.name = "service", .algorithm = {.permits = permits, .window = 24h}}, store};
        int taken = 0;
        for (int i = 0; i < permits; ++i) taken += limiter.try_acquire() ? 1 : 0;
        return taken;
    };
    std::vector<pid_t> running;
    for (int i = 0; i < processes; ++i) running.push_back(in_another_process(work));
    int sum = 0;
    for (const pid_t process : running) sum += result_of(process);
    CHECK(sum == permits);
}

TEST_CASE("a file that others hold for long fails no call, is left alone, said once, and used again") {
    const Said said;
    const SqliteWorld world;
    const ManualStore impatient = world.another(1ms);
    const Limiter limiter = limiter_of(impatient);
    const Limiter other = limiter_of(world.store);
    REQUIRE(limiter.try_acquire(4));
    {
        sqlite::Database holder{world.folder / "state.db"};
        holder.begin();
        CHECK(limiter.try_acquire(6));  // it goes on with what it knew
        CHECK_FALSE(limiter.try_acquire());
        impatient.put("page", "text", 60s);
        CHECK(impatient.get("page") == nullptr);
        world.advance(50ms);
        CHECK_FALSE(limiter.try_acquire());  // asks again for the file
        holder.commit();
    }
    CHECK(said.text() == (world.folder / "state.db").string() + ": alone, for database: database is locked\n");
    world.advance(50ms);
    CHECK(limiter.snapshot().available == 6);  // by the file, which knows of 4
    CHECK(take_all(other) == 6);
    CHECK_FALSE(limiter.try_acquire());
    CHECK_THAT(said.text(), ContainsSubstring("state.db: shared again\n"));
}

TEST_CASE("a file that cannot be opened fails no call") {
    const Said said;
    const bw::test::TemporaryDirectory folder;
    const ManualStore store{{.path = folder / "none/state.db"}, bw::ManualClock{}};
    CHECK(take_all(limiter_of(store)) == 10);
    const Breaker breaker = breaker_of(store);
    for (int i = 0; i < 2; ++i) breaker.try_acquire()->record(bw::Outcome::failure);
    CHECK(breaker.state() == bw::CircuitState::open);
    store.put("page", "text", 60s);
    CHECK(store.get("page") == nullptr);
    CHECK_THAT(said.text(), ContainsSubstring("none/state.db: alone, for ") && ContainsSubstring("unable to open"));
}

TEST_CASE("a disk that is full fails no call and loses no decision") {
    const Said said;
    const SqliteWorld world;
    const Limiter limiter = limiter_of(world.store);
    REQUIRE(limiter.try_acquire(4));
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &none);
    const bool granted = limiter.try_acquire(6).has_value();
    const bool refused = !limiter.try_acquire();
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    CHECK(granted);
    CHECK(refused);
    CHECK_THAT(said.text(), ContainsSubstring("alone, for "));
    CHECK(take_all(limiter_of(world.another())) == 6);
}

TEST_CASE("a process that was forked while the file was open goes on alone") {
    const SqliteWorld world;
    const Limiter limiter = limiter_of(world.store);
    REQUIRE(limiter.try_acquire(4));
    const pid_t child = in_another_process([&] {
        const Said said;
        const bool inherited = take_all(limiter) == 6;
        const bool made_here = take_all(limiter_of(world.another())) == 10;
        return inherited && made_here && said.text().find("when this process was forked") != std::string::npos ? 7 : 1;
    });
    CHECK(result_of(child) == 7);
    CHECK(take_all(limiter) == 6);
}

TEST_CASE("what another boot has left is forgotten, as its clock was another") {
    const SqliteWorld world;
    CHECK(take_all(limiter_of(world.store)) == 10);
    world.store.put("page", "text", 60s);
    CHECK_FALSE(limiter_of(world.another()).try_acquire());
    sqlite::Database{world.folder / "state.db"}.execute("DELETE FROM boot");  // so that this one is new
    CHECK(take_all(limiter_of(world.another())) == 10);
    CHECK(world.another().get("page") == nullptr);
}

TEST_CASE("what nobody uses is swept out of the file") {
    const SqliteWorld world;
    sqlite::Database file{world.folder / "state.db"};
    world.store.put("old", "text", 60s);
    world.advance(61s);
    for (int i = 0; i < 5'000; ++i) world.store.put("new", "text", 60s);
    CHECK(sqlite::Statement{file, "SELECT count(*) FROM state"}.integer() == 1);
    const Limiter limiter = limiter_of(world.store);
    CHECK(take_all(limiter) == 10);
    world.advance(7 * 24h);
    CHECK(limiter.try_acquire());
}

TEST_CASE("a whole client lives in the file: circuits by host, limits, budget, cache, pauses") {
    const SqliteWorld world;
    const auto options = [] {
        return bw::ClientOptions{.name = "dairy",
                                 .base_url = "https://api.test",
                                 .circuit_breaker = {.trip = bw::FailureRate{.ratio = 0.6, .minimum_calls = 2}},
                                 .rate_limit = {.algorithm = bw::FixedWindow{.permits = 5, .window = 1h},
                                                .per_endpoint = {.algorithm = bw::TokenBucket{.permits = 4}}},
                                 .retry = {.max_retries = 0},
                                 .cache = {.ttl = 60s}};
    };
    const bw::ScriptedTransport service{bw::Response{.status = 200, .body = "cheese"}, bw::Response{.status = 500},
                                        bw::Response{.status = 500}};
    const bw::ScriptedTransport unasked{bw::Response{.status = 200}};
    const bw::ResilientClient first{options(), service, world.store};
    const bw::ResilientClient second{options(), unasked, world.another()};

    CHECK(first.get("/cheese")->body == "cheese");
    const auto page = second.get("/cheese");
    REQUIRE(page);
    CHECK(page->body == "cheese");
    CHECK(page->source == bw::Source::cache);
    for (int i = 0; i < 2; ++i) CHECK_FALSE(first.get("/butter"));
    CHECK(second.get("/butter").error().is_refusal(bw::Errc::circuit_open));
    CHECK(second.rate_limiter().snapshot().available == 2);

    const auto saved = second.save_state();
    second.circuit_breaker().reset();
    REQUIRE(second.reconfigure(options()));
    REQUIRE(second.restore_state(saved));
    CHECK(second.snapshot()["name"] == "dairy");
}

TEST_CASE("keyed policies live in the file, where each key is a cell named after it") {
    const SqliteWorld world;
    const bw::KeyedRateLimiterOptions<bw::TokenBucket> options{
        .each = {.name = "api", .algorithm = {.permits = 1, .period = 1h}}, .max_keys = 1};
    const bw::KeyedRateLimiter<bw::TokenBucket, ManualStore> limiter{options, world.store};
    const bw::KeyedRateLimiter<bw::TokenBucket, ManualStore> other{options, world.another()};
    CHECK(limiter.try_acquire("ann"));
    CHECK_FALSE(other.try_acquire("ann"));
    CHECK(limiter.try_acquire("bob"));
    CHECK_FALSE(limiter.try_acquire("ann"));

    const bw::KeyedCircuitBreakerOptions<bw::AnyTrip> circuits{
        .each = {.name = "shards", .trip = bw::FailureRate{.minimum_calls = 1}}};
    const bw::KeyedCircuitBreaker<bw::AnyTrip, ManualStore> breaker{circuits, world.store};
    const bw::KeyedCircuitBreaker<bw::AnyTrip, ManualStore> same{circuits, world.another()};
    breaker.try_acquire("a")->record(bw::Outcome::failure);
    CHECK_FALSE(same.try_acquire("a"));
    CHECK(same.try_acquire("b"));
    CHECK(same.reconfigured({.each = {.name = "shards", .trip = bw::ConsecutiveFailures{1}}}));
}
