#pragma once

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace breakwater::test {

/// A program, by name as `PATH` has it or by its place; its output (both streams) in a file. Killed when this goes, if
/// it still runs.
class Program {
public:
    Program(std::vector<std::string> words, const std::string& output) {
        std::vector<char*> arguments;
        arguments.reserve(words.size() + 1);
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        id_ = ::fork();
        if (id_ < 0) throw std::runtime_error{"fork"};
        if (id_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            const int file = ::open(output.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
            if (file < 0 || ::dup2(file, STDOUT_FILENO) < 0 || ::dup2(file, STDERR_FILENO) < 0) ::_exit(126);
            ::execvp(arguments[0], arguments.data());
            ::_exit(127);
        }
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() {
        if (id_ > 0) {
            ::kill(id_, SIGKILL);
            ::waitpid(id_, nullptr, 0);
        }
    }

    void signal(int number) const { ::kill(id_, number); }

    /// Its exit status; nullopt if it has not ended in time or was killed.
    std::optional<int> wait(std::chrono::milliseconds limit) {
        using Clock = std::chrono::steady_clock;
        for (const auto until = Clock::now() + limit; Clock::now() < until;) {
            int status = 0;
            if (::waitpid(id_, &status, WNOHANG) == id_) {
                id_ = -1;
                return WIFEXITED(status) ? std::optional{WEXITSTATUS(status)} : std::nullopt;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{5});
        }
        return std::nullopt;
    }

private:
    pid_t id_ = -1;
};

}  // namespace breakwater::test
