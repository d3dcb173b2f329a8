#pragma once

#include <breakwater/random.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace breakwater {

/// What a key is known by. Two keys have the same one by chance only: once in 2^128 pairs.
struct KeyHash {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    friend bool operator==(const KeyHash&, const KeyHash&) = default;
};

namespace detail {

/// Up to 8 bytes, the first one lowest.
inline std::uint64_t bytes_of(const char* bytes, std::size_t size) noexcept {
    std::uint64_t word = 0;
    if constexpr (std::endian::native == std::endian::little) {
        if (size == 8) {
            std::memcpy(&word, bytes, 8);
            return word;
        }
    }
    for (std::size_t i = 0; i < size; ++i)
        word |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return word;
}

}  // namespace detail

/// SipHash with a result of 128 bits (Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012). By default one
/// round for each 8 bytes and three at the end, as in the hash tables of Rust, Python and Ruby.
template <int Rounds = 1, int LastRounds = 3>
class SipHash {
public:
    constexpr SipHash(std::uint64_t secret_low, std::uint64_t secret_high) noexcept
        : secret_low_{secret_low}, secret_high_{secret_high} {}

    [[gnu::noinline]] KeyHash operator()(std::string_view key) const noexcept {
        State state{secret_low_ ^ 0x736f6d6570736575U, secret_high_ ^ 0x646f72616e646f6dU ^ 0xeeU,
                    secret_low_ ^ 0x6c7967656e657261U, secret_high_ ^ 0x7465646279746573U};
        const std::size_t rest = key.size() % 8;
        const char* const end = key.data() + (key.size() - rest);
        for (const char* at = key.data(); at != end; at += 8) state.add(detail::bytes_of(at, 8));
        // The rest, as the end of the 8 bytes that end there: one load in place of a loop.
        const std::uint64_t last = key.size() < 8 ? detail::bytes_of(end, rest)
                                   : rest == 0    ? 0
                                                  : detail::bytes_of(end + rest - 8, 8) >> (64 - 8 * rest);
        state.add(static_cast<std::uint64_t>(key.size()) << 56 | last);
        state.c ^= 0xeeU;
        state.template rounds<LastRounds>();
        const std::uint64_t low = state.a ^ state.b ^ state.c ^ state.d;
        state.b ^= 0xddU;
        state.template rounds<LastRounds>();
        return {low, state.a ^ state.b ^ state.c ^ state.d};
    }

private:
    struct State {
        std::uint64_t a, b, c, d;

        void add(std::uint64_t word) noexcept {
            d ^= word;
            rounds<Rounds>();
            a ^= word;
        }
        template <int Count>
        void rounds() noexcept {
            for (int i = 0; i < Count; ++i) {
                a += b;
                c += d;
                b = std::rotl(b, 13) ^ a;
                d = std::rotl(d, 16) ^ c;
                a = std::rotl(a, 32);
                c += b;
                a += d;
                b = std::rotl(b, 17) ^ c;
                d = std::rotl(d, 21) ^ a;
                c = std::rotl(c, 32);
            }
        }
    };

    std::uint64_t secret_low_;
    std::uint64_t secret_high_;
};

/// Hashes keys under a secret of its own, so that nobody who does not know it finds two keys that collide, or many that
/// lie close together in a table.
///
/// Most keys are short, and a key is hashed on every call: up to 16 bytes are hashed by NH (Black et al., "UMAC: fast
/// and secure message authentication", 1999), two multiplications, by which two keys collide under one in 2^64 secrets,
/// whatever they are. Longer ones are hashed by SipHash.
class KeyHasher {
public:
    /// With a secret of the system's random device.
    KeyHasher() : KeyHasher{Random{}} {}
    /// With one made of these numbers.
    explicit KeyHasher(Random&& random) noexcept
        : secret_{random(), random(), random(), random()}, long_{random(), random()} {}

    /// The one that all of this process share.
    static const KeyHasher& of_this_process() {
        static const KeyHasher hasher;
        return hasher;
    }

    [[gnu::always_inline]] KeyHash operator()(std::string_view key) const noexcept {
        if (key.size() > 16) [[unlikely]]
            return long_(key);
        return hash_short(key.data(), key.size());
    }

private:
    __extension__ using Wide = unsigned __int128;

    KeyHash hash_short(const char* bytes, std::size_t size) const noexcept {
        std::uint64_t first = 0;
        std::uint64_t last = 0;
        if (size >= 8) {
            std::memcpy(&first, bytes, 8);
            std::memcpy(&last, bytes + size - 8, 8);  // with the size, these tell all bytes
        } else if (size >= 4) {
            std::memcpy(&first, bytes, 4);
            std::memcpy(&last, bytes + size - 4, 4);
        } else if (size > 0) {
            std::memcpy(&first, bytes, 1);
            std::memcpy(&last, bytes + size / 2, 1);
            last = last << 8 | static_cast<unsigned char>(bytes[size - 1]);
        }
        const Wide sum = Wide{first + secret_[0]} * (last + secret_[1]) + Wide{size + secret_[2]} * secret_[3];
        // NH does not mix: the table wants all bits of both halves alike. No two sums become one.
        const auto top = static_cast<std::uint64_t>(sum >> 64);
        const std::uint64_t low = Random::mix(static_cast<std::uint64_t>(sum) + top * 0x9e3779b97f4a7c15U);
        return {low, (top ^ std::rotl(low, 32)) * 0xd6e8feb86659fd93U};
    }

    std::uint64_t secret_[4];
    SipHash<> long_;
};

}  // namespace breakwater
