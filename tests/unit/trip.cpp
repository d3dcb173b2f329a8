#include <breakwater/circuit_breaker/any_trip.hpp>
#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/circuit_breaker/trip.hpp>
#include <catch_shim.hpp>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <variant>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::AnyTrip;
using bw::ConsecutiveFailures;
using bw::CountWindow;
using bw::FailureRate;
using bw::Tally;
using bw::TimeWindow;
using bw::TripCounts;

namespace {

constexpr bw::Instant start{1h};
constexpr Tally success{.successes = 1};
constexpr Tally failure{.failures = 1, .tail = 1};

constexpr Tally tally(std::uint32_t successes, std::uint32_t failures, std::uint32_t tail) {
    return {.successes = successes, .failures = failures, .tail = tail};
}

/// A rule with what it has counted.
template <bw::TripRule Rule>
struct Counting {
    Rule rule;
    typename Rule::State state = rule.make_state();

    constexpr bool record(const Tally& outcomes, bw::Instant now = start) { return rule.record(state, outcomes, now); }
    constexpr TripCounts counts(bw::Instant now = start) const { return rule.counts(state, now); }
};
template <class Rule>
Counting(Rule) -> Counting<Rule>;

/// The archetype of the concept's documentation.
struct AnyFailure {
    using State = std::monostate;
    State make_state() const { return {}; }
    constexpr bool record(State&, const Tally& outcomes, bw::Instant) const noexcept { return outcomes.failures > 0; }
    constexpr bool is_settled(const State&) const noexcept { return true; }
    constexpr void clear(State&) const noexcept {}
    constexpr TripCounts counts(const State&, bw::Instant) const noexcept { return {}; }
    std::string layout() const { return "any_failure"; }
    friend bw::Result<void> validate(const AnyFailure&, std::string_view) { return {}; }
};
static_assert(bw::TripRule<AnyFailure>);

struct NoLayout : AnyFailure {
    std::string layout() const = delete;
};
static_assert(!bw::TripRule<NoLayout>);

struct MayThrow : AnyFailure {
    bool record(State&, const Tally&, bw::Instant) const { return false; }
};
static_assert(!bw::TripRule<MayThrow>);

constexpr std::uint32_t streak_after(std::initializer_list<Tally> tallies) {
    Counting<ConsecutiveFailures> rule{{1'000}};
    for (const Tally& each : tallies) rule.record(each);
    return rule.state.streak;
}

/// Does `failures` of `calls` trip at `ratio`? The failures come last.
bool trips(double ratio, std::uint32_t failures, std::uint32_t calls) {
    Counting rule{FailureRate{.ratio = ratio, .window = CountWindow{calls}, .minimum_calls = calls}};
    return rule.record(tally(calls - failures, failures, failures));
}

std::string refusal(const auto& rule) {
    const auto result = validate(rule, "circuit_breaker.trip");
    return result ? "accepted" : result.error().message();
}

}  // namespace

TEST_CASE("a streak is the failures after the last success") {
    STATIC_REQUIRE(streak_after({}) == 0);
    STATIC_REQUIRE(streak_after({failure, failure}) == 2);
    STATIC_REQUIRE(streak_after({failure, success}) == 0);
    STATIC_REQUIRE(streak_after({failure, success, failure}) == 1);
}

TEST_CASE("a tally without a success lengthens the streak, one with a success leaves its tail") {
    STATIC_REQUIRE(streak_after({tally(0, 3, 3)}) == 3);
    STATIC_REQUIRE(streak_after({tally(0, 3, 3), tally(0, 2, 2)}) == 5);
    STATIC_REQUIRE(streak_after({tally(0, 3, 3), tally(1, 5, 2)}) == 2);
    STATIC_REQUIRE(streak_after({tally(0, 3, 3), tally(7, 1, 0)}) == 0);
    STATIC_REQUIRE(streak_after({tally(0, 3, 3), tally(0, 0, 0)}) == 3);
}

TEST_CASE("a streak saturates instead of starting over") {
    constexpr auto much = std::numeric_limits<std::uint32_t>::max();
    STATIC_REQUIRE(streak_after({tally(0, much, much), tally(0, much, much)}) == 2'147'483'647);
    STATIC_REQUIRE(streak_after({failure, tally(0, 2'147'483'647, 2'147'483'647)}) == 2'147'483'647);
}

TEST_CASE("consecutive failures trip at the count, and only on a failure") {
    Counting rule{ConsecutiveFailures{2}};
    CHECK_FALSE(rule.record(failure));
    CHECK(rule.record(failure));
    CHECK_FALSE(rule.record(tally(0, 0, 0)));  // says nothing, so it cannot trip
    CHECK(rule.record(failure));
    CHECK_FALSE(rule.record(success));
    CHECK_FALSE(rule.record(tally(3, 2, 1)));
    CHECK(rule.record(tally(3, 2, 2)));
}

TEST_CASE("consecutive failures are settled while there is no streak") {
    Counting rule{ConsecutiveFailures{5}};
    CHECK(rule.rule.is_settled(rule.state));
    rule.record(failure);
    CHECK_FALSE(rule.rule.is_settled(rule.state));
    CHECK(rule.counts() == TripCounts{1, 1});
    rule.record(success);
    CHECK(rule.rule.is_settled(rule.state));
    rule.record(failure);
    rule.rule.clear(rule.state);
    CHECK(rule.rule.is_settled(rule.state));
    CHECK(rule.counts() == TripCounts{});
}

TEST_CASE("a failure rate equal to the threshold trips, exactly") {
    CHECK(trips(0.5, 5, 10));
    CHECK(trips(0.07, 7, 100));
    CHECK_FALSE(trips(0.07, 6, 100));
    CHECK(trips(0.29, 29, 100));
    CHECK(trips(0.1, 1, 10));
    CHECK(trips(0.3, 3, 10));
    CHECK(trips(1.0, 10, 10));
    CHECK_FALSE(trips(1.0, 9, 10));
    CHECK(trips(1.0 / 3, 1, 3));
    CHECK(trips(2.0 / 3, 2, 3));
    CHECK_FALSE(trips(2.0 / 3, 1, 3));
    CHECK(trips(1e-4, 1, 10'000));
}

TEST_CASE("every quotient of a window equals its own literal, and its neighbours do not") {
    for (std::uint32_t calls = 1; calls <= 130; ++calls) {
        for (std::uint32_t failures = 1; failures <= calls; ++failures) {
            const double ratio = std::stod(std::to_string(failures * 1'000'000'000ULL / calls) + "e-9");
            CAPTURE(failures, calls, ratio);
            // Nine digits fall short of the quotient or meet it: then it trips, and one failure less does not.
            REQUIRE(trips(ratio, failures, calls));
            REQUIRE(trips(static_cast<double>(failures) / calls, failures, calls));
            if (failures > 1) REQUIRE_FALSE(trips(static_cast<double>(failures) / calls, failures - 1, calls));
        }
    }
}

TEST_CASE("a failure rate trips on a failure only, never on a success that meets the minimum") {
    Counting rule{FailureRate{.ratio = 0.5, .window = CountWindow{10}, .minimum_calls = 3}};
    CHECK_FALSE(rule.record(failure));
    CHECK_FALSE(rule.record(failure));
    CHECK_FALSE(rule.record(success));  // 2 of 3, but the call succeeded
    CHECK(rule.record(failure));
}

TEST_CASE("a failure rate waits for the minimum of calls") {
    Counting rule{FailureRate{.ratio = 0.1, .window = CountWindow{10}, .minimum_calls = 4}};
    CHECK_FALSE(rule.record(failure));
    CHECK_FALSE(rule.record(failure));
    CHECK_FALSE(rule.record(failure));
    CHECK(rule.record(failure));
}

TEST_CASE("a tally is added whole before the rate is checked once") {
    Counting rule{FailureRate{.ratio = 0.5, .window = CountWindow{4}, .minimum_calls = 1}};
    CHECK_FALSE(rule.record(tally(3, 1, 0)));  // a single failure first would have been 1 of 1
    CHECK(rule.counts() == TripCounts{4, 1});
    CHECK(rule.record(tally(0, 1, 1)));
}

TEST_CASE("a failure rate over time forgets what is older than its window") {
    Counting rule{FailureRate{.ratio = 0.5, .window = TimeWindow{10s, 10}, .minimum_calls = 2}};
    CHECK_FALSE(rule.record(failure, start));
    CHECK_FALSE(rule.record(success, start + 1s));
    CHECK_FALSE(rule.record(success, start + 1s));
    CHECK(rule.counts(start + 9s) == TripCounts{3, 1});
    CHECK(rule.counts(start + 10s) == TripCounts{2, 0});
    CHECK_FALSE(rule.record(failure, start + 10s));
    CHECK(rule.record(failure, start + 10s));
}

TEST_CASE("only a full, faultless count window is settled; a time window never is") {
    Counting by_count{FailureRate{.window = CountWindow{2}, .minimum_calls = 2}};
    by_count.record(tally(2, 0, 0));
    CHECK(by_count.rule.is_settled(by_count.state));
    Counting by_time{FailureRate{.window = TimeWindow{}, .minimum_calls = 2}};
    by_time.record(tally(1'000, 0, 0));
    CHECK_FALSE(by_time.rule.is_settled(by_time.state));
}

TEST_CASE("never does not trip") {
    Counting rule{bw::never};
    CHECK_FALSE(rule.record(tally(0, 1'000'000, 1'000'000)));
    CHECK(rule.rule.is_settled(rule.state));
    CHECK(rule.counts() == TripCounts{});
    CHECK(AnyTrip{bw::never}.is_never());
    CHECK_FALSE(AnyTrip{}.is_never());
}

TEST_CASE("the default rule is five failures in a row") {
    CHECK(AnyTrip{} == AnyTrip{ConsecutiveFailures{5}});
    CHECK(bw::CircuitBreakerOptions<>{}.trip == AnyTrip{ConsecutiveFailures{}});
}

TEST_CASE("the run-time choice behaves as the rule it holds") {
    const auto plays_alike = [](const auto& rule) {
        Counting own{rule};
        Counting any{AnyTrip{rule}};
        CHECK(any.rule.layout() == rule.layout());
        std::uint64_t dice = 1;
        for (int step = 0; step < 500; ++step) {
            dice = dice * 6364136223846793005U + 1442695040888963407U;
            const bw::Instant now = start + step * 100ms;
            const Tally outcome = (dice >> 40) % 2 == 0 ? failure : success;
            if (step % 97 == 0) {
                own.rule.clear(own.state);
                any.rule.clear(any.state);
            }
            REQUIRE(any.record(outcome, now) == own.record(outcome, now));
            REQUIRE(any.counts(now) == own.counts(now));
            REQUIRE(any.rule.is_settled(any.state) == own.rule.is_settled(own.state));
        }
    };
    plays_alike(ConsecutiveFailures{3});
    plays_alike(FailureRate{.ratio = 0.6, .window = CountWindow{8}, .minimum_calls = 4});
    plays_alike(FailureRate{.ratio = 0.6, .window = TimeWindow{2s, 4}, .minimum_calls = 4});
    plays_alike(bw::never);
}

TEST_CASE("layouts differ where the form of the state does, and only there") {
    CHECK(ConsecutiveFailures{1}.layout() == ConsecutiveFailures{9}.layout());
    CHECK(FailureRate{.ratio = 0.1}.layout() == FailureRate{.ratio = 0.9, .minimum_calls = 3}.layout());
    const std::string layouts[] = {ConsecutiveFailures{}.layout(),
                                   FailureRate{.window = CountWindow{10}}.layout(),
                                   FailureRate{.window = CountWindow{11}}.layout(),
                                   FailureRate{.window = TimeWindow{10s, 10}}.layout(),
                                   FailureRate{.window = TimeWindow{10s, 5}}.layout(),
                                   FailureRate{.window = TimeWindow{11s, 10}}.layout(),
                                   bw::never.layout()};
    for (const auto& a : layouts)
        for (const auto& b : layouts) CHECK((a == b) == (&a == &b));
}

TEST_CASE("a mistaken rule is named by its path, its legal range and the value given") {
    CHECK(refusal(ConsecutiveFailures{}) == "accepted");
    CHECK(refusal(ConsecutiveFailures{2'147'483'647}) == "accepted");
    CHECK(refusal(ConsecutiveFailures{0}) == "circuit_breaker.trip.count: must be 1 to 2147483647, got 0");
    CHECK(refusal(ConsecutiveFailures{2'147'483'648}) ==
          "circuit_breaker.trip.count: must be 1 to 2147483647, got 2147483648");
    CHECK(refusal(FailureRate{}) == "accepted");
    CHECK(refusal(FailureRate{.ratio = 1.0}) == "accepted");
    CHECK(refusal(FailureRate{.ratio = 0.0}) == "circuit_breaker.trip.ratio: must be > 0 and <= 1, got 0");
    CHECK(refusal(FailureRate{.ratio = 1.5}) == "circuit_breaker.trip.ratio: must be > 0 and <= 1, got 1.5");
    CHECK(refusal(FailureRate{.ratio = -0.5}) == "circuit_breaker.trip.ratio: must be > 0 and <= 1, got -0.5");
    CHECK(refusal(FailureRate{.ratio = std::numeric_limits<double>::quiet_NaN()}) ==
          "circuit_breaker.trip.ratio: must be > 0 and <= 1, got nan");
    CHECK(refusal(FailureRate{.minimum_calls = 0}) == "circuit_breaker.trip.minimum_calls: must be >= 1, got 0");
    CHECK(refusal(FailureRate{.window = CountWindow{0}}) ==
          "circuit_breaker.trip.window.size: must be 1 to 65536, got 0");
    CHECK(refusal(FailureRate{.window = CountWindow{65'537}}) ==
          "circuit_breaker.trip.window.size: must be 1 to 65536, got 65537");
    CHECK(refusal(FailureRate{.window = CountWindow{20}, .minimum_calls = 21}) ==
          "circuit_breaker.trip.minimum_calls: must be <= window.size, which is 20, got 21");
    CHECK(refusal(FailureRate{.window = CountWindow{20}, .minimum_calls = 20}) == "accepted");
    CHECK(refusal(FailureRate{.window = TimeWindow{.duration = -1s}}) ==
          "circuit_breaker.trip.window.duration: must be 1ms to 24h, got -1s");
    CHECK(refusal(FailureRate{.window = TimeWindow{.duration = 25h}}) ==
          "circuit_breaker.trip.window.duration: must be 1ms to 24h, got 25h");
    CHECK(refusal(FailureRate{.window = TimeWindow{.duration = 1s, .buckets = 0}}) ==
          "circuit_breaker.trip.window.buckets: must be 1 to 1024, got 0");
    CHECK(refusal(FailureRate{.window = TimeWindow{.duration = 1s, .buckets = 1'025}}) ==
          "circuit_breaker.trip.window.buckets: must be 1 to 1024, got 1025");
    CHECK(refusal(FailureRate{.window = TimeWindow{}, .minimum_calls = 1'000'000}) == "accepted");
    CHECK(refusal(AnyTrip{ConsecutiveFailures{0}}) == "circuit_breaker.trip.count: must be 1 to 2147483647, got 0");
    CHECK(refusal(AnyTrip{bw::never}) == "accepted");
}

TEST_CASE("a rule of the user's own drives a circuit") {
    using Machine = bw::CircuitMachine<AnyFailure>;
    const Machine::Options rules{};
    REQUIRE(validate(rules.trip, "trip"));
    auto state = Machine::make_state(rules);
    const auto ticket = Machine::apply(state, rules, Machine::Admit{}, start).ticket;
    CHECK_FALSE(Machine::apply(state, rules, Machine::Record{ticket, success}, start).transition());
    CHECK(Machine::apply(state, rules, Machine::Record{ticket, failure}, start).transition());
    CHECK_FALSE(Machine::apply(state, rules, Machine::Admit{}, start).admitted);
}
