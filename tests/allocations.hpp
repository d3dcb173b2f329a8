#pragma once

/// Counts the heap allocations of the unit tests; unit/counting_new.cpp replaces the global operator new.

#include <atomic>
#include <cstddef>

namespace test {

// ThreadSanitizer brings an operator new of its own and cannot do without it: nothing is counted then.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BREAKWATER_TEST_COUNTS_NOTHING
#endif
#endif
#ifdef BREAKWATER_TEST_COUNTS_NOTHING
inline constexpr bool counts_allocations = false;
#else
inline constexpr bool counts_allocations = true;
#endif

inline std::atomic<std::size_t> allocations{0};

/// The number of allocations any thread makes while `function` runs.
template <class F>
std::size_t allocations_in(F&& function) {
    const std::size_t before = allocations.load();
    function();
    return allocations.load() - before;
}

}  // namespace test
