#pragma once

#include <breakwater/store/redis/options.hpp>

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "free_port.hpp"
#include "process.hpp"

namespace redis_fleet {

namespace bw = breakwater;

/// A redis-server of the show's own, or a cluster of three masters with a replica each. Nothing is saved.
class Redis {
public:
    enum class Kind { one_server, cluster };

    Redis(Kind kind, const Folder& folder) : kind_{kind}, folder_{folder} {
        if (say("command -v redis-server && command -v redis-cli").empty())
            throw std::runtime_error{
                "needs redis-server and redis-cli: apt-get install redis-server, or "
                "examples/run --install redis_fleet"};
        int candidate = 20'000 + ::getpid() % 500 * 20;
        nodes_.resize(kind == Kind::cluster ? 6 : 1);
        for (Node& node : nodes_) {
            node.port = candidate = free_port(candidate);
            ++candidate;
            start(node);
        }
        for (const Node& node : nodes_)
            wait_until("redis-server", [&] { return ask(node, "PING").starts_with("PONG"); });
        if (kind == Kind::cluster) join();
    }

    bw::RedisStoreOptions options() const {
        bw::RedisStoreOptions options;
        if (kind_ == Kind::one_server) {
            options.url = url(nodes_[0]);
        } else {
            for (const Node& node : nodes_) options.nodes.push_back(url(node));
        }
        return options;
    }

    bool is_cluster() const { return kind_ == Kind::cluster; }

    /// SIGKILL: the server, with all that it knew; of a cluster the master that keeps this key.
    void kill(std::string_view key) {
        victim_ = kind_ == Kind::cluster ? keeper(key) : 0;
        commands_before_ += commands_at(nodes_[*victim_]);
        nodes_[*victim_].process.end(SIGKILL);
    }
    void bring_back() { start(nodes_[*victim_]); }

    /// How often a script was run for a client, since the beginning.
    long commands() const {
        long sum = commands_before_;
        for (const Node& node : nodes_) sum += commands_at(node);
        return sum;
    }

private:
    struct Node {
        int port = 0;
        Process process{};
    };

    static std::string url(const Node& node) { return "redis://127.0.0.1:" + std::to_string(node.port); }

    static std::string ask(const Node& node, const std::string& words) {
        return say("redis-cli -p " + std::to_string(node.port) + " " + words);
    }

    void start(Node& node) {
        const std::string name = "redis-" + std::to_string(node.port);
        std::ofstream config{folder_ / (name + ".conf")};
        config << "bind 127.0.0.1\nport " << node.port << "\ndir " << folder_ / "" << "\nsave \"\"\nappendonly no\n";
        if (kind_ == Kind::cluster)
            config << "cluster-enabled yes\ncluster-config-file " << name << ".nodes\ncluster-node-timeout 1000\n"
                   << "cluster-require-full-coverage no\nrepl-diskless-sync-delay 0\n";
        config.close();
        node.process = Process::program({"redis-server", folder_ / (name + ".conf")}, folder_ / (name + ".log"));
    }
    void join() {
        std::string command = "redis-cli --cluster create --cluster-yes --cluster-replicas 1";
        for (const Node& node : nodes_) command += " 127.0.0.1:" + std::to_string(node.port);
        say(command);
        const auto is_whole = [this](const Node& node) {
            const std::string all = ask(node, "CLUSTER NODES");
            std::size_t replicas = 0;
            for (std::size_t at = 0; (at = all.find(" slave ", at)) != all.npos; ++at) ++replicas;
            for (std::size_t at = 0; (at = all.find("myself,slave ", at)) != all.npos; ++at) ++replicas;
            return replicas == nodes_.size() / 2 && ask(node, "CLUSTER INFO").starts_with("cluster_state:ok");
        };
        for (const Node& node : nodes_) wait_until("the cluster", [&] { return is_whole(node); });
    }
    /// The master that has the key's slot: "ID HOST:PORT@BUS master - 0 0 1 connected 0-5460".
    std::size_t keeper(std::string_view key) const {
        const int slot = std::stoi(ask(nodes_[0], "CLUSTER KEYSLOT '" + std::string{key} + "'"));
        std::istringstream all{ask(nodes_[0], "CLUSTER NODES")};
        for (std::string line; std::getline(all, line);) {
            std::istringstream words{line};
            std::string id, address, flags, word;
            words >> id >> address >> flags;
            for (int skipped = 0; skipped < 5; ++skipped) words >> word;
            for (int first = 0, last = 0; words >> first; last = 0) {
                if (words.peek() == '-') words.ignore() >> last;
                if (slot < first || slot > std::max(first, last)) continue;
                for (std::size_t i = 0; i < nodes_.size(); ++i)
                    if (address.find(":" + std::to_string(nodes_[i].port) + "@") != address.npos) return i;
            }
        }
        throw std::runtime_error{"nobody keeps slot " + std::to_string(slot)};
    }

    static long commands_at(const Node& node) {
        std::istringstream all{ask(node, "INFO commandstats")};
        for (std::string line; std::getline(all, line);)
            if (line.starts_with("cmdstat_evalsha:calls=")) return std::stol(line.substr(22));
        return 0;
    }

    const Kind kind_;
    const Folder& folder_;
    std::vector<Node> nodes_;
    std::optional<std::size_t> victim_;
    long commands_before_ = 0;
};

}  // namespace redis_fleet
