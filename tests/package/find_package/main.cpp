#include <breakwater/breakwater.hpp>

#include <iostream>

namespace bw = breakwater;
using namespace std::chrono_literals;

int main() {
    bw::ResilientClient client{bw::ClientOptions{
        .name = "nobody", .base_url = "http://127.0.0.1:9", .retry = {.max_retries = 1, .backoff = {.base = 1ms}}}};
    bw::Result<bw::Response> answer = client.get("/");
    if (answer) return 1;
    std::cout << answer.error() << '\n';
}
