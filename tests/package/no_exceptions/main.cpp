#include <breakwater/attempt_forecast.hpp>
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/explain.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/observe/log.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <chrono>
#include <iostream>
#include <stop_token>

#ifdef __cpp_exceptions
#error "this program is about a build without exceptions"
#endif

namespace bw = breakwater;
using namespace std::chrono_literals;

int main() {
    const auto wrong = bw::CircuitBreaker<>::make({.recovery_timeout = 0s});
    if (wrong || wrong.error().code() != bw::Errc::invalid_options) return 1;
    const bw::ManualClock clock;
    const bw::MemoryStore store{clock};
    const auto retry = bw::Retry<>::make({.max_retries = 3, .on = bw::on_codes({bw::Errc::connect_failed})});
    const auto deadline = bw::Deadline::make(1min);
    const auto timeout = bw::AttemptTimeout::make(1s);
    if (!retry || !deadline || !timeout || bw::Deadline::make(0s) || bw::AttemptTimeout::make(0s)) return 2;

    const bw::Pipeline guard{bw::Observe{bw::request_log(std::cout)},
                             bw::Fallback{-1, {.on = bw::when_open}},
                             *deadline,
                             *retry,
                             bw::AttemptForecast{{}, store},
                             bw::CircuitBreaker{{.name = "ledger", .trip = bw::ConsecutiveFailures{4}}, store},
                             bw::Bulkhead{{}},
                             bw::RateLimiter{{.algorithm = bw::TokenBucket{}}, store},
                             *timeout};
    int calls = 0;
    const auto failing = [&](std::stop_token) -> bw::Result<int> {
        ++calls;
        return bw::fail(bw::Errc::connect_failed);
    };
    const auto failed = guard.run(failing, {.subject = "reading"});
    const auto refused = guard.run(failing, {.subject = "reading"});
    std::cout << failed.error() << '\n' << bw::explain(guard);
    return failed.error().attempts() == 4 && calls == 4 && refused == -1 ? 0 : 3;
}
