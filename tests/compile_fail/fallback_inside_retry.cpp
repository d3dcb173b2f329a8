// expect: a Fallback must stand outside Retry, CircuitBreaker and RateLimiter
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>

namespace bw = breakwater;

int fetch();

auto run() { return bw::Pipeline{bw::Retry{}, bw::Fallback{7}}.run(fetch); }
