#pragma once

#include <breakwater/store/memory.hpp>
#include <breakwater/store/redis.hpp>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "process.hpp"
#include "worker.hpp"

namespace redis_fleet {

/// A supplier that fails when it is told to: flaky_supplier, and it keeps count.
class Supplier {
public:
    Supplier(const std::string& name, const Folder& folder) {
        const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "flaky_supplier";
        const std::string port_file = folder / (name + ".port");
        process_ =
            Process::program({program, "--weather", "steps", "--port-file", port_file}, folder / (name + ".log"));
        wait_until("flaky_supplier", [&] {
            if (process_.has_ended()) throw std::runtime_error{program + " does not run"};
            return std::filesystem::exists(port_file);
        });
        std::string port;
        std::ifstream{port_file} >> port;
        url_ = "http://127.0.0.1:" + port;
    }

    const std::string& url() const { return url_; }
    /// fair, down, fair, down, hanging, fair: to the next of these.
    void go_on() const { process_.signal(SIGUSR1); }

    /// How many calls reached it while it was down or hanging, as it has counted.
    long dead_calls() const {
        const auto answer = bw::ResilientClient{bw::ClientOptions{.name = "counts", .base_url = url_}}.get("/_stats");
        long calls = 0;
        for (const auto& phase : answer.value().json()["phases"])
            if (phase["name"] != "fair")
                for (const auto& [fate, number] : phase["requests"].items()) calls += number.template get<long>();
        return calls;
    }

private:
    Process process_;
    std::string url_;
};

/// Eight processes that call one supplier, and what they have reported.
class Fleet {
public:
    static constexpr int size = 8;

    /// `shared`: the store they share; each has a memory of its own if there is none.
    Fleet(const std::string& name, const Folder& folder, double haste, std::optional<bw::RedisStoreOptions> shared)
        : supplier_{name, folder}, task_{.url = supplier_.url(), .haste = haste}, shared_{std::move(shared)} {
        if (::pipe2(pipe_, O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
        ::fcntl(pipe_[0], F_SETFL, O_NONBLOCK);
        for (int number = 0; number < size; ++number) begin(number);
    }
    Fleet(const Fleet&) = delete;
    Fleet& operator=(const Fleet&) = delete;
    ~Fleet() {
        ::close(pipe_[0]);
        ::close(pipe_[1]);
    }

    /// A client, its store and their threads are made in the process that uses them: after the fork.
    void begin(int number) {
        workers_[static_cast<std::size_t>(number)] = Process::forked([&] {
            if (shared_)
                work(number, task_, bw::RedisStore{*shared_}, pipe_[1]);
            else
                work(number, task_, bw::MemoryStore<>{}, pipe_[1]);
        });
    }
    void kill(int number) { workers_[static_cast<std::size_t>(number)].end(SIGKILL); }
    void end() {
        for (int number = 0; number < size; ++number) kill(number);
        (void)listen();
    }

    /// Reads what has been reported. Returns who began a probe meanwhile, if anybody did.
    std::optional<int> listen() {
        std::optional<int> prober;
        for (Report report; ::read(pipe_[0], &report, sizeof report) == sizeof report;) {
            if (report.mark == Mark::probing)
                prober = report.worker;
            else
                last_[static_cast<std::size_t>(report.worker)] = reports_.emplace_back(report).mark;
        }
        return prober;
    }

    /// Whether every worker's last call was answered.
    bool is_well() const {
        return std::ranges::all_of(last_, [](Mark mark) { return mark == Mark::answered || mark == Mark::recovery; });
    }

    const Supplier& supplier() const { return supplier_; }
    const std::vector<Report>& reports() const { return reports_; }

private:
    Supplier supplier_;
    Task task_;
    std::optional<bw::RedisStoreOptions> shared_;
    int pipe_[2]{-1, -1};
    std::array<Process, size> workers_;
    std::vector<Report> reports_;
    std::array<Mark, size> last_{};
};

}  // namespace redis_fleet
