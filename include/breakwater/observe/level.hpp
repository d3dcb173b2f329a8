#pragma once

#include <breakwater/errc.hpp>
#include <breakwater/events.hpp>

#include <cstdint>
#include <string_view>

namespace breakwater {

/// How much an event matters to who reads a log.
enum class Level : std::uint8_t { debug, info, warning, error };

constexpr std::string_view to_string(Level level) noexcept {
    switch (level) {
        case Level::debug: return "debug";
        case Level::info: return "info";
        case Level::warning: return "warning";
        case Level::error: return "error";
    }
    return "unknown";
}

/// The level of an event in a log that is told nothing else, as listed here. Down to `info` each fact is told once: an
/// attempt that failed with what follows it, a refusal with the end of its call.
constexpr Level level_of(const Event& event) noexcept {
    switch (event.kind) {
        case EventKind::call_ended:
            if (!event.code) return Level::debug;
            return event.code == Errc::cancelled ? Level::info : Level::error;
        case EventKind::circuit_opened: return Level::error;

        case EventKind::retry_scheduled:
        case EventKind::would_refuse:
        case EventKind::limiter_paused:
        case EventKind::circuit_forced:
        case EventKind::cache_stale_served:
        case EventKind::fallback_used:
        case EventKind::store_degraded:
        case EventKind::store_lost:
        case EventKind::store_unheard:
        case EventKind::store_other_layout:
        case EventKind::store_cache_off:
        case EventKind::store_unreadable: return Level::warning;

        case EventKind::attempt_ended: return event.code ? Level::debug : Level::info;
        case EventKind::limiter_waited:
        case EventKind::limit_changed:
        case EventKind::circuit_half_opened:
        case EventKind::circuit_closed:
        case EventKind::cache_hit:
        case EventKind::redirected:
        case EventKind::reconfigured:
        case EventKind::store_rejoined: return Level::info;

        case EventKind::attempt_started:
        case EventKind::permit_refused:
        case EventKind::hedge_sent:
        case EventKind::hedge_won:
        case EventKind::hedge_lost:
        case EventKind::late_result:
        case EventKind::cache_stored:
        case EventKind::cache_evicted:
        case EventKind::coalesced: return Level::debug;
    }
    return Level::info;
}

}  // namespace breakwater
