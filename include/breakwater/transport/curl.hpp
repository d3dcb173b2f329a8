#pragma once

#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/counts.hpp>
#include <breakwater/transport/curl/global.hpp>
#include <breakwater/transport/curl/options.hpp>
#include <breakwater/transport/curl/pool.hpp>
#include <breakwater/transport/transport.hpp>

#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

namespace breakwater {

/// HTTP/1.1 and HTTP/2 through libcurl. A thread-safe handle: copies share idle connections.
///
/// - Each thread that sends has a libcurl handle of its own for the time, taken from a pool and given back; a
/// connection
///   is kept alive and used again, by any thread. HTTP/2 exchanges of several threads do not share a connection.
/// - Speaks http and https only; certificates are verified; no redirects, cookies, .netrc, alt-svc, or `http_proxy`
///   and its like from the environment.
/// - Never sends a request twice, of any method: libcurl's habit of repeating it on a new connection when a reused one
///   turns out dead is stopped. A connection that the server has closed in time is noticed before anything is sent and
///   replaced; one closed just while the request is on its way ends in `Errc::empty_answer`, `send_failed` or
///   `receive_failed` with `Sent::maybe`. So `SendOptions::resendable` changes nothing here.
/// - `Response::headers` are those of the final answer as they came: a decompressed body keeps its `Content-Encoding`
///   and a `Content-Length` of the compressed one. Interim answers and trailers are dropped.
/// - An answer with neither a length nor chunks ends where the connection does. One cut short there cannot be told from
///   a whole one, with TLS neither: libcurl puts up with a missing close_notify.
/// - POST, PUT and PATCH without a body send `Content-Length: 0`. A header of the request replaces libcurl's own
///   (`Accept`, `Accept-Encoding`, `Host`, `User-Agent`).
/// - Timeouts count in milliseconds, rounded up. A stop request or timeout ends the exchange at once; a name being
///   resolved then goes on in a thread of libcurl's, whose answer nobody takes.
/// - A child process may go on using a transport from before a `fork`: it makes new connections, and what it inherited
///   (descriptors and memory of the idle handles) stays unused until it ends.
class CurlTransport {
public:
    /// Throws `Exception` with `Errc::invalid_options`, or with `Errc::transport_failed` if this libcurl cannot do it.
    explicit CurlTransport(CurlOptions options = {}) {
        if (auto valid = validate(options); !valid) throw Exception{std::move(valid.error())};
        curl::initialize();
        pool_ = std::make_shared<curl::Pool>(std::move(options));
        pool_->give_back(pool_->take());  // what libcurl refuses shows here, not in the first call
    }

    /// The same without exceptions.
    static Result<CurlTransport> make(CurlOptions options = {}) {
        try {
            return CurlTransport{std::move(options)};
        } catch (const Exception& exception) {
            return fail(exception.error());
        }
    }

    /// Makes one exchange; see `Transport`. Throws nothing but `std::bad_alloc`.
    Result<Response> send(const Request& request, const SendOptions& options = {}) const {
        if (options.stop.stop_requested()) return fail(Error{Errc::cancelled}.set_sent(Sent::no));
        if (options.timeout <= Duration::zero()) return fail(Error{Errc::attempt_timeout}.set_sent(Sent::no));
        if (options.connect_timeout <= Duration::zero()) return fail(Errc::connect_timeout);
        auto handle = pool_->take();
        auto result = handle->exchange(request, options);
        if (const auto opened = handle->connections_opened())
            pool_->count(*opened, result ? std::string_view{result->http_version} : "");
        pool_->give_back(std::move(handle));
        return result;
    }

    /// Answers, connections opened and reused, HTTP/2: since construction, of all copies. Never blocks.
    TransportCounts counts() const noexcept { return pool_->counts(); }

private:
    std::shared_ptr<curl::Pool> pool_;
};

}  // namespace breakwater
