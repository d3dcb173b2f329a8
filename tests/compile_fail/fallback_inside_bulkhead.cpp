// expect: a Fallback must stand outside Retry, CircuitBreaker and RateLimiter, Bulkhead and AttemptTimeout too
#include <breakwater/bulkhead.hpp>
#include <breakwater/pipeline.hpp>

namespace bw = breakwater;

int fetch();

auto run() { return bw::Pipeline{bw::Bulkhead{{}}, bw::Fallback{7}}.run(fetch); }
