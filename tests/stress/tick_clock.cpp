#include "on_threads.hpp"

#include <breakwater/tick_clock.hpp>

#include <catch_shim.hpp>

#include <atomic>
#include <chrono>

namespace bw = breakwater;
using namespace std::chrono_literals;

// Long enough for the calibration and two settings.
TEST_CASE("threads that hand over readings of the tick clock never see it go backwards") {
    const bw::TickClock clock;
    const bw::SteadyClock steady;
    const bw::Instant end = steady.now() + 2500ms;
    std::atomic<bw::Instant> handed_over{clock.now()};
    std::atomic<int> backwards{0};
    test::on_threads(4, [&](unsigned) {
        int went_back = 0;
        while (steady.now() < end) {
            for (int i = 0; i < 1'000; ++i) {
                const bw::Instant before = handed_over.load(std::memory_order_acquire);
                const bw::Instant now = clock.now();
                went_back += now < before;
                handed_over.store(now, std::memory_order_release);
            }
        }
        backwards += went_back;
    });
    CHECK(backwards == 0);
}
