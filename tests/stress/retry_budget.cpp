#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <catch_shim.hpp>
#include <stress/on_threads.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace bw = breakwater;
using namespace std::chrono_literals;

TEST_CASE("threads that share a budget make exactly the retries it holds") {
    const bw::ManualClock clock;
    const bw::RetryBudget budget{{.ratio = 0.25, .floor_per_second = 0, .burst = 8}, bw::MemoryStore{clock}};
    const bw::Pipeline guard{bw::UseClock{clock},
                             bw::Retry{{.max_retries = 3, .backoff = bw::constant_backoff(1ms)}, budget}};
    constexpr std::int64_t calls = 4 * 400;
    std::atomic<std::int64_t> attempts{0};
    test::on_threads(4, [&](unsigned) {
        for (int n = 0; n < 400; ++n) {
            (void)guard.run([&]() -> bw::Result<int> {
                ++attempts;
                return bw::fail(bw::Errc::failure);
            });
        }
    });
    const std::int64_t retries = attempts - calls;
    CHECK(retries <= 8 + calls / 4);
    // Only what calls gave to a full budget is lost: nothing, once it has been spent for the first time.
    CHECK(retries >= calls / 4 - 1);
}
