#include <breakwater/circuit_breaker/any_trip.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/retry/budget_machine.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>
#include <breakwater/store/redis/news.hpp>
#include <breakwater/store/redis/scripts.hpp>
#include <breakwater/store/redis/steps.hpp>
#include <breakwater/store/redis/wire/circuit.hpp>
#include <breakwater/store/redis/wire/pause.hpp>
#include <breakwater/store/redis/wire/rate.hpp>
#include <breakwater/store/redis/wire/retry_budget.hpp>
#include <catch_shim.hpp>

#include "redis_twin.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

// What the scripts leave at a server, and how they fail.

namespace bw = breakwater;
namespace redis = breakwater::redis;
using namespace std::chrono_literals;
using bw::Duration;
using bw::Instant;
using bw::test::RedisPipeline;
using bw::test::RedisServer;

namespace {

using Circuit = bw::fleet::CircuitMachine<bw::AnyTrip>;
using Bucket = bw::RateMachine<bw::TokenBucket>;
using Pause = bw::PauseMachine;
using Budget = bw::RetryBudgetMachine;

constexpr Instant start{1'763'000'000s};

/// A server with all scripts, and a connection to it.
struct World {
    RedisServer server;
    RedisPipeline pipeline{server};
    const redis::Script& script =
        redis::script_for<Circuit, Bucket, Pause, Budget, bw::RateMachine<bw::AnyAlgorithm>>(redis::ScriptTime::given);

    World() { pipeline.load(script); }

    template <class... Steps>
    redis::Reply ask(Instant now, const Steps&... steps) {
        return pipeline.ask(redis::evalsha(script, "news", std::optional{now}, steps...));
    }
    template <class M, class Command>
    auto apply(std::string_view key, const typename M::Options& options, const Command& command, Instant now = start) {
        const auto step = breakwater::fleet::remote<M>(key, options, command);
        const auto answers = redis::answers(ask(now, step).numbers, step);
        REQUIRE(answers);
        return *std::get<0>(answers->decisions);
    }
    std::string field(std::string_view key, std::string_view name) { return pipeline.ask({"HGET", key, name}).text; }
    Duration ttl(std::string_view key) {
        return std::chrono::milliseconds{pipeline.ask({"PTTL", key}).numbers.at(0)} + 1s;  // what has passed since
    }
};

Circuit::Report failures(std::uint32_t count, std::uint64_t generation = 1) {
    return {.instance = 7, .generation = generation, .tally = {.failures = count, .tail = count}};
}
Bucket::Options bucket_of(const bw::TokenBucket& bucket) { return {bucket.prepare(), bw::layout_of(bucket)}; }

const Circuit::Options streak{.trip = bw::ConsecutiveFailures{3}};
const Circuit::Options rate{
    .trip = bw::FailureRate{.window = bw::CountWindow{20}, .slow_call = {.duration = 1s}, .bad_ratio = 1.0}};
const Bucket::Options ten = bucket_of({.permits = 10, .period = 1s});

}  // namespace

TEST_CASE("what a newer version has written is not touched, and neither is anything else in the same call") {
    World world;
    world.apply<Circuit>("c", streak, failures(2));
    world.apply<Bucket>("b", ten, Bucket::Take{4});
    world.pipeline.ask({"HSET", "c", "v", "2"});
    const std::string full_at = world.field("b", "full_at");
    const Bucket::Take take{1};
    const Circuit::Admit admit;
    const auto reply = world.ask(start + 1ms, breakwater::fleet::remote<Bucket>("b", ten, take),
                                 breakwater::fleet::remote<Circuit>("c", streak, admit));
    CHECK(reply.kind == redis::Reply::Kind::error);
    CHECK(reply.text == "BREAKWATER unreadable c: version 2");
    CHECK(world.field("b", "full_at") == full_at);
    CHECK(world.field("c", "streak") == "2");
}

TEST_CASE("a state with fields that are missing or no numbers is unreadable, never closed or fresh") {
    World world;
    const Circuit::Admit admit;
    const auto error = [&] { return world.ask(start, breakwater::fleet::remote<Circuit>("c", streak, admit)).text; };
    for (const auto& [field, value] : std::vector<std::pair<std::string, std::string>>{{"streak", "many"},
                                                                                       {"generation", "-4"},
                                                                                       {"generation", "1.5"},
                                                                                       {"openings", "inf"},
                                                                                       {"phase", "OPEN!"},
                                                                                       {"changed", "nan"},
                                                                                       {"leases", "x"},
                                                                                       {"reporters", "a:b"},
                                                                                       {"slices", "?"},
                                                                                       {"late_results", ""}}) {
        CAPTURE(field, value);
        world.pipeline.ask({"DEL", "c"});
        world.apply<Circuit>("c", streak, failures(2));
        world.pipeline.ask({"HSET", "c", field, value});
        CHECK(error() == "BREAKWATER unreadable c: " + field);
        CHECK(world.field("c", field) == value);
    }
    world.pipeline.ask({"DEL", "c"});
    world.apply<Circuit>("c", streak, failures(2));
    world.pipeline.ask({"HDEL", "c", "open_until"});
    CHECK(error() == "BREAKWATER unreadable c: open_until");
    world.pipeline.ask({"HDEL", "c", "v"});
    CHECK(error() == "BREAKWATER unreadable c: no version");
    world.pipeline.ask({"SET", "c", "text"});
    CHECK(error() == "BREAKWATER unreadable c: not a hash");
}

TEST_CASE("a window with characters that are no outcomes is unreadable") {
    World world;
    world.apply<Circuit>("c", rate, failures(2));
    world.pipeline.ask({"HSET", "c", "window", "fx"});
    const auto report = failures(1);
    CHECK(world.ask(start, breakwater::fleet::remote<Circuit>("c", rate, report)).text ==
          "BREAKWATER unreadable c: window");
    CHECK(world.field("c", "failures") == "2");
}

TEST_CASE("numbers far out of range end a step, they do not hang the server") {
    World world;
    const bw::SlidingWindow limit{.permits = 1'000, .window = 1h};
    using Sliding = bw::RateMachine<bw::AnyAlgorithm>;
    const Sliding::Options options{bw::AnyAlgorithm{limit}.prepare(), bw::layout_of(limit)};
    const std::string window = std::to_string(start.time_since_epoch() / 1h);
    const Sliding::Take take{1};
    for (const std::string number : {"9007199254740992", "1000000000000", "134217728"}) {
        world.pipeline.ask({"HSET", "s", "v", "1", "window", window, "previous", number, "taken", number, "held", "1"});
        CHECK(world.ask(start, breakwater::fleet::remote<Sliding>("s", options, take)).kind ==
              redis::Reply::Kind::answer);
    }
}

TEST_CASE("every key has a time to live that outlasts what it says") {
    World world;
    world.apply<Circuit>("c", streak, failures(1));
    CHECK(world.ttl("c") >= 1h);
    const Circuit::Options slow{.trip = bw::ConsecutiveFailures{3}, .recovery = bw::RecoveryTime{30min}};
    world.apply<Circuit>("slow", slow, failures(1));
    CHECK(world.ttl("slow") >= 5h);
    const Circuit::Options leased{.trip = bw::ConsecutiveFailures{3}, .probe_lease = 2h};
    world.apply<Circuit>("leased", leased, failures(1));
    CHECK(world.ttl("leased") >= 20h);
    const Circuit::Options day{.trip = bw::FailureRate{.window = bw::TimeWindow{24h, 10}}};
    world.apply<Circuit>("day", day, failures(1));
    CHECK(world.ttl("day") >= 24h);
    world.apply<Circuit>("forced", streak, Circuit::Force{bw::CircuitState::open, 300h});
    CHECK(world.ttl("forced") >= 300h);
    world.apply<Circuit>("for ever", streak, Circuit::Force{bw::CircuitState::open, Duration::max()});
    CHECK(world.ttl("for ever") >= std::chrono::days{366});

    world.apply<Bucket>("b", bucket_of({.permits = 1, .period = 1h}), Bucket::Take{1});
    CHECK(world.ttl("b") >= 1h);
    using Rate = bw::RateMachine<bw::AnyAlgorithm>;
    const auto window = [](const auto& limit) { return Rate::Options{bw::AnyAlgorithm{limit}.prepare(), "any"}; };
    world.apply<Rate>("f", window(bw::FixedWindow{.permits = 1, .window = 4h}), Rate::Take{1});
    CHECK(world.ttl("f") >= 1min);
    world.apply<Rate>("s", window(bw::SlidingWindow{.permits = 1, .window = 4h}), Rate::Take{1});
    CHECK(world.ttl("s") >= 4h);
    world.apply<Pause>("p", Pause::Options{.max_pause = 1h}, Pause::Extend{start + 1h});
    CHECK(world.ttl("p") >= 1h);
    world.apply<Budget>("u", Budget::Options{.per_millisecond = 0}, Budget::Take{});
    CHECK(world.ttl("u") >= 24h);
    world.apply<Budget>("v", Budget::Options{.per_millisecond = 1, .burst = 1'000'000}, Budget::Sync{.takes = 1'000});
    CHECK(world.ttl("v") >= 1'000s);

    const std::vector<std::string_view> keys{"c", "slow", "leased", "day", "forced", "for ever",
                                             "b", "f",    "s",      "p",   "u",      "v"};
    CHECK(world.pipeline.ask({"DBSIZE"}).numbers.at(0) == std::ssize(keys));
    for (const auto key : keys) CHECK(world.pipeline.ask({"PTTL", key}).numbers.at(0) > 0);
}

TEST_CASE("a circuit that is asked about lives on, and one that nobody has reported to is no key") {
    World world;
    world.apply<Circuit>("c", streak, Circuit::Read{});
    world.apply<Circuit>("c", streak, Circuit::Admit{});
    CHECK(world.pipeline.ask({"EXISTS", "c"}).numbers.at(0) == 0);
    world.apply<Circuit>("c", streak, failures(1));
    world.pipeline.ask({"PEXPIRE", "c", "5000"});
    world.apply<Circuit>("c", streak, Circuit::Read{});
    CHECK(world.ttl("c") >= 1h);
}

TEST_CASE("a force without an end survives, as do what it answers and publishes") {
    World world;
    const auto view = world.apply<Circuit>("c", streak, Circuit::Force{bw::CircuitState::open, Duration::max()});
    CHECK(view.forced_until == Instant::max());
    CHECK(world.field("c", "forced_until") == "inf");
    const auto refused = world.apply<Circuit>("c", streak, Circuit::Admit{}, start + std::chrono::years{50});
    CHECK_FALSE(refused.admitted);
    CHECK(refused.retry_after == Duration::max());
    CHECK(refused.view.open_until == Instant::max());
}

TEST_CASE("the state can be read by people") {
    World world;
    const auto text = [&](std::string_view key) {
        std::string all;
        for (const char* field : {"phase", "openings", "forced", "window", "calls", "failures", "slow", "reporters"})
            all += std::string{field} + "=" + world.field(key, field) + " ";
        return all;
    };
    auto report = failures(2);
    report.tally.successes = 3;
    report.tally.slow = 1;
    world.apply<Circuit>("c", rate, report);
    CHECK(text("c") == "phase=closed openings=0 forced=0 window=ssSff calls=5 failures=2 slow=1 reporters=7:5 ");
    world.apply<Circuit>("c", rate, failures(15));
    CHECK(text("c") == "phase=open openings=1 forced=0 window= calls=0 failures=0 slow=0 reporters= ");
    CHECK(world.field("c", "changed") == "1763000000000000");

    const Circuit::Options time{.trip = bw::FailureRate{.window = bw::TimeWindow{10s, 10}}};
    world.apply<Circuit>("t", time, report);
    world.apply<Circuit>("t", time, report, start + 2s);
    CHECK(world.field("t", "slices") == "0:5/2/1/1 2:5/2/1/1");

    world.apply<Bucket>("b", ten, Bucket::Take{4});
    CHECK(world.field("b", "full_at") == "1763000000400000");
    world.apply<Pause>("p", {}, Pause::Limit{4, start + 9s});
    CHECK((world.field("p", "ends") == "1763000009000000" && world.field("p", "quota") == "5"));
}

TEST_CASE("no product leaves the whole numbers of a double, however fine the rate and however long the window") {
    World world;
    const bw::TokenBucket fine{.permits = 1'048'573, .period = 1'000'003us, .burst = 9'000'000'000};
    const auto options = bucket_of(fine);
    CHECK(world.apply<Bucket>("fine", options, Bucket::Take{9'000'000'000}).granted);
    CHECK(world.apply<Bucket>("fine", options, Bucket::Take{1}).retry_after == 1us);
    CHECK(world.apply<Bucket>("fine", options, Bucket::Take{2'000'000}).retry_after ==
          Duration{(2'000'000 * std::int64_t{1'000'003} + 1'048'572) / 1'048'573});
    const Instant later = start + Duration{1'000'003} * 1'000;
    CHECK_FALSE(world.apply<Bucket>("fine", options, Bucket::Take{1'048'573'001}, later).granted);
    CHECK(world.apply<Bucket>("fine", options, Bucket::Take{1'048'573'000}, later).granted);

    using Sliding = bw::RateMachine<bw::SlidingWindow>;
    const auto& sliding = redis::script_for<Sliding>(redis::ScriptTime::given);
    world.pipeline.load(sliding);
    const bw::SlidingWindow wide{.permits = 134'217'727, .window = std::chrono::days{366}};
    const Sliding::Options counts{wide.prepare(), bw::layout_of(wide)};
    const auto take = [&](std::int64_t permits, Instant now) {
        const Sliding::Take command{permits};
        const auto step = breakwater::fleet::remote<Sliding>("wide", counts, command);
        const auto reply = world.pipeline.ask(redis::evalsha(sliding, "", std::optional{now}, step));
        return std::get<0>(redis::answers(reply.numbers, step)->decisions).value();
    };
    const Instant begin{(start.time_since_epoch() / wide.window + 1) * wide.window};
    CHECK(take(134'217'727, begin - 1s).granted);
    const Duration one = Duration{wide.window.count() / 134'217'727};  // rounded down: too early by less than 1 us
    CHECK_FALSE(take(1, begin + one).granted);
    CHECK(take(1, begin + one).retry_after == 1us);
    CHECK(take(1, begin + one + 1us).granted);
}

TEST_CASE("what happens to a circuit or a pause is published, and what changes nothing is not") {
    World world;
    RedisPipeline listener{world.server};
    listener.ask({"SUBSCRIBE", "news"});
    const auto heard = [&] {
        world.pipeline.ask({"PUBLISH", "news", "the end"});
        std::vector<redis::News> pushes;
        while (true) {
            const std::string text = listener.next().text;
            if (text == "the end") return pushes;
            const auto push = redis::read_news(text);
            REQUIRE(push);
            pushes.push_back(*push);
        }
    };
    const auto last_view = [](const redis::News& push) {
        redis::Numbers numbers{push.numbers};
        return redis::circuit_view(numbers);
    };
    const std::string_view key = "{my api} circuit 5";
    world.apply<Circuit>(key, streak, failures(1));
    auto pushes = heard();
    REQUIRE(pushes.size() == 1);
    CHECK((pushes[0].key == key && pushes[0].machine == "circuit"));
    CHECK(last_view(pushes[0]).counts.failures == 1);
    world.apply<Circuit>(key, streak, failures(1));
    world.apply<Circuit>(key, streak, failures(1, 99));
    CHECK(heard().empty());
    const auto opened = world.apply<Circuit>(key, streak, failures(1));
    pushes = heard();
    REQUIRE(pushes.size() == 1);
    CHECK(last_view(pushes[0]) == opened.view);
    world.apply<Circuit>(key, streak, Circuit::Admit{}, start + 1s);
    CHECK(heard().empty());
    const auto forced = world.apply<Circuit>(key, streak, Circuit::Force{bw::CircuitState::closed, Duration::max()});
    pushes = heard();
    REQUIRE(pushes.size() == 1);
    CHECK(last_view(pushes[0]) == forced);

    world.apply<Pause>("p", {}, Pause::Extend{start + 5s});
    world.apply<Pause>("p", {}, Pause::Check{}, start + 1s);
    pushes = heard();
    REQUIRE(pushes.size() == 1);
    redis::Numbers numbers{pushes[0].numbers};
    const auto paused = redis::Wire<Pause>::decode_state(numbers);
    CHECK((paused.until == 1'763'000'005'000'000 && paused.quota == 0 && numbers.is_at_end()));
    world.apply<Pause>("p", {}, Pause::Limit{2, start + 9s}, start + 6s);
    CHECK(heard().size() == 1);
    world.apply<Pause>("p", {}, Pause::Spend{}, start + 6s);
    CHECK(heard().empty());
    world.apply<Pause>("p", {}, Pause::Spend{}, start + 6s);
    CHECK(heard().size() == 1);
}

TEST_CASE("a user who may not publish is served all the same") {
    World world;
    world.pipeline.ask({"ACL", "SETUSER", "quiet", "on", "nopass", "~*", "+@all", "resetchannels"});
    world.pipeline.ask({"AUTH", "quiet", "x"});
    CHECK(world.pipeline.ask({"PUBLISH", "news", "x"}).kind == redis::Reply::Kind::error);
    CHECK(world.apply<Circuit>("c", streak, failures(3)).effect == bw::fleet::CircuitEffect::opened);
    CHECK(world.field("c", "phase") == "open");
}

TEST_CASE("by default a script goes by the server's clock, and answers it") {
    World world;
    const auto& script = redis::script_for<Bucket>();
    world.pipeline.load(script);
    const Bucket::Take take{10};
    const auto step = breakwater::fleet::remote<Bucket>("b", ten, take);
    const auto answers = redis::answers(world.pipeline.ask(redis::evalsha(script, "", step)).numbers, step);
    REQUIRE(answers);
    CHECK(std::get<0>(answers->decisions)->granted);
    CHECK(std::chrono::abs(answers->now.time_since_epoch() - bw::wall_clock_now_us().time_since_epoch()) < 1h);
}

TEST_CASE("a script has what its machines need and no more, whatever their order") {
    const auto& bucket = redis::script_for<Bucket>();
    CHECK(bucket.text().find("machines.circuit") == std::string::npos);
    CHECK(bucket.text().find("fixed_window") == std::string::npos);
    CHECK(bucket.text().find("token_bucket") != std::string::npos);
    CHECK(redis::script_for<Bucket, Pause>().sha1() == redis::script_for<Pause, Bucket, Pause>().sha1());
    CHECK(bucket.text().find("ARGV[2]") == std::string::npos);
}

TEST_CASE("a reply with too few or too many numbers is no answer") {
    const Pause::Options options;
    const Pause::Check check;
    const auto step = breakwater::fleet::remote<Pause>("p", options, check);
    const std::vector<std::int64_t> reply{5, 1'000, 7};
    const std::span<const std::int64_t> numbers{reply};
    CHECK(redis::answers(numbers.first(2), step)->now == Instant{5us});
    CHECK_FALSE(redis::answers(numbers.first(1), step));
    CHECK_FALSE(redis::answers(numbers, step));
    CHECK_FALSE(redis::answers({}, step));
}

TEST_CASE("a message that is not ours is no news") {
    for (const char* message : {"", " ", "key", "key 5", "key machine", " machine 5", "1 2 3", "key machine x"}) {
        CAPTURE(message);
        CHECK_FALSE(redis::read_news(message));
    }
    const auto push = redis::read_news("a b pause -1 20");
    REQUIRE(push);
    CHECK((push->key == "a b" && push->machine == "pause"));
    CHECK(push->numbers == std::vector<std::int64_t>{-1, 20});
}

TEST_CASE("of the processes that see a service fail, the latest 16 are remembered") {
    World world;
    const Circuit::Options lax{.trip = bw::ConsecutiveFailures{1'000}};
    for (std::uint64_t instance = 1; instance <= 40; ++instance) {
        auto report = failures(1);
        report.instance = instance;
        world.apply<Circuit>("c", lax, report);
    }
    const std::string reporters = world.field("c", "reporters");
    CHECK(std::ranges::count(reporters, ':') == 16);
    CHECK(reporters.starts_with("25:"));
    CHECK(reporters.find(" 40:") != std::string::npos);
}
