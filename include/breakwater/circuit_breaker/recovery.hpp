#pragma once

#include <breakwater/backoff.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/random.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace breakwater {

/// How the time a circuit stays open changes from one opening to the next. By default it does not.
struct RecoveryGrowth {
    /// Each time the circuit opens again without having closed, it stays open this many times longer. 1 to 1000.
    double multiplier = 1.0;

    /// It never stays open longer than this, or than `recovery_timeout` if that is more. Up to 24 h; default 10 min.
    Duration cap = std::chrono::minutes{10};

    /// The time is drawn from ± this share of it, so that processes do not probe in step. 0 to 1; default 0.
    double jitter = 0.0;

    /// If the failure that opens the circuit came with a Retry-After, that is the time, up to the cap.
    bool heed_retry_after = false;

    friend bool operator==(const RecoveryGrowth&, const RecoveryGrowth&) = default;
};

/// How long a circuit stays open.
class RecoveryTime {
public:
    constexpr RecoveryTime(Duration timeout = std::chrono::seconds{60}, const RecoveryGrowth& growth = {}) noexcept
        : timeout_{timeout}, growth_{growth}, longest_{varies(growth) ? std::max(growth.cap, timeout) : timeout} {}

    /// As it is the first time, but for the jitter.
    constexpr Duration timeout() const noexcept { return timeout_; }
    /// No circuit stays open for longer, unless forced.
    constexpr Duration longest() const noexcept { return longest_; }
    constexpr const RecoveryGrowth& growth() const noexcept { return growth_; }

    /// Random bits as a number in [0, 1), of which a jitter takes its share. A double, as scripts at a server have
    /// them.
    static constexpr double share_of(std::uint64_t random) noexcept {
        return static_cast<double>(random >> 11) * 0x1p-53;
    }

    /// Of a circuit that has opened `openings` times before since it was closed, by a failure whose answer asked for
    /// `retry_after` (negative: for nothing). `random` is for the jitter.
    constexpr Duration after(std::uint32_t openings, Duration retry_after, std::uint64_t random) const noexcept {
        if (growth_.heed_retry_after && retry_after >= Duration{0})
            return std::clamp(retry_after, Duration{1}, longest_);
        const Backoff<NoJitter> backoff{.base = timeout_, .multiplier = growth_.multiplier, .cap = longest_};
        const Duration whole = backoff.without_jitter(openings < 1'000'000 ? openings + 1 : 1'000'000);
        if (growth_.jitter == 0.0) return whole;
        const auto spread = static_cast<std::int64_t>(static_cast<double>(whole.count()) * growth_.jitter);
        const auto drawn = static_cast<std::int64_t>(share_of(random) * static_cast<double>(2 * spread + 1));
        return std::clamp(whole - Duration{spread} + Duration{drawn}, Duration{1}, longest_);
    }

private:
    static constexpr bool varies(const RecoveryGrowth& growth) noexcept {
        return growth.multiplier != 1.0 || growth.jitter != 0.0 || growth.heed_retry_after;
    }

    Duration timeout_;
    RecoveryGrowth growth_;
    Duration longest_;
};

}  // namespace breakwater
