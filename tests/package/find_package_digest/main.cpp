#include <breakwater/digest/hash.hpp>

#include <iostream>

namespace bw = breakwater;

int main() {
    bw::Hash hash{bw::DigestAlgorithm::sha_256};
    hash.take("abc");
    const auto digest = hash.end(bw::DigestText::hex);
    std::cout << digest << '\n';
    return digest.starts_with("ba7816bf") ? 0 : 1;
}
