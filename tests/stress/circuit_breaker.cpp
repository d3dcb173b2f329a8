#include <breakwater/circuit_breaker.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

template <class F>
void on_threads(unsigned count, F work) {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
}

using Store = bw::MemoryStore<bw::ManualClock>;

}  // namespace

TEST_CASE("a half-open circuit admits exactly its probes, however many threads ask") {
    bw::ManualClock clock;
    const bw::CircuitBreaker<bw::ConsecutiveFailures, Store> breaker{
        {.trip = {1}, .recovery_timeout = 1s, .half_open_probes = 3, .success_threshold = 3}, Store{clock}};
    for (int round = 0; round < 200; ++round) {
        breaker.try_acquire().value().record(bw::Outcome::failure);
        clock.advance(1s);
        std::atomic<int> admitted{0};
        std::atomic<bool> over{false};
        std::vector<bw::CircuitBreaker<bw::ConsecutiveFailures, Store>::Permit> held[4];
        on_threads(4, [&](unsigned i) {
            for (int n = 0; n < 200; ++n) {
                auto permit = breaker.try_acquire();
                if (!permit) continue;
                if (!permit->is_probe()) over = true;
                ++admitted;
                held[i].push_back(*std::move(permit));
            }
        });
        REQUIRE(admitted == 3);
        REQUIRE_FALSE(over);
        for (auto& permits : held)
            for (auto& permit : permits) permit.record(bw::Outcome::success);
        REQUIRE(breaker.state() == bw::CircuitState::closed);
    }
}

TEST_CASE("no probe slot is lost in a million random admissions, verdicts and drops") {
    bw::ManualClock clock;
    const bw::CircuitBreaker<bw::FailureRate, Store> breaker{
        {.trip = {.window = bw::CountWindow{20}}, .recovery_timeout = 1ms, .half_open_probes = 4}, Store{clock}};
    std::atomic<int> probes{0};
    std::atomic<bool> too_many{false};
    on_threads(4, [&](unsigned i) {
        std::uint64_t random = i + 1;
        for (int n = 0; n < 250'000; ++n) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            const auto draw = random >> 60;
            if (n % 64 == 0) clock.advance(1ms);
            auto permit = breaker.try_acquire();
            if (!permit) continue;
            if (permit->is_probe()) {
                // Counted after admission and before the verdict: never more than there are, if no slot is lent twice.
                if (++probes > 4) too_many = true;
                --probes;
            }
            if (draw < 6)
                permit->record(bw::Outcome::success);
            else if (draw < 12)
                permit->record(bw::Outcome::failure);
            // else dropped
        }
    });
    REQUIRE_FALSE(too_many);
    REQUIRE(breaker.snapshot().probes_in_flight == 0);
    clock.advance(1h);
    auto permit = breaker.try_acquire();
    REQUIRE(permit);
    permit->record(bw::Outcome::success);
    REQUIRE(breaker.state() == bw::CircuitState::closed);
}
