#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/algorithm.hpp>
#include <breakwater/rate_limiter/any_algorithm.hpp>
#include <breakwater/rate_limiter/fixed_window.hpp>
#include <breakwater/rate_limiter/sliding_window.hpp>
#include <breakwater/rate_limiter/token_bucket.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <variant>

namespace breakwater {

// The form of a limiter's word. Words of different forms are never shared.

inline std::string layout_of(const NoLimit&) { return "none"; }
inline std::string layout_of(const TokenBucket& bucket) {
    return "token_bucket:" + std::to_string(bucket.permits) + "/" + std::to_string(bucket.period.count()) + "us";
}
inline std::string layout_of(const FixedWindow& limit) {
    return "fixed_window:" + std::to_string(limit.window.count()) + "us";
}
inline std::string layout_of(const SlidingWindow& limit) {
    return "sliding_window:" + std::to_string(limit.window.count()) + "us/" + std::to_string(limit.count_bits()) + "b";
}
inline std::string layout_of(const AnyAlgorithm& algorithm) {
    return std::visit([](const auto& chosen) { return layout_of(chosen); }, algorithm.choice());
}
/// An algorithm of the user's: its type is its layout.
inline std::string layout_of(const auto&) { return "own"; }

/// An algorithm as a store's machine.
template <RateAlgorithm Algorithm>
struct RateMachine {
    using State = typename Algorithm::State;
    struct Options {
        typename Algorithm::Prepared prepared{};
        std::string layout{};
    };

    struct Take {
        std::int64_t permits = 1;
    };
    /// Permits that become usable within `max_wait`, where nothing is usable for `paused`.
    struct Reserve {
        std::int64_t permits = 1;
        Duration paused{};
        Duration max_wait{};
    };
    struct Reserved {
        Grant grant{};
        State before{};
        State after{};
    };
    /// Undoes a reservation of permits not yet usable, if nobody has changed the state since.
    struct Cancel {
        Reserved reserved{};
        Instant ready_at{};
    };
    struct GiveBack {
        std::int64_t permits = 1;
    };
    struct Pause {
        Instant from{};
        Instant until{};
    };

    static constexpr State make_state(const Options&) noexcept { return {}; }
    static std::string layout(const Options& options) { return options.layout; }

    static constexpr Grant apply(State& state, const Options& options, const Take& take, Instant now) noexcept {
        return Algorithm::take(state, options.prepared, take.permits, now);
    }
    static constexpr Reserved apply(State& state, const Options& options, const Reserve& reserve,
                                    Instant now) noexcept {
        const State before = state;
        Grant grant = Algorithm::reserve(state, options.prepared, reserve.permits, now + reserve.paused,
                                         reserve.max_wait - reserve.paused);
        grant.retry_after += reserve.paused;
        return {grant, before, state};
    }
    static constexpr bool apply(State& state, const Options&, const Cancel& cancel, Instant now) noexcept {
        if (now >= cancel.ready_at || !(state == cancel.reserved.after)) return false;
        state = cancel.reserved.before;
        return true;
    }
    static constexpr bool apply(State& state, const Options& options, const GiveBack& back, Instant now) noexcept {
        Algorithm::give_back(state, options.prepared, back.permits, now);
        return true;
    }
    static constexpr bool apply(State& state, const Options& options, const Pause& pause, Instant) noexcept {
        Algorithm::pause(state, options.prepared, pause.from, pause.until);
        return true;
    }
    static constexpr bool is_refusal(const Grant& grant) noexcept { return !grant.granted; }
    static constexpr GiveBack undo(const Take& take, const Grant&) noexcept { return {take.permits}; }
};

/// Until when a service has asked not to be called. One word of its own, so that looking costs a read.
struct PauseMachine {
    struct State {
        std::int64_t until = 0;  ///< µs of the store's clock; 0: never paused.
        friend bool operator==(const State&, const State&) = default;
    };
    struct Options {
        Duration max_pause = default_max_pause;
    };

    struct Check {};
    struct Extend {
        Instant until{};
    };
    /// The part of a pause that is new: where the earlier one ended, or now.
    struct Extended {
        Instant from{};
        Instant until{};
    };

    static constexpr State make_state(const Options&) noexcept { return {}; }
    static std::string layout(const Options&) { return "pause"; }

    /// How long the pause still lasts; zero if there is none.
    static constexpr Duration apply(State& state, const Options& options, const Check&, Instant now) noexcept {
        if (state.until <= micros(now)) [[likely]]
            return Duration{0};
        state.until = micros(not_beyond(options.max_pause, Instant{Duration{state.until}}, now));
        return Duration{state.until - micros(now)};
    }
    /// Of a limiter that was never paused.
    [[gnu::always_inline]] static constexpr bool glance(std::uint64_t until, const Check&, Duration& paused) noexcept {
        paused = Duration{0};
        return until == 0;
    }
    static constexpr Extended apply(State& state, const Options& options, const Extend& extend, Instant now) noexcept {
        apply(state, options, Check{}, now);
        const std::int64_t from = std::max(state.until, micros(now));
        state.until = std::max(from, micros(std::min(extend.until, now + options.max_pause)));
        if (state.until == micros(now)) state.until = 0;
        return {Instant{Duration{from}}, Instant{Duration{std::max(from, state.until)}}};
    }

private:
    static constexpr std::int64_t micros(Instant t) noexcept { return t.time_since_epoch().count(); }
};

}  // namespace breakwater
