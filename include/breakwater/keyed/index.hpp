#pragma once

#include <breakwater/keyed/hash.hpp>
#include <breakwater/keyed/pages.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace breakwater {

/// Finds the numbers (1, 2, …) of entries by hash. As F14 (Bronson, Shi, "Open-sourcing F14 for faster, more memory-
/// efficient hash tables", 2019): a line of memory holds twelve numbers and a byte of each one's hash, and a count of
/// those who found it full and went on to the next; so an entry is found with one look, and nothing of one that is gone
/// remains.
///
/// Readers take no lock; a writer excludes others. While a writer works a reader may miss an entry. What it finds is to
/// be compared: one in a hundred is another one.
class KeyedIndex {
public:
    explicit KeyedIndex(std::size_t most) : count_{most / load + 1}, lines_{count_} {}

    /// A number that is almost always the right one if there is one; 0 if there is none in the first line. To be asked
    /// before `find`: without a branch that the processor would have to guess, it goes on to the next key meanwhile.
    [[gnu::always_inline]] std::uint32_t guess(const KeyHash& hash) const noexcept {
        Line& line = lines_[home(hash)];
        const std::uint64_t found = matches(line, hash);
        const auto bit = static_cast<std::size_t>(std::countr_zero(found | std::uint64_t{1} << 63));
        return found == 0 ? 0 : atomic(line.numbers[place(bit)]).load(std::memory_order_relaxed);
    }

    /// The first number that `is_it(number)` accepts; 0 if there is none.
    template <class F>
    [[gnu::noinline]] std::uint32_t find(const KeyHash& hash, F is_it) const noexcept {
        std::size_t at = home(hash);
        for (std::size_t steps = 0; steps < count_; ++steps) {
            Line& line = lines_[at];
            std::uint64_t found = matches(line, hash);
            for (; found != 0; found &= found - 1) {
                const auto bit = static_cast<std::size_t>(std::countr_zero(found));
                const auto number = atomic(line.numbers[place(bit)]).load(std::memory_order_relaxed);
                if (number != 0 && is_it(number)) [[likely]]
                    return number;
            }
            if (atomic(line.tags[1]).load(std::memory_order_acquire) >> 32 == 0) break;
            at = next(at);
        }
        return 0;
    }

    /// There must be fewer than `most`.
    void insert(const KeyHash& hash, std::uint32_t number) noexcept {
        for (std::size_t at = home(hash);; at = next(at)) {
            Line& line = lines_[at];
            for (std::size_t slot = 0; slot < slots; ++slot) {
                if (line.numbers[slot] != 0) continue;
                atomic(line.numbers[slot]).store(number, std::memory_order_relaxed);
                change(line, slot / 8, tag(hash) << (8 * (slot % 8)));
                return;
            }
            change(line, 1, one_gone_on);
        }
    }

    void erase(const KeyHash& hash, std::uint32_t number) noexcept {
        for (std::size_t at = home(hash);; at = next(at)) {
            Line& line = lines_[at];
            const auto slot =
                static_cast<std::size_t>(std::find(line.numbers, line.numbers + slots, number) - line.numbers);
            if (slot < slots) {
                change(line, slot / 8, -(tag(hash) << (8 * (slot % 8))));
                atomic(line.numbers[slot]).store(0, std::memory_order_relaxed);
                return;
            }
            change(line, 1, -one_gone_on);
        }
    }

private:
    static constexpr std::size_t slots = 12;
    static constexpr std::size_t load = 7;  // of these on average, so that few go on
    static constexpr std::uint64_t ones = 0x0101'0101'0101'0101U;
    static constexpr std::uint64_t low_half = 0xffff'ffffU;
    static constexpr std::uint64_t one_gone_on = low_half + 1;

    struct alignas(64) Line {
        std::uint64_t tags[2];  // twelve bytes, 0 for none; then 32 bits: how many have gone on
        std::uint32_t numbers[slots];
    };

    /// A bit for each place whose tag is the hash's, and perhaps for one above such a place: bit 0 of each byte for the
    /// first word, bit 4 for the second.
    static std::uint64_t matches(Line& line, const KeyHash& hash) noexcept {
        const auto in = [&](std::size_t word) {
            const std::uint64_t tags = atomic(line.tags[word]).load(std::memory_order_acquire) ^ (tag(hash) * ones);
            return (tags - ones) & ~tags & (ones << 7);
        };
        return in(0) >> 7 | (in(1) & low_half) >> 3;
    }
    static std::size_t place(std::size_t bit) noexcept { return bit / 8 + (bit % 8 == 0 ? 0 : 8); }
    static std::uint64_t tag(const KeyHash& hash) noexcept { return std::max<std::uint64_t>(hash.high & 0xffU, 1); }
    std::size_t home(const KeyHash& hash) const noexcept {
        return static_cast<std::size_t>(((hash.low >> 32) * count_) >> 32);
    }
    std::size_t next(std::size_t at) const noexcept { return at + 1 == count_ ? 0 : at + 1; }

    static void change(Line& line, std::size_t word, std::uint64_t by) noexcept {
        atomic(line.tags[word]).store(line.tags[word] + by, std::memory_order_release);
    }
    template <class T>
    static std::atomic_ref<T> atomic(T& value) noexcept {
        return std::atomic_ref<T>{value};
    }

    const std::size_t count_;
    const ZeroedPages<Line> lines_;
};

}  // namespace breakwater
