#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/result.hpp>
#include <breakwater/testing/fault_injection/fault.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace breakwater {

namespace faults {

/// The exchange is made.
struct PassOn {};

/// The exchange fails as a transport's does, and nothing is sent. The two timeouts last as long as they say.
struct Error {
    Errc code = Errc::connect_failed;  ///< `resolve_failed` to `transport_failed`.
};

/// An answer with an error status, and nothing is sent. Beside `headers` it has `X-Injected-Fault: status`.
struct Status {
    int status = 503;                       ///< 400 to 599.
    std::optional<Duration> retry_after{};  ///< As `Retry-After`, in whole seconds, rounded up. 0s to 24h.
    Headers headers{};
    std::string body = "injected";  ///< Not sent in answer to HEAD.
};

/// The exchange is made, but its answer is lost: `Errc::receive_failed`. So the service may have done what it was asked
/// to do.
struct Reset {};

/// The exchange is made, but its answer ends early: `Errc::truncated`. An answer without a body is passed on.
struct Truncate {
    std::uint64_t after = 0;  ///< So many bytes of the body still go to the sink, if there is one. Default 0.
};

/// Nothing is sent, and the attempt's timeout comes.
struct Drop {};

/// What becomes of an exchange. Default: it is made.
class Then {
public:
    using Kind = std::variant<PassOn, Error, Status, Reset, Truncate, Drop>;

    Then() noexcept {}
    Then(PassOn) noexcept {}
    Then(Error error) : kind_{error} {}
    Then(Status status) : kind_{std::move(status)} {}
    Then(Reset reset) : kind_{reset} {}
    Then(Truncate truncate) : kind_{truncate} {}
    Then(Drop drop) : kind_{drop} {}

    const Kind& kind() const noexcept { return kind_; }

private:
    Kind kind_{};
};

inline bool is_end(const Then& then) noexcept { return !std::holds_alternative<PassOn>(then.kind()); }

inline Result<void> validate(const Then& then, std::string_view path) {
    using detail::invalid_option;
    if (const auto* error = std::get_if<Error>(&then.kind())) {
        if (error->code < Errc::resolve_failed || error->code > Errc::transport_failed) {
            return invalid_option(path, "error", "an error of a transport, resolve_failed to transport_failed",
                                  std::string{to_string(error->code)});
        }
    } else if (const auto* status = std::get_if<Status>(&then.kind())) {
        if (status->status < 400 || status->status > 599)
            return invalid_option(path, "status", "400 to 599", status->status);
        if (status->retry_after &&
            (*status->retry_after < Duration{0} || *status->retry_after > std::chrono::hours{24}))
            return invalid_option(path, "retry_after", "0s to 24h", *status->retry_after);
        const Request sample{.url = "http://localhost/", .headers = status->headers};
        if (auto ok = validate(sample); !ok)
            return fail(Errc::invalid_options, std::string{path} + ".headers: " + std::string{ok.error().detail()});
    }
    return {};
}

}  // namespace faults

/// What is done to a request.
///
///     bw::Fault{.rate = 0.1, .delay = bw::faults::LogNormal{.median = 200ms}}
///     bw::Fault{.from = 1min, .until = 5min, .then = bw::faults::Status{.status = 503, .retry_after = 2s}}
using Fault = BasicFault<faults::Then>;

struct FaultOptions {
    /// Each is drawn by itself: the delays of those that meet a request add up, and the first that does not pass it on
    /// decides.
    std::vector<Fault> faults{};
    /// Of the first requests each meets the one in its place, and none of `faults`. `Fault{}` does nothing.
    std::vector<Fault> script{};
    /// Only these requests: the others are passed on and do not count. Called once for each, by the thread that sends,
    /// with nothing held; throwing is a no. Default: all.
    std::function<bool(const Request&)> when{};
    /// The same seed has the n-th request meet the same. Default: another one each time.
    std::optional<std::uint64_t> seed{};
};

/// Checks the options; messages begin with `path`, if there is one.
inline Result<void> validate(const FaultOptions& options, std::string_view path = "") {
    const std::string prefix = path.empty() ? "" : std::string{path} + '.';
    if (auto ok = validate(options.faults, prefix + "faults"); !ok) return ok;
    return validate(options.script, prefix + "script");
}

}  // namespace breakwater
