#pragma once

#include <array>
#include <cstddef>
#include <new>

namespace breakwater::detail {

/// The memory of coroutines that are over, for the next ones of the same thread. A call's frame is larger than what
/// malloc keeps at hand for a thread (glibc: 1 KiB), and to find room for it costs as much as all its policies.
///
/// Each thread has its own, which keeps up to 64 frames of a size, none over 4 KiB, and gives them back when the thread
/// ends. Under AddressSanitizer nothing is kept, so that it sees who uses a frame that is gone.
class FrameCache {
public:
    static constexpr std::size_t max_kept = 64;
    static constexpr std::size_t max_size = 4'096;
#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool keeps = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    static constexpr bool keeps = false;
#else
    static constexpr bool keeps = true;
#endif
#else
    static constexpr bool keeps = true;
#endif

    static void* allocate(std::size_t size) {
        if constexpr (keeps) {
            if (FrameCache* const own = here())
                if (void* const kept = own->take(size)) return kept;
        }
        return ::operator new(size);
    }
    /// Gives back what `allocate` gave for this size, on whatever thread.
    static void release(void* frame, std::size_t size) noexcept {
        if constexpr (keeps) {
            if (FrameCache* const own = here(); own != nullptr && own->keep(frame, size)) return;
        }
        ::operator delete(frame, size);
    }

    FrameCache(const FrameCache&) = delete;
    FrameCache& operator=(const FrameCache&) = delete;

private:
    struct Kept {
        Kept* next;
    };
    /// Frames of one size, the last one that was wanted of those that share the shelf: a program has few kinds of
    /// coroutines.
    struct Shelf {
        std::size_t size = 0;
        std::size_t count = 0;
        Kept* top = nullptr;
    };

    constexpr FrameCache() noexcept = default;
    ~FrameCache() {
        is_gone() = true;
        for (Shelf& shelf : shelves_) clear(shelf);
    }

    /// The thread's own; null once it is gone: coroutines may end later, with other objects of the thread.
    static FrameCache* here() noexcept {
        static thread_local FrameCache own;
        return is_gone() ? nullptr : &own;
    }
    static bool& is_gone() noexcept {
        static thread_local bool own = false;
        return own;
    }

    Shelf& shelf_for(std::size_t size) noexcept { return shelves_[size / alignof(std::max_align_t) % shelves_.size()]; }

    void* take(std::size_t size) noexcept {
        Shelf& shelf = shelf_for(size);
        return shelf.top != nullptr && shelf.size == size ? take(shelf) : nullptr;
    }
    static void* take(Shelf& shelf) noexcept {
        Kept* const kept = shelf.top;
        shelf.top = kept->next;
        --shelf.count;
        return kept;
    }
    bool keep(void* frame, std::size_t size) noexcept {
        Shelf& shelf = shelf_for(size);
        if (shelf.size != size) {
            if (size > max_size) return false;
            clear(shelf);
            shelf.size = size;
        }
        if (shelf.count == max_kept) return false;
        shelf.top = new (frame) Kept{shelf.top};
        ++shelf.count;
        return true;
    }
    static void clear(Shelf& shelf) noexcept {
        while (shelf.top != nullptr) ::operator delete(take(shelf), shelf.size);
    }

    std::array<Shelf, 64> shelves_{};
};

/// Base of a promise whose coroutine's frame comes from the cache.
struct CachedFrame {
    static void* operator new(std::size_t size) { return FrameCache::allocate(size); }
    static void operator delete(void* frame, std::size_t size) noexcept { FrameCache::release(frame, size); }
};

}  // namespace breakwater::detail
