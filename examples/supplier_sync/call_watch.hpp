#pragma once

#include <breakwater/events.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace supplier_sync {

namespace bw = breakwater;

/// What the client did, counted from its events. Calls are made on one thread here, so nothing is locked.
struct CallCounts {
    struct Transition {
        double at = 0;  ///< Seconds since the program's start.
        std::string_view to;
    };

    std::size_t attempts = 0;
    std::map<std::string, std::size_t> outcomes{};  ///< By status, or "slow", "reset", "refused" …
    std::size_t retries = 0;
    bw::Duration retry_waits{};
    std::size_t limiter_waits = 0;
    bw::Duration limiter_waited{};
    std::size_t pauses = 0;
    std::size_t refusals = 0;
    std::size_t cache_hits = 0;
    std::size_t stale_hits = 0;
    std::vector<Transition> transitions{};
};

/// How an attempt ended, in one word.
inline std::string outcome_of(const bw::Event& event) {
    if (event.status && (!event.code || *event.code == bw::Errc::http_status)) return std::to_string(*event.status);
    if (!event.code) return "200";
    switch (*event.code) {
        case bw::Errc::attempt_timeout:
        case bw::Errc::deadline_exceeded: return "slow";
        case bw::Errc::resolve_failed:
        case bw::Errc::connect_failed:
        case bw::Errc::connect_timeout: return "refused";
        case bw::Errc::send_failed:
        case bw::Errc::receive_failed:
        case bw::Errc::empty_answer:
        case bw::Errc::truncated: return "reset";
        default: return std::string{to_string(*event.code)};
    }
}

/// An observer that counts, and tells `narrate` in a few words what the client is waiting for.
class CallWatch {
public:
    CallWatch(CallCounts& counts, std::function<double()> clock, std::function<void(const std::string&)> narrate)
        : counts_{counts}, clock_{std::move(clock)}, narrate_{std::move(narrate)} {}

    void operator()(const bw::Event& event) const {
        const bw::Duration delay = event.delay.value_or(bw::Duration{});
        switch (event.kind) {
            case bw::EventKind::attempt_started: ++counts_.attempts; break;
            case bw::EventKind::attempt_ended: ++counts_.outcomes[outcome_of(event)]; break;
            case bw::EventKind::retry_scheduled:
                ++counts_.retries;
                counts_.retry_waits += delay;
                narrate_(outcome_of(event) + ", again in " + bw::format_duration(delay));
                break;
            case bw::EventKind::limiter_waited:
                ++counts_.limiter_waits;
                counts_.limiter_waited += delay;
                break;
            case bw::EventKind::limiter_paused: ++counts_.pauses; break;
            case bw::EventKind::permit_refused: ++counts_.refusals; break;
            case bw::EventKind::circuit_opened: moved("open"); break;
            case bw::EventKind::circuit_half_opened: moved("half-open"); break;
            case bw::EventKind::circuit_closed: moved("closed"); break;
            case bw::EventKind::cache_hit: ++counts_.cache_hits; break;
            case bw::EventKind::cache_stale_served: ++counts_.stale_hits; break;
            default: break;
        }
    }

private:
    void moved(std::string_view to) const { counts_.transitions.push_back({.at = clock_(), .to = to}); }

    CallCounts& counts_;
    std::function<double()> clock_;
    std::function<void(const std::string&)> narrate_;
};

}  // namespace supplier_sync
