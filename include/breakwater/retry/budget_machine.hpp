#pragma once

#include <breakwater/clock.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

namespace breakwater {

/// The decisions of a retry budget, on one word: how many permits are spent, in thousandths, and as of when, in
/// milliseconds. All zero is fresh: nothing spent. Milliseconds count modulo 2^40 and only differences are compared, so
/// any clock will do; a budget left alone for more than 17 years may be found as it was left.
struct RetryBudgetMachine {
    struct State {
        std::uint64_t word = 0;
        friend bool operator==(const State&, const State&) = default;
    };
    /// Thousandths of a permit.
    struct Options {
        std::int64_t per_call = 200;
        std::int64_t per_millisecond = 3;
        std::int64_t burst = 30'000;
    };

    /// A call is made: gives part of a permit back.
    struct Credit {};
    /// Asks for one retry.
    struct Take {};
    /// A retry that was granted is not made.
    struct GiveBack {};
    /// Goes on from thousandths that were spent `age` ago; they come on top of what has been spent since.
    struct Restore {
        std::int64_t spent = 0;
        Duration age{};
    };
    /// What a process has done meanwhile, in bulk: `credits` calls, then retries that were made whether or not the
    /// budget had them, then retries that were granted and not made. Answers the thousandths that are spent.
    struct Sync {
        std::uint32_t credits = 0;
        std::uint32_t takes = 0;
        std::uint32_t give_backs = 0;
    };
    struct Taken {
        bool granted = false;
        Duration retry_after{-1};  ///< If refused: when time alone will have refilled enough; negative for never.
    };
    static constexpr std::int64_t permit = 1'000;

    static constexpr State make_state(const Options&) noexcept { return {}; }
    static std::string layout(const Options&) { return "retry_budget"; }

    static constexpr bool apply(State& state, const Options& options, const Credit&, Instant now) noexcept {
        refill(state, options, now);
        set(state, std::max<std::int64_t>(spent(state) - options.per_call, 0), at(state));
        return true;
    }
    static constexpr Taken apply(State& state, const Options& options, const Take&, Instant now) noexcept {
        refill(state, options, now);
        const std::int64_t over = spent(state) + permit - options.burst;
        if (over <= 0) {
            set(state, spent(state) + permit, at(state));
            return {.granted = true};
        }
        if (options.per_millisecond == 0 || options.burst < permit) return {};
        return {.retry_after =
                    std::chrono::milliseconds{(over + options.per_millisecond - 1) / options.per_millisecond}};
    }
    static constexpr bool apply(State& state, const Options& options, const GiveBack&, Instant now) noexcept {
        refill(state, options, now);
        set(state, std::max<std::int64_t>(spent(state) - permit, 0), at(state));
        return true;
    }
    static constexpr bool apply(State& state, const Options& options, const Restore& restore, Instant now) noexcept {
        refill(state, options, now);
        const std::int64_t most = std::max(options.burst, permit);
        const std::int64_t refilled = std::min<std::int64_t>(restore.age / std::chrono::milliseconds{1}, most);
        const std::int64_t left = std::clamp<std::int64_t>(restore.spent, 0, most) - refilled * options.per_millisecond;
        set(state, std::min(spent(state) + std::max<std::int64_t>(left, 0), most), at(state));
        return true;
    }
    static constexpr std::int64_t apply(State& state, const Options& options, const Sync& sync, Instant now) noexcept {
        refill(state, options, now);
        const std::int64_t most = std::max(options.burst, permit);
        const std::int64_t paid = std::max<std::int64_t>(spent(state) - options.per_call * sync.credits, 0);
        const std::int64_t owed = std::min(paid + permit * sync.takes, most);
        set(state, std::max<std::int64_t>(owed - permit * sync.give_backs, 0), at(state));
        return spent(state);
    }
    static constexpr bool is_refusal(const Taken& taken) noexcept { return !taken.granted; }
    static constexpr GiveBack undo(const Take&, const Taken&) noexcept { return {}; }

    /// Nothing is spent: a call changes nothing.
    [[gnu::always_inline]] static constexpr bool glance(std::uint64_t word, const Credit&, bool&) noexcept {
        return (word & spent_mask) == 0;
    }

    /// The state in which so many thousandths are spent as of a millisecond, from a store that keeps it in numbers.
    static constexpr State state_of(std::int64_t spent, std::int64_t at_ms) noexcept {
        return {static_cast<std::uint64_t>(at_ms) << spent_bits | (static_cast<std::uint64_t>(spent) & spent_mask)};
    }
    /// Thousandths spent.
    static constexpr std::int64_t spent(State state, const Options& options, Instant now) noexcept {
        refill(state, options, now);
        return spent(state);
    }
    /// Whole permits left.
    static constexpr std::int64_t available(State state, const Options& options, Instant now) noexcept {
        refill(state, options, now);
        return std::max<std::int64_t>(options.burst - spent(state), 0) / permit;
    }

private:
    static constexpr int spent_bits = 24;
    static constexpr std::uint64_t spent_mask = (std::uint64_t{1} << spent_bits) - 1;

    static constexpr std::int64_t spent(const State& state) noexcept {
        return static_cast<std::int64_t>(state.word & spent_mask);
    }
    static constexpr std::int64_t at(const State& state) noexcept {
        return static_cast<std::int64_t>(state.word >> spent_bits);
    }
    static constexpr void set(State& state, std::int64_t spent, std::int64_t at) noexcept {
        // A time is kept only with a debt, so that what is fresh looks fresh.
        state.word = spent == 0 ? 0 : static_cast<std::uint64_t>(at) << spent_bits | static_cast<std::uint64_t>(spent);
    }
    /// How many milliseconds after the state's time that is; negative if before.
    static constexpr std::int64_t since(const State& state, std::int64_t now_ms) noexcept {
        const std::uint64_t difference =
            (static_cast<std::uint64_t>(now_ms) << spent_bits) - (state.word & ~spent_mask);
        return static_cast<std::int64_t>(difference) >> spent_bits;
    }
    static constexpr void refill(State& state, const Options& options, Instant now) noexcept {
        constexpr std::int64_t tolerated = clock_tolerance / std::chrono::milliseconds{1};
        const std::int64_t now_ms = std::max<std::int64_t>(now.time_since_epoch() / std::chrono::milliseconds{1}, 0);
        const std::int64_t debt = std::min(spent(state), std::max(options.burst, permit));
        const std::int64_t passed = since(state, now_ms);
        if (debt == 0 || passed < -tolerated) {  // a clock set back starts from now, with its debt
            state.word = static_cast<std::uint64_t>(now_ms) << spent_bits | static_cast<std::uint64_t>(debt);
        } else if (passed > 0) {
            const std::int64_t left = debt - passed * options.per_millisecond;
            state.word = static_cast<std::uint64_t>(now_ms) << spent_bits |
                         static_cast<std::uint64_t>(std::max<std::int64_t>(left, 0));
        }
    }
};

}  // namespace breakwater
