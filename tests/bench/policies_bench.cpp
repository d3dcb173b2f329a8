// The cost of the policies on MemoryStore, against one read of the steady clock in the same run.
#include "bare_loops.hpp"
#include "figure.hpp"
#include "least_time_reporter.hpp"

#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/observe/metrics.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/tick_clock.hpp>

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

thread_local std::int64_t allocations = 0;
std::atomic<std::int64_t> timed_allocations{0};

/// Adds this thread's allocations in the timed loop to `timed_allocations`.
class CountAllocations {
public:
    CountAllocations() = default;
    ~CountAllocations() { timed_allocations += allocations - before_; }
    CountAllocations(const CountAllocations&) = delete;
    CountAllocations& operator=(const CountAllocations&) = delete;

private:
    const std::int64_t before_ = allocations;
};

constexpr bw::TokenBucket plenty{.permits = 1'000'000'000, .period = 1s, .burst = 1'000'000'000};

template <bw::TripRule Trip>
auto stack(Trip trip) {
    return bw::Pipeline{bw::Deadline{2s}, bw::Retry{bw::RetryOptions<bw::FullJitter>{.max_retries = 3}},
                        bw::CircuitBreaker<Trip>{{.trip = std::move(trip)}}, bw::RateLimiter{plenty}};
}

/// The same by another clock.
template <bw::Clock C>
auto stack_by(const C& clock) {
    const bw::MemoryStore store{clock};
    return bw::Pipeline{bw::Deadline{2s}, bw::Retry{bw::RetryOptions<bw::FullJitter>{.max_retries = 3}},
                        bw::CircuitBreaker<bw::ConsecutiveFailures, bw::MemoryStore<C>>{{}, store},
                        bw::RateLimiter<bw::TokenBucket, bw::MemoryStore<C>>{{.algorithm = plenty}, store}};
}

template <class Guard>
void run(benchmark::State& state, const Guard& guard) {
    int n = 0;
    const CountAllocations count;
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

/// Of which nobody is told.
void guarded_unobserved(benchmark::State& state) {
    run(state, bw::Pipeline{bw::Observe{bw::Observer{}, "ledger"}, bw::Deadline{2s},
                            bw::Retry{bw::RetryOptions<bw::FullJitter>{.max_retries = 3}},
                            bw::CircuitBreaker<bw::ConsecutiveFailures>{{}}, bw::RateLimiter{plenty}});
}
BENCHMARK(guarded_unobserved);

void tick_clock_read(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(bw::TickClock{}.now());
}
BENCHMARK(tick_clock_read);

void guarded_by_ticks(benchmark::State& state) { run(state, stack_by(bw::TickClock{})); }
BENCHMARK(guarded_by_ticks);

void guarded_with_bulkhead(benchmark::State& state) {
    run(state,
        bw::Pipeline{bw::Deadline{2s}, bw::Retry{bw::RetryOptions<bw::FullJitter>{.max_retries = 3}},
                     bw::CircuitBreaker<bw::ConsecutiveFailures>{{}}, bw::Bulkhead{{}}, bw::RateLimiter{plenty}});
}
BENCHMARK(guarded_with_bulkhead);

void guarded_with_budget(benchmark::State& state) {
    run(state, bw::Pipeline{
                   bw::Deadline{2s},
                   bw::Retry<bw::FullJitter, bw::AnyValue, bw::RetryBudget<>>{{.max_retries = 3}, bw::RetryBudget<>{}},
                   bw::CircuitBreaker<bw::ConsecutiveFailures>{{}}, bw::RateLimiter{plenty}});
}
BENCHMARK(guarded_with_budget);

void guarded_with_metrics(benchmark::State& state) {
    const bw::Pipeline guard{bw::Observe{bw::Metrics{}, "bench"}, bw::Deadline{2s},
                             bw::Retry{bw::RetryOptions<bw::FullJitter>{.max_retries = 3}},
                             bw::CircuitBreaker<bw::ConsecutiveFailures>{{}}, bw::RateLimiter{plenty}};
    (void)guard.run([] { return 0; });  // makes the series
    run(state, guard);
}
BENCHMARK(guarded_with_metrics);

void stack_count_window(benchmark::State& state) { run(state, stack(bw::FailureRate{.window = bw::CountWindow{100}})); }
BENCHMARK(stack_count_window);

void stack_time_window(benchmark::State& state) { run(state, stack(bw::FailureRate{.window = bw::TimeWindow{10s}})); }
BENCHMARK(stack_time_window);

void breaker_closed(benchmark::State& state) {
    run(state, bw::Pipeline{bw::CircuitBreaker<bw::ConsecutiveFailures>{{}}});
}
BENCHMARK(breaker_closed);

std::atomic<std::int64_t> task_allocations{0};
std::atomic<std::int64_t> tasks{0};

template <class Guard>
bw::Task<> run_async(benchmark::State& state, Guard guard) {
    int n = 0;
    const std::int64_t before = allocations;
    for (auto _ : state) {
        auto call = guard.run_async([&]() -> bw::Task<int> { co_return ++n; });
        auto result = co_await call;
        benchmark::DoNotOptimize(result);
    }
    task_allocations += allocations - before;
    tasks += static_cast<std::int64_t>(state.iterations());
}
void asynchronous_no_op(benchmark::State& state) { bw::sync_wait(run_async(state, stack(bw::ConsecutiveFailures{5}))); }
BENCHMARK(asynchronous_no_op);

template <bw::Clock C>
void refuse(benchmark::State& state, const C& clock) {
    const bw::CircuitBreaker<bw::ConsecutiveFailures, bw::MemoryStore<C>> breaker{
        {.name = "open", .trip = {1}, .recovery_timeout = 24h}, bw::MemoryStore{clock}};
    const bw::Pipeline guard{breaker};
    (void)guard.run([]() -> bw::Result<int> { return bw::fail(bw::Errc::failure); });
    run(state, guard);
}
void breaker_open(benchmark::State& state) { refuse(state, bw::SteadyClock{}); }
BENCHMARK(breaker_open);
void breaker_open_by_ticks(benchmark::State& state) { refuse(state, bw::TickClock{}); }
BENCHMARK(breaker_open_by_ticks);

BENCHMARK(bw::bench::bare_no_op<bw::bench::steady_micros>)->Name("bare_no_op");
BENCHMARK(bw::bench::bare_no_op<bw::bench::unordered_micros>)->Name("bare_no_op_unordered");
BENCHMARK(bw::bench::bare_refusal<bw::bench::steady_micros>)->Name("bare_refusal");
BENCHMARK(bw::bench::bare_refusal<bw::bench::unordered_micros>)->Name("bare_refusal_unordered");

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

/// The time of one benchmark over the time of another.
struct Ratio {
    const char* what;
    const char* reach;
    const char* time;
    const char* over;
};

constexpr Ratio ratios[] = {
    {"guarded no-op, in clock reads", "<= 1.4", "guarded_no_op", "clock_read"},
    {"bare loop in place of the no-op, in clock reads", "", "bare_no_op", "clock_read"},
    {"guarded no-op with an empty observer, in ones without", "<= 1.05", "guarded_unobserved", "guarded_no_op"},
    {"one TickClock reading, in clock reads", "", "tick_clock_read", "clock_read"},
    {"guarded no-op by TickClock, in clock reads", "<= 0.55", "guarded_by_ticks", "clock_read"},
    {"open refusal by TickClock, in clock reads", "<= 0.5", "breaker_open_by_ticks", "clock_read"},
    {"bare loop in place of the no-op, by an unordered counter, in clock reads", "", "bare_no_op_unordered",
     "clock_read"},
    {"bare loop in place of the refusal, by an unordered counter, in clock reads", "", "bare_refusal_unordered",
     "clock_read"},
    {"guarded no-op with a bulkhead, in clock reads", "<= 2.4", "guarded_with_bulkhead", "clock_read"},
    {"guarded no-op with a retry budget, in clock reads", "<= 2.4", "guarded_with_budget", "clock_read"},
    {"guarded no-op with metrics, in those without an observer", "", "guarded_with_metrics", "guarded_no_op"},
    {"guarded no-op as a task, in blocking ones", "<= 4", "asynchronous_no_op", "guarded_no_op"},
    {"breaker alone, closed, success, in clock reads", "<= 0.2", "breaker_closed", "clock_read"},
    {"breaker alone, open, refusal, in clock reads", "<= 1.2", "breaker_open", "clock_read"},
    {"bare loop in place of the refusal, in clock reads", "", "bare_refusal", "clock_read"},
    {"stack with a count window, in clock reads", "<= 1.5", "stack_count_window", "clock_read"},
    {"stack with a time window, in clock reads", "<= 2.6", "stack_time_window", "clock_read"},
    {"throughput of 2 threads to 1, on a breaker", ">= 1.9", "breaker_threads/real_time/threads:1",
     "breaker_threads/real_time/threads:2"},
    {"throughput of 2 threads to 1, on a breaker and a limiter", ">= 0.9",
     "breaker_and_limiter_threads/real_time/threads:1", "breaker_and_limiter_threads/real_time/threads:2"},
};

}  // namespace

// Counted by thread, so that starting the threads of a benchmark is not mistaken for a policy's allocation.
// Inlined, they make g++ 12 warn of a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

int main(int argc, char** argv) {
    // Many short repetitions in random order, so that each benchmark meets a quiet moment of the machine.
    char repetitions[] = "--benchmark_repetitions=30";
    char min_time[] = "--benchmark_min_time=0.05";
    char interleaving[] = "--benchmark_enable_random_interleaving=true";
    std::vector<char*> arguments{argv[0], repetitions, min_time, interleaving};
    arguments.insert(arguments.end(), argv + 1, argv + argc);
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;

    const auto warm = std::chrono::steady_clock::now() + 200ms;  // the tick clock measures its counter first
    while (!bw::TickClock::uses_counter() && std::chrono::steady_clock::now() < warm) (void)bw::TickClock{}.now();
    bw::bench::LeastTimeReporter reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
    bool complete = true;
    for (const Ratio& ratio : ratios) {
        const auto time = reporter.time(ratio.time);
        const auto over = reporter.time(ratio.over);
        if (time && over)
            bw::bench::print_figure(ratio.what, ratio.reach, *time / *over);
        else
            complete = false;
    }
    bw::bench::print_figure("heap allocations in all of these calls", "<= 0", static_cast<double>(timed_allocations));
    bw::bench::print_figure("heap allocations of a guarded task, with the task that it guards", "<= 2",
                            static_cast<double>(task_allocations) / static_cast<double>(tasks));
    return complete ? 0 : 1;
}
