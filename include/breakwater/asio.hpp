#pragma once

#include <breakwater/asio/namespace.hpp>
#include <breakwater/asio/scheduler.hpp>
#include <breakwater/asio/start.hpp>
#include <breakwater/client/request_options.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/task.hpp>

#include <memory>
#include <string_view>
#include <utility>

namespace breakwater {

/// A client's asynchronous calls for programs that run on Asio: each takes a completion token, and completes with a
/// `Result<Response>`.
///
///     bw::AsioClient client{bw::ResilientClient{…}, io_context};
///     bw::Result<bw::Response> page = co_await client.async_get("/inventory", asio::use_awaitable);
///     client.async_get("/inventory", options, [](bw::Result<bw::Response> page) { … });
///     std::future<bw::Result<bw::Response>> later = client.async_get("/inventory", asio::use_future);
///
/// A call begins on the calling thread; after that its policies, timers and handler run on the `io_context`, only the
/// transfer on the transport's thread. See `async_start` for cancellation and the end of the `io_context`. A
/// thread-safe handle, as the client in it is. Where a call is awaited in the expression that makes it, g++ 12 needs
/// options and requests that have a name; Asio 1.22 needs ASIO_HAS_CO_AWAIT defined to await with clang.
template <class Client>
class AsioClient {
public:
    AsioClient(Client client, asio_library::io_context& context)
        : client_{std::move(client)}, scheduler_{AsioScheduler::of(context)} {}

    const Client& client() const noexcept { return client_; }

    template <class Token>
    auto async_get(std::string_view target, Token&& token) const {
        return start(client_.async_get(target), std::forward<Token>(token));
    }
    template <class Token>
    auto async_head(std::string_view target, Token&& token) const {
        return start(client_.async_head(target), std::forward<Token>(token));
    }
    template <class Token>
    auto async_post(std::string_view target, Token&& token) const {
        return start(client_.async_post(target), std::forward<Token>(token));
    }
    template <class Token>
    auto async_put(std::string_view target, Token&& token) const {
        return start(client_.async_put(target), std::forward<Token>(token));
    }
    template <class Token>
    auto async_patch(std::string_view target, Token&& token) const {
        return start(client_.async_patch(target), std::forward<Token>(token));
    }
    template <class Token>
    auto async_del(std::string_view target, Token&& token) const {
        return start(client_.async_del(target), std::forward<Token>(token));
    }

    template <class Token>
    auto async_get(std::string_view target, const RequestOptions& options, Token&& token) const {
        return start(client_.async_get(target, options), std::forward<Token>(token));
    }
    template <class Token>
    auto async_head(std::string_view target, const RequestOptions& options, Token&& token) const {
        return start(client_.async_head(target, options), std::forward<Token>(token));
    }
    template <class Token>
    auto async_post(std::string_view target, const RequestOptions& options, Token&& token) const {
        return start(client_.async_post(target, options), std::forward<Token>(token));
    }
    template <class Token>
    auto async_put(std::string_view target, const RequestOptions& options, Token&& token) const {
        return start(client_.async_put(target, options), std::forward<Token>(token));
    }
    template <class Token>
    auto async_patch(std::string_view target, const RequestOptions& options, Token&& token) const {
        return start(client_.async_patch(target, options), std::forward<Token>(token));
    }
    template <class Token>
    auto async_del(std::string_view target, const RequestOptions& options, Token&& token) const {
        return start(client_.async_del(target, options), std::forward<Token>(token));
    }
    template <class Token>
    auto async_send(const Request& request, const RequestOptions& options, Token&& token) const {
        return start(client_.async_send(request, options), std::forward<Token>(token));
    }

    /// The answer's body as a T.
    template <JsonDecodable T, class Token>
    auto async_get_as(std::string_view target, Token&& token) const {
        return start(client_.template async_get_as<T>(target), std::forward<Token>(token));
    }
    template <JsonDecodable T, class Token>
    auto async_get_as(std::string_view target, const RequestOptions& options, Token&& token) const {
        return start(client_.template async_get_as<T>(target, options), std::forward<Token>(token));
    }
    template <JsonDecodable T, class Token>
    auto async_post_as(std::string_view target, const RequestOptions& options, Token&& token) const {
        return start(client_.template async_post_as<T>(target, options), std::forward<Token>(token));
    }

#ifdef BREAKWATER_ASIO_NEEDS_NAMES
    // What g++ 12 would miscompile.
    template <detail::AsioAwaitToken Token>
    void async_get(std::string_view, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <detail::AsioAwaitToken Token>
    void async_head(std::string_view, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <detail::AsioAwaitToken Token>
    void async_post(std::string_view, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <detail::AsioAwaitToken Token>
    void async_put(std::string_view, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <detail::AsioAwaitToken Token>
    void async_patch(std::string_view, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <detail::AsioAwaitToken Token>
    void async_del(std::string_view, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <detail::AsioAwaitToken Token>
    void async_send(Request&&, const RequestOptions&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <detail::AsioAwaitToken Token>
    void async_send(const Request&, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <detail::AsioAwaitToken Token>
    void async_send(Request&&, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <JsonDecodable T, detail::AsioAwaitToken Token>
    void async_get_as(std::string_view, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
    template <JsonDecodable T, detail::AsioAwaitToken Token>
    void async_post_as(std::string_view, RequestOptions&&, Token&&) const {
        detail::refuse_unnamed<Token>();
    }
#endif

private:
    template <class T, class Token>
    auto start(Task<T> task, Token&& token) const {
        return detail::start_for_asio(scheduler_, std::move(task), std::forward<Token>(token));
    }

    Client client_;
    std::shared_ptr<AsioScheduler> scheduler_;
};

}  // namespace breakwater
