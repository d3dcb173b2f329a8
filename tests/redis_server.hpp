#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace breakwater::test {

/// A redis-server of the test's own, on a Unix socket and if asked on a TCP port, in a directory of its own. Nothing is
/// saved: a server that was restarted is empty.
///
/// Gone when this object is, and when the thread that started it (last) has ended: it dies with the test. If
/// redis-server is not installed or does not come up, the constructor throws, so that the test fails.
class RedisServer {
public:
    struct Options {
        bool tcp = false;                   ///< Listens on a free port of 127.0.0.1, too.
        std::vector<std::string> config{};  ///< Lines for redis.conf.
    };

    RedisServer() : RedisServer{Options{}} {}
    explicit RedisServer(const Options& options) : program_{installed("redis-server")} {
        char path[] = "/tmp/breakwater-redis-XXXXXX";  // short: a socket's path must be
        if (::mkdtemp(path) == nullptr) fail("mkdtemp");
        directory_ = path;
        try {
            for (int left = 5;; --left) {  // somebody else may be quicker to take the port
                if (options.tcp) port_ = free_port();
                write_config(options);
                try {
                    start();
                    return;
                } catch (const std::runtime_error&) {
                    if (left == 0 || !options.tcp) throw;
                }
            }
        } catch (...) {
            clean_up();
            throw;
        }
    }
    ~RedisServer() { clean_up(); }
    RedisServer(const RedisServer&) = delete;
    RedisServer& operator=(const RedisServer&) = delete;

    /// The path of the Unix socket.
    std::string socket() const { return directory_ + "/redis.sock"; }
    /// 0 if it does not listen on one.
    std::uint16_t port() const noexcept { return port_; }
    pid_t pid() const noexcept { return pid_; }
    bool is_running() const noexcept { return pid_ > 0; }
    /// What the server has logged.
    std::string log() const {
        std::stringstream text;
        text << std::ifstream{directory_ + "/redis.log"}.rdbuf();
        return text.str();
    }

    /// SIGKILL: connections are reset, everything is lost.
    void kill() {
        if (!is_running()) return;
        ::kill(pid_, SIGKILL);
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = 0;
    }
    /// SIGSTOP: connections stay, and nobody answers.
    void stop() const {
        if (is_running()) ::kill(pid_, SIGSTOP);
    }
    void proceed() const {
        if (is_running()) ::kill(pid_, SIGCONT);
    }
    /// Begins again, empty, at the same places. Returns once it answers.
    void restart() {
        kill();
        start();
    }

    /// Sends one command on a connection of its own and returns the reply as it came (RESP2); empty if there was none
    /// for a second.
    std::string ask(std::initializer_list<std::string_view> words) const {
        std::string command = "*" + std::to_string(words.size()) + "\r\n";
        for (const std::string_view word : words)
            command.append("$").append(std::to_string(word.size())).append("\r\n").append(word).append("\r\n");
        return exchange(command);
    }

private:
    [[noreturn]] static void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

    static std::string installed(std::string_view name) {
        const char* path = std::getenv("PATH");
        std::istringstream places{path != nullptr ? path : "/usr/bin"};
        for (std::string place; std::getline(places, place, ':');) {
            std::string program = place + "/" + std::string{name};
            if (::access(program.c_str(), X_OK) == 0) return program;
        }
        throw std::runtime_error{"this test needs " + std::string{name} + ", which is not installed"};
    }

    static std::uint16_t free_port() {
        const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        const bool ok =
            probe >= 0 && ::bind(probe, generic, length) == 0 && ::getsockname(probe, generic, &length) == 0;
        if (probe >= 0) ::close(probe);
        if (!ok) fail("no free port");
        return ntohs(address.sin_port);
    }

    void write_config(const Options& options) const {
        std::ofstream config{directory_ + "/redis.conf"};
        config << "bind 127.0.0.1\nport " << port_ << "\nunixsocket " << socket() << "\nunixsocketperm 700\ndir "
               << directory_ << "\nlogfile " << directory_ << "/redis.log\nsave \"\"\nappendonly no\ndaemonize no\n";
        for (const std::string& line : options.config) config << line << "\n";
    }

    void start() {
        const std::string config = directory_ + "/redis.conf";
        const pid_t parent = ::getpid();
        pid_ = ::fork();
        if (pid_ < 0) fail("fork");
        if (pid_ == 0) {  // only what is safe in the child of a process with threads
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() != parent) ::_exit(127);
            const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
            for (const int stream : {0, 1, 2}) ::dup2(null, stream);
            ::execl(program_.c_str(), "redis-server", config.c_str(), static_cast<char*>(nullptr));
            ::_exit(127);
        }
        using namespace std::chrono_literals;
        for (int left = 1'500; left > 0; --left) {
            // A server that wants a password answers, too.
            if (const std::string answer = exchange("PING\r\n");
                answer.starts_with('+') || answer.starts_with("-NOAUTH"))
                return;
            int status = 0;
            if (::waitpid(pid_, &status, WNOHANG) == pid_) {
                pid_ = 0;
                throw std::runtime_error{"redis-server ended at once: " + log()};
            }
            std::this_thread::sleep_for(10ms);
        }
        kill();
        throw std::runtime_error{"redis-server does not answer: " + log()};
    }

    /// All that comes until the server hangs up or is silent for a second.
    std::string exchange(const std::string& command) const {
        const int connection = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket().copy(address.sun_path, sizeof address.sun_path - 1);
        std::string answer;
        if (::connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
            ::send(connection, command.data(), command.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(command.size())) {
            ::shutdown(connection, SHUT_WR);  // the server hangs up once it has answered
            pollfd readable{connection, POLLIN, 0};
            char bytes[4'096];
            while (::poll(&readable, 1, 1'000) > 0) {
                const ssize_t got = ::recv(connection, bytes, sizeof bytes, 0);
                if (got <= 0) break;
                answer.append(bytes, static_cast<std::size_t>(got));
            }
        }
        ::close(connection);
        return answer;
    }

    void clean_up() noexcept {
        kill();
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    }

    std::string program_;
    std::string directory_;
    std::uint16_t port_ = 0;
    pid_t pid_ = 0;
};

}  // namespace breakwater::test
