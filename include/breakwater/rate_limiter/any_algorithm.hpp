#pragma once

#include <breakwater/rate_limiter/algorithm.hpp>
#include <breakwater/rate_limiter/fixed_window.hpp>
#include <breakwater/rate_limiter/sliding_window.hpp>
#include <breakwater/rate_limiter/token_bucket.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <variant>

namespace breakwater {

/// Grants everything: the rate limiter is off. A pause the service asks for still holds, that is not the algorithm's.
struct NoLimit {
    using State = LimiterState;
    struct Prepared {};

    constexpr Prepared prepare(Duration = default_max_pause) const noexcept { return {}; }
    static constexpr Grant take(State&, const Prepared&, std::int64_t, Instant) noexcept { return {.granted = true}; }
    static constexpr Grant reserve(State&, const Prepared&, std::int64_t, Instant, Duration) noexcept {
        return {.granted = true};
    }
    static constexpr Grant peek(const State&, const Prepared&, std::int64_t, Instant) noexcept {
        return {.granted = true};
    }
    static constexpr void pause(State&, const Prepared&, Instant, Instant) noexcept {}
    static constexpr void give_back(State&, const Prepared&, std::int64_t, Instant) noexcept {}
    static constexpr std::int64_t available(const State&, const Prepared&, Instant) noexcept {
        return std::numeric_limits<std::int64_t>::max();
    }
    static constexpr Instant lease_end(const Prepared&, std::int64_t, Instant now) noexcept {
        return now + std::chrono::seconds{1};
    }
    static constexpr bool is_fresh(const State&, const Prepared&, Instant) noexcept { return true; }
    friend bool operator==(const NoLimit&, const NoLimit&) = default;
};
inline constexpr NoLimit no_limit{};

inline Result<void> validate(const NoLimit&, std::string_view) { return {}; }

/// The built-in algorithms as a run-time choice. Default: `no_limit`.
class AnyAlgorithm {
    // Not std::visit, which has a path that throws. Deduced and therefore first: so both compilers have it ready in
    // constant expressions.
    template <class Variant, class F>
    static constexpr auto with(const Variant& prepared, F function) noexcept {
        if (const auto* bucket = std::get_if<TokenBucket::Prepared>(&prepared)) return function(TokenBucket{}, *bucket);
        if (const auto* limit = std::get_if<FixedWindow::Prepared>(&prepared)) return function(FixedWindow{}, *limit);
        if (const auto* limit = std::get_if<SlidingWindow::Prepared>(&prepared))
            return function(SlidingWindow{}, *limit);
        return function(NoLimit{}, NoLimit::Prepared{});
    }

public:
    using Choice = std::variant<NoLimit, TokenBucket, FixedWindow, SlidingWindow>;
    using State = LimiterState;
    using Prepared =
        std::variant<NoLimit::Prepared, TokenBucket::Prepared, FixedWindow::Prepared, SlidingWindow::Prepared>;

    constexpr AnyAlgorithm() noexcept = default;
    constexpr AnyAlgorithm(NoLimit) noexcept {}
    constexpr AnyAlgorithm(const TokenBucket& bucket) noexcept : choice_{bucket} {}
    constexpr AnyAlgorithm(const FixedWindow& limit) noexcept : choice_{limit} {}
    constexpr AnyAlgorithm(const SlidingWindow& limit) noexcept : choice_{limit} {}

    constexpr const Choice& choice() const noexcept { return choice_; }
    constexpr bool is_none() const noexcept { return std::holds_alternative<NoLimit>(choice_); }

    constexpr Prepared prepare(Duration max_ahead = default_max_pause) const noexcept {
        if (const auto* bucket = std::get_if<TokenBucket>(&choice_)) return bucket->prepare(max_ahead);
        if (const auto* limit = std::get_if<FixedWindow>(&choice_)) return limit->prepare(max_ahead);
        if (const auto* limit = std::get_if<SlidingWindow>(&choice_)) return limit->prepare(max_ahead);
        return {};
    }
    static constexpr Grant take(State& state, const Prepared& prepared, std::int64_t n, Instant now) noexcept {
        return with(prepared, [&](auto chosen, const auto& own) { return chosen.take(state, own, n, now); });
    }
    static constexpr Grant reserve(State& state, const Prepared& prepared, std::int64_t n, Instant now,
                                   Duration max_wait) noexcept {
        return with(prepared,
                    [&](auto chosen, const auto& own) { return chosen.reserve(state, own, n, now, max_wait); });
    }
    static constexpr Grant peek(const State& state, const Prepared& prepared, std::int64_t n, Instant now) noexcept {
        return with(prepared, [&](auto chosen, const auto& own) { return chosen.peek(state, own, n, now); });
    }
    static constexpr void pause(State& state, const Prepared& prepared, Instant from, Instant until) noexcept {
        with(prepared, [&](auto chosen, const auto& own) { chosen.pause(state, own, from, until); });
    }
    static constexpr void give_back(State& state, const Prepared& prepared, std::int64_t n, Instant now) noexcept {
        with(prepared, [&](auto chosen, const auto& own) { chosen.give_back(state, own, n, now); });
    }
    static constexpr std::int64_t available(const State& state, const Prepared& prepared, Instant now) noexcept {
        return with(prepared, [&](auto chosen, const auto& own) { return chosen.available(state, own, now); });
    }
    static constexpr Instant lease_end(const Prepared& prepared, std::int64_t n, Instant now) noexcept {
        return with(prepared, [&](auto chosen, const auto& own) { return chosen.lease_end(own, n, now); });
    }
    static constexpr bool is_fresh(const State& state, const Prepared& prepared, Instant now) noexcept {
        return with(prepared, [&](auto chosen, const auto& own) { return chosen.is_fresh(state, own, now); });
    }

    friend bool operator==(const AnyAlgorithm&, const AnyAlgorithm&) = default;

private:
    Choice choice_;
};

inline Result<void> validate(const AnyAlgorithm& algorithm, std::string_view path) {
    return std::visit([&](const auto& chosen) { return validate(chosen, path); }, algorithm.choice());
}

}  // namespace breakwater
