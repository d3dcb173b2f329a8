#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;
using Machine = bw::RetryBudgetMachine;
using bw::Errc;
using bw::Error;

namespace {

using State = Machine::State;
using Store = bw::MemoryStore<bw::ManualClock>;

constexpr bw::Instant at(bw::Duration t) { return bw::Instant{t}; }

constexpr int takes(State& state, const Machine::Options& rates, bw::Instant now) {
    int n = 0;
    while (n < 1'000 && Machine::apply(state, rates, Machine::Take{}, now).granted) ++n;
    return n;
}

constexpr bw::Backoff<> plain{.base = 100ms, .multiplier = 1.0, .cap = 1s, .jitter = bw::Jitter::none};

struct World {
    bw::ManualClock clock;
    Store store{clock};

    bw::RetryBudget<Store> budget(bw::RetryBudgetOptions options) const {
        return bw::RetryBudget{std::move(options), store};
    }
};

const auto failing = []() -> bw::Result<int> { return bw::fail(Error{Errc::http_status}.set_status(503)); };

std::string refusal(const bw::RetryBudgetOptions& options) {
    const auto result = validate(options);
    return result ? "accepted" : result.error().message();
}

}  // namespace

TEST_CASE("a fresh budget holds its burst, and time gives back what the floor says") {
    constexpr auto outcome = [] {
        constexpr Machine::Options rates{.per_call = 0, .per_millisecond = 3, .burst = 5'000};
        State state;
        std::vector<int> n{takes(state, rates, at(10s))};
        n.push_back(takes(state, rates, at(10s + 333ms)));
        n.push_back(takes(state, rates, at(10s + 334ms)));
        n.push_back(takes(state, rates, at(11s)));
        n.push_back(takes(state, rates, at(60s)));
        return n == std::vector<int>{5, 0, 1, 2, 5};
    }();
    STATIC_REQUIRE(outcome);
}

TEST_CASE("a refusal says when time alone will have refilled enough, and never if time refills nothing") {
    constexpr auto outcome = [] {
        constexpr Machine::Options rates{.per_call = 200, .per_millisecond = 3, .burst = 1'000};
        State state;
        (void)takes(state, rates, at(10s));
        const auto refused = Machine::apply(state, rates, Machine::Take{}, at(10s));
        if (refused.granted || refused.retry_after != 334ms) return false;
        State early = state;
        if (Machine::apply(early, rates, Machine::Take{}, at(10s + 333ms)).granted) return false;
        if (!Machine::apply(state, rates, Machine::Take{}, at(10s + 334ms)).granted) return false;
        constexpr Machine::Options timeless{.per_call = 200, .per_millisecond = 0, .burst = 1'000};
        State other;
        (void)takes(other, timeless, at(10s));
        return Machine::apply(other, timeless, Machine::Take{}, at(10s)).retry_after < 0s;
    }();
    STATIC_REQUIRE(outcome);
}

TEST_CASE("without a floor calls alone fill the budget, however much time passes") {
    constexpr auto outcome = [] {
        constexpr Machine::Options rates{.per_call = 200, .per_millisecond = 0, .burst = 2'000};
        State state;
        bool good = takes(state, rates, at(1s)) == 2 && takes(state, rates, at(1000h)) == 0;
        for (int call = 0; call < 4; ++call) Machine::apply(state, rates, Machine::Credit{}, at(1000h));
        good = good && takes(state, rates, at(1000h)) == 0;
        Machine::apply(state, rates, Machine::Credit{}, at(1000h));
        good = good && takes(state, rates, at(1000h)) == 1;
        for (int call = 0; call < 1000; ++call) Machine::apply(state, rates, Machine::Credit{}, at(1001h));
        return good && takes(state, rates, at(1001h)) == 2;
    }();
    STATIC_REQUIRE(outcome);
}

TEST_CASE("a full budget is noticed without the time, and a call leaves it as it is") {
    constexpr Machine::Options rates{.per_call = 200, .per_millisecond = 3, .burst = 5'000};
    State state;
    bool credited = false;
    CHECK(Machine::glance(state.word, Machine::Credit{}, credited));
    CHECK(Machine::apply(state, rates, Machine::Take{}, at(1s)).granted);
    CHECK_FALSE(Machine::glance(state.word, Machine::Credit{}, credited));
    Machine::apply(state, rates, Machine::Credit{}, at(2s));
    CHECK(state == State{});
}

TEST_CASE("a clock that steps back gives nothing twice and cannot lock the budget up") {
    constexpr Machine::Options rates{.per_call = 0, .per_millisecond = 3, .burst = 3'000};
    State state;
    CHECK(takes(state, rates, at(100s)) == 3);
    CHECK(takes(state, rates, at(90s)) == 0);
    CHECK(takes(state, rates, at(100s)) == 0);
    CHECK(takes(state, rates, at(101s)) == 3);
    State ahead;
    CHECK(takes(ahead, rates, at(1000h)) == 3);
    CHECK(takes(ahead, rates, at(1s)) == 0);
    CHECK(takes(ahead, rates, at(2s)) == 3);
}

TEST_CASE("what is given back can be taken again, and is never more than the burst") {
    constexpr Machine::Options rates{.per_call = 0, .per_millisecond = 0, .burst = 2'000};
    State state;
    CHECK(takes(state, rates, at(1s)) == 2);
    Machine::apply(state, rates, Machine::GiveBack{}, at(1s));
    CHECK(Machine::available(state, rates, at(1s)) == 1);
    for (int n = 0; n < 5; ++n) Machine::apply(state, rates, Machine::GiveBack{}, at(1s));
    CHECK(takes(state, rates, at(1s)) == 2);
}

TEST_CASE("a budget works as well by a clock that counts from 1970") {
    const Machine::Options rates{.per_call = 200, .per_millisecond = 1, .burst = 3'000};
    for (const bw::Duration epoch : {bw::Duration{1'763'000'000'000'000}, bw::Duration{8'900'000'000'000'000}}) {
        State state;
        CHECK(takes(state, rates, at(epoch)) == 3);
        CHECK(takes(state, rates, at(epoch + 999ms)) == 0);
        CHECK(takes(state, rates, at(epoch + 1s)) == 1);
        CHECK(takes(state, rates, at(epoch + 500ms)) == 0);
        CHECK(takes(state, rates, at(epoch + 4s)) == 3);
    }
}

TEST_CASE("a budget that is left alone while its milliseconds begin again refills nonetheless") {
    const Machine::Options rates{.per_call = 200, .per_millisecond = 1, .burst = 3'000};
    const bw::Duration wraps = std::chrono::milliseconds{std::int64_t{1} << 40};
    State state;
    CHECK(takes(state, rates, at(wraps - 1s)) == 3);
    CHECK(takes(state, rates, at(wraps)) == 1);
    CHECK(takes(state, rates, at(wraps + 1s)) == 1);
}

TEST_CASE("in bulk, calls are counted before retries, and what is given back after them") {
    const Machine::Options rates{.per_call = 200, .per_millisecond = 0, .burst = 5'000};
    State state;
    const auto sync = [&](Machine::Sync done) { return Machine::apply(state, rates, done, at(1s)); };
    CHECK(sync({.takes = 2}) == 2'000);
    CHECK(sync({.credits = 3, .takes = 1}) == 2'400);
    CHECK(sync({.credits = 1'000'000'000, .takes = 1}) == 1'000);
    CHECK(sync({.give_backs = 1}) == 0);
    CHECK(sync({.takes = 2, .give_backs = 1}) == 1'000);
    CHECK(sync({.give_backs = 2}) == 0);
    CHECK(Machine::available(state, rates, at(1s)) == 5);
}

TEST_CASE("retries that were made without the budget count, but never for more than the whole of it") {
    const Machine::Options rates{.per_call = 200, .per_millisecond = 1, .burst = 2'000};
    State state;
    CHECK(Machine::apply(state, rates, Machine::Sync{.takes = 9}, at(1s)) == 2'000);
    CHECK(takes(state, rates, at(1s)) == 0);
    CHECK(Machine::apply(state, rates, Machine::Sync{}, at(2s)) == 1'000);
    CHECK(takes(state, rates, at(2s)) == 1);
}

TEST_CASE("retries stop when the budget is spent, and the last real error stays") {
    const World world;
    const auto budget = world.budget({.ratio = 0.001, .floor_per_second = 0, .burst = 2});
    const bw::Pipeline guard{bw::Retry{{.max_retries = 5, .backoff = plain}, budget}};
    int calls = 0;
    const auto result = guard.run([&] { return ++calls, failing(); });
    CHECK(calls == 3);
    CHECK(result.error().status() == 503);
    CHECK(result.error().code() == Errc::http_status);
    CHECK(result.error().stopped_by() == Errc::budget_exhausted);
    CHECK(result.error().attempts() == 3);
    CHECK(budget.snapshot().available == 0);
}

TEST_CASE("a spent budget ends the call without its delay, and one event tells it") {
    const World world;
    std::vector<std::string> seen;
    const bw::Pipeline guard{
        bw::UseClock{world.clock}, bw::Observe{[&](const bw::Event& event) {
            if (event.kind != bw::EventKind::permit_refused) return;
            seen.push_back(std::string{event.policy} + ": " + std::string{to_string(*event.code)});
        }},
        bw::Retry{{.max_retries = 5, .backoff = plain},
                  world.budget({.name = "orders", .ratio = 0.001, .floor_per_second = 0, .burst = 1})}};
    CHECK_FALSE(guard.run(failing));
    CHECK(world.clock.waits() == std::vector<bw::Duration>{100ms});
    CHECK(seen == std::vector<std::string>{"orders: budget_exhausted"});
}

TEST_CASE("the first attempt needs no budget, and each call gives its share") {
    const World world;
    const auto budget = world.budget({.ratio = 0.5, .floor_per_second = 0, .burst = 1});
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Retry{{.max_retries = 1, .backoff = plain}, budget}};
    std::vector<unsigned> attempts;
    for (int call = 0; call < 6; ++call) attempts.push_back(guard.run(failing).error().attempts());
    CHECK(attempts == std::vector<unsigned>{2, 1, 2, 1, 2, 1});
}

TEST_CASE("several retries share one budget, as handles and by name") {
    const World world;
    const bw::RetryBudgetOptions options{.name = "orders", .ratio = 0.001, .floor_per_second = 0, .burst = 3};
    const auto budget = world.budget(options);
    const bw::Pipeline one{bw::UseClock{world.clock}, bw::Retry{{.max_retries = 2, .backoff = plain}, budget}};
    const bw::Pipeline other{bw::UseClock{world.clock},
                             bw::Retry{{.max_retries = 2, .backoff = plain}, world.budget(options)}};
    CHECK(one.run(failing).error().attempts() == 3);
    CHECK(other.run(failing).error().attempts() == 2);
    CHECK(budget.snapshot().available == 0);
    CHECK(budget.snapshot().name == "orders");
    CHECK(world.budget({.name = "other", .burst = 7}).snapshot().available == 7);
}

TEST_CASE("a rule about values spends the budget too, and the value is returned when it is spent") {
    const World world;
    const bw::Pipeline guard{bw::UseClock{world.clock},
                             bw::Retry{{.max_retries = 5, .backoff = plain},
                                       bw::retry_if([](int value) { return value < 10; }),
                                       world.budget({.ratio = 0.001, .floor_per_second = 0, .burst = 2})}};
    int calls = 0;
    CHECK(guard.run([&] { return ++calls; }) == 3);
}

TEST_CASE("a retry that is stopped in its delay goes back to the budget") {
    const World world;
    const auto budget = world.budget({.ratio = 0.001, .floor_per_second = 0, .burst = 2});
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Retry{{.max_retries = 3, .backoff = plain}, budget}};
    std::stop_source stop;
    const auto result = guard.run(
        [&] {
            stop.request_stop();
            return failing();
        },
        {.stop = stop.get_token()});
    CHECK(result.error().code() == Errc::cancelled);
    CHECK(budget.snapshot().available == 2);
}

TEST_CASE("a retry that the circuit refuses goes back to the budget") {
    const World world;
    const auto budget = world.budget({.ratio = 0.001, .floor_per_second = 0, .burst = 5});
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Retry{{.max_retries = 4, .backoff = plain}, budget},
                             bw::CircuitBreaker{{.trip = bw::ConsecutiveFailures{2}}, world.store}};
    const auto result = guard.run(failing);
    CHECK(result.error().stopped_by() == Errc::circuit_open);
    CHECK(result.error().attempts() == 2);
    CHECK(budget.snapshot().available == 4);
}

TEST_CASE("a delay that would pass the deadline takes nothing from the budget") {
    const World world;
    const auto budget = world.budget({.ratio = 0.001, .floor_per_second = 0, .burst = 2});
    const bw::Pipeline guard{bw::Deadline{50ms}, bw::UseClock{world.clock},
                             bw::Retry{{.max_retries = 3, .backoff = plain}, budget}};
    CHECK(guard.run(failing).error().stopped_by() == Errc::deadline_exceeded);
    CHECK(budget.snapshot().available == 2);
}

TEST_CASE("a budget without a ratio allows every retry") {
    const World world;
    const auto budget = world.budget({.ratio = {}, .floor_per_second = 0, .burst = 1});
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Retry{{.max_retries = 5, .backoff = plain}, budget}};
    for (int call = 0; call < 3; ++call) CHECK(guard.run(failing).error().attempts() == 6);
    CHECK_FALSE(budget.snapshot().available);
}

TEST_CASE("a reconfigured budget keeps what is spent, and its name") {
    const World world;
    const auto budget = world.budget({.name = "orders", .ratio = 0.001, .floor_per_second = 0, .burst = 3});
    const bw::Pipeline guard{bw::UseClock{world.clock}, bw::Retry{{.max_retries = 2, .backoff = plain}, budget}};
    CHECK(guard.run(failing).error().attempts() == 3);
    CHECK(budget.reconfigure({.name = "orders", .ratio = 0.001, .floor_per_second = 0, .burst = 5}));
    CHECK(budget.snapshot().available == 3);
    CHECK_FALSE(budget.reconfigure({.name = "orders", .burst = 0}));
    CHECK_FALSE(budget.reconfigure({.name = "other"}));
    CHECK(budget.options().burst == 5);
}

TEST_CASE("bad budget options are named by path, legal range and value") {
    CHECK(refusal({.ratio = -0.1}) == "retry_budget.ratio: must be 0.001 to 1, or empty, got -0.1");
    CHECK(refusal({.ratio = std::numeric_limits<double>::quiet_NaN()}) ==
          "retry_budget.ratio: must be 0.001 to 1, or empty, got nan");
    CHECK(refusal({.floor_per_second = 10'001}) == "retry_budget.floor_per_second: must be 0 to 10000, got 10001");
    CHECK(refusal({.burst = 0}) == "retry_budget.burst: must be 1 to 10000, got 0");
    CHECK(refusal({}) == "accepted");
    CHECK_THROWS_AS(bw::RetryBudget<>{{.ratio = 11.0}}, bw::Exception);
}

TEST_CASE("what is spent of a budget is still spent after a restart, but for what time has refilled since") {
    const auto [age, available] = GENERATE(
        std::pair<bw::Duration, std::int64_t>{0s, 2}, std::pair<bw::Duration, std::int64_t>{2s, 4},
        std::pair<bw::Duration, std::int64_t>{1h, 10}, std::pair<bw::Duration, std::int64_t>{bw::Duration::max(), 10},
        std::pair<bw::Duration, std::int64_t>{-1h, 2});
    const bw::RetryBudgetOptions options{.ratio = 0.2, .floor_per_second = 1, .burst = 10};
    const World before;
    const auto spent = before.budget(options);
    bw::Call call{before.clock};
    for (int i = 0; i < 8; ++i) CHECK(spent.take(call));
    const auto saved = spent.save();
    CHECK(saved.spent_thousandths == 8'000);

    const World after;
    after.clock.advance(5min);
    const auto budget = after.budget(options);
    budget.restore(saved, age);
    CHECK(budget.snapshot().available == available);
}

TEST_CASE("what is restored comes on top of what was spent meanwhile, and nothing can be spent beyond the burst") {
    const World world;
    const auto budget = world.budget({.ratio = 0.2, .floor_per_second = 1, .burst = 10});
    bw::Call call{world.clock};
    for (int i = 0; i < 3; ++i) CHECK(budget.take(call));
    budget.restore({.spent_thousandths = 4'500}, 0s);
    CHECK(budget.save().spent_thousandths == 7'500);
    budget.restore({.spent_thousandths = std::numeric_limits<std::int64_t>::max()}, 0s);
    CHECK(budget.save().spent_thousandths == 10'000);
    budget.restore({.spent_thousandths = -5}, 0s);
    CHECK(budget.save().spent_thousandths == 10'000);
    CHECK_FALSE(budget.take(call));
}

TEST_CASE("another handle of a budget has options of its own, and spends from the same") {
    const World world;
    const auto budget = world.budget({.burst = 10});
    bw::Call call{world.clock};
    for (int i = 0; i < 4; ++i) CHECK(budget.take(call));
    const auto small = budget.reconfigured({.burst = 5});
    REQUIRE(small);
    CHECK(small->snapshot().available == 1);
    CHECK(small->take(call));
    CHECK(budget.snapshot().available == 5);
    CHECK(budget.reconfigured({.name = "other"}).error().message() ==
          "retry_budget.name: must be the budget's, \"\", got \"other\"");
    CHECK(budget.reconfigured({.burst = 0}).error().message() == "retry_budget.burst: must be 1 to 10000, got 0");
}
