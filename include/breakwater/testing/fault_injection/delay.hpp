#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/random.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <variant>

namespace breakwater::faults {

/// Any span from `least` to `most`, each as likely. 0s <= `least` <= `most` <= 24h; default 0s to 100ms.
struct Uniform {
    Duration least{};
    Duration most = std::chrono::milliseconds{100};
};

/// Mostly short, now and then several times its mean: 1us to 24h; default 100ms.
struct Exponential {
    Duration mean = std::chrono::milliseconds{100};
};

/// As real services take: half of all below the median, and a long tail.
struct LogNormal {
    Duration median = std::chrono::milliseconds{100};  ///< 1us to 24h; default 100ms.
    /// The standard deviation of the logarithm, above 0 and at most 5; default 0.5: one in a hundred takes 3.2 times
    /// the median or longer.
    double sigma = 0.5;
};

/// How long something is held up: a fixed span (0s to 24h) or one drawn from a distribution. Default: none.
class Delay {
public:
    using Kind = std::variant<Duration, Uniform, Exponential, LogNormal>;

    constexpr Delay() noexcept {}
    template <class Rep, class Period>
    constexpr Delay(std::chrono::duration<Rep, Period> fixed) : kind_{to_duration(fixed)} {}
    constexpr Delay(Uniform range) : kind_{range} {}
    constexpr Delay(Exponential distribution) : kind_{distribution} {}
    constexpr Delay(LogNormal distribution) : kind_{distribution} {}

    constexpr const Kind& kind() const noexcept { return kind_; }

    /// The next one, of options that `validate` accepts. At most 24h, however long the tail.
    Duration draw(Random& random) const noexcept {
        if (const auto* fixed = std::get_if<Duration>(&kind_)) return *fixed;
        if (const auto* range = std::get_if<Uniform>(&kind_)) {
            const auto width = static_cast<std::uint64_t>((range->most - range->least).count());
            return range->least + Duration{static_cast<std::int64_t>(uniform(random(), width))};
        }
        const double exponential = -std::log(above_zero(random()));
        if (const auto* distribution = std::get_if<Exponential>(&kind_)) return times(distribution->mean, exponential);
        const auto* distribution = std::get_if<LogNormal>(&kind_);
        const double normal =  // by the method of Box and Muller
            std::sqrt(2 * exponential) * std::cos(2 * std::numbers::pi * above_zero(random()));
        return times(distribution->median, std::exp(distribution->sigma * normal));
    }

private:
    /// In (0, 1].
    static double above_zero(std::uint64_t random) noexcept {
        return static_cast<double>((random >> 11) + 1) * 0x1p-53;
    }
    static Duration times(Duration span, double factor) noexcept {
        constexpr Duration most = std::chrono::hours{24};
        const double us = static_cast<double>(span.count()) * factor;
        return us < static_cast<double>(most.count()) ? Duration{static_cast<std::int64_t>(us)} : most;
    }

    Kind kind_{};
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const Delay& delay, std::string_view path) {
    using detail::invalid_option;
    constexpr Duration most = std::chrono::hours{24};
    if (const auto* fixed = std::get_if<Duration>(&delay.kind())) {
        if (*fixed < Duration{0} || *fixed > most) return invalid_option(path, "", "0s to 24h", *fixed);
    } else if (const auto* range = std::get_if<Uniform>(&delay.kind())) {
        if (range->least < Duration{0} || range->least > most)
            return invalid_option(path, "least", "0s to 24h", range->least);
        if (range->most < range->least || range->most > most)
            return invalid_option(path, "most", "least to 24h", range->most);
    } else if (const auto* exponential = std::get_if<Exponential>(&delay.kind())) {
        if (exponential->mean < Duration{1} || exponential->mean > most)
            return invalid_option(path, "mean", "1us to 24h", exponential->mean);
    } else if (const auto* log_normal = std::get_if<LogNormal>(&delay.kind())) {
        if (log_normal->median < Duration{1} || log_normal->median > most)
            return invalid_option(path, "median", "1us to 24h", log_normal->median);
        if (!(log_normal->sigma > 0 && log_normal->sigma <= 5))
            return invalid_option(path, "sigma", "> 0 and at most 5", log_normal->sigma);
    }
    return {};
}

}  // namespace breakwater::faults
