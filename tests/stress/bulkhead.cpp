#include <breakwater/bulkhead.hpp>
#include <breakwater/pipeline.hpp>

#include <catch_shim.hpp>
#include <stress/on_threads.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <random>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

constexpr unsigned thread_count = 4;
constexpr std::uint32_t max_concurrent = 3;
constexpr std::uint32_t max_queue = 2;

/// A clock that stands still and whose waits are over after a while of yielding.
struct ImpatientClock {
    bw::Instant now() const noexcept { return bw::Instant{1h}; }
    bw::Wait wait_until(bw::Instant, const std::stop_token& stop) const {
        for (int i = 0; i < 20; ++i) {
            if (stop.stop_requested()) return bw::Wait::stopped;
            std::this_thread::yield();
        }
        return bw::Wait::elapsed;
    }
    bool operator==(const ImpatientClock&) const = default;
};

/// How many permits are held, as those who hold them count.
class Census {
public:
    void enter() {
        if (++held_ > std::int64_t{max_concurrent}) ++exceeded;
    }
    void leave() { --held_; }
    std::atomic<std::int64_t> exceeded{0};

private:
    std::atomic<std::int64_t> held_{0};
};

struct Seen {
    std::atomic<std::int64_t> admitted{0}, refused{0}, cancelled{0};
};

/// Random steps: asks for a permit with and without waiting, calls through a pipeline, cancels a neighbour, drops a
/// permit. Each thread holds at most one permit at a time beside those of its calls.
template <bw::Clock C>
void take_steps(const bw::Bulkhead& bulkhead, const C& clock, std::uint64_t seed, int steps, Census& census,
                Seen& seen) {
    const bw::Pipeline guard{bw::UseClock{clock}, bulkhead};
    std::vector<std::stop_source> stops(thread_count);
    std::mutex stops_mutex;
    test::on_threads(thread_count, [&](unsigned self) {
        std::mt19937_64 random{seed + self};
        std::vector<bw::Bulkhead::Permit> held;
        const auto drop = [&] {
            if (held.empty()) return;
            census.leave();
            held.clear();
        };
        const auto keep = [&](bw::Result<bw::Bulkhead::Permit> permit) {
            if (permit) {
                census.enter();
                ++seen.admitted;
                held.push_back(*std::move(permit));
            } else {
                ++(permit.error().code() == bw::Errc::cancelled ? seen.cancelled : seen.refused);
            }
        };
        const auto token = [&] {
            const std::scoped_lock lock{stops_mutex};
            if (stops[self].stop_requested()) stops[self] = std::stop_source{};
            return stops[self].get_token();
        };
        for (int step = 0; step < steps; ++step) {
            switch (random() % 8) {
                case 0: drop(); break;
                case 1: {
                    drop();
                    keep(bulkhead.try_acquire());
                    break;
                }
                case 2:
                case 3: {
                    drop();
                    keep(bulkhead.acquire(bw::Duration{static_cast<std::int64_t>(random() % 200)}, token(), clock));
                    break;
                }
                case 4: {
                    std::stop_source neighbour = [&] {
                        const std::scoped_lock lock{stops_mutex};
                        return stops[random() % thread_count];
                    }();
                    neighbour.request_stop();
                    break;
                }
                default: {
                    if (random() % 4 != 0) drop();  // else a call inside of a permit
                    const auto result = guard.run(
                        [&] {
                            census.enter();
                            if (random() % 4 == 0) std::this_thread::yield();
                            census.leave();
                        },
                        {.stop = token(), .deadline = bw::Duration{static_cast<std::int64_t>(random() % 200) + 1}});
                    if (result)
                        ++seen.admitted;
                    else
                        ++(result.error().code() == bw::Errc::cancelled ? seen.cancelled : seen.refused);
                }
            }
        }
        drop();
    });
}

void check_all_back(const bw::Bulkhead& bulkhead) {
    CHECK(bulkhead.snapshot().in_flight == 0);
    CHECK(bulkhead.snapshot().queued == 0);
    std::vector<bw::Bulkhead::Permit> all;
    for (std::uint32_t i = 0; i < max_concurrent; ++i) all.push_back(bw::value_or_throw(bulkhead.try_acquire()));
    CHECK_FALSE(bulkhead.try_acquire());
}

}  // namespace

TEST_CASE("over a million steps no permit is given twice and none is lost") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    const bw::Bulkhead bulkhead{{.max_concurrent = max_concurrent, .max_queue = max_queue}};
    Census census;
    Seen seen;
    take_steps(bulkhead, ImpatientClock{}, seed, 1'000'000 / thread_count, census, seen);
    CHECK(census.exceeded == 0);
    CHECK(seen.admitted > 1'000);
    CHECK(seen.refused > 1'000);
    CHECK(seen.cancelled > 1'000);
    check_all_back(bulkhead);
}

TEST_CASE("by the steady clock no permit is given twice and none is lost") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    const bw::Bulkhead bulkhead{{.max_concurrent = max_concurrent, .max_queue = max_queue}};
    Census census;
    Seen seen;
    take_steps(bulkhead, bw::SteadyClock{}, seed, 5'000, census, seen);
    CHECK(census.exceeded == 0);
    CHECK(seen.admitted > 1'000);
    check_all_back(bulkhead);
}

TEST_CASE("callers that all wait long enough are all served, one at a time") {
    const bw::Bulkhead bulkhead{{.max_concurrent = 1, .max_queue = thread_count}};
    const bw::Pipeline guard{bulkhead};
    std::int64_t sum = 0;  // the permit is its lock
    std::atomic<int> refused{0};
    test::on_threads(thread_count, [&](unsigned) {
        for (int i = 0; i < 5'000; ++i) {
            const auto result = guard.run([&] {
                const std::int64_t before = sum;
                std::this_thread::yield();
                sum = before + 1;
            });
            refused += !result;
        }
    });
    CHECK(refused == 0);
    CHECK(sum == thread_count * 5'000);
    CHECK(bulkhead.snapshot().in_flight == 0);
}
