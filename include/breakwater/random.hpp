#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <system_error>

#include <errno.h>
#include <sys/random.h>

namespace breakwater {

/// 64 bits from the system's random device, in a form that costs little to include. Throws `std::system_error` if there
/// is none (ends the program where exceptions are switched off).
inline std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    if (::getentropy(&seed, sizeof seed) == 0) return seed;
#ifdef __cpp_exceptions
    throw std::system_error{errno, std::generic_category(), "getentropy"};
#else
    std::abort();
#endif
}

/// A stream of random 64-bit numbers (SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014). Thread-safe and lock-free; the same seed gives the same sequence on one thread.
class Random {
public:
    /// Seeded by `seed`, or differently in every process and for every object.
    explicit Random(std::optional<std::uint64_t> seed = {}) : state_{seed ? *seed : entropy()} {}

    std::uint64_t operator()() noexcept {
        return mix(state_.fetch_add(0x9e3779b97f4a7c15U, std::memory_order_relaxed) + 0x9e3779b97f4a7c15U);
    }

    static constexpr std::uint64_t mix(std::uint64_t z) noexcept {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31);
    }

private:
    static std::uint64_t entropy() {
        static std::atomic<std::uint64_t> stream{random_seed()};
        return mix(stream.fetch_add(0x9e3779b97f4a7c15U, std::memory_order_relaxed));
    }

    std::atomic<std::uint64_t> state_;
};

/// A uniform number in [0, bound], from one random 64-bit number (bias below 2^-11 for bounds below 2^53).
constexpr std::uint64_t uniform(std::uint64_t random, std::uint64_t bound) noexcept {
    __extension__ using wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<wide>(random) * (static_cast<wide>(bound) + 1)) >> 64);
}

}  // namespace breakwater
