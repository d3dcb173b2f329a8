#pragma once

#include <breakwater/result.hpp>
#include <breakwater/timeline.hpp>
#include <breakwater/version.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace breakwater {

/// Which HTTP a `CurlTransport` speaks.
enum class HttpVersion : std::uint8_t {
    automatic,              ///< HTTP/2 over TLS if the server offers it (ALPN), else HTTP/1.1.
    http1_1,                ///< HTTP/1.1 only.
    http2_prior_knowledge,  ///< HTTP/2 without asking, on cleartext too. For services known to speak it.
};

/// Whether the server's certificate has to be valid, trusted and for the host asked.
enum class TlsVerification : std::uint8_t {
    full,
    none,  ///< Anyone on the way can read and change everything. For experiments only.
};

/// How a `CurlTransport` connects. Applies to all its copies.
struct CurlOptions {
    HttpVersion http_version = HttpVersion::automatic;
    TlsVerification tls_verification = TlsVerification::full;
    /// A PEM file with the authorities to trust instead of the system's.
    std::optional<std::string> ca_file{};
    /// Sent if a request has no `User-Agent` of its own.
    std::string user_agent = "breakwater/" BREAKWATER_VERSION_STRING;
    /// The most idle handles kept, each with its connections. A handle more than that is closed after its exchange, so
    /// this should be the number of threads that send at once. 1 to 10,000, default 16.
    std::size_t max_idle = 16;
    /// A connection idle for longer is not used again; keep it below the service's own keep-alive time, or an unlucky
    /// request meets a connection just being closed and fails with `Errc::empty_answer`. Whole seconds (rounded up),
    /// 1 s to 1 day, default 50 s (common load balancers close after 60 s).
    Duration max_idle_time = std::chrono::seconds{50};
    /// The most header bytes accepted in one exchange, interim answers and trailers included. 1 KiB to 16 MiB, default
    /// 256 KiB. libcurl refuses a single line above 100 KiB by itself.
    std::size_t max_header_bytes = std::size_t{256} << 10;

    /// `Errc::invalid_options` and the field at fault.
    Result<void> validate() const;
};

inline Result<void> CurlOptions::validate() const {
    const auto refuse = [](std::string what, std::string given) {
        return fail(Errc::invalid_options, "curl." + std::move(what) + ", got " + std::move(given));
    };
    if (ca_file && ca_file->empty()) return refuse("ca_file: must be a path", "\"\"");
    if (user_agent.find_first_of(std::string_view{"\r\n\0", 3}) != user_agent.npos) {
        return refuse("user_agent: must be one line", "one with a control character");
    }
    if (max_idle < 1 || max_idle > 10'000) {
        return refuse("max_idle: must be 1 to 10000", std::to_string(max_idle));
    }
    if (max_idle_time < std::chrono::seconds{1} || max_idle_time > std::chrono::hours{24}) {
        return refuse("max_idle_time: must be 1 s to 24 h", format_duration(max_idle_time));
    }
    if (max_header_bytes < 1024 || max_header_bytes > std::size_t{16} << 20) {
        return refuse("max_header_bytes: must be 1024 to 16777216", std::to_string(max_header_bytes));
    }
    return {};
}

}  // namespace breakwater
