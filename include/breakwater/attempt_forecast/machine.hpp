#pragma once

#include <breakwater/attempt_forecast/running_quantile.hpp>
#include <breakwater/clock.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace breakwater {

/// The decisions of an attempt forecast: what attempts take, and whether one may begin with so much time left.
struct AttemptForecastMachine {
    struct Options {
        RunningQuantile::Rule rule{};
        std::uint32_t minimum_samples = 20;
        Duration trial_interval = std::chrono::seconds{1};
    };
    struct State {
        RunningQuantile took{};
        Instant next_trial{};  // set with every sample
        friend bool operator==(const State&, const State&) = default;
    };

    /// Asks for an attempt with `left` until the deadline.
    struct Admit {
        Duration left{};
    };
    struct Admission {
        bool admitted = true;
        bool trial = false;   ///< It is let through to learn from.
        Duration expected{};  ///< What an attempt takes; 0 while nobody knows.
        std::uint32_t samples = 0;
    };

    enum class Ending : std::uint8_t {
        answered,  ///< The attempt took that long.
        in_time,   ///< The same, of a trial that was answered within what was left.
        cut,       ///< It would have taken longer.
    };
    struct Record {
        Duration took{};
        Ending ending = Ending::answered;
    };

    static constexpr State make_state(const Options&) noexcept { return {}; }
    static std::string layout(const Options&) { return "attempt_forecast"; }

    static constexpr Admission apply(State& state, const Options& options, const Admit& admit, Instant now) noexcept {
        Admission admission{.expected = expected(state, options), .samples = state.took.samples()};
        if (admission.expected <= admit.left) return admission;
        // Only what is let through can show that the estimate has grown old.
        state.next_trial = not_beyond(options.trial_interval, state.next_trial, now);
        admission.admitted = admission.trial = now >= state.next_trial;
        if (admission.trial) state.next_trial = now + options.trial_interval;
        return admission;
    }
    /// What the next attempt is expected to take.
    static constexpr Duration apply(State& state, const Options& options, const Record& record, Instant now) noexcept {
        if (record.ending == Ending::cut)
            state.took.add_at_least(record.took, options.rule);
        else
            state.took.add(record.took, options.rule);
        state.next_trial = record.ending == Ending::in_time ? now : now + options.trial_interval;
        return expected(state, options);
    }

    /// What an attempt is expected to take; 0 while too few samples tell.
    static constexpr Duration expected(const State& state, const Options& options) noexcept {
        return state.took.samples() < options.minimum_samples ? Duration{0} : state.took.value();
    }
    static constexpr std::uint64_t summary(const State& state, const Options& options) noexcept {
        return static_cast<std::uint64_t>(expected(state, options).count());
    }
    /// Enough time is left.
    [[gnu::always_inline]] static constexpr bool glance(std::uint64_t word, const Admit& admit,
                                                        Admission& admission) noexcept {
        admission.expected = Duration{static_cast<std::int64_t>(word)};
        return admission.expected <= admit.left;
    }
};

}  // namespace breakwater
