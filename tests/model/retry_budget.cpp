#include <breakwater/random.hpp>
#include <breakwater/retry/budget_machine.hpp>
#include <catch_shim.hpp>

#include "seed.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

// The retry budget against the bound it promises, which knows nothing of how it works: over random calls, retries and
// times, in every interval between two retries.

namespace bw = breakwater;
using namespace std::chrono_literals;
using Machine = bw::RetryBudgetMachine;

TEST_CASE("in no interval are there more retries than burst, floor and calls allow") {
    const auto seed = test::seed();
    CAPTURE(seed);
    bw::Random random{seed};
    const auto upto = [&](std::uint64_t most) { return static_cast<std::int64_t>(bw::uniform(random(), most)); };
    for (int story = 0; story < 300; ++story) {
        const Machine::Options rates{.per_call = 1 + upto(999),
                                     .per_millisecond = upto(1) * upto(50),
                                     .burst = (1 + upto(30)) * Machine::permit};
        Machine::State state;
        std::int64_t now = 1'000'000 + upto(1'000'000'000);
        struct Granted {
            std::int64_t at, calls;
        };
        std::vector<Granted> granted;
        std::int64_t calls = 0;
        for (int step = 0; step < 1'500; ++step) {
            now += upto(3) == 0 ? upto(20'000) : 0;
            const bw::Instant at{bw::Duration{now}};
            if (upto(2) == 0) {
                Machine::apply(state, rates, Machine::Credit{}, at);
                ++calls;
            } else if (Machine::apply(state, rates, Machine::Take{}, at).granted) {
                granted.push_back({now, calls});
            }
        }
        bool kept = true;
        for (std::size_t from = 0; from < granted.size(); ++from) {
            for (std::size_t to = from; to < granted.size(); ++to) {
                const auto taken = static_cast<std::int64_t>(to - from + 1) * Machine::permit;
                const std::int64_t ms = (granted[to].at - granted[from].at) / 1'000 + 1;
                kept = kept && taken <= rates.burst + rates.per_millisecond * ms +
                                            rates.per_call * (granted[to].calls - granted[from].calls);
            }
        }
        CHECK(kept);
    }
}

TEST_CASE("the budget grants what an unpacked model of it grants, also when the clock steps back a little") {
    const auto seed = test::seed();
    CAPTURE(seed);
    bw::Random random{seed};
    const auto upto = [&](std::uint64_t most) { return static_cast<std::int64_t>(bw::uniform(random(), most)); };
    bool same = true;
    for (int story = 0; story < 200; ++story) {
        const Machine::Options rates{
            .per_call = 1 + upto(999), .per_millisecond = upto(20), .burst = (1 + upto(20)) * Machine::permit};
        Machine::State state;
        std::int64_t spent = 0, as_of = 0, now = 1'000'000;
        for (int step = 0; step < 3'000; ++step) {
            now += upto(40) == 0 ? -upto(50) : upto(30);
            const bw::Instant at{std::chrono::milliseconds{now}};
            if (spent == 0) as_of = now;
            if (now > as_of) {
                spent = std::max<std::int64_t>(0, spent - (now - as_of) * rates.per_millisecond);
                as_of = now;
            }
            const auto command = upto(6);
            if (command < 3) {
                const bool fits = spent + Machine::permit <= rates.burst;
                if (fits) spent += Machine::permit;
                same = same && Machine::apply(state, rates, Machine::Take{}, at).granted == fits;
            } else {
                const bool is_call = command < 6;
                spent = std::max<std::int64_t>(0, spent - (is_call ? rates.per_call : Machine::permit));
                if (is_call)
                    Machine::apply(state, rates, Machine::Credit{}, at);
                else
                    Machine::apply(state, rates, Machine::GiveBack{}, at);
            }
            same = same && Machine::available(state, rates, at) == (rates.burst - spent) / Machine::permit;
        }
    }
    CHECK(same);
}
