#include <breakwater/store/memory.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>
#include <stress/on_threads.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

using Store = bw::MemoryStore<bw::ManualClock>;

using test::on_threads;

/// Counts in a state too large for one word; a torn one shows.
struct WideMachine {
    struct State {
        std::uint64_t count = 0;
        std::array<std::uint64_t, 7> same{};
        [[maybe_unused]] friend bool operator==(const State&, const State&) = default;
        bool is_torn() const {
            return std::ranges::any_of(same, [this](std::uint64_t other) { return other != count; });
        }
    };
    using Options = bw::CountingMachine::Options;
    struct Add {};
    struct Remove {};

    static State make_state(const Options&) noexcept { return {}; }
    static std::string layout(const Options&) { return "wide"; }
    static bool apply(State& state, const Options& options, const Add&, bw::Instant) noexcept {
        if (state.count >= options.limit) return false;
        state.same.fill(++state.count);
        return true;
    }
    static bool apply(State& state, const Options&, const Remove&, bw::Instant) noexcept {
        if (state.count > 0) state.same.fill(--state.count);
        return true;
    }
    static bool is_refusal(bool decision) noexcept { return !decision; }
    static Remove undo(const Add&, bool) noexcept { return {}; }
};
bool is_torn(const bw::CountingMachine::State&) { return false; }
bool is_torn(const WideMachine::State& state) { return state.is_torn(); }

template <class M>
void counts_exactly() {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    constexpr std::array names{"a", "b", "c"};
    constexpr typename M::Options options{.limit = std::numeric_limits<std::uint32_t>::max()};
    const bw::ManualClock clock;
    const Store store{clock, {.idle_ttl = 1us}};
    std::array<std::shared_ptr<typename Store::Cell<M>>, names.size()> cells;
    for (std::size_t n = 0; n < names.size(); ++n) cells[n] = store.cell<M>("count", names[n], options);
    std::array<std::atomic<std::uint64_t>, names.size()> expected{};
    std::atomic<int> refused{0}, torn{0}, strangers{0};
    on_threads(4, [&](unsigned i) {
        std::mt19937_64 random{seed + std::uint64_t{i}};
        bw::LazyNow now{store.clock()};
        for (int step = 0; step < 20'000; ++step) {
            const std::uint64_t draw = random();
            const std::size_t n = draw % names.size();
            const auto cell = store.cell<M>("count", names[n], options);
            strangers += cell != cells[n];
            if ((draw >> 8) % 3 != 0) {
                refused += !store.apply(bw::Step{*cell, options, typename M::Add{}}, now);
                ++expected[n];
            }
            if ((draw >> 16) % 3 == 0) {  // never more removed than this thread has added
                refused += !store.apply(bw::Step{*cell, options, typename M::Add{}}, now);
                store.apply(bw::Step{*cell, options, typename M::Remove{}}, now);
            }
            torn += is_torn(store.peek(*cell));
            // A cell that nobody else holds for good stays the same one while this thread does.
            const std::string passing = "passing " + std::to_string((draw >> 24) % 4);
            const auto first = store.cell<M>("count", passing, options);
            if ((draw >> 32) % 8 == 0) {
                clock.advance(1us);
                store.expire_idle();
            }
            strangers += store.cell<M>("count", passing, options) != first;
        }
    });
    CHECK(refused == 0);
    CHECK(torn == 0);
    CHECK(strangers == 0);
    for (std::size_t n = 0; n < names.size(); ++n) CHECK(store.peek(*cells[n]).count == expected[n]);
    store.expire_idle();
    clock.advance(1us);
    store.expire_idle();
    CHECK(store.cell_count() == names.size());
}

template <class M>
void takes_together() {
    constexpr typename M::Options wide{.limit = std::numeric_limits<std::uint32_t>::max()};
    constexpr typename M::Options narrow{.limit = 3};
    const Store store{bw::ManualClock{}};
    const auto first = store.cell<M>("count", "first", wide);
    const auto second = store.cell<M>("count", "second", narrow);
    std::atomic<int> held{0}, taken{0}, refused{0}, too_many{0};
    on_threads(4, [&](unsigned) {
        bw::LazyNow now{store.clock()};
        for (int step = 0; step < 50'000; ++step) {
            const auto [one, two] = store.apply(now, bw::Step{*first, wide, typename M::Add{}},
                                                bw::Step{*second, narrow, typename M::Add{}});
            if (!one.value_or(false) || !two.value_or(false)) {
                ++refused;
                continue;
            }
            ++taken;
            too_many += ++held > 3;
            if (step % 8 == 0) std::this_thread::yield();
            --held;
            store.apply(bw::Step{*second, narrow, typename M::Remove{}}, now);
        }
    });
    CHECK(too_many == 0);
    CHECK(taken + refused == 200'000);
    CHECK(taken > 0);
    CHECK(store.peek(*first).count == static_cast<std::uint64_t>(taken.load()));
    CHECK(store.peek(*second).count == 0);
}

}  // namespace

TEST_CASE("no count is lost while threads make and drop handles of the same cells") {
    counts_exactly<bw::CountingMachine>();
    counts_exactly<WideMachine>();
}

TEST_CASE("steps taken together are undone together, whatever other threads do") {
    takes_together<bw::CountingMachine>();
    takes_together<WideMachine>();
}

TEST_CASE("blobs stay within their bound while threads put, get and erase them") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    constexpr std::size_t bound = 4'096;
    constexpr std::size_t key_count = 16;
    const bw::ManualClock clock;
    const Store store{clock, {.max_blob_bytes = bound}};
    std::atomic<int> above{0}, foreign{0}, found{0};
    on_threads(4, [&](unsigned i) {
        std::mt19937_64 random{seed + std::uint64_t{i}};
        for (int step = 0; step < 25'000; ++step) {
            const std::uint64_t draw = random();
            const char letter = static_cast<char>('a' + draw % key_count);
            const std::string key(1, letter);
            const auto action = (draw >> 8) % 16;
            if (action < 7) {
                const std::size_t size = (draw >> 16) % (action == 0 ? 2 * bound : bound / 4);
                store.put(key, std::string(size, letter),
                          bw::Duration{1 + static_cast<std::int64_t>((draw >> 40) % 64)});
            } else if (action < 14) {
                if (const auto value = store.get(key)) {
                    ++found;
                    foreign += value->find_first_not_of(letter) != std::string::npos;
                }
            } else if (action < 15) {
                store.erase(key);
            } else {
                clock.advance(1us);
            }
            above += store.blob_bytes() > bound;
        }
    });
    CHECK(above == 0);
    CHECK(foreign == 0);
    CHECK(found > 100);
    for (std::size_t n = 0; n < key_count; ++n) store.erase(std::string(1, static_cast<char>('a' + n)));
    CHECK(store.blob_bytes() == 0);
}
