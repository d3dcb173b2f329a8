#pragma once

#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/result.hpp>
#include <breakwater/timeline.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>

namespace breakwater {

/// What the caller of a transport decides about one exchange.
struct SendOptions {
    std::stop_token stop{};  ///< A stop request ends the exchange with `Errc::cancelled`.
    /// For the whole exchange, > 0. Default 10 s.
    Duration timeout = std::chrono::seconds{10};
    /// For resolving, connecting and the TLS handshake together, > 0. Default 3 s.
    Duration connect_timeout = std::chrono::seconds{3};
    /// The largest body accepted, counted after decompression. Default 16 MiB.
    std::size_t max_response_bytes = std::size_t{16} << 20;
    /// Whether the request may reach the service twice: an idempotent method or an idempotency key. A transport that
    /// cannot keep the layers below it from repeating a request must refuse one for which this is false.
    bool resendable = false;
    /// Takes the body of a 2xx answer, decompressed, instead of `Response::body`. Belongs to the caller; null: nobody.
    const TakeBytes* sink = nullptr;
    /// Is shown a 2xx answer, without its body, before the sink gets a byte. Belongs to the caller; null: nobody.
    const TakeHead* head = nullptr;
    /// The most the sink takes; more is `Errc::too_large`. Default: no limit.
    std::optional<std::uint64_t> max_sink_bytes{};
    /// Is told how far the exchange is. Belongs to the caller; null: nobody.
    const OnProgress* progress = nullptr;
};

/// Turns one `Request` into one `Response` or one `Error`.
///
/// A transport is a thread-safe handle: copies share connections, and any thread may call `send` on any copy at any
/// time. `send` blocks, for at most about `SendOptions::timeout`. It makes the exchange once: it never retries, never
/// follows a redirect, never adds a cookie or a credential. An answer with any final status from 200 to 599 is a
/// success here; what a status means is the client's decision. An `Error` says through `sent()` whether the request may
/// have reached the service; when in doubt it says `Sent::maybe`. A request that `validate(request)` refuses comes back
/// as `Errc::invalid_request`. A stop request ends the exchange within 100 ms in whatever phase it is, and so does the
/// end of a timeout.
///
/// The smallest transport:
///
///     struct Teapot {
///         Result<Response> send(const Request& request, const SendOptions& options) const {
///             if (auto valid = validate(request); !valid) return fail(valid.error());
///             if (options.stop.stop_requested()) return fail(Error{Errc::cancelled}.set_sent(Sent::no));
///             Response answer;
///             answer.status = 418;
///             answer.url = request.url;
///             return answer;
///         }
///     };
template <class T>
concept Transport =
    std::copyable<T> && requires(const T& transport, const Request& request, const SendOptions& options) {
        { transport.send(request, options) } -> std::same_as<Result<Response>>;
    };

/// A transport that can also send without blocking: `async_send(request, options)` can be awaited for what `send` would
/// give; both arguments stay until then. A stop request ends the exchange within 10 ms; the end of the transport's last
/// handle completes what is pending as `Errc::cancelled`. One that has a thread to go on by says so: `scheduler()`, on
/// which calls through it sleep, too, and `is_own_thread()`, where a client refuses calls that block.
template <class T>
concept AsyncTransport =
    Transport<T> && requires(const T& transport, const Request& request, const SendOptions& options) {
        transport.async_send(request, options).await_ready();
        { transport.async_send(request, options).await_resume() } -> std::same_as<Result<Response>>;
    };

/// A transport's own scheduler, or null.
template <class T>
Scheduler* scheduler_of(const T& transport) {
    if constexpr (requires {
                      { transport.scheduler() } -> std::convertible_to<Scheduler&>;
                  })
        return &transport.scheduler();
    else
        return nullptr;
}

}  // namespace breakwater
