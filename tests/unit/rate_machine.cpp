#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/retry/budget_machine.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include <cstdint>
#include <string_view>
#include <tuple>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

constexpr bw::Instant at(bw::Duration t) { return bw::Instant{t}; }

template <class A>
struct Limiter {
    using Machine = bw::RateMachine<A>;
    typename Machine::Options options;
    typename Machine::State state{};

    explicit constexpr Limiter(const A& algorithm) : options{algorithm.prepare()} {}
    constexpr auto lease(std::int64_t permits, bw::Instant now) {
        return Machine::apply(state, options, typename Machine::Lease{permits}, now);
    }
    constexpr std::int64_t available(bw::Instant now) const { return A::available(state, options.prepared, now); }
};

/// An algorithm of a user's that says nothing of leases.
struct TwoEver {
    using State = bw::LimiterState;
    struct Prepared {};
    constexpr Prepared prepare(bw::Duration = {}) const noexcept { return {}; }
    static constexpr bw::Grant take(State& s, const Prepared& p, std::int64_t n, bw::Instant now) noexcept {
        const bw::Grant grant = peek(s, p, n, now);
        return s.word += grant.granted ? static_cast<std::uint64_t>(n) : 0U, grant;
    }
    static constexpr bw::Grant peek(const State& s, const Prepared& p, std::int64_t n, bw::Instant now) noexcept {
        return n <= available(s, p, now) ? bw::Grant{.granted = true} : bw::Grant{.never = true};
    }
    static constexpr void pause(State&, const Prepared&, bw::Instant, bw::Instant) noexcept {}
    static constexpr void give_back(State& s, const Prepared&, std::int64_t n, bw::Instant) noexcept {
        s.word -= static_cast<std::uint64_t>(n);
    }
    static constexpr std::int64_t available(const State& s, const Prepared&, bw::Instant) noexcept {
        return 2 - static_cast<std::int64_t>(s.word);
    }
    [[maybe_unused]] friend bw::Result<void> validate(const TwoEver&, std::string_view) { return {}; }
};

}  // namespace

TEST_CASE("a lease takes what there is, up to what is asked for") {
    Limiter limiter{bw::TokenBucket{.permits = 10, .period = 1s}};
    auto leased = limiter.lease(4, at(5s));
    CHECK((leased.grant.granted && leased.permits == 4));
    leased = limiter.lease(100, at(5s));
    CHECK((leased.grant.granted && leased.permits == 6));
    CHECK(limiter.available(at(5s)) == 0);
}

TEST_CASE("a lease of nothing is refused as one permit is, and takes nothing") {
    Limiter limiter{bw::TokenBucket{.permits = 10, .period = 1s}};
    (void)limiter.lease(10, at(5s));
    const auto leased = limiter.lease(7, at(5s));
    CHECK(leased.grant == bw::Grant{.retry_after = 100ms});
    CHECK(leased.permits == 0);
    CHECK(limiter.lease(7, at(5s + 100ms)).permits == 1);
}

TEST_CASE("a lease is of at least one permit") {
    Limiter limiter{bw::FixedWindow{.permits = 10}};
    CHECK(limiter.lease(0, at(5s)).permits == 1);
    CHECK(limiter.lease(-3, at(5s)).permits == 1);
}

TEST_CASE("a lease of a window's permits ends with the window") {
    Limiter fixed{bw::FixedWindow{.permits = 10, .window = 1s}};
    CHECK(fixed.lease(3, at(5'250ms)).until == at(6s));
    CHECK(fixed.lease(3, at(6s)).until == at(7s));
    Limiter sliding{bw::SlidingWindow{.permits = 10, .window = 1s}};
    CHECK(sliding.lease(3, at(5'250ms)).until == at(6s));
}

TEST_CASE("a lease of a bucket's permits lasts as long as they take to come back, 1 ms to 1 s") {
    Limiter limiter{bw::TokenBucket{.permits = 100, .period = 1s, .burst = 1'000}};
    CHECK(limiter.lease(5, at(5s)).until == at(5s + 50ms));
    CHECK(limiter.lease(500, at(5s)).until == at(6s));
    Limiter fast{bw::TokenBucket{.permits = 3'000'000, .period = 1s}};
    CHECK(fast.lease(5, at(5s)).until == at(5s + 1ms));
    CHECK(fast.lease(3'001, at(5s)).until == at(5s + 1'001us));
}

TEST_CASE("where an algorithm does not say how long a lease lasts, it is 100 ms") {
    Limiter limiter{TwoEver{}};
    const auto leased = limiter.lease(5, at(5s));
    CHECK((leased.permits == 2 && leased.until == at(5s + 100ms)));
    CHECK(limiter.lease(5, at(5s)).grant.never);
}

TEST_CASE("a limiter that is off leases whatever is asked for") {
    Limiter limiter{bw::AnyAlgorithm{}};
    const auto leased = limiter.lease(1'000, at(5s));
    CHECK((leased.permits == 1'000 && leased.until == at(6s)));
}

TEST_CASE("a lease ends at the end of the window of now, whatever algorithm was chosen at run time") {
    Limiter limiter{bw::AnyAlgorithm{bw::FixedWindow{.permits = 10, .window = 2s}}};
    CHECK(limiter.lease(3, at(5s)).until == at(6s));
}

TEST_CASE("taken together, a lease goes back if a later step refuses, and steps after a pause are not made") {
    bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    using Rate = bw::RateMachine<bw::TokenBucket>;
    using Pause = bw::PauseMachine;
    using Budget = bw::RetryBudgetMachine;
    const Rate::Options bucket{bw::TokenBucket{.permits = 10, .period = 1s}.prepare(), "b"};
    const Pause::Options pause;
    const Budget::Options rates{.per_call = 200, .per_millisecond = 1, .burst = 1'000};
    const auto permits = store.cell<Rate>("rate", "a", bucket);
    const auto paused = store.cell<Pause>("pause", "a", pause);
    const auto budget = store.cell<Budget>("budget", "a", rates);
    const auto together = [&] {
        bw::LazyNow now{clock};
        return store.apply(now, bw::Step{*budget, rates, Budget::Take{}}, bw::Step{*permits, bucket, Rate::Lease{4}},
                           bw::Step{*paused, pause, Pause::Check{}});
    };
    const auto free = [&] { return bw::TokenBucket::available(store.peek(*permits), bucket.prepared, clock.now()); };
    const auto left = [&] { return Budget::available(store.peek(*budget), rates, clock.now()); };

    bw::LazyNow now{clock};
    store.apply(bw::Step{*paused, pause, Pause::Extend{clock.now() + 10s}}, now);
    auto decided = together();
    CHECK(std::get<2>(decided) == 10s);
    CHECK((free() == 10 && left() == 1));

    clock.advance(10s);
    decided = together();
    CHECK((std::get<1>(decided)->permits == 4 && std::get<2>(decided) == 0s));
    CHECK((free() == 6 && left() == 0));

    decided = together();
    CHECK_FALSE(std::get<0>(decided)->granted);
    CHECK_FALSE(std::get<1>(decided));
    CHECK(free() == 6);
}
