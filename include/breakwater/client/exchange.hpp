#pragma once

#include <breakwater/client/options.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/classify.hpp>
#include <breakwater/http/redact.hpp>
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
#include <string_view>
#include <utility>

namespace breakwater {

/// What an answer with an error status is to the caller: an error with the response inside.
inline Error status_error(Response response) {
    Error error{Errc::http_status};
    error.set_status(response.status);
    error.set_retry_after(parse_retry_after(response.headers, wall_clock_now()));
    error.set_response(std::make_shared<const Response>(std::move(response)));
    return error;
}

/// Takes the secrets out of what an error says. Of a body that is meant to be read by people or programs (JSON, plain
/// text, XML; not HTML) the start becomes part of the message; what the error holds stays as it is.
inline void redact(Error& error, const Redaction& redaction, const Request& request) {
    const Response* response = error.response();
    if (!error.detail().empty()) {
        error.set_detail(redaction.text(error.detail(), &request));
    } else if (error.code() == Errc::http_status && response != nullptr && !response->body.empty()) {
        const std::string_view type = response->headers.get("Content-Type").value_or("text/plain");
        const bool is_readable =
            type.find("json") != type.npos || type.find("xml") != type.npos || type.starts_with("text/plain");
        if (is_readable && type.find("html") == type.npos)
            error.set_detail(redaction.excerpt(response->body, &request));
    }
}

/// What the attempt has used up is not there for another one. Says so in the error if there would have been one.
template <class AnyCall, class Options>
[[gnu::noinline]] void forbid_another(AnyCall& call, const Options& options, Result<Response>& result) {
    if (!result && !call.only_once && call.attempt <= options.retry.max_retries && options.retry.on(result.error())) {
        result.error().set_stopped_by(Errc::not_replayable);
    }
    call.only_once = true;
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
    if (call.options.progress) send.progress = &call.options.progress;
    Result<void> ready{};
    if (call.download != nullptr) {
        send.sink = &call.download->sink();
        send.max_sink_bytes = call.options.max_saved_bytes;
        ready = call.download->restart();
    }
    const auto make = [&](const Request& request) -> Result<Response> {
        if (send.timeout <= Duration{0}) return fail(Error{Errc::attempt_timeout});
        return transport.send(request, send);
    };
    const auto follow = [&](Response redirect) -> Result<Response> {
        Request request = call.request;
        for (unsigned hops = 0;; ++hops) {
            auto next = next_hop(request, redirect, options.redirects);
            if (!next) return fail(std::move(next.error()));
            if (!*next) return redirect;
            if (hops == options.redirects.max) {
                Error error{Errc::too_many_redirects};
                error.set_status(redirect.status);
                error.set_response(std::make_shared<const Response>(std::move(redirect)));
                return fail(std::move(error));
            }
            if ((*next)->body && (*next)->body->is_spent()) {
                Error error{Errc::redirect_refused, "the one-shot body cannot be sent again"};
                error.set_status(redirect.status).set_response(std::make_shared<const Response>(std::move(redirect)));
                return fail(std::move(error));
            }
            if (auto permit = take_permit(**next); !permit) return fail(std::move(permit.error()));
            call.emit({.kind = EventKind::redirected, .status = redirect.status});
            request = **std::move(next);
            call.now.forget();
            send.timeout = over - call.now();
            auto response = make(request);
            if (!response) return response;
            redirect = *std::move(response);
        }
    };
    Result<Response> result = ready ? make(call.request) : fail(std::move(ready.error()));
    if (result && is_redirect_status(result->status) && options.redirects.max > 0) result = follow(*std::move(result));
    if (result && is_error_status(result->status)) result = fail(status_error(*std::move(result)));
    call.now.forget();

    if (!result && result.error().code() == Errc::attempt_timeout && call.deadline < attempt_over) {
        result.error().set_code(Errc::deadline_exceeded);
    }
    if ((call.request.body && call.request.body->is_spent()) || (call.download != nullptr && call.download->is_spent()))
        forbid_another(call, options, result);
    Attempt attempt{.number = call.attempt, .began = began - call.began, .took = call.now() - began};
    if (result) {
        attempt.status = result->status;
        attempt.connection = result->connection;
    } else {
        attempt.error = result.error().code();
        attempt.status = result.error().status();
        if (const Response* answer = result.error().response()) attempt.connection = answer->connection;
    }
    call.attempt_took = attempt.took;
    call.note(std::move(attempt));
    return result;
}

}  // namespace breakwater
