#include <breakwater/random.hpp>
#include <catch_shim.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <thread>
#include <vector>

namespace bw = breakwater;

TEST_CASE("a seeded source gives the published SplitMix64 sequence") {
    bw::Random random{1234567};
    CHECK(random() == 6457827717110365317U);
    CHECK(random() == 3203168211198807973U);
    CHECK(random() == 9817491932198370423U);
    CHECK(random() == 4593380528125082431U);
    CHECK(random() == 16408922859458223821U);
}

TEST_CASE("sources without a seed differ") {
    bw::Random one;
    bw::Random other;
    CHECK(one() != other());
}

TEST_CASE("threads that share a source never draw the same number") {
    bw::Random random{7};
    constexpr std::size_t draws = 20'000;
    std::array<std::vector<std::uint64_t>, 2> drawn;
    {
        std::vector<std::jthread> threads;
        for (auto& own : drawn)
            threads.emplace_back(
                [&own, &random] { std::generate_n(std::back_inserter(own), draws, std::ref(random)); });
    }
    std::vector<std::uint64_t> all = drawn[0];
    all.insert(all.end(), drawn[1].begin(), drawn[1].end());
    std::ranges::sort(all);
    CHECK(std::ranges::adjacent_find(all) == all.end());
    CHECK(all.size() == 2 * draws);
}

TEST_CASE("uniform numbers reach both ends of the range and never leave it") {
    constexpr std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();
    STATIC_REQUIRE(bw::uniform(0, 10) == 0);
    STATIC_REQUIRE(bw::uniform(highest, 10) == 10);
    STATIC_REQUIRE(bw::uniform(highest, 0) == 0);
    STATIC_REQUIRE(bw::uniform(highest, highest) == highest);
    STATIC_REQUIRE(bw::uniform(12345, highest) == 12345);
}

TEST_CASE("uniform numbers are spread evenly") {
    bw::Random random{42};
    std::array<int, 6> counts{};
    for (int n = 0; n < 60'000; ++n) ++counts[bw::uniform(random(), counts.size() - 1)];
    for (const int count : counts) {  // 10,000 ± 6 standard deviations; the seed makes it the same every time
        CHECK(count > 9'450);
        CHECK(count < 10'550);
    }
}
