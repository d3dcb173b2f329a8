#pragma once

#include <breakwater/rate_limiter/any_algorithm.hpp>
#include <breakwater/rate_limiter/fixed_window.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/rate_limiter/sliding_window.hpp>
#include <breakwater/rate_limiter/token_bucket.hpp>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <variant>

namespace breakwater::fleet {

/// A limit as a bucket: how fast it refills, and how much it holds. Empty for an algorithm of the user's, whose limit
/// cannot be told, and for none at all.
inline std::optional<TokenBucket::Prepared> as_bucket(const auto&) noexcept { return {}; }
inline std::optional<TokenBucket::Prepared> as_bucket(const TokenBucket::Prepared& bucket) noexcept { return bucket; }
inline std::optional<TokenBucket::Prepared> as_bucket(std::uint64_t permits, std::uint64_t window) noexcept {
    std::uint64_t p = permits / std::gcd(permits, window);
    std::uint64_t q = window / std::gcd(permits, window);
    while (p > (std::uint64_t{1} << 20)) {  // ticks must not wrap for years
        p /= 2;
        q = std::max<std::uint64_t>(q / 2, 1);
    }
    return TokenBucket::Prepared{
        .ticks_per_us = p, .cost = q, .burst = permits, .capacity = permits * q, .furthest = 0};
}
inline std::optional<TokenBucket::Prepared> as_bucket(const FixedWindow::Prepared& limit) noexcept {
    return as_bucket(limit.permits, limit.windows.length);
}
inline std::optional<TokenBucket::Prepared> as_bucket(const SlidingWindow::Prepared& limit) noexcept {
    return as_bucket(limit.permits, limit.windows.length);
}
inline std::optional<TokenBucket::Prepared> as_bucket(const AnyAlgorithm::Prepared& chosen) noexcept {
    return std::visit([](const auto& own) { return as_bucket(own); }, chosen);
}

/// Whether everything is granted anyway.
constexpr bool is_unlimited(const NoLimit::Prepared&) noexcept { return true; }
constexpr bool is_unlimited(const AnyAlgorithm::Prepared& chosen) noexcept {
    return std::holds_alternative<NoLimit::Prepared>(chosen);
}
constexpr bool is_unlimited(const auto&) noexcept { return false; }

/// The fair share of one of `instances` processes: the same bucket, refilled so many times more slowly, and at least
/// one permit deep. All together grant in any interval of length t at most burst + instances + rate × t.
inline TokenBucket::Prepared share_of(const TokenBucket::Prepared& whole, std::uint32_t instances) noexcept {
    const std::uint64_t among = std::clamp<std::uint64_t>(instances, 1, 1'024);
    TokenBucket::Prepared share{whole};
    share.cost = whole.cost * among;
    share.burst = std::max<std::uint64_t>(whole.burst / among, 1);
    share.capacity = share.burst * share.cost;
    const auto tolerated = static_cast<std::uint64_t>((default_max_pause + clock_tolerance).count());
    share.furthest = share.capacity + tolerated * share.ticks_per_us;
    return share;
}

}  // namespace breakwater::fleet
