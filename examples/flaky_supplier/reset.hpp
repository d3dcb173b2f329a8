#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>

namespace flaky {

/// Resets the connection whose peer has this port: the peer sees "connection reset by peer". cpp-httplib never shows
/// the socket of a request, so this looks through the process's own; connecting a TCP socket to nowhere (AF_UNSPEC)
/// then sends the RST and leaves closing the descriptor to its owner.
inline void reset_connection(int peer_port) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd", ignored}) {
        const std::string name = entry.path().filename().string();
        int fd = -1;
        if (std::from_chars(name.data(), name.data() + name.size(), fd).ec != std::errc{}) continue;
        sockaddr_in peer{};
        socklen_t size = sizeof peer;
        if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
        if (peer.sin_family != AF_INET || ntohs(peer.sin_port) != peer_port) continue;
        sockaddr nowhere{};
        nowhere.sa_family = AF_UNSPEC;
        if (::connect(fd, &nowhere, sizeof nowhere) == 0) return;
    }
}

/// Keeps a TCP port of 127.0.0.1 for this process without listening on it, so that while the server is away
/// connections are refused and nobody else takes its place.
class ReservedPort {
public:
    /// Port 0 takes any free one.
    explicit ReservedPort(int port) : fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        const int yes = 1;
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (fd_ < 0 || ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
            ::setsockopt(fd_, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) != 0 ||
            ::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
            const int error = errno;
            if (fd_ >= 0) ::close(fd_);
            throw std::system_error{error, std::generic_category(), "cannot bind port " + std::to_string(port)};
        }
        port_ = ntohs(address.sin_port);
    }
    ReservedPort(const ReservedPort&) = delete;
    ReservedPort& operator=(const ReservedPort&) = delete;
    ~ReservedPort() { ::close(fd_); }

    int number() const { return port_; }

private:
    int fd_;
    int port_ = 0;
};

}  // namespace flaky
