#pragma once

#include <cstdint>
#include <string_view>

namespace breakwater {

/// What went wrong. The groups matter: `is_refusal` and `was_never_sent` are defined by them.
enum class Errc : std::uint8_t {
    // Refusals: breakwater did not make the attempt.
    circuit_open,       ///< The circuit is open, or half-open with every probe slot taken.
    rate_limited,       ///< No permit is free (yet), or the service has asked for a pause.
    exceeds_burst,      ///< More permits were asked for than the limiter can ever hold. Waiting does not help.
    bulkhead_full,      ///< As many calls as allowed are in flight, and the queue is full or the wait over.
    budget_exhausted,   ///< The retry budget is spent.
    store_unavailable,  ///< The state store cannot be reached and `on_store_failure` says to refuse.
    deadline_too_near,  ///< An attempt is expected to take longer than is left until the deadline.
    throttled,          ///< The service accepts only part of the calls, and this is of the other part.
    would_deadlock,     ///< A blocking call was made on the thread that would have to complete it.

    // The caller's side.
    cancelled,          ///< A stop was requested.
    deadline_exceeded,  ///< The call's deadline passed.
    invalid_options,    ///< The configuration is wrong; the message names the field.
    invalid_request,    ///< The request is malformed or forbidden (target, header, method); it was not sent.
    not_replayable,     ///< A one-shot body has been read, or a sink without `reset` written: there is no second time.
    body_failed,        ///< The request's body could not be read: its file, its reader.
    sink_failed,        ///< What takes the answer's body failed: a full disk, a sink that threw or refused.

    // The request was never sent.
    resolve_failed,   ///< The host name did not resolve.
    connect_failed,   ///< No connection could be made.
    connect_timeout,  ///< No connection within the connect timeout.
    tls_failed,       ///< The TLS handshake failed, or this TLS set-up is not available.
    tls_untrusted,    ///< The server's certificate is expired, for another name, or not signed by a trusted CA.

    // The request may have been sent.
    attempt_timeout,   ///< No complete answer within the attempt timeout.
    send_failed,       ///< The connection broke while sending.
    receive_failed,    ///< The connection broke (reset) while waiting for or reading the answer.
    empty_answer,      ///< The server closed the connection without an answer.
    truncated,         ///< The answer ended before its announced length.
    protocol_error,    ///< The answer is not valid HTTP.
    bad_encoding,      ///< The answer's compression is broken or unknown.
    digest_mismatch,   ///< The answer's content is not what its digest, or the caller's, says; the message has both.
    too_large,         ///< The answer (after decompression) or its headers exceed the limit.
    transport_failed,  ///< Any other failure of the transport.

    // An answer arrived.
    http_status,         ///< The answer has an error status; the response is inside the error.
    redirect_refused,    ///< A redirect that the rules do not allow; the response is inside the error.
    too_many_redirects,  ///< More redirects than allowed.
    decode_failed,       ///< The body could not be decoded (JSON).

    // A callable of the user's.
    exception,   ///< The callable threw; `Error::exception()` holds it.
    bad_result,  ///< The callable returned a value that a rule calls a failure.
    failure,     ///< A failure the callable reported without further detail.
};

/// The enumerator's name, for example "circuit_open".
constexpr std::string_view to_string(Errc code) noexcept {
    switch (code) {
        case Errc::circuit_open: return "circuit_open";
        case Errc::rate_limited: return "rate_limited";
        case Errc::exceeds_burst: return "exceeds_burst";
        case Errc::bulkhead_full: return "bulkhead_full";
        case Errc::budget_exhausted: return "budget_exhausted";
        case Errc::store_unavailable: return "store_unavailable";
        case Errc::deadline_too_near: return "deadline_too_near";
        case Errc::throttled: return "throttled";
        case Errc::would_deadlock: return "would_deadlock";
        case Errc::cancelled: return "cancelled";
        case Errc::deadline_exceeded: return "deadline_exceeded";
        case Errc::invalid_options: return "invalid_options";
        case Errc::invalid_request: return "invalid_request";
        case Errc::not_replayable: return "not_replayable";
        case Errc::body_failed: return "body_failed";
        case Errc::sink_failed: return "sink_failed";
        case Errc::resolve_failed: return "resolve_failed";
        case Errc::connect_failed: return "connect_failed";
        case Errc::connect_timeout: return "connect_timeout";
        case Errc::tls_failed: return "tls_failed";
        case Errc::tls_untrusted: return "tls_untrusted";
        case Errc::attempt_timeout: return "attempt_timeout";
        case Errc::send_failed: return "send_failed";
        case Errc::receive_failed: return "receive_failed";
        case Errc::empty_answer: return "empty_answer";
        case Errc::truncated: return "truncated";
        case Errc::protocol_error: return "protocol_error";
        case Errc::bad_encoding: return "bad_encoding";
        case Errc::digest_mismatch: return "digest_mismatch";
        case Errc::too_large: return "too_large";
        case Errc::transport_failed: return "transport_failed";
        case Errc::http_status: return "http_status";
        case Errc::redirect_refused: return "redirect_refused";
        case Errc::too_many_redirects: return "too_many_redirects";
        case Errc::decode_failed: return "decode_failed";
        case Errc::exception: return "exception";
        case Errc::bad_result: return "bad_result";
        case Errc::failure: return "failure";
    }
    return "unknown";
}

/// True if breakwater itself refused to make the attempt. A refusal ends the retry loop and is no outcome.
constexpr bool is_refusal(Errc code) noexcept { return code <= Errc::would_deadlock; }

/// True if the service was reached and has answered, though not well.
constexpr bool was_answered(Errc code) noexcept { return code >= Errc::http_status && code <= Errc::decode_failed; }

/// True if nobody knows how long an attempt that ended so would have taken: its time was over, or nobody wanted it.
constexpr bool was_cut(Errc code) noexcept {
    return code == Errc::attempt_timeout || code == Errc::connect_timeout || code == Errc::deadline_exceeded ||
           code == Errc::cancelled;
}

/// True if a request that failed so has certainly not reached the service, whatever its method.
constexpr bool was_never_sent(Errc code) noexcept {
    return is_refusal(code) || code == Errc::invalid_options || code == Errc::invalid_request ||
           code == Errc::not_replayable || (code >= Errc::resolve_failed && code <= Errc::tls_untrusted);
}

}  // namespace breakwater
