#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/result.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

namespace breakwater {

/// What one window of calls has shown.
struct LimitSample {
    double rtt = 0;               ///< The mean time of the calls that were answered, in µs; 0 if none was.
    std::uint32_t in_flight = 0;  ///< The most that were in flight at once.
    bool dropped = false;         ///< Too many of them were dropped: the service has more than it can take.
    friend bool operator==(const LimitSample&, const LimitSample&) = default;
};

/// What the built-in algorithms learn. All zero: nothing yet.
struct LimitBaseline {
    double rtt = 0;             ///< What an answer takes without a queue, in µs, as far as is known.
    std::uint32_t windows = 0;  ///< How many windows a mean is made of.
    friend bool operator==(const LimitBaseline&, const LimitBaseline&) = default;

    /// Takes over what was measured: the mean of the two where they differ by no more than chance makes them.
    constexpr void rebase(double measured) noexcept {
        const bool is_news = measured > rtt * 1.25 || measured < rtt * 0.8;
        rtt = is_news ? measured : (rtt + measured) / 2;
    }
};

/// Decides how many calls may be in flight. An algorithm is its own options (a regular value); what it learns is its
/// `State`, whose first value is `State{}`.
///
/// - `next(state, limit, sample)` gives the limit after a window, as a number with a fraction, so that small steps add
///   up. The caller keeps it within its bounds. A limit of which less than half was used must not grow.
/// - `baseline(state)` is the time it takes for one without a queue, in µs; 0 if it knows or needs none.
/// - `validate(algorithm, path)`, found beside it, checks it; messages begin with `path`.
///
/// Optional, both or neither: `probe_after(limit)` says after how many windows in which half of the limit or more was
/// used the baseline is to be measured again, if ever; `rebase(state, rtt)` is told what was measured (in µs) with half
/// as many calls in flight.
///
/// None of them allocates, blocks or throws.
///
/// ```
/// struct TenAtMost {                                      // the archetype: grows to ten
///     struct State {};
///     constexpr double next(State&, double limit, const LimitSample& sample) const noexcept {
///         return sample.in_flight * 2 < limit || limit >= 10 ? limit : limit + 1;
///     }
///     static constexpr double baseline(const State&) noexcept { return 0; }
///     friend Result<void> validate(const TenAtMost&, std::string_view) { return {}; }
/// };
/// ```
template <class A>
concept LimitAlgorithm =
    std::copyable<A> && std::copyable<typename A::State> && std::default_initializable<typename A::State> &&
    requires(const A& algorithm, typename A::State& state, const typename A::State& seen, double limit,
             const LimitSample& sample, std::string_view path) {
        { algorithm.next(state, limit, sample) } noexcept -> std::same_as<double>;
        { algorithm.baseline(seen) } noexcept -> std::same_as<double>;
        { validate(algorithm, path) } -> std::same_as<Result<void>>;
    };

/// An algorithm whose baseline is measured again from time to time.
template <class A>
concept ProbingLimitAlgorithm =
    LimitAlgorithm<A> && requires(const A& algorithm, typename A::State& state, double limit, double rtt) {
        { algorithm.probe_after(limit) } noexcept -> std::same_as<std::optional<std::uint32_t>>;
        { algorithm.rebase(state, rtt) } noexcept;
    };

}  // namespace breakwater
