#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry/budget.hpp>
#include <breakwater/store/fleet.hpp>

#include <catch_shim.hpp>
#include <fleet_world.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

using Limiter = bw::RateLimiter<bw::AnyAlgorithm, test::VirtualStore>;

struct Fleet {
    Fleet(std::size_t count, bw::AnyAlgorithm algorithm, bw::fleet::Options options = {}) {
        for (std::size_t i = 0; i < count; ++i) {
            processes.emplace_back(server, options);
            limiters.emplace_back(bw::RateLimiterOptions<>{.name = "api", .algorithm = algorithm}, processes.back());
        }
    }
    /// How many permits process `i` gets when it asks so often.
    int take(std::size_t i, int times) {
        int granted = 0;
        for (int n = 0; n < times; ++n) granted += limiters[i].try_acquire().has_value();
        return granted;
    }
    /// All ask in turn.
    int take_in_turn(int times) {
        int granted = 0;
        for (int n = 0; n < times; ++n)
            for (std::size_t i = 0; i < limiters.size(); ++i) granted += take(i, 1);
        return granted;
    }

    bw::testing::VirtualServer server;
    std::vector<test::FleetProcess> processes;
    std::vector<Limiter> limiters;
};

}  // namespace

TEST_CASE("processes share one limit exactly, a round trip for a permit") {
    Fleet fleet{4, bw::TokenBucket{.permits = 10, .period = 1s}};
    const auto before = fleet.server.commands();
    CHECK(fleet.take_in_turn(5) == 10);
    CHECK(fleet.server.commands() - before == 20);
    const auto refused = fleet.limiters[3].try_acquire();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().retry_after() == bw::Duration{100ms});
    CHECK(fleet.limiters[0].retry_after() == bw::Duration{100ms});
    fleet.server.advance(500ms);
    CHECK(fleet.take_in_turn(5) == 5);
    CHECK(fleet.limiters[2].snapshot().available == 0);
}

TEST_CASE("a limiter without a limit asks the server nothing") {
    Fleet fleet{2, bw::no_limit};
    const auto before = fleet.server.commands();
    CHECK(fleet.take_in_turn(100) == 200);
    CHECK(fleet.server.commands() == before);
}

TEST_CASE("leased permits cost a round trip for so many, and a window is never overdrawn") {
    Fleet fleet{2, bw::FixedWindow{.permits = 200, .window = 10s}, {.lease = 32}};
    const auto before = fleet.server.commands();
    CHECK(fleet.take(0, 64) == 64);
    CHECK(fleet.server.commands() - before == 2);
    CHECK(fleet.take(1, 500) == 136);
    CHECK(fleet.take(0, 10) == 0);
    fleet.server.advance(10s);  // a lease ends with its window
    CHECK(fleet.take(0, 1) == 1);
    fleet.server.advance(10s);
    CHECK(fleet.take(1, 500) == 200);
    CHECK(fleet.take(0, 500) == 0);
}

TEST_CASE("a lease leaves half of the burst to the others, and is one permit at the least") {
    Fleet fleet{4, bw::TokenBucket{.permits = 40, .period = 1s}, {.lease = 32}};
    const auto before = fleet.server.commands();
    CHECK(fleet.take(0, 5) == 5);
    CHECK(fleet.server.commands() - before == 1);
    CHECK(fleet.take(0, 1) == 1);
    CHECK(fleet.server.commands() - before == 2);
    Fleet small{4, bw::TokenBucket{.permits = 4, .period = 1s}, {.lease = 32}};
    CHECK(small.take_in_turn(1) == 4);
}

TEST_CASE("leased permits of a bucket that are not used go back when the lease ends") {
    Fleet fleet{1, bw::TokenBucket{.permits = 100, .period = 1h, .burst = 100}, {.lease = 50}};
    CHECK(fleet.take(0, 1) == 1);
    CHECK(fleet.limiters[0].snapshot().available == 50);
    fleet.server.advance(2s);
    CHECK(fleet.limiters[0].snapshot().available == 99);
}

TEST_CASE("leased permits go back however many leases there were before") {
    Fleet fleet{1, bw::TokenBucket{.permits = 100, .period = 1h, .burst = 100}, {.lease = 20}};
    CHECK(fleet.take(0, 20) == 20);
    fleet.server.advance(500ms);
    CHECK(fleet.take(0, 21) == 21);
    CHECK(fleet.limiters[0].snapshot().available == 40);
    fleet.server.advance(2s);
    CHECK(fleet.limiters[0].snapshot().available == 59);
}

TEST_CASE("the end of a lease takes nothing of the next one") {
    Fleet fleet{1, bw::TokenBucket{.permits = 8, .period = 8s}, {.lease = 4}};
    CHECK(fleet.take(0, 4) == 4);
    fleet.server.advance(500ms);
    CHECK(fleet.take(0, 1) == 1);
    fleet.server.advance(500ms);
    CHECK(fleet.take(0, 100) == 4);
}

TEST_CASE("a fleet below its limit uses its leases up: a round trip for so many permits, however many share") {
    for (const std::size_t processes : {1U, 2U, 4U, 8U, 16U}) {
        Fleet fleet{processes, bw::TokenBucket{.permits = 1'000, .period = 1s, .burst = 1'000}, {.lease = 32}};
        const auto before = fleet.server.commands();
        int granted = 0;
        std::size_t next = 0;
        for (int ms = 0; ms < 4'000; ++ms) {
            fleet.server.advance(1ms);
            if (ms % 10 != 0) granted += fleet.take(next++ % processes, 1);
        }
        INFO(processes << " processes, " << granted << " permits");
        CHECK(granted == 3'600);
        CHECK(static_cast<int>(fleet.server.commands() - before) <= granted / 25 + 32);
    }
}

TEST_CASE("a leased limiter that was refused does not ask again before the server has a permit") {
    Fleet fleet{1, bw::TokenBucket{.permits = 10, .period = 10s}, {.lease = 4}};
    CHECK(fleet.take(0, 100) == 10);
    const auto before = fleet.server.commands();
    CHECK(fleet.take(0, 100) == 0);
    CHECK(fleet.server.commands() == before);
    fleet.server.advance(1s);
    CHECK(fleet.take(0, 100) == 1);
}

TEST_CASE("what leases admit in any interval is at most what one limiter would, and the leases that were out") {
    // 3 processes, 20 permits of a bucket of 120 each: no interval sees more than 120 + rate × t + 3 × 20.
    Fleet fleet{3, bw::TokenBucket{.permits = 120, .period = 1s}, {.lease = 20}};
    std::vector<int> granted;
    for (int ms = 0; ms < 3'000; ms += 10) {
        granted.push_back(fleet.take_in_turn(2));
        fleet.server.advance(10ms);
    }
    for (std::size_t begin = 0; begin < granted.size(); ++begin) {
        int sum = 0;
        for (std::size_t end = begin; end < granted.size(); ++end) {
            sum += granted[end];
            CHECK(sum <= 120 + 60 + static_cast<int>(120 * (end - begin) / 100));
        }
    }
}

TEST_CASE("a pause asked of one process pauses all, at once, and ends its leases") {
    Fleet fleet{3, bw::TokenBucket{.permits = 600, .period = 1s}, {.lease = 32}};
    CHECK(fleet.take_in_turn(1) == 3);
    const auto commands = fleet.server.commands();
    CHECK(fleet.limiters[1].pause_for(5s) == bw::Duration{5s});
    CHECK(fleet.server.commands() - commands <= 4);
    const auto after = fleet.server.commands();
    CHECK(fleet.take_in_turn(10) == 0);
    CHECK(fleet.limiters[0].try_acquire().error().retry_after() == bw::Duration{5s});
    fleet.server.advance(5s);
    CHECK(fleet.take(0, 1) == 1);
    CHECK(fleet.server.commands() > after);  // of a lease made after the pause
}

TEST_CASE("what is left of a lease when a pause begins goes back to the fleet") {
    Fleet fleet{2, bw::TokenBucket{.permits = 100, .period = 1h, .burst = 100}, {.lease = 20}};
    CHECK(fleet.take(0, 1) == 1);
    CHECK(fleet.limiters[1].snapshot().available == 80);
    (void)fleet.limiters[1].pause_for(1ms);
    CHECK(fleet.take(0, 1) == 0);
    fleet.server.advance(1ms);
    CHECK(fleet.limiters[1].snapshot().available == 99);
}

TEST_CASE("a quota that a service tells one process is counted down by all together") {
    Fleet fleet{3, bw::TokenBucket{.permits = 600, .period = 1s}, {.lease = 32}};
    fleet.limiters[0].limit_to(5, 10s);
    CHECK(fleet.take_in_turn(10) == 5);
    fleet.server.advance(10s);
    CHECK(fleet.take_in_turn(1) == 3);
}

TEST_CASE("a quota holds for all where the fleet has no limit of its own") {
    Fleet fleet{3, bw::no_limit};
    fleet.limiters[0].limit_to(5, 10s);
    CHECK(fleet.take_in_turn(10) == 5);
    fleet.server.advance(10s);
    CHECK(fleet.take_in_turn(10) == 30);
}

TEST_CASE("permits given back are the fleet's again") {
    Fleet fleet{2, bw::FixedWindow{.permits = 4, .window = 10s}};
    CHECK(fleet.take_in_turn(3) == 4);
    fleet.limiters[0].give_back(2);
    CHECK(fleet.take(1, 5) == 2);
}

TEST_CASE("a reservation made in one process stands before all others' calls") {
    Fleet fleet{2, bw::TokenBucket{.permits = 1, .period = 1s}};
    CHECK(fleet.take(0, 1) == 1);
    auto reservation = fleet.limiters[0].reserve(1, 10s);
    REQUIRE(reservation);
    CHECK(fleet.limiters[1].retry_after() == bw::Duration{2s});
    CHECK(reservation->cancel());
    CHECK(fleet.limiters[1].retry_after() == bw::Duration{1s});
}

TEST_CASE("without the server each process spends its fair share, and all together the limit") {
    Fleet fleet{4, bw::TokenBucket{.permits = 40, .period = 1s}};
    fleet.server.stop();
    CHECK(fleet.take_in_turn(100) == 40);
    for (int s = 0; s < 10; ++s) {
        fleet.server.advance(1s);
        CHECK(fleet.take_in_turn(100) == 40);
    }
}

TEST_CASE("without the server reservations are of the fair share, too") {
    Fleet fleet{4, bw::TokenBucket{.permits = 4, .period = 4s}};
    fleet.server.stop();
    CHECK(fleet.take_in_turn(1) == 4);
    for (std::size_t i = 0; i < 4; ++i) {
        const auto reserved = fleet.limiters[i].reserve(1, 10s);
        REQUIRE(reserved);
        CHECK(reserved->ready_at() == fleet.server.clock().now() + 4s);
        CHECK_FALSE(fleet.limiters[i].reserve(1, 7s));
    }
}

TEST_CASE("a share that is less than one permit accrues over several windows") {
    Fleet fleet{10, bw::FixedWindow{.permits = 5, .window = 1s}};
    fleet.server.stop();
    int granted = fleet.take_in_turn(3);
    CHECK(granted == 10);  // one each, to begin with: the bound is limit + processes
    for (int s = 0; s < 20; ++s) {
        fleet.server.advance(1s);
        granted += fleet.take_in_turn(3);
    }
    CHECK(granted <= 10 + 5 * 20);
    CHECK(granted >= 5 * 20);
}

TEST_CASE("a single process loses nothing by an outage, and wins nothing") {
    Fleet fleet{1, bw::TokenBucket{.permits = 10, .period = 10s}};
    CHECK(fleet.take(0, 4) == 4);
    fleet.server.stop();
    CHECK(fleet.take(0, 100) == 6);
    fleet.server.advance(2s);
    CHECK(fleet.take(0, 100) == 2);
}

TEST_CASE("when the server is back there is no burst above the limit, even if it has forgotten everything") {
    for (const bool forgets : {false, true}) {
        Fleet fleet{4, bw::TokenBucket{.permits = 40, .period = 100s}};
        CHECK(fleet.take_in_turn(5) == 20);
        fleet.server.stop();
        const int alone = fleet.take_in_turn(100);
        CHECK(alone <= 40);
        if (forgets) fleet.server.forget();
        fleet.server.start();
        const int after = fleet.take_in_turn(100);
        CHECK(20 + alone + after <= 40 + 20);
    }
}

TEST_CASE("a pause made without the server is told to all when it is back") {
    Fleet fleet{2, bw::TokenBucket{.permits = 10, .period = 1s}};
    fleet.processes[0].link().cut_off();
    (void)fleet.limiters[0].pause_for(10s);
    CHECK(fleet.take(1, 1) == 1);
    fleet.server.advance(1s);
    fleet.processes[0].link().reconnect();
    CHECK(fleet.limiters[1].try_acquire().error().retry_after() == bw::Duration{9s});
}

TEST_CASE("a store that cannot be reached grants or refuses every permit if its option says so") {
    for (const auto on_failure : {bw::OnStoreFailure::open, bw::OnStoreFailure::closed}) {
        Fleet fleet{1, bw::TokenBucket{.permits = 1, .period = 1h}, {.on_store_failure = on_failure}};
        fleet.server.stop();
        for (int i = 0; i < 3; ++i) {
            const auto granted = fleet.limiters[0].try_acquire();
            CHECK(granted.has_value() == (on_failure == bw::OnStoreFailure::open));
            if (!granted) CHECK(granted.error().code() == bw::Errc::store_unavailable);
        }
    }
}

TEST_CASE("a retry budget is the fleet's") {
    bw::testing::VirtualServer server;
    using Budget = bw::RetryBudget<test::VirtualStore>;
    const bw::RetryBudgetOptions options{.name = "api", .ratio = 0.2, .floor_per_second = 0, .burst = 10};
    const Budget one{options, test::FleetProcess{server}};
    const Budget two{options, test::FleetProcess{server}};
    bw::Call call{server.clock()};
    for (int i = 0; i < 6; ++i) CHECK(one.take(call));
    CHECK(two.snapshot().available == 10);  // not told yet
    server.advance(60ms);
    for (int i = 0; i < 2; ++i) CHECK(two.take(call));
    server.advance(60ms);
    CHECK(two.snapshot().available == 2);
    server.stop();
    CHECK(two.take(call));
    CHECK(two.take(call));
    CHECK_FALSE(two.take(call));
    server.start();
    server.advance(60ms);
    CHECK_FALSE(two.take(call));
    for (int i = 0; i < 5; ++i) two.credit(call);
    server.advance(60ms);
    CHECK(two.take(call));
}
