#pragma once

#include <breakwater/store/redis/connection/slots.hpp>

#include <integration/raw_server.hpp>
#include <redis_server.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace breakwater::test {

/// Three masters with a third of the slots each, and a replica of each (node 3 of node 0, and so on), on loopback.
class RedisCluster {
public:
    static constexpr std::size_t masters = 3;

    RedisCluster() {
        for (std::size_t i = 0; i < 2 * masters; ++i) start_node();
        const char* ranges[masters][2] = {{"0", "5460"}, {"5461", "10922"}, {"10923", "16383"}};
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            must(i, {"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(i + 1)});
            if (i < masters) must(i, {"CLUSTER", "ADDSLOTSRANGE", ranges[i][0], ranges[i][1]});
            if (i > 0) must(0, {"CLUSTER", "MEET", "127.0.0.1", std::to_string(nodes_[i]->port()), buses_[i]});
        }
        wait_until([&] {
            for (std::size_t i = 0; i < nodes_.size(); ++i) {
                const std::string info = nodes_[i]->ask({"CLUSTER", "INFO"});
                if (info.find("cluster_state:ok") == info.npos || info.find("cluster_known_nodes:6") == info.npos)
                    return false;
            }
            return true;
        });
        for (std::size_t i = 0; i < masters; ++i) {
            must(masters + i, {"CLUSTER", "REPLICATE", id(i)});
            wait_until([&] {
                const std::string info = nodes_[masters + i]->ask({"INFO", "replication"});
                return info.find("master_link_status:up") != info.npos;
            });
        }
        wait_until([&] {  // everybody knows the replicas, so that one of them may be promoted
            for (std::size_t i = 0; i < nodes_.size(); ++i) {
                const std::string all = nodes_[i]->ask({"CLUSTER", "NODES"});
                std::size_t replicas = 0;
                for (auto at = all.find("slave"); at != all.npos; at = all.find("slave", at + 1)) ++replicas;
                if (replicas != masters) return false;
            }
            return true;
        });
    }

    /// Adds a master that keeps no slots, as node 6.
    void add_master() {
        start_node();
        must(0, {"CLUSTER", "MEET", "127.0.0.1", std::to_string(nodes_[6]->port()), buses_[6]});
        wait_until([&] {
            for (const auto& node : nodes_) {
                const std::string info = node->ask({"CLUSTER", "INFO"});
                if (info.find("cluster_state:ok") == info.npos || info.find("cluster_known_nodes:7") == info.npos)
                    return false;
            }
            return true;
        });
    }

    RedisServer& operator[](std::size_t i) { return *nodes_[i]; }
    std::string url(std::size_t i) const { return "redis://127.0.0.1:" + std::to_string(nodes_[i]->port()); }
    std::string address(std::size_t i) const { return "127.0.0.1:" + std::to_string(nodes_[i]->port()); }
    std::string id(std::size_t i) const { return nodes_[i]->ask({"CLUSTER", "MYID"}).substr(5, 40); }

    /// A key of the master with this number: "{n}name".
    static std::string key_of(std::size_t master, std::string_view name = "") {
        for (int n = 0;; ++n) {
            std::string key = "{" + std::to_string(n) + "}" + std::string{name};
            if (std::min<std::size_t>(redis::slot_of(key) / 5461, masters - 1) == master) return key;
        }
    }

    void must(std::size_t i, const std::vector<std::string>& words) const {
        std::string answer = "nothing";
        switch (words.size()) {
            case 3: answer = nodes_[i]->ask({words[0], words[1], words[2]}); break;
            case 4: answer = nodes_[i]->ask({words[0], words[1], words[2], words[3]}); break;
            case 5: answer = nodes_[i]->ask({words[0], words[1], words[2], words[3], words[4]}); break;
            case 6: answer = nodes_[i]->ask({words[0], words[1], words[2], words[3], words[4], words[5]}); break;
            default: break;
        }
        if (!answer.starts_with('+')) throw std::runtime_error{words[0] + " " + words[1] + ": " + answer};
    }

    static void wait_until(const std::function<bool()>& condition) {
        for (int left = 2'000; left > 0; --left) {
            if (condition()) return;
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
        throw std::runtime_error{"the cluster does not get there"};
    }

private:
    void start_node() {
        const std::string bus = std::to_string(Listener{}.port());  // the default, port + 10,000, may not exist
        nodes_.push_back(std::make_unique<RedisServer>(
            RedisServer::Options{.tcp = true,
                                 .config = {"cluster-enabled yes", "cluster-port " + bus, "cluster-node-timeout 1000",
                                            "cluster-replica-validity-factor 0", "repl-diskless-sync-delay 0"}}));
        buses_.push_back(bus);
    }

    std::vector<std::unique_ptr<RedisServer>> nodes_;
    std::vector<std::string> buses_;
};

}  // namespace breakwater::test
