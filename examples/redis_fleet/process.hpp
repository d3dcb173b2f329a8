#pragma once

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace redis_fleet {

/// Gone, with all that is in it, when this is.
class Folder {
public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "redis-fleet-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"cannot make a folder in " + name};
        path_ = name;
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

/// A process of ours. Killed when this goes, and when the program ends in any way.
class Process {
public:
    Process() = default;
    Process(Process&& other) noexcept : id_{std::exchange(other.id_, 0)} {}
    Process& operator=(Process&& other) noexcept {
        std::swap(id_, other.id_);
        return *this;
    }
    ~Process() { end(SIGKILL); }

    /// A program; what it prints goes to a file.
    static Process program(std::vector<std::string> words, const std::string& output) {
        return forked([&] {
            std::vector<char*> arguments;
            arguments.reserve(words.size() + 1);
            for (std::string& word : words) arguments.push_back(word.data());
            arguments.push_back(nullptr);
            const int file = ::open(output.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
            if (file >= 0) ::dup2(file, STDOUT_FILENO), ::dup2(file, STDERR_FILENO);
            ::execvp(arguments[0], arguments.data());
        });
    }

    /// A copy of this program that does `work` and ends. To be called while there is one thread only.
    template <class Work>
    static Process forked(Work work) {
        Process child;
        const pid_t parent = ::getpid();
        child.id_ = ::fork();
        if (child.id_ < 0) throw std::runtime_error{"fork failed"};
        if (child.id_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::signal(SIGINT, SIG_IGN);  // a terminal sends it to all: it is the parent that ends the show
            try {
                if (::getppid() == parent) work();
            } catch (const std::exception& error) {  // must not unwind into what is the parent's
                std::cerr << error.what() << std::endl;
            }
            ::_exit(127);
        }
        return child;
    }

    void signal(int number) const {
        if (id_ > 0) ::kill(id_, number);
    }
    void end(int number) {
        if (id_ <= 0) return;
        ::kill(id_, number);
        ::waitpid(std::exchange(id_, 0), nullptr, 0);
    }
    bool has_ended() const { return ::waitpid(id_, nullptr, WNOHANG) != 0; }

private:
    pid_t id_ = 0;
};

/// What a shell command prints.
inline std::string say(const std::string& command) {
    std::string text;
    FILE* pipe = ::popen((command + " 2>/dev/null").c_str(), "re");
    if (pipe == nullptr) throw std::runtime_error{"cannot run " + command};
    char bytes[4'096];
    while (const std::size_t got = ::fread(bytes, 1, sizeof bytes, pipe)) text.append(bytes, got);
    ::pclose(pipe);
    return text;
}
/// Waits for what must come soon.
template <class Condition>
void wait_until(const std::string& what, Condition condition) {
    using namespace std::chrono_literals;
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) throw std::runtime_error{what + " did not come about in 20 s"};
        std::this_thread::sleep_for(20ms);
    }
}

}  // namespace redis_fleet
