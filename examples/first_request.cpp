#include <breakwater/breakwater.hpp>
#include <cstdlib>
#include <iostream>
namespace bw = breakwater;
using namespace std::chrono_literals;
int main() {
    const char* url = std::getenv("SUPPLIER_URL");
    const bw::ResilientClient client{bw::ClientOptions{
        .base_url = url ? url : "https://api.supplier.example.com/v1",
        .auth = bw::Bearer{"my-api-key"},
        .rate_limit = {.algorithm = bw::FixedWindow{.permits = 20, .window = 60s}},
    }};
    auto page = client.get("/inventory", {.query = {{"page", 1}, {"per_page", 100}}});
    page ? std::cout << page->json()["products"].size() << " products\n" : std::cerr << page.error() << '\n';
}
