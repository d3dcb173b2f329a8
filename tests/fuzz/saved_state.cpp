// A saved state, whatever the bytes: never an exception; what is accepted is written back the same, and restoring it
// never opens a circuit or pauses a limiter for longer than their options allow.
#include "input.hpp"

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/client/saved_state.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry/budget.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>

namespace bw = breakwater;
using namespace std::chrono_literals;
using nlohmann::json;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    const json value = json::parse(input.rest(), nullptr, false);
    if (value.is_discarded()) return 0;
    const auto saved = bw::saved_state_from_json(value);
    if (!saved) {
        fuzz::require(saved.error().code() == bw::Errc::invalid_options, "a mistake is one of the options");
        return 0;
    }
    const auto again = bw::saved_state_from_json(json(*saved));
    fuzz::require(again && json(*again) == json(*saved), "what is read is written the same");

    const bw::ManualClock clock;
    clock.advance(1h);
    const bw::MemoryStore store{clock};
    const bw::CircuitBreaker breaker{{.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 60s}, store};
    const bw::RateLimiter limiter{{.algorithm = bw::TokenBucket{.permits = 10, .period = 1s}}, store};
    const bw::Duration age{static_cast<std::int64_t>(saved->saved_at.time_since_epoch().count())};
    const bw::RetryBudget budget{{.ratio = 0.2, .floor_per_second = 3, .burst = 10}, store};
    budget.restore(saved->retry_budget, age);
    fuzz::require(budget.snapshot().available >= 0 && budget.snapshot().available <= 10, "retries stay in range");
    breaker.restore(saved->circuit, age);
    limiter.restore(saved->rate_limit, age);
    if (!breaker.snapshot().forced && breaker.state() == bw::CircuitState::open)
        fuzz::require(breaker.snapshot().retry_after.value() <= 60s, "an opening is no longer than the options allow");
    fuzz::require(limiter.snapshot().paused_for <= 5min, "nor is a pause");
    fuzz::require(limiter.snapshot().available >= 0 && limiter.snapshot().available <= 10, "permits stay in range");
    clock.advance(6min);
    fuzz::require(limiter.try_acquire().has_value(), "a limiter comes back");
    fuzz::require(budget.snapshot().available == 10, "and so does a budget");
    return 0;
}
