// Compiled alone: it replaces the global operator new.
// The global operator new of the unit tests: it counts.
#include <allocations.hpp>

#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#ifndef BREAKWATER_TEST_THREAD_SANITIZER

// All that do not align specially, array forms and all: a sanitizer replaces those left out, and then the memory of one
// would be freed by the other. Never inline, or GCC sees malloc and delete in one place and calls them mismatched.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    test::allocations.fetch_add(1, std::memory_order_relaxed);
    void* const memory = std::malloc(size != 0 ? size : 1);
    test::bytes_in_use.fetch_add(::malloc_usable_size(memory), std::memory_order_relaxed);
    return memory;
}
[[gnu::noinline]] void* operator new(std::size_t size) {
    if (void* memory = operator new(size, std::nothrow)) return memory;
    throw std::bad_alloc{};
}
[[gnu::noinline]] void* operator new[](std::size_t size) { return operator new(size); }
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return operator new(size, std::nothrow);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    test::bytes_in_use.fetch_sub(::malloc_usable_size(memory), std::memory_order_relaxed);
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { operator delete(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { operator delete(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { operator delete(memory); }
[[gnu::noinline]] void operator delete[](void* memory, const std::nothrow_t&) noexcept { operator delete(memory); }

#endif
