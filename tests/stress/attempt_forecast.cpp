#include <breakwater/attempt_forecast.hpp>
#include <breakwater/deadline.hpp>
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

TEST_CASE("of threads whose calls have too little time one at a time makes a trial, and no sample is lost") {
    const bw::ManualClock clock;
    const bw::AttemptForecast forecast{{.minimum_samples = 10, .max_samples = 60'000}, bw::MemoryStore{clock}};
    const bw::Pipeline patient{bw::UseClock{clock}, bw::Retry{{.max_retries = 0}}, forecast};
    const bw::Pipeline hurried{bw::UseClock{clock}, bw::Deadline{1ms}, bw::Retry{{.max_retries = 0}}, forecast};
    const auto slow = [&] {
        clock.advance(10ms);
        return 1;
    };
    const auto cut = []() -> bw::Result<int> { return bw::fail(bw::Errc::deadline_exceeded); };
    for (int n = 0; n < 10; ++n) (void)patient.run(slow);
    std::atomic<std::uint32_t> trials{0};
    std::atomic<std::uint32_t> snapshots{0};
    for (int round = 0; round < 20; ++round) {
        clock.advance(1s);
        trials = 0;
        test::on_threads(4, [&](unsigned) {
            for (int n = 0; n < 50; ++n) {
                const auto result = hurried.run(cut);
                trials += result.error().code() == bw::Errc::deadline_exceeded;
                snapshots += forecast.snapshot().samples > 0;
            }
        });
        CHECK(trials == 1);
    }
    CHECK(snapshots == 20 * 4 * 50);
    CHECK(forecast.snapshot().samples == 10 + 20);
    test::on_threads(4, [&](unsigned) {
        for (int n = 0; n < 1'000; ++n) (void)patient.run([] { return 1; });
    });
    CHECK(forecast.snapshot().samples == 10 + 20 + 4'000);
    CHECK(forecast.snapshot().expected < 1ms);
}
