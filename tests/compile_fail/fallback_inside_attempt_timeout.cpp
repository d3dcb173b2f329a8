// expect: a Fallback must stand outside Retry, CircuitBreaker and RateLimiter, Bulkhead and AttemptTimeout too
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/pipeline.hpp>

#include <chrono>
#include <stop_token>

namespace bw = breakwater;

int fetch(std::stop_token);

auto run() { return bw::Pipeline{bw::AttemptTimeout{std::chrono::seconds{1}}, bw::Fallback{7}}.run(fetch); }
