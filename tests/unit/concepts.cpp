// What the library brings is what its concepts ask for. Checked here and not in the headers, where it would cost every
// source that includes them.
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/scripted_transport.hpp>
#include <breakwater/transport/curl.hpp>

#include <catch_shim.hpp>

namespace bw = breakwater;

TEST_CASE("what the library brings satisfies its concepts") {
    STATIC_REQUIRE(bw::Clock<bw::SteadyClock>);
    STATIC_REQUIRE(bw::Clock<bw::ManualClock>);
    STATIC_REQUIRE(bw::Store<bw::MemoryStore<>>);
    STATIC_REQUIRE(bw::Store<bw::MemoryStore<bw::ManualClock>>);
    STATIC_REQUIRE(bw::Transport<bw::CurlTransport>);
    STATIC_REQUIRE(bw::Transport<bw::ScriptedTransport>);
    STATIC_REQUIRE(bw::TripRule<bw::ConsecutiveFailures>);
    STATIC_REQUIRE(bw::TripRule<bw::FailureRate>);
    STATIC_REQUIRE(bw::TripRule<bw::Never>);
    STATIC_REQUIRE(bw::TripRule<bw::AnyTrip>);
    STATIC_REQUIRE(bw::RateAlgorithm<bw::TokenBucket>);
    STATIC_REQUIRE(bw::RateAlgorithm<bw::FixedWindow>);
    STATIC_REQUIRE(bw::RateAlgorithm<bw::SlidingWindow>);
    STATIC_REQUIRE(bw::RateAlgorithm<bw::NoLimit>);
    STATIC_REQUIRE(bw::RateAlgorithm<bw::AnyAlgorithm>);
    STATIC_REQUIRE(bw::Policy<bw::AttemptTimeout>);
    STATIC_REQUIRE(bw::Policy<bw::Bulkhead>);
    STATIC_REQUIRE(bw::Policy<bw::CircuitBreaker<>>);
    STATIC_REQUIRE(bw::Policy<bw::RateLimiter<>>);
    STATIC_REQUIRE(bw::Policy<bw::Retry<>>);
}
