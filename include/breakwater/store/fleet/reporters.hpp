#pragma once

#include <breakwater/circuit_breaker/any_trip.hpp>
#include <breakwater/circuit_breaker/failure_rate.hpp>
#include <breakwater/circuit_breaker/trip.hpp>
#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <variant>

namespace breakwater::fleet {

/// How long a report of a bad call says that the process sees the service fail: as long as the trip rule counts it.
struct ReporterMemory {
    enum class Until : std::uint8_t { success, time, outcomes, transition };
    Until until = Until::transition;
    std::int64_t span = 0;  ///< Of time: µs; of outcomes: how many.
};

constexpr ReporterMemory reporter_memory(const ConsecutiveFailures&) noexcept {
    return {.until = ReporterMemory::Until::success};
}
constexpr ReporterMemory reporter_memory(const FailureRate& rule) noexcept {
    if (const auto* count = std::get_if<CountWindow>(&rule.window))
        return {ReporterMemory::Until::outcomes, count->size};
    return {ReporterMemory::Until::time, std::get_if<TimeWindow>(&rule.window)->duration.count()};
}
constexpr ReporterMemory reporter_memory(const AnyTrip& trip) noexcept {
    if (const auto* rule = std::get_if<ConsecutiveFailures>(&trip.rule())) return reporter_memory(*rule);
    if (const auto* rule = std::get_if<FailureRate>(&trip.rule())) return reporter_memory(*rule);
    return {};
}
/// Of a rule of the user's: until the circuit changes.
constexpr ReporterMemory reporter_memory(const auto&) noexcept { return {}; }

/// Which processes see a service fail. Remembers the latest 16.
class Reporters {
public:
    static constexpr std::size_t most = 16;

    /// A process reports a tally.
    constexpr void note(const ReporterMemory& memory, std::uint64_t instance, const Tally& tally, std::uint32_t overdue,
                        Instant now) noexcept {
        using enum ReporterMemory::Until;
        outcomes_ += std::int64_t{tally.successes} + tally.failures;
        if (memory.until == success && tally.successes > 0) count_ = 0;
        const std::uint32_t failures = memory.until == success && tally.successes > 0 ? tally.tail : tally.failures;
        if (failures == 0 && tally.slow == 0 && overdue == 0) return;
        const auto end = entries_.begin() + static_cast<std::ptrdiff_t>(count_);
        auto place = std::find_if(entries_.begin(), end, [&](const Entry& e) { return e.instance == instance; });
        if (place == end && count_ == most) {
            std::move(entries_.begin() + 1, entries_.end(), entries_.begin());
            place = entries_.end() - 1;
        } else if (place == end) {
            ++count_;
        } else {  // the latest comes last
            std::move(place + 1, end, place);
            place = end - 1;
        }
        *place = {instance, memory.until == outcomes ? outcomes_ : now.time_since_epoch().count()};
    }

    /// How many processes there are whose reports still count.
    constexpr std::uint32_t count(const ReporterMemory& memory, Instant now) const noexcept {
        using enum ReporterMemory::Until;
        if (memory.until != time && memory.until != outcomes) return static_cast<std::uint32_t>(count_);
        const std::int64_t at = memory.until == outcomes ? outcomes_ : now.time_since_epoch().count();
        std::uint32_t counted = 0;
        for (std::size_t i = 0; i < count_; ++i) counted += at - entries_[i].at < memory.span;
        return counted;
    }

private:
    struct Entry {
        std::uint64_t instance = 0;
        std::int64_t at = 0;  // µs, or a number of outcomes
    };
    std::array<Entry, most> entries_{};
    std::size_t count_ = 0;
    std::int64_t outcomes_ = 0;
};

}  // namespace breakwater::fleet
