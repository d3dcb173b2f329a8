#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace breakwater {

/// One quantile of a stream of durations, in a fixed 560 bytes, of the newest samples most.
///
/// A regular value; adding a sample takes a few steps and allocates nothing. Samples from 0 to 24 h (beyond that they
/// are cut) are counted in buckets of an eighth of a power of two, exact below 16 µs: `value()` is within 1/16 (6.25 %)
/// of the sample that has the rank ⌈quantile × samples⌉. Memory decays: when `most` samples are counted, every second
/// one of them is dropped, in their order by size, so that no rank moves by more than a half.
///
/// Buckets after HdrHistogram (Gil Tene).
class RunningQuantile {
public:
    struct Rule {
        std::uint32_t quantile = 5'000;  ///< In ten-thousandths: 1 to 9,999.
        std::uint32_t most = 256;        ///< 2 to 60,000.
        friend bool operator==(const Rule&, const Rule&) = default;
    };

    constexpr void add(Duration took, const Rule& rule) noexcept { count(bucket_of(took), rule); }

    /// A sample that was cut off at `took`: counted as that long, and as no shorter than the quantile. What is cut
    /// before it neither lowers it nor raises it.
    constexpr void add_at_least(Duration took, const Rule& rule) noexcept {
        count(std::max(bucket_of(took), samples_ > 0 ? at_ : 0), rule);
    }

    /// The quantile; 0 before the first sample. A new rule's holds from the next sample on.
    constexpr Duration value() const noexcept { return samples_ > 0 ? middle_of(at_) : Duration{0}; }

    /// How many samples are counted.
    constexpr std::uint32_t samples() const noexcept { return samples_; }

    friend bool operator==(const RunningQuantile&, const RunningQuantile&) = default;

private:
    static constexpr std::int64_t longest = std::chrono::microseconds{std::chrono::hours{24}}.count();

    static constexpr std::uint32_t bucket_of(Duration took) noexcept {
        const auto us = static_cast<std::uint64_t>(std::clamp<std::int64_t>(took.count(), 0, longest));
        if (us < 16) return static_cast<std::uint32_t>(us);
        const auto shift = static_cast<std::uint32_t>(std::bit_width(us)) - 4;
        return 8 * shift + static_cast<std::uint32_t>(us >> shift);  // the latter is 8 to 15
    }
    static constexpr Duration middle_of(std::uint32_t bucket) noexcept {
        if (bucket < 16) return Duration{bucket};
        const std::uint32_t shift = bucket / 8 - 1;
        return Duration{static_cast<std::int64_t>(2 * (8 + bucket % 8) + 1) << (shift - 1)};
    }
    static constexpr std::size_t buckets = 275;

    constexpr void count(std::uint32_t bucket, const Rule& rule) noexcept {
        static_assert(bucket_of(Duration{longest}) == buckets - 1);
        while (samples_ >= rule.most) halve();
        ++counts_[bucket];
        ++samples_;
        if (bucket < at_) ++below_;
        const std::uint32_t rank = std::max((samples_ * rule.quantile + 9'999) / 10'000, 1U);
        while (below_ >= rank) below_ -= counts_[--at_];
        while (below_ + counts_[at_] < rank) below_ += counts_[at_++];
    }
    constexpr void halve() noexcept {
        std::uint32_t odd = 0;  // one that has no second yet
        for (auto& count : counts_) {
            const std::uint32_t all = count + odd;
            count = static_cast<std::uint16_t>(all / 2);
            odd = all % 2;
        }
        samples_ /= 2;
        at_ = below_ = 0;
    }

    std::array<std::uint16_t, buckets> counts_{};
    std::uint32_t samples_ = 0;
    std::uint32_t at_ = 0;     // the bucket of the quantile
    std::uint32_t below_ = 0;  // samples in the buckets before it
};

}  // namespace breakwater
