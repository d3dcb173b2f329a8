#include <breakwater/store/redis/options.hpp>

#include <iostream>

namespace bw = breakwater;

int main() {
    const auto wrong = bw::validate(bw::RedisStoreOptions{.url = "redis://nowhere:0"});
    if (wrong) return 1;
    std::cout << wrong.error() << '\n';
}
