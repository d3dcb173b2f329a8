#pragma once

#include <breakwater/transport/transport.hpp>

#include <concepts>
#include <cstdint>

namespace breakwater {

/// What a transport and its copies have done so far. Keep-alive shows in `reused`: it should be near `answers`.
struct TransportCounts {
    std::uint64_t requests = 0;     ///< Exchanges begun, whatever they ended in.
    std::uint64_t answers = 0;      ///< Of these, the ones that ended in an answer, of any status.
    std::uint64_t connections = 0;  ///< Connections opened, for exchanges that failed later as well.
    std::uint64_t reused = 0;       ///< Answers over a connection that was there already.
    std::uint64_t http1 = 0;        ///< Answers over HTTP/1.0 or 1.1.
    std::uint64_t http2 = 0;        ///< Answers over HTTP/2.

    friend bool operator==(const TransportCounts&, const TransportCounts&) = default;
};

/// A transport that counts; a client shows it in its snapshot. `counts()` may be called by any thread at any time and
/// does not wait for an exchange.
template <class T>
concept CountingTransport = Transport<T> && requires(const T& transport) {
    { transport.counts() } -> std::same_as<TransportCounts>;
};

}  // namespace breakwater
