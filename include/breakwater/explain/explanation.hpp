#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace breakwater {

/// What a stack of policies can do to a call at worst, in words and numbers. Made by `explain`; prints as a page.
struct Explanation {
    struct Layer {
        std::string policy{};  ///< "retry"
        std::string says{};    ///< "up to 3 more attempts, …"
    };
    struct Timeout {
        std::string phase{};                ///< "attempt"
        std::optional<Duration> at_most{};  ///< The one that holds; empty: nothing bounds the phase.
        std::string because{};              ///< What sets it.
    };

    std::vector<Layer> layers{};         ///< Outermost first.
    std::uint64_t worst_attempts = 1;    ///< Of one call; saturates.
    std::optional<Duration> duration{};  ///< Of one call, at most; empty: nothing bounds it.
    /// True if what is called may run on after `duration`, because nothing interrupts it.
    bool may_overrun = false;
    /// How many times more calls the service gets than are made, at worst, while it fails: of a burst of calls, and
    /// in the long run, which a retry budget makes less.
    double load_at_once = 1.0;
    double load_in_the_long_run = 1.0;
    bool breaks = false;  ///< A circuit breaker ends that.
    std::vector<Timeout> timeouts{};
    std::vector<std::string> warnings{};

    friend std::ostream& operator<<(std::ostream& out, const Explanation& all);
};

namespace detail {

inline std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(text.size(), width), ' ');
    return text;
}

/// "4" or "1.2": as many digits as it takes.
inline std::string factor_text(double factor) {
    const std::int64_t tenths = std::llround(factor * 10);
    const std::string whole = std::to_string(tenths / 10);
    return tenths % 10 == 0 ? whole : whole + '.' + std::to_string(tenths % 10);
}

}  // namespace detail

inline std::ostream& operator<<(std::ostream& out, const Explanation& all) {
    std::size_t width = 8;
    for (const auto& layer : all.layers) width = std::max(width, layer.policy.size());
    for (const auto& layer : all.layers)
        out << "  " << detail::padded(layer.policy, width) << "  " << layer.says << '\n';
    out << "at worst a call makes " << all.worst_attempts << (all.worst_attempts == 1 ? " attempt" : " attempts");
    if (all.duration) {
        out << " and takes " << format_duration(*all.duration);
        if (all.may_overrun) out << ", longer if what is called does not return: nothing interrupts it";
    } else {
        out << "; nothing bounds how long it takes";
    }
    out << "\nwhile the service fails it gets up to " << detail::factor_text(all.load_at_once)
        << " calls for each one made";
    if (all.load_in_the_long_run < all.load_at_once)
        out << ", in the long run " << detail::factor_text(all.load_in_the_long_run);
    out << (all.breaks ? ", until the circuit opens\n" : "\n");
    for (const auto& timeout : all.timeouts) {
        out << "timeout of " << detail::padded(timeout.phase + ':', 9)
            << (timeout.at_most ? format_duration(*timeout.at_most) : "none");
        if (!timeout.because.empty()) out << " (" << timeout.because << ")";
        out << '\n';
    }
    for (const auto& warning : all.warnings) out << "warning: " << warning << '\n';
    return out;
}

}  // namespace breakwater
