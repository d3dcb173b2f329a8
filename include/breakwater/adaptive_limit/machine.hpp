#pragma once

#include <breakwater/adaptive_limit/algorithm.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/random.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

namespace breakwater {

/// The decisions of an adaptive limit: gathers calls into windows, has the algorithm move the limit after each, keeps
/// it within its bounds, and lowers it to half for two windows when the algorithm wants its baseline measured: in the
/// first the calls that queue drain, the second is the measurement.
template <LimitAlgorithm A>
struct AdaptiveLimitMachine {
    struct Options {
        A algorithm{};
        std::uint32_t min_limit = 1;
        std::uint32_t max_limit = 200;
        std::uint32_t initial_limit = 20;
        Duration window = std::chrono::seconds{1};
        std::uint32_t minimum_samples = 100;
        double drop_ratio = 0.1;
    };

    enum class Phase : std::uint8_t { measuring, draining, probing };

    struct Window {
        Instant began{};  // of the first call that ended in it
        Duration answers_took{};
        std::uint32_t answers = 0;
        std::uint32_t drops = 0;
        std::uint32_t in_flight = 0;
        friend bool operator==(const Window&, const Window&) = default;
    };
    struct State {
        double limit = 1;
        double short_rtt = 0;  // the last window's, in µs
        typename A::State learned{};
        Window window{};
        std::uint32_t since_probe = 0;  // windows at the limit
        std::uint32_t probe_at_latest = first_probe;
        Phase phase = Phase::measuring;
    };

    /// A call has ended that says something about the service.
    struct Record {
        Duration took{};
        std::uint32_t in_flight = 0;  ///< With this one.
        bool dropped = false;
    };
    /// The options have changed.
    struct Adapt {};
    struct Change {
        std::uint32_t before = 0;
        std::uint32_t limit = 0;
        constexpr explicit operator bool() const noexcept { return before != limit; }
    };

    static constexpr State make_state(const Options& options) noexcept {
        State state;
        state.limit = options.initial_limit;
        return state;
    }
    static std::string layout(const Options&) { return "adaptive_limit"; }

    static constexpr Change apply(State& state, const Options& options, const Record& record, Instant now) noexcept {
        const std::uint32_t before = limit(state, options);
        Window& window = state.window;
        if (is_over(window, options, now)) window = {.began = now};
        window.in_flight = std::max(window.in_flight, record.in_flight);
        if (record.dropped) {
            ++window.drops;
        } else {
            ++window.answers;
            window.answers_took += record.took;
        }
        if (now - window.began < length(window, options) || calls(window) < options.minimum_samples)
            return {before, before};
        close(state, options, now);
        return {before, limit(state, options)};
    }
    static constexpr Change apply(State& state, const Options& options, const Adapt&, Instant) noexcept {
        const std::uint32_t before = limit(state, options);
        state.limit = bounded(state.limit, options);
        return {before, limit(state, options)};
    }

    /// How many calls may be in flight.
    static constexpr std::uint32_t limit(const State& state, const Options& options) noexcept {
        const auto whole = static_cast<std::uint32_t>(state.limit);
        return state.phase == Phase::measuring ? whole : std::max(options.min_limit, whole / 2);
    }

private:
    /// The first probe comes early, as the limit may have been too high from the start; each next one after twice as
    /// many windows, until the algorithm's own number is reached.
    static constexpr std::uint32_t first_probe = 16;

    static constexpr std::uint32_t calls(const Window& window) noexcept { return window.answers + window.drops; }

    /// A window is at least as long as two answers take, so that the next one shows what the new limit does.
    static constexpr Duration length(const Window& window, const Options& options) noexcept {
        return window.answers == 0 ? options.window
                                   : std::max(options.window, 2 * window.answers_took / window.answers);
    }
    /// It has no calls yet; or too few in too long a time, so that the first are no news; or the clock was set back.
    static constexpr bool is_over(const Window& window, const Options& options, Instant now) noexcept {
        return calls(window) == 0 || now - window.began > 30 * length(window, options) ||
               now + clock_tolerance < window.began;
    }

    static constexpr double bounded(double limit, const Options& options) noexcept {
        return std::clamp<double>(limit, options.min_limit, options.max_limit);
    }

    static constexpr void close(State& state, const Options& options, Instant now) noexcept {
        const Window& window = state.window;
        LimitSample sample{.in_flight = window.in_flight, .dropped = window.drops > options.drop_ratio * calls(window)};
        if (window.answers > 0) {
            sample.rtt = std::max(1.0, static_cast<double>(window.answers_took.count()) / window.answers);
            state.short_rtt = sample.rtt;
        }
        state.window = {};
        if constexpr (ProbingLimitAlgorithm<A>) {
            if (state.phase != Phase::measuring && !sample.dropped) return go_on_probing(state, options, sample);
        }
        state.phase = Phase::measuring;
        const bool at_limit = sample.in_flight * 2.0 >= state.limit;
        state.limit = bounded(options.algorithm.next(state.learned, state.limit, sample), options);
        if constexpr (ProbingLimitAlgorithm<A>) {
            if (at_limit && !sample.dropped) ++state.since_probe;
            if (const auto most = options.algorithm.probe_after(state.limit); most && is_due(state, *most, now))
                begin_probe(state, options);
        }
    }

    static constexpr void begin_probe(State& state, const Options& options) noexcept {
        state.since_probe = 0;
        state.phase = Phase::draining;
        if (limit(state, options) < static_cast<std::uint32_t>(state.limit)) return;
        state.phase = Phase::measuring;  // the limit cannot be lowered
    }
    static constexpr void go_on_probing(State& state, const Options& options, const LimitSample& sample) noexcept {
        if (state.phase == Phase::draining) {
            state.phase = Phase::probing;
            return;
        }
        if (sample.rtt > 0) options.algorithm.rebase(state.learned, sample.rtt);
        state.phase = Phase::measuring;
        state.probe_at_latest = std::min<std::uint32_t>(2 * state.probe_at_latest, 1U << 30);
    }
    /// Between half and the whole of the number, so that clients do not measure together what each of them adds to the
    /// queue.
    static constexpr bool is_due(const State& state, std::uint32_t most, Instant now) noexcept {
        most = std::min(most, state.probe_at_latest);
        const auto spread = Random::mix(static_cast<std::uint64_t>(now.time_since_epoch().count()));
        return state.since_probe + uniform(spread, most / 2) >= most;
    }
};

}  // namespace breakwater
