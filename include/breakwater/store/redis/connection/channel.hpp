#pragma once

#include <breakwater/store/redis/connection/endpoint.hpp>
#include <breakwater/store/redis/connection/tls_session.hpp>
#include <breakwater/store/redis/url.hpp>

#include <hiredis/hiredis.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater::redis {

/// One connection: a non-blocking socket, with hiredis to write and read its protocol.
///
/// The socket is made here, since hiredis 0.14 asks name servers while it connects and lets a child that `exec`s
/// inherit the socket; and its callbacks are not used, since those of 0.14 do not know an answer to PING between
/// pushes.
class Channel {
public:
    Channel() = default;
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    /// Begins to connect to where `url` leads. False: `error()` says why not.
    bool open(const Endpoint& endpoint, const Url& url, const std::optional<std::string>& ca_file) {
        close();
        const int family = endpoint.generic()->sa_family;
        const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) return failed_with(errno);
        if (family != AF_UNIX) {
            const int on = 1;
            ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
        const bool connected = ::connect(fd, endpoint.generic(), endpoint.length) == 0;
        if (!connected && errno != EINPROGRESS) {
            const int error = errno;
            ::close(fd);
            return failed_with(error);
        }
        context_.reset(redisConnectFd(fd));
        if (context_ == nullptr) {
            ::close(fd);
            return failed_with(ENOMEM);
        }
        context_->flags &= ~REDIS_BLOCK;
        wants_tls_ = url.scheme == Url::Scheme::rediss;
        is_connecting_ = !connected || wants_tls_;
        url_ = url;
        ca_file_ = ca_file;
        return true;
    }
    bool is_open() const noexcept { return context_ != nullptr; }
    bool is_connecting() const noexcept { return is_connecting_; }
    int fd() const noexcept { return context_->fd; }

    /// What to poll for.
    short events() const noexcept {
        if (is_connecting_) return POLLOUT;
        return has_unsent_ && !tls_.wants_to_read() ? POLLIN | POLLOUT : POLLIN;
    }

    /// Called when the socket of a connection in the making is writable. False: there is no connection.
    bool finish_connecting() {
        int error = 0;
        socklen_t length = sizeof error;
        if (::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
        if (error != 0) return failed_with(error);
        is_connecting_ = false;
        if (!wants_tls_) return true;
        error_ = tls_.begin(*context_, url_, ca_file_);
        return error_.empty();
    }

    void append(std::string_view bytes) {
        redisAppendFormattedCommand(context_.get(), bytes.data(), bytes.size());
        has_unsent_ = true;
    }
    bool has_unsent() const noexcept { return has_unsent_; }
    /// Of any thread, for which it raises no signal: sends what the socket takes now, and keeps the rest. False:
    /// nothing was sent, for whatever reason.
    bool send_now(std::string_view bytes) {
        if (tls_.is_active()) return false;
        const ssize_t sent = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0) return false;
        if (static_cast<std::size_t>(sent) < bytes.size()) append(bytes.substr(static_cast<std::size_t>(sent)));
        return true;
    }

    /// Sends what the socket takes. False: the connection is broken.
    bool flush() {
        int done = 0;
        if (redisBufferWrite(context_.get(), &done) != REDIS_OK) return failed();
        has_unsent_ = done == 0;
        return true;
    }

    /// Reads what is there and calls `on_reply(const redisReply&)` for each reply until it returns false. False: the
    /// connection is broken.
    template <class F>
    bool receive(F&& on_reply) {
        if (redisBufferRead(context_.get()) != REDIS_OK) return failed();
        for (;;) {
            void* object = nullptr;
            if (redisGetReplyFromReader(context_.get(), &object) != REDIS_OK) return failed();
            if (object == nullptr) return true;
            const std::unique_ptr<redisReply, FreeReply> reply{static_cast<redisReply*>(object)};
            if (!on_reply(*reply)) return true;
        }
    }

    void close() noexcept {
        tls_.end();
        context_.reset();
        is_connecting_ = has_unsent_ = false;
    }
    /// Why the last connection was lost or not made.
    const std::string& error() const noexcept { return error_; }

private:
    struct FreeContext {
        void operator()(redisContext* context) const noexcept { redisFree(context); }
    };
    struct FreeReply {
        void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
    };

    bool failed_with(int error) {
        error_ = std::strerror(error);
        return false;
    }
    bool failed() {
        error_ = tls_.fault();
        if (error_.empty())
            error_ = context_->err == REDIS_ERR_EOF ? "the server closed the connection" : context_->errstr;
        return false;
    }

    std::unique_ptr<redisContext, FreeContext> context_;
    std::string error_;
    Url url_;
    std::optional<std::string> ca_file_;
    TlsSession tls_;  // of `context_`
    bool wants_tls_ = false;
    bool is_connecting_ = false;
    bool has_unsent_ = false;
};

}  // namespace breakwater::redis
