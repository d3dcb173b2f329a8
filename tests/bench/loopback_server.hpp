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
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace breakwater::bench {

/// Answers that come late by chance.
struct Stalls {
    double share = 0;  ///< Of the requests.
    std::chrono::milliseconds last{};
};

/// A keep-alive HTTP/1.1 server on 127.0.0.1 in a process of its own, so that its CPU time is not the client's.
///
/// It answers every request without a body with the same 200, at once or `delay` later, some by chance later still.
/// Start it before any thread. It dies with its parent.
class LoopbackServer {
public:
    explicit LoopbackServer(std::size_t body_bytes, std::chrono::milliseconds delay = {}, Stalls stalls = {}) {
        listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (listener_ < 0 || ::bind(listener_, generic, length) != 0 || ::listen(listener_, 4096) != 0 ||
            ::getsockname(listener_, generic, &length) != 0) {
            throw std::runtime_error{"LoopbackServer: cannot listen"};
        }
        port_ = ntohs(address.sin_port);
        const pid_t parent = ::getpid();
        child_ = ::fork();
        if (child_ < 0) throw std::runtime_error{"LoopbackServer: cannot fork"};
        if (child_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() == parent) serve(listener_, answer(body_bytes), delay, stalls);
            ::_exit(0);
        }
        ::close(listener_);
    }
    ~LoopbackServer() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }
    LoopbackServer(const LoopbackServer&) = delete;
    LoopbackServer& operator=(const LoopbackServer&) = delete;

    std::string url(std::string_view target = "/") const {
        return "http://127.0.0.1:" + std::to_string(port_) + std::string{target};
    }
    std::uint16_t port() const noexcept { return port_; }

private:
    static std::string answer(std::size_t body_bytes) {
        return "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\nContent-Type: application/json\r\n"
               "Server: loopback\r\nContent-Length: " +
               std::to_string(body_bytes) + "\r\n\r\n" + std::string(body_bytes, 'x');
    }

    [[noreturn]] static void serve(int listener, const std::string& answer, std::chrono::milliseconds delay,
                                   Stalls stalls) {
        const int poll = ::epoll_create1(0);
        const auto watch = [&](int socket) {
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.fd = socket;
            ::epoll_ctl(poll, EPOLL_CTL_ADD, socket, &event);
        };
        watch(listener);
        const auto give_answer = [&](int socket) { ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL); };
        using Clock = std::chrono::steady_clock;
        std::multimap<Clock::time_point, int> later;
        std::minstd_rand random{42};
        std::bernoulli_distribution stalls_now{stalls.share};
        std::vector<std::string> received;
        std::vector<epoll_event> events(256);
        std::array<char, 16'384> buffer;
        for (;;) {
            int wait = -1;
            for (const auto now = Clock::now(); !later.empty(); later.erase(later.begin())) {
                const auto [due, socket] = *later.begin();
                if (due > now) {
                    wait = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(due - now).count());
                    break;
                }
                give_answer(socket);
            }
            const int count = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), wait);
            for (int i = 0; i < count; ++i) {
                const int socket = events[static_cast<std::size_t>(i)].data.fd;
                if (socket == listener) {
                    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
                    const int on = 1;
                    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    watch(client);
                    continue;
                }
                if (received.size() <= static_cast<std::size_t>(socket))
                    received.resize(static_cast<std::size_t>(socket) + 1);
                const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), 0);
                std::string& text = received[static_cast<std::size_t>(socket)];
                if (size <= 0) {
                    text.clear();
                    std::erase_if(later, [&](const auto& due) { return due.second == socket; });
                    ::close(socket);
                    continue;
                }
                text.append(buffer.data(), static_cast<std::size_t>(size));
                for (auto end = text.find("\r\n\r\n"); end != text.npos; end = text.find("\r\n\r\n")) {
                    text.erase(0, end + 4);
                    const auto takes = stalls_now(random) ? delay + stalls.last : delay;
                    if (takes.count() > 0)
                        later.emplace(Clock::now() + takes, socket);
                    else
                        give_answer(socket);
                }
            }
        }
    }

    int listener_ = -1;
    std::uint16_t port_ = 0;
    pid_t child_ = -1;
};

}  // namespace breakwater::bench
