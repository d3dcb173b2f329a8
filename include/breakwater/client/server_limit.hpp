#pragma once

#include <breakwater/client/options.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/classify.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/rate_limit_fields.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>

namespace breakwater {

/// Has the call's limiter heed what the headers of each answer say about the service's quota. Stands innermost, so that
/// it sees each answer.
class ServerLimitPolicy {
public:
    static constexpr Place place = Place::admission;
    struct Lane {};

    explicit ServerLimitPolicy(HeedServer heed) : heed_{heed} {}

    bool glance(Lane&, auto&) const noexcept { return true; }
    Before before(Lane&, auto&) const noexcept { return proceed; }

    After after(Lane&, auto& call, const Result<Response>& result) const noexcept {
        if (heed_ == HeedServer::off) return done;
        if (result) {
            heed(result->headers, call);
        } else if (const auto& error = result.error(); error.response() != nullptr) {
            const bool has_retry_after = error.retry_after() && is_throttling_status(error.status().value_or(0));
            if (!has_retry_after) heed(error.response()->headers, call);
        }
        return done;
    }

private:
    void heed(const Headers& headers, auto& call) const noexcept {
        const auto quota = parse_rate_limit(headers, wall_clock_now());
        if (!quota || (quota->remaining > 0 && heed_ != HeedServer::spend_down)) return;
        const Duration paused = call.steered->limit_to(quota->remaining, quota->reset);
        if (paused > Duration{0})
            call.emit({.kind = EventKind::limiter_paused, .policy = call.steered->name(), .delay = paused});
    }

    HeedServer heed_;
};

}  // namespace breakwater
