// Four processes share one rate limit and one circuit through an SQLite file: a store of one's own, without a server.
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/rate_limiter.hpp>

#include "sqlite_store.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

constexpr int limit = 100;

/// A folder for the file, removed with it.
struct Folder {
    std::string path = (std::filesystem::temp_directory_path() / "sqlite_store-XXXXXX").string();

    Folder() {
        if (::mkdtemp(path.data()) == nullptr) std::exit(2);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path); }
};

/// What a program of yours would make: it finds the same limit and the same circuit in every process.
struct Guard {
    SqliteStore<> store;
    bw::RateLimiter<bw::FixedWindow, SqliteStore<>> limiter;
    bw::CircuitBreaker<bw::ConsecutiveFailures, SqliteStore<>> breaker;

    explicit Guard(const Folder& folder)
        : store{{.path = folder.path + "/state.db", .max_wait = 10s}},
          limiter{{.name = "supplier", .algorithm = {.permits = limit, .window = 24h}}, store},
          breaker{{.name = "supplier", .trip = {3}, .recovery_timeout = 1h}, store} {}
};

/// Runs `work` in `count` processes at once; gives what each has returned, 0 to 255.
template <class Work>
std::vector<int> in_processes(int count, Work work) {
    std::vector<pid_t> processes;
    for (int i = 0; i < count; ++i) {
        const pid_t process = ::fork();
        if (process == 0) ::_exit(work());
        processes.push_back(process);
    }
    std::vector<int> results;
    for (const pid_t process : processes) {
        int status = 0;
        if (::waitpid(process, &status, 0) != process || !WIFEXITED(status)) std::exit(2);
        results.push_back(WEXITSTATUS(status));
    }
    return results;
}

const char* text_of(bw::CircuitState state) { return state == bw::CircuitState::open ? "open" : "closed"; }

}  // namespace

int main() {
    const Folder folder;  // but no store yet: fork first

    std::cout << "four processes want " << limit << " permits each, of " << limit << " a day:\n";
    int sum = 0;
    for (const int permits : in_processes(4, [&] {
             const Guard guard{folder};
             int taken = 0;
             for (int i = 0; i < limit; ++i) taken += guard.limiter.try_acquire() ? 1 : 0;
             return taken;
         })) {
        std::cout << "    " << permits << " permits\n";
        sum += permits;
    }
    std::cout << "    " << sum << " all together\n";

    (void)in_processes(1, [&] {
        const Guard guard{folder};
        for (int i = 0; i < 3; ++i) (void)guard.breaker.try_acquire()->record(bw::Outcome::failure);
        return 0;
    });
    std::cout << "a fifth process has seen 3 failures and opened the circuit. Four more ask for a call:\n";
    int admitted = 0;
    for (const int calls : in_processes(4, [&] { return Guard{folder}.breaker.try_acquire() ? 1 : 0; })) {
        std::cout << "    " << (calls == 0 ? "refused" : "admitted") << '\n';
        admitted += calls;
    }

    const Guard guard{folder};
    const auto left = guard.limiter.snapshot().available;
    const auto circuit = guard.breaker.snapshot();
    std::cout << "all have ended. A process that starts now finds " << left << " permits left and the circuit "
              << text_of(circuit.state) << ", for "
              << std::chrono::ceil<std::chrono::minutes>(circuit.retry_after.value_or(0s)).count() << " minutes yet\n";
    return sum == limit && admitted == 0 && left == 0 && circuit.state == bw::CircuitState::open ? 0 : 1;
}
