// expect: deleted.*Permit
#include <breakwater/circuit_breaker.hpp>

namespace bw = breakwater;

using Permit = bw::CircuitBreaker<>::Permit;

Permit twice(const Permit& permit) { return permit; }
