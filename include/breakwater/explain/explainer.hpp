#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/search.hpp>
#include <breakwater/explain/explanation.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace breakwater {

/// Gathers an explanation, from the innermost policy outwards. A policy of one's own takes part by a function beside
/// it, `explain_policy(const MyPolicy&, bw::Explainer&)`.
class Explainer {
public:
    Explanation all{};
    std::optional<Duration> attempt_timeout{};  ///< Of the callable's runs.
    std::uint64_t in_a_row = 1;                 ///< Of the worst case's attempts: not made side by side.
    bool asks_deadline = false;                 ///< Something inside does nothing for a call without a deadline.
    bool interrupts = false;                    ///< What is called is told when its time is over.

    void layer(std::string policy, std::string says) {
        all.layers.insert(all.layers.begin(), {std::move(policy), std::move(says)});
    }
    void warn(std::string warning) { all.warnings.push_back(std::move(warning)); }
    void timeout(std::string phase, std::optional<Duration> at_most, std::string because) {
        all.timeouts.push_back({std::move(phase), at_most, std::move(because)});
    }

    /// The call inside takes at most this.
    void bound(Duration limit) {
        if (!all.duration || *all.duration > limit) all.duration = limit;
    }
    /// It waits this much longer, at most.
    void wait(Duration most) {
        if (all.duration) all.duration = plus(*all.duration, most);
    }
    /// It is made `times` side by side; in the long run `share` of it more often than once.
    void multiply(std::uint64_t times, std::optional<double> share) {
        all.worst_attempts = times_of(all.worst_attempts, times);
        all.load_at_once *= static_cast<double>(times);
        const auto factor = static_cast<double>(times);
        all.load_in_the_long_run *= share ? std::min(factor, 1.0 + *share) : factor;
    }
    /// It is made `times` one after the other, with waits of `between` in all.
    void repeat(std::uint64_t times, std::optional<double> share, Duration between) {
        multiply(times, share);
        in_a_row = times_of(in_a_row, times);
        if (!all.duration) return;
        constexpr Duration longest = Duration::max();
        const bool overflows = all.duration->count() > longest.count() / static_cast<std::int64_t>(times);
        all.duration = overflows ? longest : plus(*all.duration * static_cast<std::int64_t>(times), between);
    }

    /// What has been gathered, with a line for each timeout that is missing.
    Explanation finish() && {
        const auto is_missing = [this](const char* phase) {
            return detail::none_of(all.timeouts, [&](const auto& timeout) { return timeout.phase == phase; });
        };
        if (is_missing("attempt")) all.timeouts.insert(all.timeouts.begin(), {.phase = "attempt"});
        if (asks_deadline && is_missing("call"))
            warn("no deadline stands outside the forecast: it refuses only in calls that bring their own");
        if (is_missing("call")) all.timeouts.push_back({.phase = "call"});
        return std::move(all);
    }

private:
    static constexpr std::uint64_t times_of(std::uint64_t count, std::uint64_t times) noexcept {
        constexpr auto most = std::numeric_limits<std::uint64_t>::max();
        return count > most / times ? most : count * times;
    }
    static constexpr Duration plus(Duration a, Duration b) noexcept {
        return a > Duration::max() - b ? Duration::max() : a + b;
    }
};

}  // namespace breakwater
