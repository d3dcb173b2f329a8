// expect: a Hedge, of which there is one, must stand inside Fallback, Deadline and Retry, and outside
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/hedge.hpp>
#include <breakwater/pipeline.hpp>

namespace bw = breakwater;

const bw::Pipeline guard{bw::CircuitBreaker{{}}, bw::Hedge{}};
