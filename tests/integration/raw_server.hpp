#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace breakwater::test {

inline sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

inline std::size_t open_descriptors() {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {}));
}

/// A listening socket on a free port of 127.0.0.1.
class Listener {
public:
    explicit Listener(int backlog = 64) : socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        sockaddr_in address = loopback(0);
        socklen_t length = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (socket_ < 0 || ::bind(socket_, generic, length) != 0 || ::listen(socket_, backlog) != 0 ||
            ::getsockname(socket_, generic, &length) != 0) {
            throw std::runtime_error{"Listener: cannot listen"};
        }
        port_ = ntohs(address.sin_port);
    }
    ~Listener() { ::close(socket_); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    /// On a Unix domain socket at `path`.
    explicit Listener(const std::string& path, int backlog = 64)
        : socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address);
        if (socket_ < 0 || ::bind(socket_, generic, sizeof address) != 0 || ::listen(socket_, backlog) != 0)
            throw std::runtime_error{"Listener: cannot listen"};
    }

    int socket() const noexcept { return socket_; }
    std::uint16_t port() const noexcept { return port_; }

private:
    int socket_;
    std::uint16_t port_ = 0;
};

/// A listener whose queue is full: a further connection is neither made nor refused.
class FullListener {
public:
    FullListener() : listener_{0} {
        const sockaddr_in address = loopback(listener_.port());
        for (int i = 0; i < 4; ++i) {  // the queue of a backlog of 0 holds one; what comes later waits for ever
            const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            ::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address);
            clients_.push_back(client);
        }
    }
    ~FullListener() {
        for (const int client : clients_) ::close(client);
    }
    FullListener(const FullListener&) = delete;
    FullListener& operator=(const FullListener&) = delete;

    std::string url() const { return "http://127.0.0.1:" + std::to_string(listener_.port()) + "/"; }

private:
    Listener listener_;
    std::vector<int> clients_;
};

/// The server's end of a connection. Every call returns at the latest when the server is destroyed.
class Connection {
public:
    Connection(int socket, SSL_CTX* tls, int number) : socket_{socket}, number_{number} {
        const int on = 1;
        ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (tls == nullptr) return;
        tls_.reset(SSL_new(tls));
        SSL_set_fd(tls_.get(), socket_);
    }
    ~Connection() { close(); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// 1 for the server's first connection.
    int number() const noexcept { return number_; }

    /// For TLS. False if the client went away or did not like us.
    bool handshake() { return !tls_ || SSL_accept(tls_.get()) == 1; }

    /// The next request, head and body; empty if the client has closed.
    std::string read_request() {
        for (;;) {
            if (const auto end = received_.find("\r\n\r\n"); end != received_.npos) {
                const std::size_t size = end + 4 + announced(std::string_view{received_}.substr(0, end + 2));
                if (received_.size() >= size) {
                    std::string request = received_.substr(0, size);
                    received_.erase(0, size);
                    return request;
                }
            }
            if (!receive()) return {};
        }
    }

    /// What comes up to and with `end`; empty if the client has closed before.
    std::string read_until(std::string_view end) {
        for (;;) {
            if (const auto at = received_.find(end); at != received_.npos) {
                std::string text = received_.substr(0, at + end.size());
                received_.erase(0, at + end.size());
                return text;
            }
            if (!receive()) return {};
        }
    }

    /// Reads and drops this many bytes.
    void drop(std::size_t count) {
        while (received_.size() < count) {
            count -= received_.size();
            received_.clear();
            if (!receive()) return;
        }
        received_.erase(0, count);
    }

    /// False if the client has closed.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto sent = tls_ ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()))
                                   : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    /// Sends these bytes again and again with a pause, until the client closes.
    void drip(std::string_view bytes, std::chrono::milliseconds pause) {
        while (send(bytes)) {
            pollfd readable{socket_, POLLIN, 0};
            if (::poll(&readable, 1, static_cast<int>(pause.count())) != 0) return;
        }
    }

    /// Waits for something to read, and leaves it there.
    void wait_for_bytes() {
        pollfd readable{socket_, POLLIN, 0};
        ::poll(&readable, 1, -1);
    }

    /// Reads and drops what comes until the client closes.
    void wait_for_close() {
        while (receive()) received_.clear();
    }

    /// Closes with RST, as a crashed or restarted server does.
    void reset() {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close();
    }

    void close() {
        const std::lock_guard lock{mutex_};
        if (socket_ >= 0) ::close(std::exchange(socket_, -1));
    }

    /// From another thread: makes every call return.
    void interrupt() {
        const std::lock_guard lock{mutex_};
        if (socket_ >= 0) ::shutdown(socket_, SHUT_RDWR);
    }

private:
    struct Free {
        void operator()(SSL* tls) const noexcept { SSL_free(tls); }
    };

    static std::size_t announced(std::string_view head) {
        const auto at = head.find("\r\nContent-Length: ");
        std::size_t size = 0;
        if (at != head.npos) std::from_chars(head.data() + at + 18, head.data() + head.size(), size);
        return size;
    }

    bool receive() {
        std::array<char, 16'384> buffer;
        const auto size = tls_ ? SSL_read(tls_.get(), buffer.data(), buffer.size())
                               : ::recv(socket_, buffer.data(), buffer.size(), 0);
        if (size > 0) received_.append(buffer.data(), static_cast<std::size_t>(size));
        return size > 0;
    }

    std::mutex mutex_;  // of socket_ against interrupt()
    int socket_;
    int number_;
    std::unique_ptr<SSL, Free> tls_;
    std::string received_;
};

/// A server on 127.0.0.1 that runs a script for each connection, in a thread of its own, and counts.
///
/// The connection is closed (FIN) when its script returns. The server's count of requests is the judge in tests of
/// what was sent, so it counts what it has read whole.
class RawServer {
public:
    /// Given each request in turn; returns false to stop reading.
    using OnRequest = std::function<bool(Connection&, const std::string& request)>;
    using Script = std::function<void(Connection&)>;

    explicit RawServer(Script script, SSL_CTX* tls = nullptr) : script_{std::move(script)}, tls_{tls} {
        acceptor_ = std::thread{[this] { accept(); }};
    }
    ~RawServer() {
        ::shutdown(listener_.socket(), SHUT_RDWR);
        acceptor_.join();
        for (const auto& connection : connections_) connection->interrupt();
        for (std::thread& thread : threads_) thread.join();
    }
    RawServer(const RawServer&) = delete;
    RawServer& operator=(const RawServer&) = delete;

    /// A server that reads requests and lets `on_request` answer.
    static std::unique_ptr<RawServer> http(OnRequest on_request, SSL_CTX* tls = nullptr) {
        auto server = std::make_unique<RawServer>(Script{}, tls);
        server->set_script([&self = *server, on_request = std::move(on_request)](Connection& connection) {
            if (!connection.handshake()) return;
            for (;;) {
                const std::string request = connection.read_request();
                if (request.empty()) return;
                self.record(request);
                if (!on_request(connection, request)) return;
            }
        });
        return server;
    }

    /// A server that gives every request this answer.
    static std::unique_ptr<RawServer> answering(std::string answer, SSL_CTX* tls = nullptr) {
        return http([answer = std::move(answer)](Connection& c, const std::string&) { return c.send(answer); }, tls);
    }

    std::uint16_t port() const noexcept { return listener_.port(); }
    std::string url(std::string_view target = "/") const {
        return std::string{tls_ != nullptr ? "https" : "http"} + "://127.0.0.1:" + std::to_string(port()) +
               std::string{target};
    }

    void record(std::string request) {
        const std::lock_guard lock{mutex_};
        requests_.push_back(std::move(request));
    }
    /// Every request read whole, as it came.
    std::vector<std::string> requests() const {
        const std::lock_guard lock{mutex_};
        return requests_;
    }
    int connections() const noexcept { return accepted_.load(); }

private:
    void set_script(Script script) {
        const std::lock_guard lock{mutex_};
        script_ = std::move(script);
    }

    void accept() {
        for (;;) {
            const int client = ::accept4(listener_.socket(), nullptr, nullptr, SOCK_CLOEXEC);
            if (client < 0) return;
            auto connection = std::make_shared<Connection>(client, tls_, ++accepted_);
            const std::lock_guard lock{mutex_};
            connections_.push_back(connection);
            threads_.emplace_back([connection, script = script_] {
                sigset_t sigpipe;  // OpenSSL writes with a plain write(2)
                sigemptyset(&sigpipe);
                sigaddset(&sigpipe, SIGPIPE);
                pthread_sigmask(SIG_BLOCK, &sigpipe, nullptr);
                script(*connection);
                connection->close();
            });
        }
    }

    mutable std::mutex mutex_;
    Script script_;
    SSL_CTX* tls_;
    std::atomic<int> accepted_{0};
    Listener listener_;
    std::vector<std::shared_ptr<Connection>> connections_;
    std::vector<std::thread> threads_;
    std::vector<std::string> requests_;
    std::thread acceptor_;
};

/// An HTTP/1.1 answer with its Content-Length. `fields` are whole lines, each with its CRLF.
inline std::string answer(int status, std::string_view body, std::string_view fields = "") {
    std::string text = "HTTP/1.1 " + std::to_string(status) + " Whatever\r\n";
    text.append(fields).append("Content-Length: ").append(std::to_string(body.size())).append("\r\n\r\n");
    return text.append(body);
}

}  // namespace breakwater::test
