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

#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// Has the call's limiter (the endpoint's if endpoints are limited, else the client's) heed what the headers of each
/// answer say about the service's quota. Stands innermost, so that it sees each answer.
template <class Limiter, class Endpoints>
class ServerLimitPolicy {
public:
    static constexpr Place place = Place::admission;
    struct Lane {};

    ServerLimitPolicy(HeedServer heed, Limiter limiter, Endpoints endpoints)
        : heed_{heed}, limiter_{std::move(limiter)}, endpoints_{std::move(endpoints)} {}

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
        if (!has_rate_limit(headers)) return;
        const auto quota = parse_rate_limit(headers, wall_clock_now());
        if (!quota || (quota->remaining > 0 && heed_ != HeedServer::spend_down)) return;
        if (const auto* limiters = endpoints_.limiters())
            limiters->heed_quota(endpoints_.endpoint(call.request), quota->remaining, quota->reset, call);
        else
            limiter_.heed_quota(quota->remaining, quota->reset, call);
    }

    HeedServer heed_;
    Limiter limiter_;
    Endpoints endpoints_;
};

}  // namespace breakwater
