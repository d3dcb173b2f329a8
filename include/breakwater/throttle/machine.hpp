#pragma once

#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

namespace breakwater {

/// The decisions of a throttle, on a window of requests and how many of them were accepted.
struct ThrottleMachine {
    struct Options {
        double accepts_multiplier = 2.0;
        double max_probability = 0.9;
        std::uint32_t minimum_requests = 10;
        TimeWindow window{.duration = std::chrono::minutes{2}, .buckets = 60};
    };
    struct State {
        TimeRing requests{};  // those not accepted are its failures

        static constexpr auto parts(auto& state) { return std::tie(state.requests); }
    };

    /// Asks for a request. Refused, it is one all the same.
    struct Admit {
        std::uint64_t random = 0;
    };
    struct Admission {
        bool admitted = false;
        double probability = 0;  ///< Of a refusal.
    };
    /// How a request has ended.
    struct Record {
        bool accepted = false;
    };
    /// The options have changed: goes on with `fresh`, made of the new ones, and what it can hold of the window.
    struct Adapt {
        State* fresh = nullptr;
    };

    static constexpr State make_state(const Options& options) { return {.requests = TimeRing{options.window}}; }
    static std::string layout(const Options& options) {
        return "throttle:" + std::to_string(options.window.duration.count()) + "us/" +
               std::to_string(options.window.buckets);
    }

    static constexpr Admission apply(State& state, const Options& options, const Admit& admit, Instant now) noexcept {
        const double probability = refusal_probability(state, options, now);
        const bool refused = static_cast<double>(admit.random >> 11) * 0x1p-53 < probability;
        if (refused) state.requests.add(tally_of(Outcome::failure), now);
        return {.admitted = !refused, .probability = probability};
    }
    static constexpr bool apply(State& state, const Options&, const Record& record, Instant now) noexcept {
        state.requests.add(tally_of(record.accepted ? Outcome::success : Outcome::failure), now);
        return true;
    }
    static constexpr bool apply(State& state, const Options&, const Adapt& adapt, Instant) noexcept {
        adapt.fresh->requests.add(state.requests);
        std::swap(state, *adapt.fresh);
        return true;
    }

    static constexpr double refusal_probability(const State& state, const Options& options, Instant now) noexcept {
        const WindowCounts counts = state.requests.counts(now);
        if (counts.calls < options.minimum_requests) return 0;
        const auto requests = static_cast<double>(counts.calls);
        const auto accepts = static_cast<double>(counts.calls - counts.failures);
        return std::clamp((requests - options.accepts_multiplier * accepts) / (requests + 1), 0.0,
                          options.max_probability);
    }

    /// 1 if nothing is refused, whatever falls out of the window: then there are no more requests than now, and
    /// accepted they all are if they are now.
    static constexpr std::uint64_t summary(const State& state, const Options& options) noexcept {
        const WindowCounts held = state.requests.counts(Instant{});  // long before any of them falls out
        return held.failures == 0 || held.calls < options.minimum_requests ? 1 : 0;
    }
    [[gnu::always_inline]] static constexpr bool glance(std::uint64_t word, const Admit&,
                                                        Admission& admission) noexcept {
        admission.admitted = word == 1;
        return admission.admitted;
    }
};

}  // namespace breakwater
