// Where the frames of tasks come from. Under AddressSanitizer nothing is kept, so that it sees every use of what is
// gone; what is asked for is the same.
#include <breakwater/task.hpp>
#include <breakwater/task/frame_cache.hpp>
#include <breakwater/task/start.hpp>

#include <allocations.hpp>
#include <catch_shim.hpp>

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

namespace bw = breakwater;
using Cache = bw::detail::FrameCache;

namespace {

template <std::size_t bytes>
bw::Task<std::size_t> task_of() {
    std::array<char, bytes> own{};
    co_await std::suspend_never{};
    std::memset(own.data(), 'x', own.size());
    co_await std::suspend_never{};
    co_return std::size_t(own[bytes / 2] == 'x' ? bytes : 0);
}

}  // namespace

TEST_CASE("a task's frame comes from the last one of its kind on this thread") {
    const auto run = [] { CHECK(bw::sync_wait(task_of<2'000>()) == 2'000); };
    run();
    if (!test::counts_allocations) return run();
    const std::size_t made = test::allocations_in(run);
    if (Cache::keeps)
        CHECK(made == 0);
    else
        CHECK(made > 0);
}

TEST_CASE("frames of different sizes are kept apart") {
    constexpr std::size_t small = 512;
    constexpr std::size_t large = small + 64 * alignof(std::max_align_t);  // on the same shelf
    void* const one = Cache::allocate(small);
    void* const other = Cache::allocate(large);
    Cache::release(one, small);
    void* const next = Cache::allocate(large);
    std::memset(next, 'x', large);
    CHECK(next != other);
    void* const again = Cache::allocate(small);
    if (Cache::keeps) {
        CHECK(next != one);
        CHECK(again == one);
    }
    Cache::release(again, small);
    Cache::release(next, large);  // the shelf is that of this size now
    void* const last = Cache::allocate(large);
    if (Cache::keeps) CHECK(last == next);
    Cache::release(last, large);
    Cache::release(other, large);
}

TEST_CASE("a thread keeps no more frames than it may, no large ones, and none when it has ended") {
    const auto before = test::bytes_in_use.load();
    const auto kept_of = [](std::size_t size) {
        std::vector<void*> frames(4 * Cache::max_kept);
        const auto at_first = test::bytes_in_use.load();
        for (void*& frame : frames) frame = Cache::allocate(size);
        for (void* const frame : frames) Cache::release(frame, size);
        return test::bytes_in_use.load() - at_first;
    };
    std::size_t of_small = 0;
    std::size_t of_large = 0;
    std::thread{[&] {
        of_small = kept_of(1'024);
        of_large = kept_of(Cache::max_size + 1);
    }}.join();
    if (!test::counts_bytes) return;
    CHECK(of_small >= Cache::max_kept * 1'024);
    CHECK(of_small <= Cache::max_kept * 1'100);  // malloc's own word beside each
    CHECK(of_large == 0);
    CHECK(test::bytes_in_use.load() == before);
}

TEST_CASE("a frame may be released on another thread than it was made on, and after the thread's cache is gone") {
    const auto before = test::bytes_in_use.load();
    constexpr std::size_t size = 700;
    void* const from_here = Cache::allocate(size);
    std::thread{[&] { Cache::release(from_here, size); }}.join();

    struct Late {
        ~Late() {
            Cache::release(frame, size);
            Cache::release(Cache::allocate(size), size);
        }
        void* frame = nullptr;
    };
    std::thread{[] {
        static thread_local Late late;  // made before the cache, so it goes after it
        late.frame = nullptr;
        late.frame = Cache::allocate(size);
    }}.join();
    if (test::counts_bytes) {
        CHECK(test::bytes_in_use.load() == before);
    }
}
