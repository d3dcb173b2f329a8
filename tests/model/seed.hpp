#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

namespace test {

/// The seed of a random test: a new one each time, or BREAKWATER_TEST_SEED to repeat a run. Capture it, so that a
/// failure prints it.
inline std::uint64_t seed() {
    if (const char* given = std::getenv("BREAKWATER_TEST_SEED")) return std::stoull(given);
    return std::random_device{}();
}

}  // namespace test
