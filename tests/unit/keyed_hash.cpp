#include <breakwater/keyed/hash.hpp>
#include <breakwater/keyed/index.hpp>

#include <catch_shim.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bw = breakwater;

namespace {

/// Of a secret of the bytes 0 to 15, as in the authors' test vectors.
bw::KeyHash siphash24(std::string_view key) { return bw::SipHash<2, 4>{0x0706050403020100U, 0x0f0e0d0c0b0a0908U}(key); }

}  // namespace

TEST_CASE("SipHash gives the results that its authors and OpenSSL give") {
    CHECK(siphash24("") == bw::KeyHash{0xe6a825ba047f81a3U, 0x930255c71472f66dU});
    CHECK(siphash24("hello, world 12345") == bw::KeyHash{0xecf343981b793552U, 0x4f204139b739c85eU});
}

TEST_CASE("keys of any length differ in both halves of their hash, and under another secret too") {
    const bw::KeyHasher hash{bw::Random{1}};
    std::set<std::uint64_t> lows;
    std::set<std::uint64_t> highs;
    std::set<std::string> keys;
    for (std::size_t size = 0; size < 40; ++size) {
        for (std::size_t at = 0; at < std::max<std::size_t>(size, 1); ++at) {
            for (const char c : {'\0', 'a', 'b', '\xff'}) {
                std::string key(size, '\0');
                if (size > 0) key[at] = c;
                keys.insert(std::move(key));
            }
        }
    }
    for (const std::string& key : keys) {
        lows.insert(hash(key).low);
        highs.insert(hash(key).high);
        CHECK_FALSE(hash(key) == bw::KeyHasher{bw::Random{2}}(key));
    }
    CHECK(lows.size() == keys.size());
    CHECK(highs.size() == keys.size());
    CHECK_FALSE(bw::KeyHasher{}("a") == bw::KeyHasher{}("a"));
}

TEST_CASE("hashes of short keys fill a table evenly: all bits are used") {
    const bw::KeyHasher hash{bw::Random{3}};
    std::vector<int> by_top(256);
    std::vector<int> by_tag(256);
    for (int i = 0; i < 256'000; ++i) {
        const bw::KeyHash made = hash("tenant-" + std::to_string(i));
        ++by_top[made.low >> 56];
        ++by_tag[made.high & 0xffU];
    }
    for (const auto* counts : {&by_top, &by_tag}) {
        CHECK(*std::ranges::min_element(*counts) > 800);
        CHECK(*std::ranges::max_element(*counts) < 1'200);
    }
}

TEST_CASE("the index finds what a map finds, also where lines run over and entries have gone") {
    constexpr std::size_t most = 300;
    bw::KeyedIndex index{most};
    std::map<std::uint32_t, bw::KeyHash> naive;
    std::mt19937_64 random{7};
    const auto find = [&](const bw::KeyHash& hash) {
        return index.find(hash, [&](std::uint32_t number) { return naive.at(number) == hash; });
    };
    for (std::uint64_t step = 0; step < 50'000; ++step) {
        const auto number = static_cast<std::uint32_t>(1 + random() % most);
        if (const auto found = naive.find(number); found != naive.end()) {
            REQUIRE(find(found->second) == number);
            index.erase(found->second, number);
            const bw::KeyHash gone = found->second;
            naive.erase(found);
            REQUIRE(find(gone) == 0);
        } else if (step / 5'000 % 2 == 0 || random() % 4 == 0) {
            // Few homes, so that lines run over; few tags, so that several match.
            const bw::KeyHash hash{(random() % 4) << 61 | step, random() << 8 | random() % 3};
            index.insert(hash, number);
            naive.emplace(number, hash);
        }
    }
    for (const auto& [number, hash] : naive) CHECK(find(hash) == number);
    for (const auto& [number, hash] : naive) index.erase(hash, number);
    CHECK(index.guess({}) == 0);
}
