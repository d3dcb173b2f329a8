#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>

#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace breakwater::bench {

// What guarding a call comes to at the least, written out by hand with nothing of the library and nothing to choose:
// how near a reach can come on the processor at hand.

/// The steady clock in microseconds, without the turn by nanoseconds.
inline std::uint64_t steady_micros() noexcept {
    timespec t;
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint32_t>(t.tv_nsec) / 1'000;
}

/// The processor's counter as microseconds (at 1 GHz), in no order with the loads before it: less than a clock may read
/// it for. The steady clock on other processors.
inline std::uint64_t unordered_micros() noexcept {
#if defined(__x86_64__)
    __extension__ typedef unsigned __int128 Fixed;
    return static_cast<std::uint64_t>((Fixed{__rdtsc()} * (~std::uint64_t{0} / 1'000)) >> 64);
#else
    return steady_micros();
#endif
}

/// One reading; a look at a closed circuit and at a limiter's pause; a token out of a bucket by one exchange; the call;
/// and a look at the circuit again.
template <auto micros>
void bare_no_op(benchmark::State& state) {
    constexpr std::uint64_t closed = 12, ticks_per_us = 1'000, cost = 1, capacity = 1'000'000'000;
    alignas(64) static std::atomic<std::uint64_t> circuit{closed};
    alignas(64) static std::atomic<std::uint64_t> pause{0};
    alignas(64) static std::atomic<std::uint64_t> bucket{0};
    int n = 0;
    for (auto _ : state) {
        const std::uint64_t at = micros() * ticks_per_us;
        if (circuit.load(std::memory_order_acquire) != closed || pause.load(std::memory_order_acquire) != 0)
            std::abort();
        std::uint64_t before = bucket.load(std::memory_order_acquire);
        std::uint64_t after = 0;
        do {
            after = std::max(before, at) + cost;
            if (after - at > capacity) std::abort();
        } while (!bucket.compare_exchange_weak(before, after, std::memory_order_acq_rel, std::memory_order_acquire));
        int result = ++n;
        if (circuit.load(std::memory_order_acquire) != closed) std::abort();
        benchmark::DoNotOptimize(result);
    }
}

/// One reading, a look at an open circuit, and an error of 64 bytes that says for how long it will be so.
template <auto micros>
void bare_refusal(benchmark::State& state) {
    alignas(64) static std::atomic<std::uint64_t> open_until{~std::uint64_t{0}};
    alignas(64) static const std::array<std::uint64_t, 8> refusal{1};
    for (auto _ : state) {
        const std::uint64_t at = micros();
        const std::uint64_t until = open_until.load(std::memory_order_acquire);
        if (at >= until) std::abort();
        auto error = refusal;
        error[1] = until - at;
        benchmark::DoNotOptimize(error);
    }
}

}  // namespace breakwater::bench
