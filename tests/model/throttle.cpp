#include <breakwater/random.hpp>
#include <breakwater/throttle/machine.hpp>

#include <catch_shim.hpp>

#include "seed.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

// The throttle's window against a list of every request, and what it sends to a service that accepts a number of
// requests in each second and refuses the rest.

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Duration;
using bw::Instant;
using Machine = bw::ThrottleMachine;

namespace {

struct Request {
    std::int64_t slice;
    bool accepted;
};

/// A client that makes its calls evenly, and a service that accepts the first so many of a second.
class World {
public:
    explicit World(std::uint64_t seed, Machine::Options options = {})
        : options_{options}, state_{Machine::make_state(options)}, random_{seed} {}

    /// Returns how many were sent for each that was accepted, in `seconds` of `calls` each.
    double run(int seconds, int calls, int accepts) {
        int sent = 0, accepted = 0;
        for (int second = 0; second < seconds; ++second) {
            int room = accepts;
            for (int i = 0; i < calls; ++i, now_ += Duration{1'000'000 / calls}) {
                if (!Machine::apply(state_, options_, Machine::Admit{random_()}, now_).admitted) continue;
                const bool is_accepted = room-- > 0;
                ++sent;
                accepted += is_accepted;
                Machine::apply(state_, options_, Machine::Record{is_accepted}, now_);
            }
        }
        return static_cast<double>(sent) / std::max(accepted, 1);
    }
    double probability() const { return Machine::refusal_probability(state_, options_, now_); }

private:
    const Machine::Options options_;
    Machine::State state_;
    bw::Random random_;
    Instant now_{1h};
};

}  // namespace

TEST_CASE("the probability is that of the requests in the window, to the last of them") {
    const auto seed = test::seed();
    CAPTURE(seed);
    bw::Random random{seed};
    const auto upto = [&](std::uint64_t most) { return bw::uniform(random(), most); };
    int wrong = 0;
    for (int story = 0; story < 40; ++story) {
        const Machine::Options options{
            .accepts_multiplier = 1.0 + static_cast<double>(upto(30)) / 10,
            .max_probability = upto(1) == 0 ? 1.0 : 0.7,
            .minimum_requests = static_cast<std::uint32_t>(upto(20)),
            .window = {.duration = Duration{1'000'000}, .buckets = static_cast<std::uint32_t>(1 + upto(40))}};
        const std::int64_t slice = 1'000'000 / options.window.buckets;
        Machine::State state = Machine::make_state(options);
        std::vector<Request> all;
        std::int64_t at = 3'600'000'000;
        for (int step = 0; step < 600; ++step) {
            at += static_cast<std::int64_t>(upto(upto(50) == 0 ? 2'000'000 : 10'000));
            const Instant now{Duration{at}};
            double requests = 0, accepts = 0;
            for (const Request& one : all) {
                if (at / slice - one.slice >= options.window.buckets) continue;
                requests += 1;
                accepts += one.accepted;
            }
            double expected = (requests - options.accepts_multiplier * accepts) / (requests + 1);
            expected = requests < options.minimum_requests ? 0 : std::clamp(expected, 0.0, options.max_probability);
            wrong += Machine::refusal_probability(state, options, now) != expected;

            const std::uint64_t draw = random();
            Machine::Admission glanced, asked;
            const bool is_glanced = Machine::glance(Machine::summary(state, options), Machine::Admit{draw}, glanced);
            wrong += is_glanced && expected != 0;
            asked = Machine::apply(state, options, Machine::Admit{draw}, now);
            wrong += asked.probability != expected;
            wrong += asked.admitted != (static_cast<double>(draw >> 11) * 0x1p-53 >= expected);
            wrong += is_glanced && !asked.admitted;
            if (asked.admitted && upto(9) == 0) continue;  // neutral
            const bool accepted = asked.admitted && upto(3) > 0;
            if (asked.admitted) Machine::apply(state, options, Machine::Record{accepted}, now);
            all.push_back({at / slice, accepted});
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("an overloaded service is sent K times what it accepts, however many calls are made") {
    for (const double k : {1.5, 2.0}) {
        for (const int times : {2, 3, 5, 10}) {
            CAPTURE(k, times);
            World world{7, {.accepts_multiplier = k}};
            world.run(240, 20 * times, 20);
            const double ratio = world.run(120, 20 * times, 20);
            CHECK(ratio >= k * 0.95);
            CHECK(ratio <= k * 1.05);
        }
    }
}

TEST_CASE("a service that can take all calls is never refused one") {
    World world{7};
    CHECK(world.run(300, 20, 20) == 1.0);
    CHECK(world.probability() == 0);
}

TEST_CASE("refusals end within a window of an overload's end, and within two of an outage's") {
    for (const int accepted_before : {33, 20, 13}) {
        CAPTURE(accepted_before);
        World world{7};
        world.run(360, 100, accepted_before);
        CHECK(world.probability() > 0.2);
        world.run(120, 100, 100);
        CHECK(world.probability() == 0);
    }
    World down{7};
    down.run(360, 100, 0);
    CHECK(down.probability() == 0.9);
    down.run(228, 100, 100);
    CHECK(down.probability() == 0);
}

TEST_CASE("without a ceiling a service that was down for long is hardly asked any more, for many windows") {
    World world{7, {.max_probability = 1.0}};
    world.run(360, 100, 0);
    world.run(360, 100, 100);
    CHECK(world.probability() > 0.9);
}
