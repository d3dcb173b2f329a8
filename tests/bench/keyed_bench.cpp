// What a limiter for each of a million keys costs: memory, the way to a key, and threads side by side.
#include "figure.hpp"
#include "least_time_reporter.hpp"

#include <breakwater/keyed.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t many = 1'000'000;
constexpr bw::TokenBucket rate{.permits = 1'000'000, .period = 1s, .burst = 1'000'000};

/// Resident memory of this process, in MiB.
double resident() {
    std::size_t pages = 0;
    std::ifstream{"/proc/self/statm"} >> pages >> pages;
    return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

/// A million keys in no order, and what a limiter for each of them takes.
struct World {
    World() : limiter{{.each = {.algorithm = rate}, .max_keys = many}}, table{many, [] { return std::uint64_t{}; }} {
        keys.reserve(many);
        for (std::size_t i = 0; i < many; ++i) keys.push_back("tenant-" + std::to_string(i));
        std::ranges::shuffle(keys, std::mt19937_64{1});
        const double before = resident();
        for (const std::string& key : keys) (void)limiter.try_acquire(key);
        mebibytes = resident() - before;
        bytes = static_cast<double>(limiter.snapshot(0).counts.keys) == many ? mebibytes * (1 << 20) / many : 1e9;
        std::ranges::shuffle(keys, std::mt19937_64{2});  // not in the order of memory
        for (const std::string& key : keys) {
            (void)table.insert(
                table.hash(key), key, {}, [](auto&) noexcept { return false; },
                []() noexcept { return std::uint64_t{}; });
        }
        std::ranges::shuffle(keys, std::mt19937_64{3});
    }

    std::vector<std::string> keys;
    bw::KeyedRateLimiter<bw::TokenBucket> limiter;
    bw::KeyedTable<std::uint64_t> table;
    double mebibytes = 0;
    double bytes = 0;
};
World& world() {
    static World made;
    return made;
}

/// Calls `use` with one key after the other, each thread beginning elsewhere.
template <class F>
void with_keys(benchmark::State& state, std::size_t count, F use) {
    const std::vector<std::string>& keys = world().keys;
    std::size_t i = static_cast<std::size_t>(state.thread_index()) * count / 2;
    for (auto _ : state) {
        use(keys[i]);
        if (++i == count) i = 0;
    }
}

void lookup(benchmark::State& state) {
    const bw::KeyedTable<std::uint64_t>& table = world().table;
    with_keys(state, many, [&](const std::string& key) { benchmark::DoNotOptimize(table.contains(table.hash(key))); });
}
BENCHMARK(lookup)->Threads(1)->Threads(2)->UseRealTime();

void hold(benchmark::State& state) {
    const bw::KeyedTable<std::uint64_t>& table = world().table;
    with_keys(state, many, [&](const std::string& key) { benchmark::DoNotOptimize(*table.find(table.hash(key))); });
}
BENCHMARK(hold)->Threads(1)->Threads(2)->UseRealTime();

void acquire(benchmark::State& state) {
    const auto& limiter = world().limiter;
    with_keys(state, many, [&](const std::string& key) { benchmark::DoNotOptimize(limiter.try_acquire(key)); });
}
BENCHMARK(acquire)->Threads(1)->Threads(2)->UseRealTime();

void acquire_of_few(benchmark::State& state) {
    const auto& limiter = world().limiter;
    with_keys(state, 1'000, [&](const std::string& key) { benchmark::DoNotOptimize(limiter.try_acquire(key)); });
}
BENCHMARK(acquire_of_few)->Threads(1)->Threads(2)->UseRealTime();

/// Every key is a new one, and takes another's place: a flood.
void acquire_of_new(benchmark::State& state) {
    static const bw::KeyedRateLimiter<bw::TokenBucket> flooded{{.each = {.algorithm = rate}, .max_keys = 10'000}};
    with_keys(state, many, [&](const std::string& key) { benchmark::DoNotOptimize(flooded.try_acquire(key)); });
}
BENCHMARK(acquire_of_new)->Threads(1)->Threads(2)->UseRealTime();

}  // namespace

int main(int argc, char** argv) {
    char repetitions[] = "--benchmark_repetitions=10";
    char min_time[] = "--benchmark_min_time=0.2";
    std::vector<char*> arguments{argv[0], repetitions, min_time};
    arguments.insert(arguments.end(), argv + 1, argv + argc);
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;

    bw::bench::LeastTimeReporter reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
    using bw::bench::print_figure;
    print_figure("a million keyed limiters, MiB resident", "<= 160", world().mebibytes);
    print_figure("bytes for each of them, with the index", "", world().bytes);
    bool complete = true;
    const auto figure = [&](const char* what, const char* reach, const char* benchmark, const char* over = nullptr) {
        const auto time = reporter.time(benchmark);
        const auto divisor = over == nullptr ? std::optional{1.0} : reporter.time(over);
        if (time && divisor)
            print_figure(what, reach, *time / *divisor);
        else
            complete = false;
    };
    figure("lookup of one key in a million, ns", "<= 150", "lookup/real_time/threads:1");
    figure("throughput of 2 threads to 1, on lookups", "", "lookup/real_time/threads:1", "lookup/real_time/threads:2");
    figure("the same, and holding what is there, ns", "", "hold/real_time/threads:1");
    figure("a permit of one key in a million, ns", "", "acquire/real_time/threads:1");
    figure("throughput of 2 threads to 1, on permits of a million keys", "", "acquire/real_time/threads:1",
           "acquire/real_time/threads:2");
    figure("a permit of one key in a thousand, ns", "", "acquire_of_few/real_time/threads:1");
    figure("throughput of 2 threads to 1, on permits of a thousand keys", "", "acquire_of_few/real_time/threads:1",
           "acquire_of_few/real_time/threads:2");
    figure("a permit of a new key in a full table, ns", "", "acquire_of_new/real_time/threads:1");
    return complete ? 0 : 1;
}
