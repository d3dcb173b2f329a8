#pragma once

#include <breakwater/client/options.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/classify.hpp>
#include <breakwater/http/redirect.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/retry_after.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/transport.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

namespace breakwater {

/// An answer as the caller gets it: one with an error status is an error with the response inside.
inline Result<Response> judge_status(Response response) {
    if (!is_error_status(response.status)) return response;
    Error error{Errc::http_status};
    error.set_status(response.status);
    error.set_retry_after(parse_retry_after(response.headers, wall_clock_now()));
    error.set_response(std::make_shared<const Response>(std::move(response)));
    return fail(std::move(error));
}

/// One attempt: sends the call's request, follows redirects, notes the attempt in the timeline. `take_permit(next)` is
/// asked before each redirect is followed.
template <class AnyCall, Transport T, class Options, class F>
Result<Response> exchange(AnyCall& call, const T& transport, const Options& options, F take_permit) {
    const Instant began = call.now();
    const Duration limit = call.options.timeout.value_or(options.timeouts.attempt);
    const Instant attempt_over =
        std::min(began + std::min<Duration>(limit, std::chrono::hours{24}), call.attempt_deadline);
    const Instant over = std::min(attempt_over, call.deadline);

    SendOptions send{.stop = call.options.stop,
                     .timeout = over - began,
                     .connect_timeout = options.timeouts.connect,
                     .max_response_bytes = options.max_response_bytes,
                     .resendable = !call.only_once};
    const auto follow = [&]() -> Result<Response> {
        Request moved;
        const Request* request = &call.request;
        for (unsigned hops = 0;; ++hops) {
            if (send.timeout <= Duration{0}) return fail(Error{Errc::attempt_timeout});
            auto response = transport.send(*request, send);
            if (!response || options.redirects.max == 0) return response;
            auto next = next_hop(*request, *response, options.redirects);
            if (!next) return fail(std::move(next.error()));
            if (!*next) return response;
            if (hops == options.redirects.max) {
                Error error{Errc::too_many_redirects};
                error.set_status(response->status);
                error.set_response(std::make_shared<const Response>(*std::move(response)));
                return fail(std::move(error));
            }
            if (auto permit = take_permit(**next); !permit) return fail(std::move(permit.error()));
            call.emit({.kind = EventKind::redirected, .status = response->status});
            moved = **std::move(next);
            request = &moved;
            call.now.forget();
            send.timeout = over - call.now();
        }
    };
    Result<Response> result = follow();
    if (result) result = judge_status(*std::move(result));
    call.now.forget();

    if (!result && result.error().code() == Errc::attempt_timeout && call.deadline < attempt_over) {
        result.error().set_code(Errc::deadline_exceeded);
    }
    Attempt attempt{.number = call.attempt, .began = began - call.began, .took = call.now() - began};
    if (result) {
        attempt.status = result->status;
    } else {
        attempt.error = result.error().code();
        attempt.status = result.error().status();
    }
    call.note(std::move(attempt));
    return result;
}

}  // namespace breakwater
