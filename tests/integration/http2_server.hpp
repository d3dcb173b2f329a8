#pragma once

#include "certificates.hpp"
#include "raw_server.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace breakwater::test {

/// nghttpd, if it is installed, serving one file named `hello`.
class Http2Server {
public:
    explicit Http2Server(const CertificateAuthority* authority) {
        std::ofstream{directory_ / "hello"} << "over HTTP/2";
        {
            port_ = Listener{}.port();
        }
        std::vector<std::string> arguments{"nghttpd", "-a", "127.0.0.1", "-d", (directory_ / "").string()};
        if (authority == nullptr) arguments.emplace_back("--no-tls");
        arguments.push_back(std::to_string(port_));
        if (authority != nullptr) {
            const auto files = authority->write_files("IP:127.0.0.1");
            arguments.insert(arguments.end(), {files.key, files.certificate});
        }
        std::vector<char*> argv;
        for (std::string& argument : arguments) argv.push_back(argument.data());
        argv.push_back(nullptr);
        child_ = ::fork();
        if (child_ == 0) {
            ::execvp(argv[0], argv.data());
            ::execv("/usr/sbin/nghttpd", argv.data());
            ::_exit(127);
        }
    }
    ~Http2Server() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }
    Http2Server(const Http2Server&) = delete;
    Http2Server& operator=(const Http2Server&) = delete;

    std::string address() const { return "127.0.0.1:" + std::to_string(port_) + "/"; }

    /// False if it is not installed.
    bool wait_until_ready() const {
        const sockaddr_in address = loopback(port_);
        for (int i = 0; i < 400; ++i) {
            if (::waitpid(child_, nullptr, WNOHANG) != 0) return false;
            const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
            const int result = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address);
            ::close(probe);
            if (result == 0) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
        return false;
    }

private:
    TemporaryDirectory directory_;
    std::uint16_t port_ = 0;
    pid_t child_ = -1;
};

}  // namespace breakwater::test
