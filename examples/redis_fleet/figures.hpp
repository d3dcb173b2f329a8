#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "fleet.hpp"
#include "show.hpp"

namespace redis_fleet {

/// What one fleet's reports come to.
struct Figures {
    long dead_calls = 0;                 ///< That reached the supplier while it was down or hung.
    std::optional<double> trip{};        ///< From the outage's beginning until every worker refuses, in seconds.
    std::optional<double> recovery{};    ///< From its end until every worker gets answers again.
    std::optional<double> recovery_2{};  ///< From the death of the prober in the second outage until then.
    std::size_t busiest = 0;             ///< The most calls the supplier got within a second.
    std::size_t calls = 0;               ///< All that were made.
    std::size_t lost = 0;                ///< Refused although the supplier was well, or failed but for it.
    double slowest = 0;  ///< The longest call while Redis was away, in seconds, without its wait for a permit.
};

namespace detail {

using Time = Clock::time_point;
inline double seconds(Clock::duration span) { return std::chrono::duration<double>(span).count(); }
inline bool is_answer(Mark mark) { return mark == Mark::answered || mark == Mark::recovery; }
inline bool is_sent(Mark mark) { return mark != Mark::refused && mark != Mark::limited && mark != Mark::lost; }

/// From `from` until every worker has reported such a mark; empty if one has not before `to`.
template <class Is>
std::optional<double> everywhere(const Fleet& fleet, Time from, Time to, int but, Is is) {
    std::array<Time, Fleet::size> first;
    first.fill(Time::max());
    for (const Report& report : fleet.reports()) {
        Time& seen = first[static_cast<std::size_t>(report.worker)];
        if (is(report.mark) && report.began >= from && report.ended < std::min(to, seen)) seen = report.ended;
    }
    if (but >= 0) first[static_cast<std::size_t>(but)] = from;
    const Time last = *std::max_element(first.begin(), first.end());
    return last == Time::max() ? std::nullopt : std::optional{seconds(last - from)};
}

inline std::size_t most_in_a_second(const Fleet& fleet) {
    std::vector<Time> times;
    for (const Report& report : fleet.reports())
        if (is_sent(report.mark)) times.push_back(report.began + report.waited);
    std::sort(times.begin(), times.end());
    std::size_t most = 0;
    for (std::size_t first = 0, last = 0; last < times.size(); ++last) {
        while (times[last] - times[first] >= std::chrono::seconds{1}) ++first;
        most = std::max(most, last - first + 1);
    }
    return most;
}

}  // namespace detail

/// `which`: of the script's fleets.
inline Figures figures(const Fleet& fleet, const Script& script, std::size_t which) {
    using namespace detail;
    Figures all{.dead_calls = fleet.supplier().dead_calls(),
                .trip = everywhere(fleet, script.down, script.up, -1, [](Mark m) { return m == Mark::refused; }),
                .recovery = everywhere(fleet, script.up, script.down_again, -1, is_answer),
                .recovery_2 = everywhere(fleet, script.killed_at[which], script.end, script.killed[which], is_answer),
                .busiest = most_in_a_second(fleet)};
    for (const Report& report : fleet.reports()) {
        ++all.calls;
        const bool without_redis = report.ended > script.redis_down && report.began < script.redis_up;
        const bool is_well = report.began > script.redis_down;  // and so is the supplier
        if (report.mark == Mark::lost || (is_well && report.mark == Mark::refused)) ++all.lost;
        if (without_redis) all.slowest = std::max(all.slowest, seconds(report.ended - report.began - report.waited));
    }
    return all;
}

/// One line for each figure, a column for each fleet.
inline void print(const Figures& alone, const Figures& sharing, long commands, std::int64_t limit) {
    const auto row = [](const std::string& what, const std::string& left, const std::string& right) {
        std::printf("%-62s%11s%11s\n", what.c_str(), left.c_str(), right.c_str());
    };
    const auto number = [](auto value) { return std::to_string(value); };
    const auto decimal = [](double value, const char* unit) {
        char text[32];
        std::snprintf(text, sizeof text, "%.2f%s", value, unit);
        return std::string{text};
    };
    const auto time = [&](std::optional<double> span) { return span ? decimal(*span, " s") : std::string{"never"}; };
    std::printf("\n");
    row("", "without", "with");
    row("calls that reached the dead service", number(alone.dead_calls), number(sharing.dead_calls));
    row("time to trip everywhere", time(alone.trip), time(sharing.trip));
    row("time to recover everywhere", time(alone.recovery), time(sharing.recovery));
    row("time to recover everywhere after a prober's death", time(alone.recovery_2), time(sharing.recovery_2));
    row("busiest second at the supplier (limit " + number(limit) + "/s, as many at once)", number(alone.busiest),
        number(sharing.busiest));
    row("calls made", number(alone.calls), number(sharing.calls));
    row("calls lost", number(alone.lost), number(sharing.lost));
    row("slowest call while Redis was away", time(alone.slowest), time(sharing.slowest));
    row("store commands per call", "-",
        decimal(static_cast<double>(commands) / static_cast<double>(sharing.calls), ""));
}

}  // namespace redis_fleet
