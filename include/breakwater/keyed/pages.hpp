#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#include <sys/mman.h>

namespace breakwater {

/// `count` objects of an implicit-lifetime type, all bytes zero, that take memory only as they are written to. In large
/// pages if there are many, or finding the page would take longer than reading from it.
template <class T>
class ZeroedPages {
public:
    /// Throws `std::bad_alloc` if the system gives no such range of addresses (ends the program where
    /// exceptions are switched off).
    explicit ZeroedPages(std::size_t count) : bytes_{count * sizeof(T)} {
        if (bytes_ >= large) bytes_ += large;  // room to begin where a large page does
        memory_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory_ == MAP_FAILED) no_memory();
        void* begin = memory_;
        if (bytes_ >= large) {
            const auto address = reinterpret_cast<std::size_t>(memory_);
            begin = static_cast<std::byte*>(memory_) + (large - address % large) % large;
            (void)::madvise(begin, bytes_ - large, MADV_HUGEPAGE);  // advice: it works without
        }
        first_ = static_cast<T*>(begin);
    }
    ~ZeroedPages() { (void)::munmap(memory_, bytes_); }
    ZeroedPages(const ZeroedPages&) = delete;
    ZeroedPages& operator=(const ZeroedPages&) = delete;

    T& operator[](std::size_t i) const noexcept { return first_[i]; }

private:
    static constexpr std::size_t large = std::size_t{2} << 20;

    [[noreturn]] static void no_memory() {
#ifdef __cpp_exceptions
        throw std::bad_alloc{};
#else
        std::abort();
#endif
    }

    std::size_t bytes_;
    void* memory_;
    T* first_;
};

}  // namespace breakwater
