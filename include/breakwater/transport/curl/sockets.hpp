#pragma once

#include <breakwater/event_loop.hpp>
#include <breakwater/event_loop/watcher.hpp>
#include <breakwater/transport/curl/set_option.hpp>

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace breakwater::curl {

/// The sockets of libcurl on an event loop.
///
/// libcurl wants a connection while an exchange uses it and then no longer, which costs nothing here: the loop learns
/// of it when something happens on the connection. That takes knowing when it is closed. Of a connection libcurl tells
/// so; of its other descriptors (a resolver thread's) only that it no longer wants them, so those are forgotten at
/// once.
class Sockets {
public:
    explicit Sockets(EventLoop& loop) noexcept : loop_{loop} {}
    Sockets(const Sockets&) = delete;
    Sockets& operator=(const Sockets&) = delete;

    /// Has libcurl tell of the connections that this handle opens. Until they are closed this has to live.
    void follow(CURL* easy) {
        set_option(easy, CURLOPT_SOCKOPTFUNCTION, &Sockets::on_open);
        set_option(easy, CURLOPT_SOCKOPTDATA, this);
        set_option(easy, CURLOPT_CLOSESOCKETFUNCTION, &Sockets::on_close);
        set_option(easy, CURLOPT_CLOSESOCKETDATA, this);
    }

    void want(curl_socket_t socket, Interest interest, Watcher& watcher) { loop_.watch(socket, interest, watcher); }
    void unwant(curl_socket_t socket, Watcher& watcher) {
        const auto at = static_cast<std::size_t>(socket);
        if (at < is_connection_.size() && is_connection_[at]) {
            loop_.watch(socket, Interest::none, watcher);
        } else {
            loop_.forget(socket);
        }
    }

private:
    static int on_open(void* self, curl_socket_t socket, curlsocktype) noexcept {
        auto& own = *static_cast<Sockets*>(self);
        const auto at = static_cast<std::size_t>(socket);
        try {
            if (at >= own.is_connection_.size())
                own.is_connection_.resize(std::max(at + 1, 2 * own.is_connection_.size()));
        } catch (const std::bad_alloc&) {  // must not travel through C
            return CURL_SOCKOPT_ERROR;
        }
        own.loop_.forget(socket);  // what had this number before
        own.is_connection_[at] = true;
        return CURL_SOCKOPT_OK;
    }
    static int on_close(void* self, curl_socket_t socket) noexcept {
        auto& own = *static_cast<Sockets*>(self);
        const auto at = static_cast<std::size_t>(socket);
        if (at < own.is_connection_.size()) own.is_connection_[at] = false;
        own.loop_.forget(socket);
        return ::close(socket);
    }

    EventLoop& loop_;
    std::vector<bool> is_connection_;  // by descriptor
};

}  // namespace breakwater::curl
