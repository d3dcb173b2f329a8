#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>

#include <iostream>

namespace bw = breakwater;

int main() {
    bw::Pipeline guard{bw::CircuitBreaker{{.name = "ledger", .trip = bw::ConsecutiveFailures{1}}}};
    bw::Result<int> failed = guard.run([]() -> bw::Result<int> { return bw::fail(bw::Errc::connect_failed); });
    bw::Result<int> refused = guard.run([]() -> bw::Result<int> { return 42; });
    if (failed || refused || refused.error().code() != bw::Errc::circuit_open) return 1;
    std::cout << refused.error() << '\n';
}
