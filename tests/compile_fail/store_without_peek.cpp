// expect: store\.peek\(cell\)
#include <breakwater/circuit_breaker.hpp>

namespace bw = breakwater;

struct Forgetful : bw::MemoryStore<> {
    template <class Cell>
    void peek(const Cell&) const = delete;
};

bw::CircuitBreaker<bw::ConsecutiveFailures, Forgetful> breaker{{}};
