// expect: an AttemptTimeout must stand inside Retry, CircuitBreaker, RateLimiter and Bulkhead
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/pipeline.hpp>

#include <chrono>
#include <stop_token>

namespace bw = breakwater;

int fetch(std::stop_token);

auto run() { return bw::Pipeline{bw::AttemptTimeout{std::chrono::seconds{1}}, bw::Bulkhead{{}}}.run(fetch); }
