#pragma once

#include <breakwater/errc.hpp>
#include <breakwater/time_shortage.hpp>
#include <breakwater/timeline.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

struct Response;  // http/response.hpp

/// The state of a circuit.
enum class CircuitState : std::uint8_t { closed, open, half_open };

constexpr std::string_view to_string(CircuitState state) noexcept {
    return state == CircuitState::closed ? "closed" : state == CircuitState::open ? "open" : "half-open";
}

/// "12 ms", "1.3 s", "2 min": a duration as a person reads it.
std::string format_duration(Duration duration);

/// Whether a failed request may have reached the service.
enum class Sent : std::uint8_t { no, maybe };

/// Why a call failed: what happened last, what stopped the call, after how many attempts, and when to try again.
///
/// A value of 64 bytes. A refusal is built without allocating; everything that needs memory (message, exception,
/// response, timeline) sits in a shared, immutable detail that only real failures have. Copies share it. The message
/// is rendered on demand. An `Error` is not synchronised: two threads may read one, not write it.
class Error {
public:
    explicit Error(Errc code) noexcept : code_{code}, sent_{was_never_sent(code) ? Sent::no : Sent::maybe} {}
    Error(Errc code, std::string message) : Error{code} { edit().message = std::move(message); }

    /// A refusal by the policy called `policy` (cut after 23 bytes).
    static Error refusal(Errc code, std::string_view policy, std::optional<Duration> retry_after = {}) noexcept {
        Error error{code};
        error.policy_length_ = static_cast<std::uint8_t>(std::min(policy.size(), error.policy_.size()));
        std::copy_n(policy.data(), error.policy_length_, error.policy_.data());
        error.set_retry_after(retry_after);
        return error;
    }

    /// A refusal for lack of time (`deadline_too_near`).
    static Error refusal(const TimeShortage& shortage) noexcept {
        Error error{Errc::deadline_too_near};
        std::memcpy(error.policy_.data(), &shortage, shortage_bytes);  // in place of a name
        return error;
    }

    Errc code() const noexcept { return code_; }

    /// Who ended the call after a real failure: a refuser, the deadline or a stop request. `code()` is then the last
    /// real error.
    std::optional<Errc> stopped_by() const noexcept { return stopped_ ? std::optional{stopped_by_} : std::nullopt; }

    /// True if the call ended in a refusal of this kind, with or without an attempt made before.
    bool is_refusal(Errc kind) const noexcept {
        return breakwater::is_refusal(kind) && (code_ == kind || (stopped_ && stopped_by_ == kind));
    }
    /// True if the call ended in any refusal.
    bool is_refusal() const noexcept {
        return breakwater::is_refusal(code_) || (stopped_ && breakwater::is_refusal(stopped_by_));
    }

    /// The HTTP status (100–599) of the answer, or of the exception through `status_of`.
    std::optional<int> status() const noexcept { return status_ ? std::optional<int>{status_} : std::nullopt; }

    /// How long to wait before another try makes sense: from the refusing policy or from the answer's Retry-After.
    std::optional<Duration> retry_after() const noexcept {
        return retry_after_ >= 0 ? std::optional{Duration{retry_after_}} : std::nullopt;
    }

    /// How many attempts were made. 0 if the first one was refused.
    unsigned attempts() const noexcept { return attempts_; }

    /// Whether the last attempt may have reached the service.
    Sent sent() const noexcept { return sent_; }

    /// The state of the circuit that refused, if one did.
    std::optional<CircuitState> circuit_state() const noexcept {
        return circuit_ != no_circuit ? std::optional{static_cast<CircuitState>(circuit_)} : std::nullopt;
    }

    /// The name of the policy that refused; empty if none did or it has no name.
    std::string_view policy() const noexcept { return {policy_.data(), policy_length_}; }

    /// What time was missing, if an attempt was refused for it.
    std::optional<TimeShortage> shortage() const noexcept {
        if (code_ != Errc::deadline_too_near || policy_length_ != 0) return {};
        TimeShortage shortage;
        std::memcpy(static_cast<void*>(&shortage), policy_.data(), shortage_bytes);
        return shortage.expected > Duration{0} ? std::optional{shortage} : std::nullopt;
    }

    /// The exception the callable threw; null if it threw none.
    std::exception_ptr exception() const noexcept { return detail_ ? detail_->exception : nullptr; }

    /// The answer with the error status; null if there is none. Lives as long as this error or a copy of it.
    const Response* response() const noexcept { return detail_ ? detail_->response.get() : nullptr; }

    /// Every attempt of the call. Empty for a bare `Pipeline`, which keeps none.
    const Timeline& timeline() const noexcept {
        static const Timeline none;
        return detail_ ? detail_->timeline : none;
    }

    /// What failed in the words of the layer it failed in, or empty.
    std::string_view detail() const noexcept { return detail_ ? std::string_view{detail_->message} : ""; }

    /// What was being done, for example "GET /inventory"; never holds a query or a secret.
    std::string_view subject() const noexcept { return detail_ ? std::string_view{detail_->subject} : ""; }

    /// One readable line: what happened, after how many attempts, when to try again.
    std::string message() const;

    // For policies and transports. Each returns *this.
    Error& set_code(Errc code) noexcept {
        code_ = code;
        return *this;
    }
    Error& set_status(int status) noexcept {
        status_ = static_cast<std::int16_t>(status);
        return *this;
    }
    Error& set_sent(Sent sent) noexcept {
        sent_ = sent;
        return *this;
    }
    Error& set_attempts(unsigned attempts) noexcept {
        attempts_ = attempts;
        return *this;
    }
    Error& set_circuit(CircuitState state) noexcept {
        circuit_ = static_cast<std::uint8_t>(state);
        return *this;
    }
    Error& set_retry_after(std::optional<Duration> wait) noexcept {
        retry_after_ = wait ? std::max<std::int64_t>(wait->count(), 0) : -1;
        return *this;
    }
    Error& set_stopped_by(Errc code) noexcept {
        stopped_by_ = code;
        stopped_ = true;
        return *this;
    }
    Error& set_exception(std::exception_ptr exception) {
        edit().exception = std::move(exception);
        return *this;
    }
    Error& set_response(std::shared_ptr<const Response> response) {
        edit().response = std::move(response);
        return *this;
    }
    Error& set_timeline(Timeline timeline) {
        edit().timeline = std::move(timeline);
        return *this;
    }
    Error& set_detail(std::string message) {
        edit().message = std::move(message);
        return *this;
    }
    Error& set_subject(std::string subject) {
        edit().subject = std::move(subject);
        return *this;
    }

    friend std::ostream& operator<<(std::ostream& out, const Error& error) { return out << error.message(); }

private:
    struct Detail {
        std::string message;
        std::string subject;
        std::exception_ptr exception;
        std::shared_ptr<const Response> response;
        Timeline timeline;
    };
    static constexpr std::uint8_t no_circuit = 0xff;
    static constexpr std::size_t shortage_bytes = offsetof(TimeShortage, quantile) + sizeof(TimeShortage::quantile);

    Detail& edit() {  // copies share the detail, so it is copied before it is changed
        auto own = detail_ ? std::make_shared<Detail>(*detail_) : std::make_shared<Detail>();
        Detail& detail = *own;
        detail_ = std::move(own);
        return detail;
    }

    Errc code_;
    Errc stopped_by_ = Errc::failure;
    bool stopped_ = false;
    Sent sent_;
    std::uint8_t circuit_ = no_circuit;
    std::uint8_t policy_length_ = 0;
    std::int16_t status_ = 0;
    std::int64_t retry_after_ = -1;  // µs
    std::shared_ptr<const Detail> detail_;
    std::uint32_t attempts_ = 0;
    std::array<char, 23> policy_{};  // or a time shortage
};

/// What breakwater throws: from constructors given bad options, and from `value_or_throw`.
class Exception : public std::runtime_error {
public:
    explicit Exception(Error error) : std::runtime_error{error.message()}, error_{std::move(error)} {}
    const Error& error() const noexcept { return error_; }

private:
    Error error_;
};

inline std::string format_duration(Duration duration) {
    const auto tenths = [](std::int64_t value, std::int64_t unit) {
        const std::int64_t rounded = value / unit * 10 + (value % unit * 10 + unit / 2) / unit;
        std::string text = std::to_string(rounded / 10);
        if (rounded % 10 != 0) text += '.' + std::to_string(rounded % 10);
        return text;
    };
    const std::int64_t us = duration.count();
    if (us < 0) return "0 s";
    if (us < 1'000) return std::to_string(us) + " us";
    if (us < 10'000) return tenths(us, 1'000) + " ms";
    if (us < 999'500) return std::to_string((us + 500) / 1'000) + " ms";
    if (us < 119'950'000) return tenths(us, 1'000'000) + " s";
    if (us < 7'200'000'000) return tenths(us, 60'000'000) + " min";
    return tenths(us, 3'600'000'000) + " h";
}

namespace detail {

/// Puts `instead` for every control character: words from outside (an exception's, a server's) must not forge a second
/// line.
inline void keep_on_one_line(std::string& text, char instead) noexcept {
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = instead;
}

constexpr std::string_view sentence(Errc code) noexcept {
    switch (code) {
        case Errc::circuit_open: return "the circuit is open";
        case Errc::rate_limited: return "the rate limit is reached";
        case Errc::exceeds_burst: return "more permits asked for than the limiter can hold";
        case Errc::bulkhead_full: return "too many calls are in flight";
        case Errc::budget_exhausted: return "the retry budget is spent";
        case Errc::store_unavailable: return "the state store is unavailable";
        case Errc::deadline_too_near: return "the deadline is too near for another attempt";
        case Errc::throttled: return "the service accepts only part of the calls";
        case Errc::would_deadlock: return "a blocking call here would wait for itself";
        case Errc::cancelled: return "the call was cancelled";
        case Errc::deadline_exceeded: return "the deadline passed";
        case Errc::invalid_options: return "invalid options";
        case Errc::invalid_request: return "invalid request";
        case Errc::not_replayable: return "a one-shot body or sink has been used and cannot start anew";
        case Errc::body_failed: return "the request's body could not be read";
        case Errc::sink_failed: return "the answer could not be stored";
        case Errc::resolve_failed: return "the host name did not resolve";
        case Errc::connect_failed: return "no connection";
        case Errc::connect_timeout: return "no connection in time";
        case Errc::tls_failed: return "the TLS handshake failed";
        case Errc::tls_untrusted: return "the server's certificate is not trusted";
        case Errc::attempt_timeout: return "no answer in time";
        case Errc::send_failed: return "the connection broke while sending";
        case Errc::receive_failed: return "the connection broke";
        case Errc::empty_answer: return "the server closed the connection without an answer";
        case Errc::truncated: return "the answer was cut short";
        case Errc::protocol_error: return "the answer is not valid HTTP";
        case Errc::bad_encoding: return "the answer's encoding is broken";
        case Errc::digest_mismatch: return "the content has another digest";
        case Errc::too_large: return "the answer is too large";
        case Errc::transport_failed: return "the transport failed";
        case Errc::http_status: return "the service answered with an error";
        case Errc::redirect_refused: return "a redirect was refused";
        case Errc::too_many_redirects: return "too many redirects";
        case Errc::decode_failed: return "the body could not be decoded";
        case Errc::exception: return "an exception was thrown";
        case Errc::bad_result: return "the result counts as a failure";
        case Errc::failure: return "the call failed";
    }
    return "unknown error";
}

}  // namespace detail

inline std::string Error::message() const {
    std::string text;
    if (!subject().empty()) text.append(subject()).append(": ");
    if (code_ == Errc::http_status && status_ != 0) {
        text += "status " + std::to_string(status_);
    } else if (code_ == Errc::circuit_open && circuit_state() == CircuitState::half_open) {
        text += "the circuit is half-open and its probes are taken";
    } else if (code_ == Errc::circuit_open && circuit_state() == CircuitState::closed) {
        text += "the circuit has just closed and lets only some calls through";
    } else if (!(code_ == Errc::invalid_options && !detail().empty())) {
        text += detail::sentence(code_);
    }
    if (const auto shortage = this->shortage()) {
        text += ": it is expected to take " + format_duration(shortage->expected) + " (" +
                detail::percentile_text(shortage->quantile) + " of " + std::to_string(shortage->samples) + "), " +
                format_duration(shortage->left) + " are left";
    }
    if (!policy().empty()) text.append(" (").append(policy()).append(")");
    if (!detail().empty()) {
        if (!text.empty() && code_ != Errc::invalid_options) text += ": ";
        text.append(detail());
    }
    if (attempts_ > 1) text += ", after " + std::to_string(attempts_) + " attempts";
    if (const auto by = stopped_by()) text.append("; gave up: ").append(detail::sentence(*by));
    if (const auto wait = retry_after()) text += "; try again in " + format_duration(*wait);
    detail::keep_on_one_line(text, ' ');
    return text;
}

}  // namespace breakwater
