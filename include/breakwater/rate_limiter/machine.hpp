#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/algorithm.hpp>
#include <breakwater/rate_limiter/any_algorithm.hpp>
#include <breakwater/rate_limiter/fixed_window.hpp>
#include <breakwater/rate_limiter/sliding_window.hpp>
#include <breakwater/rate_limiter/token_bucket.hpp>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <limits>
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
    /// Takes what there is now, at most `permits` (at least 1), to be used by a process as it likes until they lapse.
    /// If there is none: as `Take{1}`.
    struct Lease {
        std::int64_t permits = 1;
    };
    struct Leased {
        Grant grant{};
        std::int64_t permits = 0;
        Instant until{};  ///< As the algorithm's `lease_end` says; without it 100 ms from now.
    };

    static constexpr State make_state(const Options&) noexcept { return {}; }
    static std::string layout(const Options& options) { return options.layout; }

    static constexpr Grant apply(State& state, const Options& options, const Take& take, Instant now) noexcept {
        return Algorithm::take(state, options.prepared, take.permits, now);
    }
    [[gnu::always_inline]] static constexpr bool grants(State& state, const Options& options, const Take& take,
                                                        Instant now) noexcept
        requires requires { Algorithm::grants(state, options.prepared, take.permits, now); }
    {
        return Algorithm::grants(state, options.prepared, take.permits, now);
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
    static constexpr Leased apply(State& state, const Options& options, const Lease& lease, Instant now) noexcept {
        const std::int64_t free = Algorithm::available(state, options.prepared, now);
        const std::int64_t wanted = std::clamp<std::int64_t>(lease.permits, 1, std::max<std::int64_t>(free, 1));
        const Grant grant = Algorithm::take(state, options.prepared, wanted, now);
        if (!grant.granted) return {.grant = grant};
        if constexpr (requires { Algorithm::lease_end(options.prepared, wanted, now); })
            return {grant, wanted, Algorithm::lease_end(options.prepared, wanted, now)};
        else
            return {grant, wanted, now + std::chrono::milliseconds{100}};
    }
    static constexpr bool is_fresh(const State& state, const Options& options, Instant now) noexcept {
        if constexpr (requires { Algorithm::is_fresh(state, options.prepared, now); })
            return Algorithm::is_fresh(state, options.prepared, now);
        else
            return std::bit_cast<std::uint64_t>(state) == 0;
    }
    static constexpr bool is_refusal(const Grant& grant) noexcept { return !grant.granted; }
    static constexpr bool is_refusal(const Leased& leased) noexcept { return !leased.grant.granted; }
    static constexpr GiveBack undo(const Take& take, const Grant&) noexcept { return {take.permits}; }
    static constexpr GiveBack undo(const Lease&, const Leased& leased) noexcept { return {leased.permits}; }
};

/// What a service has asked for: not to be called until an instant (a pause), or only so often until then (a quota).
/// One word of its own, so that looking costs a read.
struct PauseMachine {
    static constexpr std::int64_t most_left = (1 << 11) - 2;

    struct State {
        std::uint64_t until : 53 = 0;  ///< µs of the store's clock; 0: never asked for anything.
        std::uint64_t quota : 11 = 0;  ///< 0: a pause; else 1 + the permits left.
        friend bool operator==(const State&, const State&) = default;
    };
    struct Options {
        Duration max_pause = default_max_pause;
    };

    /// Could permits be taken? Takes none.
    struct Check {
        std::int64_t permits = 1;
    };
    /// Takes permits from the quota, if there is one.
    struct Spend {
        std::int64_t permits = 1;
    };
    /// Pauses. What was left of a quota is gone.
    struct Extend {
        Instant until{};
    };
    /// The part of a pause that is new: where the earlier one ended, or now.
    struct Extended {
        Instant from{};
        Instant until{};
    };
    /// At most `permits` (1 to `most_left`) more until then. Only ever fewer than the quota there is: its end is put
    /// off or drawn near together with a lower number, the latest word. Changes nothing in a pause.
    struct Limit {
        std::int64_t permits = 1;
        Instant until{};
    };

    static constexpr State make_state(const Options&) noexcept { return {}; }
    static std::string layout(const Options&) { return "pause"; }
    /// Of a `Check` or a `Spend`.
    static constexpr bool is_refusal(Duration paused) noexcept { return paused > Duration{0}; }

    /// How long until the pause or the used up quota ends; zero if nothing is in the way.
    static constexpr Duration apply(State& state, const Options& options, const Check& check, Instant now) noexcept {
        const std::int64_t until = end_of(state, options, now);
        const bool is_allowed = state.quota != 0 && check.permits < static_cast<std::int64_t>(state.quota);
        return until <= micros(now) || is_allowed ? Duration{0} : Duration{until - micros(now)};
    }
    /// As `Check`.
    static constexpr Duration apply(State& state, const Options& options, const Spend& spend, Instant now) noexcept {
        const Duration refused = apply(state, options, Check{spend.permits}, now);
        const bool counts = refused == Duration{0} && end_of(state, options, now) > micros(now) && spend.permits > 0;
        if (counts)
            set(state, static_cast<std::int64_t>(state.until), static_cast<std::int64_t>(state.quota) - spend.permits);
        return refused;
    }
    /// Of a limiter that was never asked for anything.
    [[gnu::always_inline]] static constexpr bool glance(std::uint64_t word, const auto&, Duration& paused) noexcept {
        paused = Duration{0};
        return word == 0;
    }
    static constexpr Extended apply(State& state, const Options& options, const Extend& extend, Instant now) noexcept {
        const std::int64_t before = state.quota == 0 ? end_of(state, options, now) : 0;
        const std::int64_t from = std::max(before, micros(now));
        const std::int64_t until = std::max(from, micros(std::min(extend.until, now + options.max_pause)));
        if (until > micros(now)) set(state, until, 0);
        return {Instant{Duration{from}}, Instant{Duration{until}}};
    }
    static constexpr bool apply(State& state, const Options& options, const Limit& limit, Instant now) noexcept {
        const bool is_told = end_of(state, options, now) > micros(now);
        const std::int64_t until = micros(std::min(limit.until, now + options.max_pause));
        if (until <= micros(now) || (is_told && static_cast<std::int64_t>(state.quota) <= limit.permits + 1))
            return false;
        set(state, until, limit.permits + 1);
        return true;
    }

    /// How long a pause still lasts; zero if there is none.
    static constexpr Duration pause_left(State state, const Options& options, Instant now) noexcept {
        if (state.quota != 0) return Duration{0};
        return Duration{std::max<std::int64_t>(end_of(state, options, now) - micros(now), 0)};
    }
    /// How many permits the service still allows now; the largest number if it has not said.
    static constexpr std::int64_t left(State state, const Options& options, Instant now) noexcept {
        if (end_of(state, options, now) <= micros(now)) return std::numeric_limits<std::int64_t>::max();
        return std::max<std::int64_t>(static_cast<std::int64_t>(state.quota) - 1, 0);
    }
    static constexpr bool is_fresh(const State& state, const Options&, Instant now) noexcept {
        return static_cast<std::int64_t>(state.until) <= micros(now);
    }
    static constexpr bool outlasts(const State& here, const State& there, Instant now) noexcept {
        return here.until > there.until && static_cast<std::int64_t>(here.until) > micros(now);
    }

private:
    static constexpr std::int64_t micros(Instant t) noexcept { return t.time_since_epoch().count(); }

    /// Until when the state says something, after a clock set back.
    static constexpr std::int64_t end_of(State& state, const Options& options, Instant now) noexcept {
        const auto until = static_cast<std::int64_t>(state.until);
        if (until <= micros(now)) [[likely]]
            return until;
        const std::int64_t believed = micros(not_beyond(options.max_pause, Instant{Duration{until}}, now));
        if (believed != until) set(state, believed, static_cast<std::int64_t>(state.quota));
        return believed;
    }

    static constexpr void set(State& state, std::int64_t until, std::int64_t quota) noexcept {
        state = {.until = static_cast<std::uint64_t>(std::max<std::int64_t>(until, 0)) & ((std::uint64_t{1} << 53) - 1),
                 .quota = static_cast<std::uint64_t>(quota) & ((std::uint64_t{1} << 11) - 1)};
    }
};

}  // namespace breakwater
