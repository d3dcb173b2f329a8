#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/random.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>

namespace breakwater {

/// How a delay is spread at random, so that clients that failed together do not return together. After Marc Brooker,
/// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
enum class Jitter : std::uint8_t {
    none,          ///< The delay itself.
    full,          ///< Uniform in [0, delay].
    equal,         ///< Uniform in [delay / 2, delay].
    decorrelated,  ///< Uniform in [base, 3 × the previous delay], at most `cap`; ignores `growth` and `multiplier`.
    around,        ///< Uniform in delay ± `spread` × delay, at most `cap`.
};

// The same as types, for a choice the compiler sees through.
struct NoJitter {
    constexpr operator Jitter() const noexcept { return Jitter::none; }
    friend bool operator==(NoJitter, NoJitter) = default;
};
struct FullJitter {
    constexpr operator Jitter() const noexcept { return Jitter::full; }
    friend bool operator==(FullJitter, FullJitter) = default;
};
struct EqualJitter {
    constexpr operator Jitter() const noexcept { return Jitter::equal; }
    friend bool operator==(EqualJitter, EqualJitter) = default;
};
struct DecorrelatedJitter {
    constexpr operator Jitter() const noexcept { return Jitter::decorrelated; }
    friend bool operator==(DecorrelatedJitter, DecorrelatedJitter) = default;
};

struct AroundJitter {
    constexpr operator Jitter() const noexcept { return Jitter::around; }
    friend bool operator==(AroundJitter, AroundJitter) = default;
};

/// How the delay grows from one retry to the next.
enum class Growth : std::uint8_t {
    exponential,  ///< base × multiplier^(k − 1) before retry k; a multiplier of 1 makes it constant.
    linear,       ///< base × k; ignores `multiplier`.
};

template <class J>
inline constexpr J default_jitter{};
template <>
inline constexpr Jitter default_jitter<Jitter> = Jitter::full;

/// The delays between retries: exponential by default, at most `cap`, spread by `jitter`. `constant_backoff`,
/// `linear_backoff` and `random_backoff` make the other usual ones.
///
/// `J` is `Jitter` (chosen at run time) or one of the jitter types.
template <std::convertible_to<Jitter> J = Jitter>
struct Backoff {
    Duration base = std::chrono::milliseconds{200};  ///< Before the first retry. More than 0, at most `cap`.
    double multiplier = 2.0;                         ///< 1 to 1000.
    Duration cap = std::chrono::seconds{30};         ///< At most 24h.
    J jitter = default_jitter<J>;
    Growth growth = Growth::exponential;
    double spread = 0.25;  ///< Of `Jitter::around`: 0 to 1.

    /// The delay before retry number `retry` (from 1): whole microseconds in [0, cap] for any number. `previous` is
    /// what this function returned for the retry before (0 at the first one), `random` any 64 random bits.
    constexpr Duration delay(std::uint32_t retry, Duration previous, std::uint64_t random) const noexcept {
        const Jitter kind = jitter;
        if (kind == Jitter::decorrelated) {
            constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 3;
            const std::int64_t low = std::max<std::int64_t>(base.count(), 0);
            const std::int64_t high = std::max(low, 3 * std::clamp(previous.count(), std::min(low, most), most));
            return at_most_cap(low + draw(random, high - low));
        }
        const std::int64_t whole = without_jitter(retry).count();
        if (kind == Jitter::full) return Duration{draw(random, whole)};
        if (kind == Jitter::equal) return Duration{whole / 2 + draw(random, whole - whole / 2)};
        if (kind == Jitter::around) {
            const auto most = static_cast<std::int64_t>(static_cast<double>(whole) * std::clamp(spread, 0.0, 1.0));
            return at_most_cap(whole - most + draw(random, 2 * most));
        }
        return Duration{whole};
    }

    /// The longest that `delay` can be before this retry, whatever is drawn.
    constexpr Duration longest(std::uint32_t retry) const noexcept {
        const Jitter kind = jitter;
        if (kind == Jitter::decorrelated) return at_most_cap(cap.count());
        const Duration whole = without_jitter(retry);
        if (kind != Jitter::around) return whole;
        return at_most_cap(whole.count() + static_cast<std::int64_t>(static_cast<double>(whole.count()) * spread));
    }
    /// The delay that the jitter spreads: never less for a later retry.
    constexpr Duration without_jitter(std::uint32_t retry) const noexcept {
        if (growth == Growth::linear) {
            const std::int64_t times = std::max<std::uint32_t>(retry, 1);
            return at_most_cap(base.count() > cap.count() / times ? cap.count() : base.count() * times);
        }
        // Squaring makes this O(log retry). Saturating each factor keeps the products finite, which a constant
        // expression needs. The rounding errors of a double (relative, below retry × 2^-52) are smaller than the step
        // from one power to the next for multipliers from 1.000001, so the result is monotone.
        constexpr double plenty = 1e18;
        double power = 1.0;
        double factor = multiplier > 1.0 ? multiplier : 1.0;
        for (std::uint32_t exponent = retry > 0 ? retry - 1 : 0; exponent > 0; exponent >>= 1) {
            factor = std::min(factor, plenty);
            if ((exponent & 1U) != 0) power = std::min(power * factor, plenty);
            factor *= factor;
        }
        const double grown = power * static_cast<double>(base.count());
        if (grown >= static_cast<double>(cap.count())) return at_most_cap(cap.count());
        return at_most_cap(static_cast<std::int64_t>(grown));
    }

    friend bool operator==(const Backoff&, const Backoff&) = default;

private:
    static constexpr std::int64_t draw(std::uint64_t random, std::int64_t bound) noexcept {
        return static_cast<std::int64_t>(uniform(random, static_cast<std::uint64_t>(bound)));
    }
    constexpr Duration at_most_cap(std::int64_t us) const noexcept {
        return Duration{std::max<std::int64_t>(std::min(us, cap.count()), 0)};
    }
};

/// The same delay before each retry.
constexpr Backoff<> constant_backoff(Duration delay) noexcept {
    return {.base = delay, .multiplier = 1.0, .cap = delay, .jitter = Jitter::none};
}
/// step, 2 × step, 3 × step and so on, at most `cap`.
constexpr Backoff<> linear_backoff(Duration step, Duration cap = std::chrono::seconds{30}) noexcept {
    return {.base = step, .cap = cap, .jitter = Jitter::none, .growth = Growth::linear};
}
/// Anything from `least` to `most`, each time anew.
constexpr Backoff<> random_backoff(Duration least, Duration most) noexcept {
    const auto sum = static_cast<double>(least.count()) + static_cast<double>(most.count());
    return {.base = least + (most - least) / 2,
            .multiplier = 1.0,
            .cap = most,
            .jitter = Jitter::around,
            .spread = sum > 0 ? static_cast<double>((most - least).count()) / sum : 0.0};
}

/// Checks the options; messages begin with `path`.
template <class J>
Result<void> validate(const Backoff<J>& backoff, std::string_view path = "retry.backoff") {
    constexpr Duration most = std::chrono::hours{24};
    if (backoff.base <= Duration{0}) return detail::invalid_option(path, "base", "> 0s", backoff.base);
    if (!(backoff.multiplier >= 1.0 && backoff.multiplier <= 1000.0))  // also refuses NaN
        return detail::invalid_option(path, "multiplier", "1 to 1000", backoff.multiplier);
    if (backoff.cap > most) return detail::invalid_option(path, "cap", "<= 24h", backoff.cap);
    if (backoff.cap < backoff.base) {
        return detail::invalid_option(path, "cap", ">= base, which is " + detail::option_text(backoff.base),
                                      backoff.cap);
    }
    if (!(backoff.spread >= 0.0 && backoff.spread <= 1.0))
        return detail::invalid_option(path, "spread", "0 to 1", backoff.spread);
    return {};
}

}  // namespace breakwater
