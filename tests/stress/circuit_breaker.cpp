#include <breakwater/circuit_breaker.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <latch>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

constexpr unsigned thread_count = 4;

/// The ticket of this thread's latest admission. A permit keeps its own to itself.
thread_local bw::CircuitTicket latest_ticket;

/// A memory store that notes the tickets it hands out, and lets others run where options change.
struct WitnessStore : bw::MemoryStore<bw::ManualClock> {
    using MemoryStore::MemoryStore;

    template <class Cell, class Command, class Now>
    auto apply(const bw::Step<Cell, Command>& step, Now& now) const noexcept {
        const auto decision = MemoryStore::apply(step, now);
        if constexpr (requires { latest_ticket = decision.ticket; }) latest_ticket = decision.ticket;
        if constexpr (requires { step.command.counted; }) std::this_thread::yield();  // amid a reconfiguration
        return decision;
    }
};

template <class Trip>
using Breaker = bw::CircuitBreaker<Trip, WitnessStore>;

bool has_duplicates(std::vector<std::uint64_t> values) {
    std::ranges::sort(values);
    return std::ranges::adjacent_find(values) != values.end();
}

/// How many probe permits of the newest generation are held. Those of earlier ones hold no slot any more.
class HeldProbes {
public:
    /// Call after the admission. Returns how many are held now.
    std::uint64_t add(std::uint64_t generation) {
        std::uint64_t before = word_.load();
        for (;;) {
            if (before >> 8 > generation) return 0;
            const std::uint64_t after = before >> 8 < generation ? (generation << 8 | 1) : before + 1;
            if (word_.compare_exchange_weak(before, after)) return after & 0xff;
        }
    }
    /// Call before the verdict: so no probe is counted longer than it is held.
    void remove(std::uint64_t generation) {
        std::uint64_t before = word_.load();
        while (before >> 8 == generation && !word_.compare_exchange_weak(before, before - 1)) {
        }
    }

private:
    std::atomic<std::uint64_t> word_{0};  // generation << 8 | count
};

void admits_exactly(std::uint32_t probes) {
    CAPTURE(probes);
    constexpr int rounds = 2'000;
    constexpr int asks = 8;
    using Permit = Breaker<bw::ConsecutiveFailures>::Permit;
    const bw::ManualClock clock;
    const WitnessStore store{clock};
    std::optional<Breaker<bw::ConsecutiveFailures>> breaker;
    std::array<std::vector<Permit>, thread_count> permits;
    std::array<std::vector<std::uint64_t>, thread_count> tokens;
    std::barrier together{std::ptrdiff_t{thread_count + 1}};

    int miscounted = 0, not_probes = 0, doubled = 0, not_in_flight = 0, late = 0, not_closed = 0;
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < thread_count; ++i) {
            threads.emplace_back([&, i] {
                for (int round = 0; round < rounds; ++round) {
                    together.arrive_and_wait();
                    for (int ask = 0; ask < asks; ++ask) {
                        auto permit = breaker->try_acquire();
                        if (!permit) continue;
                        tokens[i].push_back(latest_ticket.token);
                        permits[i].push_back(*std::move(permit));
                    }
                    together.arrive_and_wait();
                }
            });
        }
        bool sound = false;
        for (int round = 0; round < rounds; ++round) {
            if (!sound) {
                breaker.emplace(
                    bw::CircuitBreakerOptions<bw::ConsecutiveFailures>{
                        .trip = {1}, .recovery_timeout = 1s, .half_open_probes = probes, .success_threshold = probes},
                    store);
            }
            breaker->try_acquire().value().record(bw::Outcome::failure);
            clock.advance(1s);
            together.arrive_and_wait();  // the threads ask
            together.arrive_and_wait();
            std::vector<std::uint64_t> all;
            for (const auto& own : tokens) all.insert(all.end(), own.begin(), own.end());
            const bool counted = all.size() == probes;
            miscounted += !counted;
            doubled += has_duplicates(all);
            not_in_flight += breaker->snapshot().probes_in_flight != probes;
            for (auto& own : permits) {
                for (auto& permit : own) {
                    not_probes += !permit.is_probe();
                    permit.record(bw::Outcome::success);
                }
                own.clear();
            }
            for (auto& own : tokens) own.clear();
            const auto seen = breaker->snapshot();
            late += seen.late_results != 0;
            not_closed += seen.state != bw::CircuitState::closed;
            sound = counted && seen.late_results == 0 && seen.state == bw::CircuitState::closed;
        }
    }
    CHECK(miscounted == 0);
    CHECK(not_probes == 0);
    CHECK(doubled == 0);
    CHECK(not_in_flight == 0);
    CHECK(late == 0);
    CHECK(not_closed == 0);
}

/// With two rules, two threads go on from one to the other all the time.
template <class Trip>
void conserves_permits(Trip trip, std::optional<Trip> other = {}) {
    constexpr int steps = 250'000;  // of each thread
    constexpr std::uint32_t probes = 3;
    constexpr std::uint32_t threshold = 5;
    using Permit = typename Breaker<Trip>::Permit;
    struct Held {
        Permit permit;
        bw::CircuitTicket ticket;
    };
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    const bw::ManualClock clock;
    const auto options = [](const Trip& rule) {
        return bw::CircuitBreakerOptions<Trip>{.trip = rule,
                                               .recovery_timeout = 1ms,
                                               .half_open_probes = probes,
                                               .success_threshold = threshold,
                                               .probe_lease = 24h};  // the clock does not get that far
    };
    const Breaker<Trip> breaker{options(trip), WitnessStore{clock}};
    HeldProbes held_probes;
    std::atomic<std::uint64_t> most{0};
    std::atomic<int> closed{0}, opened{0};
    std::array<std::vector<std::uint64_t>, thread_count> tokens;
    std::latch start{std::ptrdiff_t{thread_count}};
    const auto work = [&](unsigned i) {
        std::mt19937_64 random{seed + std::uint64_t{i}};
        std::vector<Held> held;
        const auto end = [&](std::size_t at, std::optional<bw::Outcome> outcome) {
            Held ending = std::move(held[at]);
            if (at + 1 < held.size()) held[at] = std::move(held.back());
            held.pop_back();
            if (ending.ticket.is_probe()) held_probes.remove(ending.ticket.generation);
            if (!outcome) return;
            if (const auto transition = ending.permit.record(*outcome)) {
                ++(transition->to == bw::CircuitState::open ? opened : closed);
            }
        };
        start.arrive_and_wait();
        for (int step = 0; step < steps; ++step) {
            const std::uint64_t draw = random();
            // Often enough that permits outlive their generation.
            if (i == 0 && step % 2 == 0) clock.advance(bw::Duration{static_cast<std::int64_t>((draw >> 40) % 2'000)});
            if (other && i < 2 && step % 512 == 0) {
                if (!breaker.reconfigure(options(step % 1024 == 0 ? *other : trip))) std::abort();
            }
            const auto action = draw % 16;
            if (held.empty() || (action < 8 && held.size() < 4)) {
                auto permit = breaker.try_acquire();
                if (!permit) continue;
                const bw::CircuitTicket ticket = latest_ticket;
                if (ticket.is_probe()) {
                    tokens[i].push_back(ticket.token);
                    const std::uint64_t now_held = held_probes.add(ticket.generation);
                    std::uint64_t known = most.load();
                    while (known < now_held && !most.compare_exchange_weak(known, now_held)) {
                    }
                }
                held.push_back({*std::move(permit), ticket});
                continue;
            }
            const std::size_t at = (draw >> 8) % held.size();
            if (action < 12)
                end(at, bw::Outcome::success);
            else if (action < 14)
                end(at, bw::Outcome::failure);
            else if (action < 15)
                end(at, bw::Outcome::neutral);
            else
                end(at, std::nullopt);
        }
        while (!held.empty()) end(0, std::nullopt);
    };
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < thread_count; ++i) threads.emplace_back([&work, i] { work(i); });
    }
    std::vector<std::uint64_t> lent;
    for (const auto& own : tokens) lent.insert(lent.end(), own.begin(), own.end());
    CHECK(most == probes);  // reached, never exceeded
    CHECK_FALSE(has_duplicates(lent));
    CHECK(lent.size() > 1'000);
    CHECK(opened > 100);
    CHECK(closed > 10);

    CHECK(breaker.snapshot().probes_in_flight == 0);
    for (int n = 0; n < 100 && breaker.state() == bw::CircuitState::closed; ++n) {
        if (auto permit = breaker.try_acquire()) permit->record(bw::Outcome::failure);
    }
    CHECK(breaker.state() != bw::CircuitState::closed);
    clock.advance(1s);
    for (std::uint32_t n = 0; n < threshold && breaker.state() != bw::CircuitState::closed; ++n) {
        auto permit = breaker.try_acquire();
        CHECK(permit);
        if (permit) permit->record(bw::Outcome::success);
    }
    CHECK(breaker.state() == bw::CircuitState::closed);
    CHECK(breaker.snapshot().probes_in_flight == 0);
}

}  // namespace

TEST_CASE("a half-open circuit admits exactly its probes, however many threads ask") {
    admits_exactly(1);
    admits_exactly(3);
}

TEST_CASE("no probe slot is lost in a million random admissions, verdicts and drops") {
    conserves_permits(bw::ConsecutiveFailures{3});
}

TEST_CASE("no probe slot is lost when a failure rate trips the circuit") {
    conserves_permits(bw::FailureRate{.ratio = 0.3, .window = bw::CountWindow{20}});
}

TEST_CASE("no probe slot is lost when calls are timed, and the options change under them") {
    const bw::FailureRate plain{.ratio = 0.3, .window = bw::CountWindow{20}};
    bw::FailureRate timed{.ratio = 0.4, .window = bw::CountWindow{50}};
    timed.slow_call.duration = 5ms;
    conserves_permits(plain, std::optional{timed});
}

TEST_CASE("a circuit whose options two threads change at once counts by those that were set last") {
    const bw::AnyTrip streak{bw::ConsecutiveFailures{3}};
    const bw::AnyTrip rate{bw::FailureRate{.ratio = 0.5, .window = bw::CountWindow{10}, .minimum_calls = 3}};
    const Breaker<bw::AnyTrip> breaker{{.trip = streak}, WitnessStore{bw::ManualClock{}}};
    int deaf = 0;
    const auto check = [&]() noexcept {
        for (int n = 0; n < 3; ++n) breaker.try_acquire().value().record(bw::Outcome::failure);
        deaf += breaker.state() != bw::CircuitState::open;
        breaker.reset();
    };
    std::barrier together{2, check};
    const auto change = [&](const bw::AnyTrip& trip) {
        for (int round = 0; round < 10'000; ++round) {
            if (!breaker.reconfigure({.trip = trip})) std::abort();
            together.arrive_and_wait();
        }
    };
    {
        const std::jthread one{[&] { change(streak); }};
        const std::jthread two{[&] { change(rate); }};
    }
    CHECK(deaf == 0);
}
