#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/search.hpp>
#include <breakwater/result.hpp>
#include <breakwater/timeline.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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

/// The oldest TLS spoken.
enum class TlsVersion : std::uint8_t { tls1_2, tls1_3 };

/// How a client proves who it is in the TLS handshake. Off while `certificate_file` is empty.
///
/// A server that does not like it ends in `Errc::tls_failed`. With TLS 1.3 it says so only after the request has left,
/// and if it closes before its word is read, in `send_failed` or `receive_failed`, with `Sent::maybe`.
struct ClientCertificate {
    std::string certificate_file{};  ///< PEM; with the intermediate authorities behind it, if there are any.
    std::string key_file{};          ///< PEM. Empty (the default): the key is in `certificate_file`.
    std::string key_password{};      ///< Of an encrypted key; in no message.
};

/// How a `CurlTransport` connects. Applies to all its copies.
struct CurlOptions {
    HttpVersion http_version = HttpVersion::automatic;
    TlsVerification tls_verification = TlsVerification::full;
    /// A PEM file with the authorities to trust instead of the system's.
    std::optional<std::string> ca_file{};
    /// The same as a directory of them, named by their hashes (`openssl rehash`). Both may be given.
    std::optional<std::string> ca_directory{};
    TlsVersion min_tls_version = TlsVersion::tls1_2;
    ClientCertificate client_certificate{};
    /// "http://proxy.test:3128", also https, socks5 (names resolved here) and socks5h (by the proxy), with
    /// "user:password@" if it asks for them: they are in no message. Default: none; the environment is not asked.
    std::optional<std::string> proxy{};
    /// Hosts reached without the proxy, with commas between; a domain means its subdomains too, "*" all.
    std::string no_proxy{};
    /// The path of a Unix domain socket to connect to, whatever host and port the URL names. At most 107 bytes.
    std::optional<std::string> unix_socket{};
    /// Sent if a request has no `User-Agent` of its own; printable ASCII. None by default, as with libcurl itself; a
    /// few services insist on one. (Each header costs about 0.5 us in libcurl 7.88.)
    std::optional<std::string> user_agent{};
    /// The most idle handles kept, each with its connections. A handle more than that is closed after its exchange, so
    /// this should be the number of threads that send at once; of asynchronous exchanges, those that were under way
    /// together within `max_idle_time` are kept besides. 1 to 10,000, default 16.
    std::size_t max_idle = 16;
    /// The most connections of asynchronous exchanges to one host and port; exchanges beyond wait for one, which counts
    /// as part of their timeout (not of their connect timeout). HTTP/2 exchanges share connections. 1 to 100,000;
    /// default none: how much may be in flight is for a `Bulkhead` or `AdaptiveLimit` to say, which tell a caller so at
    /// once. Blocking exchanges have a connection for each thread.
    std::optional<std::size_t> max_connections_per_host{};
    /// The same to all hosts together.
    std::optional<std::size_t> max_connections{};
    /// A connection idle for longer is not used again; keep it below the service's own keep-alive time, or an unlucky
    /// request meets a connection just being closed and fails with `Errc::empty_answer`. Whole seconds (rounded up),
    /// 1 s to 1 day, default 50 s (common load balancers close after 60 s).
    Duration max_idle_time = std::chrono::seconds{50};
    /// The most header bytes accepted in one exchange, interim answers and trailers included. 1 KiB to 16 MiB, default
    /// 256 KiB. libcurl refuses a single line above 100 KiB by itself.
    std::size_t max_header_bytes = std::size_t{256} << 10;
};

/// The first mistake, as "path.field: legal range, value".
inline Result<void> validate(const CurlOptions& options, std::string_view path = "curl") {
    if (options.ca_file && options.ca_file->empty()) {
        return fail(Errc::invalid_options, std::string{path} + ".ca_file: must be a path, got \"\"");
    }
    const auto wrong = [&](const char* field, std::string_view why) {
        return fail(Errc::invalid_options, std::string{path} + "." + field + ": " + std::string{why});
    };
    if (options.ca_directory && options.ca_directory->empty()) return wrong("ca_directory", "must be a path, got \"\"");
    const ClientCertificate& certificate = options.client_certificate;
    if (certificate.certificate_file.empty() && !(certificate.key_file.empty() && certificate.key_password.empty()))
        return wrong("client_certificate.certificate_file", "must be given with a key_file or key_password");
    if (options.proxy) {  // never repeated: it may hold a password
        constexpr std::string_view schemes[] = {"http://", "https://", "socks5://", "socks5h://"};
        const std::string_view proxy = *options.proxy;
        const auto has_more_than = [&](std::string_view scheme) {
            return proxy.starts_with(scheme) && proxy.size() > scheme.size();
        };
        const bool is_clean = detail::all_of(proxy, [](char c) { return c > ' ' && c <= '~'; });
        if (!detail::any_of(schemes, has_more_than) || !is_clean)
            return wrong("proxy", "must be a URL with http, https, socks5 or socks5h");
        if (options.unix_socket) return wrong("proxy", "must not be given with a unix_socket");
    }
    if (options.unix_socket && (options.unix_socket->empty() || options.unix_socket->size() > 107))
        return wrong("unix_socket", "must be a path of 1 to 107 bytes");
    const auto is_printable = [](char c) { return c >= ' ' && c <= '~'; };
    if (const auto& agent = options.user_agent) {
        if (agent->empty() || !detail::all_of(*agent, is_printable)) {
            return fail(Errc::invalid_options, std::string{path} + ".user_agent: must be printable ASCII, got " +
                                                   (agent->empty() ? "\"\"" : "other characters"));
        }
    }
    if (options.max_idle < 1 || options.max_idle > 10'000) {
        return detail::invalid_option(path, "max_idle", "1 to 10000", options.max_idle);
    }
    for (const auto& [field, value] : {std::pair{"max_connections_per_host", options.max_connections_per_host},
                                       std::pair{"max_connections", options.max_connections}}) {
        if (value && (*value < 1 || *value > 100'000))
            return detail::invalid_option(path, field, "1 to 100000", *value);
    }
    if (options.max_idle_time < std::chrono::seconds{1} || options.max_idle_time > std::chrono::hours{24}) {
        return detail::invalid_option(path, "max_idle_time", "1s to 24h", options.max_idle_time);
    }
    if (options.max_header_bytes < 1024 || options.max_header_bytes > std::size_t{16} << 20) {
        return detail::invalid_option(path, "max_header_bytes", "1024 to 16777216", options.max_header_bytes);
    }
    return {};
}

}  // namespace breakwater
