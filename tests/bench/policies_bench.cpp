// The cost of the policies on MemoryStore, against one read of the steady clock in the same run.
#include <benchmark/benchmark.h>

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

std::atomic<std::int64_t> allocations{0};

/// Reports the allocations of the timed loop as a counter.
class CountAllocations {
public:
    explicit CountAllocations(benchmark::State& state) : state_{state}, before_{allocations.load()} {}
    ~CountAllocations() {
        const auto made = allocations.load() - before_;
        state_.counters["allocs"] = static_cast<double>(made) / static_cast<double>(state_.iterations());
    }

private:
    benchmark::State& state_;
    std::int64_t before_;
};

constexpr bw::TokenBucket plenty{.permits = 1'000'000'000, .period = 1s, .burst = 1'000'000'000};

template <bw::TripRule Trip>
auto stack(Trip trip) {
    return bw::Pipeline{bw::Deadline{2s}, bw::Retry{bw::RetryOptions<bw::FullJitter>{.max_retries = 3}},
                        bw::CircuitBreaker<Trip>{{.trip = std::move(trip)}}, bw::RateLimiter{plenty}};
}

template <class Guard>
void run(benchmark::State& state, const Guard& guard) {
    int n = 0;
    const CountAllocations count{state};
    for (auto _ : state) {
        auto result = guard.run([&] { return ++n; });
        benchmark::DoNotOptimize(result);
    }
}

void clock_read(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(std::chrono::steady_clock::now());
}
BENCHMARK(clock_read);

void guarded_no_op(benchmark::State& state) { run(state, stack(bw::ConsecutiveFailures{5})); }
BENCHMARK(guarded_no_op);

void stack_count_window(benchmark::State& state) { run(state, stack(bw::FailureRate{.window = bw::CountWindow{100}})); }
BENCHMARK(stack_count_window);

void stack_time_window(benchmark::State& state) { run(state, stack(bw::FailureRate{.window = bw::TimeWindow{10s}})); }
BENCHMARK(stack_time_window);

void breaker_closed(benchmark::State& state) {
    run(state, bw::Pipeline{bw::CircuitBreaker<bw::ConsecutiveFailures>{{}}});
}
BENCHMARK(breaker_closed);

void breaker_open(benchmark::State& state) {
    const bw::CircuitBreaker<bw::ConsecutiveFailures> breaker{{.name = "open", .trip = {1}, .recovery_timeout = 24h}};
    const bw::Pipeline guard{breaker};
    (void)guard.run([]() -> bw::Result<int> { return bw::fail(bw::Errc::failure); });
    run(state, guard);
}
BENCHMARK(breaker_open);

template <class Guard>
const Guard& shared(Guard (*make)()) {
    static const Guard guard = make();
    return guard;
}

void breaker_threads(benchmark::State& state) {
    run(state, shared(+[] { return bw::Pipeline{bw::CircuitBreaker<bw::ConsecutiveFailures>{{}}}; }));
}
BENCHMARK(breaker_threads)->Threads(1)->Threads(2)->UseRealTime();

void breaker_and_limiter_threads(benchmark::State& state) {
    run(state,
        shared(+[] { return bw::Pipeline{bw::CircuitBreaker<bw::ConsecutiveFailures>{{}}, bw::RateLimiter{plenty}}; }));
}
BENCHMARK(breaker_and_limiter_threads)->Threads(1)->Threads(2)->UseRealTime();

}  // namespace

void* operator new(std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

BENCHMARK_MAIN();
