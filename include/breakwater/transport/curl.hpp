#pragma once

#include <breakwater/event_loop/loop_thread.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>
#include <breakwater/transport/counts.hpp>
#include <breakwater/transport/curl/counter.hpp>
#include <breakwater/transport/curl/engine.hpp>
#include <breakwater/transport/curl/global.hpp>
#include <breakwater/transport/curl/options.hpp>
#include <breakwater/transport/curl/pool.hpp>
#include <breakwater/transport/curl/sending.hpp>
#include <breakwater/transport/transport.hpp>

#include <chrono>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

namespace breakwater {

/// HTTP/1.1 and HTTP/2 through libcurl. A thread-safe handle: copies share idle connections.
///
/// - Each thread that sends has a libcurl handle of its own for the time, taken from a pool and given back; a
///   connection is kept alive and used again, by any thread. HTTP/2 exchanges of several threads do not share one.
/// - Any number of `async_send` are under way on one thread, the engine, which is started on first use. It keeps
///   connections of its own; HTTP/2 exchanges share them. When the last copy goes, what is under way completes as
///   `Errc::cancelled` and the thread is joined; when it goes on the engine's thread, that ends later by itself.
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
///   (descriptors and memory of the idle handles) stays unused until it ends. Nothing there completes what was under
///   way.
class CurlTransport {
public:
    /// Throws `Exception` with `Errc::invalid_options`, or with `Errc::transport_failed` if this libcurl cannot do it.
    explicit CurlTransport(CurlOptions options = {}) {
        if (auto valid = validate(options); !valid) throw Exception{std::move(valid.error())};
        curl::initialize();
        shared_ = std::make_shared<Shared>(std::move(options));
        shared_->pool.give_back(shared_->pool.take());  // what libcurl refuses shows here, not in the first call
    }

    /// The same without exceptions.
    static Result<CurlTransport> make(CurlOptions options = {}) {
        try {
            return CurlTransport{std::move(options)};
        } catch (const Exception& exception) {
            return fail(exception.error());
        }
    }

    /// Makes one exchange; see `Transport`. Throws nothing but `std::bad_alloc`. On the engine's thread it is refused
    /// with `Errc::would_deadlock`: all others would wait for it.
    Result<Response> send(const Request& request, const SendOptions& options = {}) const {
        if (is_own_thread()) return fail(Errc::would_deadlock);
        if (options.stop.stop_requested()) return fail(Error{Errc::cancelled}.set_sent(Sent::no));
        if (options.timeout <= Duration::zero()) return fail(Error{Errc::attempt_timeout}.set_sent(Sent::no));
        if (options.connect_timeout <= Duration::zero()) return fail(Errc::connect_timeout);
        auto handle = shared_->pool.take();
        auto result = handle->exchange(request, options);
        if (const auto opened = handle->connections_opened())
            shared_->counter->count(*opened, result ? std::string_view{result->http_version} : "");
        shared_->pool.give_back(std::move(handle));
        return result;
    }

    /// The same, to be awaited: a `Result<Response>`, after which the coroutine goes on on the engine's thread. Any
    /// thread. Both arguments, and the engine, have to stay until then: it takes no temporaries. A stop request is
    /// heard within milliseconds; sinks and progress callbacks are called on the engine's thread and must not block.
    curl::Sending async_send(const Request& request, const SendOptions& options) const {
        return {engine(), request, options};
    }
    void async_send(Request&&, const SendOptions&) const = delete;
    void async_send(const Request&, SendOptions&&) const = delete;
    void async_send(Request&&, SendOptions&&) const = delete;

    /// The engine's thread: for timers, and to be where `async_send` returns to. Starts it on first use, which throws
    /// `std::system_error` where there can be no more threads. Stays while a copy of the transport does (in a forked
    /// process it is another).
    Scheduler& scheduler() const { return shared_->engine.get().loop(); }

    /// Whether the caller runs on the engine's thread, where nothing may block. Does not start it.
    bool is_own_thread() const noexcept { return shared_->engine.is_here(); }

    /// Answers, connections opened and reused, HTTP/2: since construction, of all copies. Never blocks.
    TransportCounts counts() const noexcept { return shared_->counter->counts(); }

private:
    struct Shared {
        explicit Shared(CurlOptions given)
            : options{std::move(given)}, engine{[this] { return std::make_shared<curl::Engine>(options, counter); }} {}
        const CurlOptions options;
        const std::shared_ptr<curl::Counter> counter = std::make_shared<curl::Counter>();
        curl::Pool pool{options};
        LoopThread<curl::Engine> engine;
    };

    curl::Engine* engine() const {
        try {
            return &shared_->engine.get();
        } catch (const std::system_error&) {
            return nullptr;
        }
    }

    std::shared_ptr<Shared> shared_;
};

}  // namespace breakwater
