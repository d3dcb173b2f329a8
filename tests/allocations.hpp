#pragma once

/// Counts the heap allocations of the unit tests; unit/counting_new.cpp replaces the global operator new.

#include <sanitized.hpp>

#include <atomic>
#include <cstddef>

namespace test {

// ThreadSanitizer brings an operator new of its own and cannot do without it: nothing is counted then.
inline constexpr bool counts_allocations = !under_thread_sanitizer;

inline std::atomic<std::size_t> allocations{0};

// Of what is allocated and not freed yet. Under a sanitizer what is allocated is larger.
inline constexpr bool counts_bytes = !under_thread_sanitizer && !under_address_sanitizer;
inline std::atomic<std::size_t> bytes_in_use{0};

/// The number of allocations any thread makes while `function` runs.
template <class F>
std::size_t allocations_in(F&& function) {
    const std::size_t before = allocations.load();
    function();
    return allocations.load() - before;
}

}  // namespace test
