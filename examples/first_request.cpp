#include <breakwater/breakwater.hpp>
#include <cstdlib>
#include <iostream>
namespace bw = breakwater;
using namespace std::chrono_literals;

int main() {
    const char* url = std::getenv("SUPPLIER_URL");
    bw::ResilientClient client{bw::ClientOptions{
        .base_url = url ? url : "https://api.supplier.example.com/v1",
        .auth = bw::Bearer{"my-api-key"},
        .circuit_breaker = {.trip = bw::ConsecutiveFailures{3}, .recovery_timeout = 300s},
        .rate_limit = {.algorithm = bw::FixedWindow{.permits = 20, .window = 60s}},
        .cache = {.ttl = 120s, .stale_if_error = 1h},
    }};
    bw::Result<bw::Response> page = client.get("/inventory", {.query = {{"page", 1}, {"per_page", 100}}});
    if (page) std::cout << page->json()["products"].size() << " products\n";
    if (!page) std::cerr << page.error() << '\n';  // one line: what happened, how often, when to try again
}
