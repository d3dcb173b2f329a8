// expect: a Fallback must stand outside Retry, CircuitBreaker and RateLimiter
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>

namespace bw = breakwater;

int fetch();

auto run() { return bw::Pipeline{bw::CircuitBreaker{{}}, bw::Fallback{7}}.run(fetch); }
