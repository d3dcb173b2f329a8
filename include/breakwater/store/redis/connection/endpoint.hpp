#pragma once

#include <breakwater/store/redis/url.hpp>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace breakwater::redis {

/// An address that a socket can connect to.
struct Endpoint {
    sockaddr_storage address{};
    socklen_t length = 0;

    const sockaddr* generic() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }
};

/// Where a name leads, or why nowhere.
struct Endpoints {
    std::vector<Endpoint> found{};
    std::string error{};
};

/// Whether nobody has to be asked where this is.
inline bool is_numeric(const Url& url) noexcept {
    in6_addr ignored;
    return url.scheme == Url::Scheme::unix_socket || ::inet_pton(AF_INET, url.host.c_str(), &ignored) == 1 ||
           ::inet_pton(AF_INET6, url.host.c_str(), &ignored) == 1;
}

/// Blocks while a name server is asked, unless `is_numeric`.
inline Endpoints resolve(const Url& url) {
    Endpoints endpoints;
    if (url.scheme == Url::Scheme::unix_socket) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        url.path.copy(address.sun_path, sizeof address.sun_path - 1);
        Endpoint& endpoint = endpoints.found.emplace_back();
        std::memcpy(&endpoint.address, &address, sizeof address);
        endpoint.length = sizeof address;
        return endpoints;
    }
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const std::string port = std::to_string(url.port);
    if (const int error = ::getaddrinfo(url.host.c_str(), port.c_str(), &wanted, &list); error != 0) {
        endpoints.error = "the name does not resolve: ";
        endpoints.error += error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error);
        return endpoints;
    }
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
        if (entry->ai_addrlen > sizeof(sockaddr_storage)) continue;
        Endpoint& endpoint = endpoints.found.emplace_back();
        std::memcpy(&endpoint.address, entry->ai_addr, entry->ai_addrlen);
        endpoint.length = entry->ai_addrlen;
    }
    ::freeaddrinfo(list);
    return endpoints;
}

}  // namespace breakwater::redis
