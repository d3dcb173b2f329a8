#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace crawl {

/// A web server on a port of its own, slow and flaky: it takes 20 to 50 ms for an answer, 2 % of these are 503, and
/// 0.2 % of the requests hang for 5 s.
///
/// In a process of its own, which dies with its parent: what the crawler is measured by is then the crawler's alone.
/// To be made before any thread.
class SlowServer {
public:
    SlowServer() : listener_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        socklen_t length = sizeof address;
        if (listener_ < 0 || ::bind(listener_, generic, length) != 0 || ::listen(listener_, 4096) != 0 ||
            ::getsockname(listener_, generic, &length) != 0)
            throw std::runtime_error{"SlowServer: cannot listen"};
        url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
        const pid_t parent = ::getpid();
        child_ = ::fork();
        if (child_ < 0) throw std::runtime_error{"SlowServer: cannot fork"};
        if (child_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() == parent) serve();
            ::_exit(0);
        }
        ::close(listener_);
    }
    ~SlowServer() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }
    SlowServer(const SlowServer&) = delete;
    SlowServer& operator=(const SlowServer&) = delete;

    const std::string& url() const noexcept { return url_; }

private:
    using Clock = std::chrono::steady_clock;
    struct Answer {
        int socket;
        std::uint64_t connection;  // a descriptor's number may be another connection's by then
        int status;
    };

    [[noreturn]] void serve() {
        poll_ = ::epoll_create1(EPOLL_CLOEXEC);
        watch(listener_);
        std::array<epoll_event, 256> events;
        for (;;) {
            const int ready = ::epoll_wait(poll_, events.data(), static_cast<int>(events.size()), give_what_is_due());
            for (int i = 0; i < ready; ++i) {
                const int socket = events[static_cast<std::size_t>(i)].data.fd;
                socket == listener_ ? accept() : receive(socket);
            }
        }
    }

    void watch(int socket) const {
        epoll_event event{.events = EPOLLIN, .data = {.fd = socket}};
        ::epoll_ctl(poll_, EPOLL_CTL_ADD, socket, &event);
    }

    void accept() {
        const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) return;
        const int on = 1;
        ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections_[socket] = ++last_connection_;
        watch(socket);
    }

    /// A request of a crawler fits into one packet, and it sends the next when this one is answered.
    void receive(int socket) {
        std::array<char, 8192> buffer;
        if (::recv(socket, buffer.data(), buffer.size(), 0) <= 0) {
            connections_.erase(socket);
            ::close(socket);
            return;
        }
        const int luck = std::uniform_int_distribution{0, 999}(random_);
        const int takes = luck < 2 ? 5'000 : std::uniform_int_distribution{20, 50}(random_);
        due_.emplace(Clock::now() + std::chrono::milliseconds{takes},
                     Answer{socket, connections_[socket], luck >= 2 && luck < 22 ? 503 : 200});
    }

    /// Returns how many milliseconds the next answer has time, or -1.
    int give_what_is_due() {
        for (const auto now = Clock::now(); !due_.empty() && due_.begin()->first <= now; due_.erase(due_.begin())) {
            const auto& [socket, connection, status] = due_.begin()->second;
            const auto found = connections_.find(socket);
            if (found == connections_.end() || found->second != connection) continue;  // nobody waits any more
            const std::string body = status == 200 ? "<h1>A page</h1>\n" : "busy\n";
            const std::string text = "HTTP/1.1 " + std::to_string(status) + (status == 200 ? " OK" : " Busy") +
                                     "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
            ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
        }
        if (due_.empty()) return -1;
        return static_cast<int>(
            std::chrono::ceil<std::chrono::milliseconds>(due_.begin()->first - Clock::now()).count());
    }

    int listener_;
    int poll_ = -1;
    pid_t child_ = -1;
    std::string url_;
    std::uint64_t last_connection_ = 0;
    std::unordered_map<int, std::uint64_t> connections_;
    std::multimap<Clock::time_point, Answer> due_;
    std::mt19937 random_{7};
};

}  // namespace crawl
