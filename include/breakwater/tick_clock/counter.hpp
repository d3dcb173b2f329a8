#pragma once

#include <cstdint>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#include <fcntl.h>
#include <unistd.h>
#include <x86intrin.h>
#endif

namespace breakwater {

/// The processor's counter of time: the TSC of x86-64, the virtual counter of Arm's 64-bit processors.
struct ProcessorCounter {
#if defined(__x86_64__)
    /// Whether it counts at one rate on all cores, whatever their frequency and sleep. A kernel that has found the
    /// cores' counters out of step takes the TSC off its list.
    static bool is_invariant() noexcept {
        unsigned a = 0, b = 0, c = 0, d = 0;
        constexpr unsigned rdtscp = 1U << 27;  // CPUID.80000001H:EDX[27]
        if (__get_cpuid(0x8000'0001U, &a, &b, &c, &d) == 0 || (d & rdtscp) == 0) return false;
        constexpr unsigned invariant_tsc = 1U << 8;  // CPUID.80000007H:EDX[8]
        if (__get_cpuid(0x8000'0007U, &a, &b, &c, &d) == 0 || (d & invariant_tsc) == 0) return false;
        const int file =
            ::open("/sys/devices/system/clocksource/clocksource0/available_clocksource", O_RDONLY | O_CLOEXEC);
        if (file < 0) return true;  // nobody objects
        char names[256];
        const ssize_t length = ::read(file, names, sizeof names);
        ::close(file);
        return length <= 0 || std::string_view{names, static_cast<std::size_t>(length)}.contains("tsc");
    }
    /// After all loads before it, as RDTSCP is. By RDTSC a processor reads it more than a microsecond ahead of a load
    /// that has to wait for another core, and would then be behind a reading which that one has handed over.
    static std::uint64_t read() noexcept {
        unsigned core;
        return __rdtscp(&core);
    }
#elif defined(__aarch64__)
    static bool is_invariant() noexcept { return true; }  // by the architecture: Arm ARM, "The Generic Timer"
    static std::uint64_t read() noexcept {
        std::uint64_t ticks;
        asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks)::"memory");
        return ticks;
    }
#else
    static bool is_invariant() noexcept { return false; }
    static std::uint64_t read() noexcept { return 0; }
#endif
};

}  // namespace breakwater
