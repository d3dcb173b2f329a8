#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/rare.hpp>
#include <breakwater/events.hpp>
#include <breakwater/http/classify.hpp>
#include <breakwater/http/redact.hpp>
#include <breakwater/http/redirect.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/retry_after.hpp>
#include <breakwater/http/url.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/transport.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
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

/// One attempt of a call: its request and the redirects that are followed. Says what is to be sent next and is given
/// what has come of it, so that it is the same whoever waits in between:
///
///     while (const Request* request = exchange.next()) {
///         exchange.take(transport.send(*request, exchange.how()));
///         if (const Request* next = exchange.unpermitted()) exchange.take_permit(…);
///     }
///     exchange.finish();
///
/// What it comes to goes into `result`. Redirects and traces, which few attempts see, are kept apart: an exchange is
/// there as long as its answer is waited for.
template <class AnyCall, class Options, class Room>
class Exchange {
public:
    Exchange(AnyCall& call, const Options& options, Room& result)
        : call_{call},
          options_{options},
          result_{result},
          began_{call.now()},
          attempt_over_{std::min(began_ + std::min<Duration>(call.options.timeout.value_or(options.timeouts.attempt),
                                                             std::chrono::hours{24}),
                                 call.attempt_deadline)},
          how_{.stop = call.stop_token(),
               .timeout = over() - began_,
               .connect_timeout = options.timeouts.connect,
               .max_response_bytes = options.max_response_bytes,
               .resendable = !call.only_once} {
        if (call.options.progress) how_.progress = &call.options.progress;
        if (call.download != nullptr) {
            how_.sink = &call.download->sink();
            how_.head = &call.download->head();
            how_.max_sink_bytes = call.options.max_saved_bytes;
            if (auto ready = call.download->begin(); !ready) {
                end(fail(std::move(ready.error())));
                return;
            }
        }
        send(call.request);
    }
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    /// What to send now; null if there is nothing more.
    const Request* next() const noexcept { return is_permitted_ ? next_ : nullptr; }
    const SendOptions& how() const noexcept { return how_; }

    /// The answer to what was sent.
    void take(Result<Response>&& answer) {
        next_ = nullptr;
        if (call_.download != nullptr && call_.download->wants_whole(answer))
            return want_permit(last_hop());  // the rest of a file is not to be had
        if (answer && is_redirect_status(answer->status) && options_.redirects.max > 0)
            return follow(*std::move(answer));
        end(std::move(answer));
    }

    /// What to send now if there is a permit for it; null if nothing wants one.
    const Request* unpermitted() const noexcept { return is_permitted_ ? nullptr : next_; }
    /// Whether there is one.
    void take_permit(Result<void> permit) {
        next_ = nullptr;
        is_permitted_ = true;
        if (!permit) return end(fail(std::move(permit.error())));
        if (detour_ && detour_->redirected) {
            auto& [status, next] = *detour_->redirected;
            call_.emit({.kind = EventKind::redirected, .status = status});
            if (call_.trace != nullptr && !is_same_origin(last_hop().url, next.url)) has_left_origin_ = true;
            ++hops_;
            detour_->hop = std::move(next);
            detour_->redirected.reset();
            if (call_.is_observed()) call_.url = std::make_shared<const std::string>(detour_->hop.url);
        }
        ++call_.resends;
        send_in_time(last_hop());
    }

    /// The result is what the attempt has come to; notes it in the call's timeline.
    void finish() {
        Result<Response>& result = *result_;
        if (result && is_error_status(result->status)) result = fail(status_error(*std::move(result)));
        if (result && result->is_success() && call_.download != nullptr) {
            if (auto complete = call_.download->complete(*result); !complete)
                result = fail(std::move(complete.error()));
            if (call_.download->is_hopeless()) call_.only_once = true;
        }
        call_.now.forget();

        if (!result && result.error().code() == Errc::attempt_timeout && call_.deadline < attempt_over_) {
            result.error().set_code(Errc::deadline_exceeded);
        }
        if ((call_.request.body && call_.request.body->is_spent()) ||
            (call_.download != nullptr && call_.download->is_spent()))
            forbid_another(call_, options_, result);
        Attempt attempt{.number = call_.attempt, .began = began_ - call_.began, .took = call_.now() - began_};
        attempt.hedge = call_.is_hedge;
        if (result) {
            result->attempt = call_.attempt;
            attempt.status = result->status;
            attempt.connection = result->connection;
        } else {
            attempt.error = result.error().code();
            attempt.status = result.error().status();
            if (const Response* answer = result.error().response()) attempt.connection = answer->connection;
        }
        call_.attempt_took = attempt.took;
        call_.note(std::move(attempt));
        if (!result && call_.redaction != nullptr) [[unlikely]]
            redact(result.error(), *call_.redaction, call_.request);
    }

private:
    void send(const Request& request) {
        if (how_.timeout <= Duration{0}) return end(fail(Error{Errc::attempt_timeout}));
        const Request* next = &request;
        if (call_.trace != nullptr && !has_left_origin_) [[unlikely]] {
            Request& traced = detour().traced.emplace(request);
            call_.trace->span(call_.attempt, call_.resends).set_in(traced.headers);
            next = &traced;
        }
        next_ = call_.download == nullptr ? next : call_.download->asking(next);
    }
    void want_permit(const Request& request) {
        next_ = &request;
        is_permitted_ = false;
    }
    void send_in_time(const Request& request) {
        call_.now.forget();
        how_.timeout = over() - call_.now();
        send(request);
    }
    Instant over() const noexcept { return std::min(attempt_over_, call_.deadline); }
    const Request& last_hop() const noexcept { return hops_ == 0 ? call_.request : detour_->hop; }
    static bool is_same_origin(const std::string& a, const std::string& b) {
        const auto from = Url::parse(a);
        const auto to = Url::parse(b);
        return from && to && from->same_origin(*to);
    }
    void end(Result<Response>&& result) { result_.emplace(std::move(result)); }

    void follow(Response redirect) {
        auto next = next_hop(last_hop(), redirect, options_.redirects);
        if (!next) return end(fail(std::move(next.error())));
        if (!*next) return end(std::move(redirect));
        const auto refuse = [&](Error error) {
            error.set_status(redirect.status).set_response(std::make_shared<const Response>(std::move(redirect)));
            end(fail(std::move(error)));
        };
        if (hops_ == options_.redirects.max) return refuse(Error{Errc::too_many_redirects});
        if ((*next)->body && (*next)->body->is_spent())
            return refuse(Error{Errc::redirect_refused, "the one-shot body cannot be sent again"});
        want_permit(detour().redirected.emplace(redirect.status, **std::move(next)).next);
    }

    struct Redirected {
        int status;
        Request next;
    };
    struct Detour {
        Request hop{};                           // the last one
        std::optional<Redirected> redirected{};  // not followed yet
        std::optional<Request> traced{};
    };
    Detour& detour() { return detour_ ? *detour_ : detour_.emplace(); }

    AnyCall& call_;
    const Options& options_;
    Room& result_;
    const Instant began_;
    const Instant attempt_over_;
    SendOptions how_;
    const Request* next_ = nullptr;
    detail::Rare<Detour> detour_;
    unsigned hops_ = 0;
    bool is_permitted_ = true;
    bool has_left_origin_ = false;  // as of then nobody is told of the trace
};

}  // namespace breakwater
