#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/redis/connection/default_heartbeat.hpp>
#include <breakwater/store/redis/connection/held_commands.hpp>
#include <breakwater/store/redis/connection/node.hpp>
#include <breakwater/store/redis/connection/reachable.hpp>
#include <breakwater/store/redis/connection/slot_map.hpp>
#include <breakwater/store/redis/connection/slots.hpp>
#include <breakwater/store/redis/handler.hpp>
#include <breakwater/store/redis/options.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater::redis {

/// Knows the servers, and which of them takes which command: the only one there is, or in a cluster the master of the
/// command's slot.
class Router final : private NodeOwner {
public:
    /// `handler` points to who is told, or to null once nobody wants to be.
    Router(const RedisStoreOptions& options, std::string instance, Handler* const& handler, Reachable& reachable,
           std::shared_ptr<breakwater::detail::AlarmBell> bell)
        : options_{options},
          instance_{std::move(instance)},
          handler_{handler},
          reachable_{reachable},
          bell_{std::move(bell)} {}

    void start(Instant now) {
        starting_until_ = now + options_.command_timeout;
        const auto add_seed = [&](const std::string& text) {
            if (auto url = Url::parse(text)) seeds_.push_back(*std::move(url));
        };
        for (const std::string& text : options_.nodes) add_seed(text);
        if (seeds_.empty()) add_seed(options_.url);
        if (!options_.nodes.empty()) reachable_.set_cluster();
        for (const Url& url : seeds_) node_at(url, now);
    }

    void route(Command&& command) {
        Node* node = owner_of(command.slot);
        if (node != nullptr && node->is_up()) return node->send(std::move(command));
        if (node != nullptr && node->is_new() && !is_starting()) return held_.hold({.command = std::move(command)});
        if (is_starting())
            return held_.hold({.command = std::move(command), .until = starting_until_, .is_early = true});
        command.complete(Reply::Kind::unreachable);
    }

    /// Of a thread other than the router's, which sleeps: sends the command if its connection is not in use.
    Express route_now(Command& command) {
        Node* node = owner_of(command.slot);
        return node != nullptr ? node->send_now(command) : Express::refused;
    }

    void tick(Instant now) {
        for (const auto& [address, node] : nodes_) node->tick(now);
        if (is_starting() && now >= starting_until_) refresh(now);
        if (is_map_wanted_ && now >= map_due_) ask_for_map(now);
        if (!held_.empty()) release(now);
        sweep();
    }
    Instant next() const noexcept {
        Instant at = is_starting() ? starting_until_ : Instant::max();
        if (is_map_wanted_) at = std::min(at, map_due_);
        for (const auto& [address, node] : nodes_) at = std::min(at, node->next());
        return std::min(at, held_.next());
    }

    void flush(Instant now) {
        for (const auto& [address, node] : nodes_) node->flush(now);
    }
    /// Calls `use(Node&)` for each; none is made or destroyed meanwhile but by what `use` does to it.
    template <class F>
    void for_each(F&& use) {
        for (const auto& [address, node] : nodes_) use(*node);
    }
    /// A server that is up, or null.
    Node* any_up() noexcept {
        for (const auto& [address, node] : nodes_) {
            if (node->is_up()) return node.get();
        }
        return nullptr;
    }
    bool is_up(const std::string& address) const {
        const auto at = nodes_.find(address);
        return at != nodes_.end() && at->second->is_up();
    }

    void stop() {
        for (const auto& [address, node] : nodes_) node->stop();
        held_.stop();
    }

private:
    static constexpr Duration try_again_pause = std::chrono::milliseconds{5};
    static constexpr Duration map_pause = std::chrono::milliseconds{200};

    bool is_starting() const noexcept { return reachable_.state() == Reachable::State::starting; }

    Node& node_at(Url url, Instant now) {
        std::string address = url.address();
        auto [at, is_new] = nodes_.try_emplace(std::move(address));
        if (is_new) {
            at->second = std::make_unique<Node>(static_cast<NodeOwner&>(*this), options_, std::move(url), bell_);
            at->second->start(now);
        }
        return *at->second;
    }
    /// The node of a cluster at this place, entered as its seeds are.
    Node& node_at(const std::string& host, std::uint16_t port, const Node& asked, Instant now) {
        Url url = seeds_.front();
        url.host = host.empty() ? asked.url().host : host;
        url.port = port;
        return node_at(std::move(url), now);
    }

    Node* owner_of(std::uint16_t slot) const noexcept {
        if (is_cluster()) return map_.owner(slot);
        return nodes_.empty() ? nullptr : nodes_.begin()->second.get();
    }

    void release(Instant now) {
        held_.release(now, is_starting(), [&](HeldCommands::Held& held) {
            Node* node = owner_of(held.command.slot);
            if (!held.asking.empty()) {
                const auto at = nodes_.find(held.asking);
                node = at == nodes_.end() ? nullptr : at->second.get();
            }
            if (node == nullptr || !node->is_up()) return false;
            if (held.asking.empty()) {
                node->send(std::move(held.command));
            } else {
                node->send_asking(std::move(held.command));
            }
            return true;
        });
    }

    // What the nodes say.
    bool is_cluster() const override { return reachable_.is_cluster(); }
    void found_cluster(Node&) override { reachable_.set_cluster(); }

    void node_is_up(Node&, const HandshakeInfo& info, Instant now) override {
        refresh(now);
        if (handler_ != nullptr) handler_->on_up(info);
        if (!held_.empty()) release(now);
    }

    void node_failed(Node& node, std::string_view reason, Instant now) override {
        if (importing_.erase(&node) > 0) is_map_new_ = true;
        const bool is_news = std::exchange(failed_[node.address()], true) == false;
        if (is_cluster()) {
            want_map(now);
        } else if (is_starting()) {
            starting_until_ = now;
        }
        refresh(now);
        if (is_news && handler_ != nullptr) handler_->on_down(node.address(), reason);
    }

    void redirected(Node& from, Command&& command, std::string_view error, Instant now) override {
        if (command.resent < 255) ++command.resent;
        HeldCommands::Held held{.command = std::move(command)};
        const std::string_view kind = error_kind(error);
        const auto to = redirection(error);
        // Two nodes that do not agree yet may send a command to and fro.
        if (kind == "TRYAGAIN" || !to || held.command.resent > 4) held.not_before = now + try_again_pause;
        if (to) {
            Node& node = node_at(to->host, to->port, from, now);
            if (kind == "MOVED") {
                found_cluster(from);
                map_.set(to->slot, node);
                want_map(now);
            } else {
                held.asking = node.address();
                importing_.insert(&node);
            }
            if (node.phase() == Node::Phase::idle) node.start(now);
        }
        held_.hold(std::move(held));
    }

    bool is_importing(Node& node) const override { return importing_.contains(&node); }
    std::optional<std::string> tag(const Node& node) const override {
        if (!is_cluster()) return "";
        return map_.tag(node);
    }

    Words heartbeat(std::string_view tag) override {
        if (handler_ != nullptr) {
            if (auto words = handler_->heartbeat(tag)) return *std::move(words);
        }
        return default_heartbeat(options_, instance_, tag);
    }
    void heartbeat_answered(Node& node, Reply&& reply) override {
        if (handler_ != nullptr) handler_->on_heartbeat(node.address(), std::move(reply));
    }

    void slots_arrived(Node& asked, const redisReply& reply, Instant now) override {
        const std::vector<SlotRange> ranges = slot_ranges(reply);
        if (ranges.empty()) return;
        map_.clear();
        for (const SlotRange& range : ranges) map_.set(range, node_at(range.host, range.port, asked, now));
        for (Node* node : map_.masters()) {
            if (node->phase() == Node::Phase::idle) node->start(now);
        }
        is_map_wanted_ = false;
        is_map_new_ = true;
        refresh(now);
    }

    void map_is_old(Instant now) override { want_map(now); }
    void want_map(Instant now) {
        if (!std::exchange(is_map_wanted_, true)) map_due_ = std::max(now, last_map_ + map_pause);
    }
    void ask_for_map(Instant now) {
        last_map_ = now;
        map_due_ = now + map_pause;
        std::vector<Node*> up;
        for_each([&](Node& node) {
            if (node.is_up()) up.push_back(&node);
        });
        if (!up.empty()) {
            up[turn_++ % up.size()]->ask_slots(now);
        } else {  // nodes that come up ask by themselves; where those known are gone, the seeds may help
            for (const Url& seed : seeds_) node_at(seed, now);
        }
    }

    /// Tells all threads what can be reached.
    void refresh(Instant now) {
        bool is_any_up = false;
        bool is_all_up = true;
        if (is_cluster()) {
            for (std::size_t word = 0; word < cluster_slots / 64; ++word) {
                std::uint64_t bits = 0;
                for (std::size_t i = 0; i < 64; ++i) {
                    const Node* owner = map_.owner(word * 64 + i);
                    const bool is_owner_up = owner != nullptr && owner->is_up();
                    is_any_up = is_any_up || is_owner_up;
                    is_all_up = is_all_up && is_owner_up;
                    if (is_owner_up || (owner != nullptr && owner->is_new())) bits |= std::uint64_t{1} << i;
                }
                reachable_.set_slots(word, bits);
            }
            if (!is_all_up) want_map(now);
        } else {
            is_any_up = is_all_up = any_up() != nullptr;
        }
        for_each([&](Node& node) {
            if (node.is_up()) failed_[node.address()] = false;
        });
        if (is_starting() && !is_all_up && now < starting_until_) return;
        reachable_.set(is_any_up ? Reachable::State::up : Reachable::State::down);
    }

    /// Parts with nodes that keep no slots, and wakes those which do again.
    void sweep() {
        if (!std::exchange(is_map_new_, false)) return;
        std::erase_if(nodes_, [&](auto& entry) {
            Node& node = *entry.second;
            if (map_.masters().contains(&node) || importing_.contains(&node)) return false;
            if (node.is_busy()) {
                is_map_new_ = true;  // once more when its commands are answered
                return false;
            }
            node.stop();
            failed_.erase(entry.first);
            return true;
        });
    }

    const RedisStoreOptions& options_;
    const std::string instance_;
    Handler* const& handler_;
    Reachable& reachable_;
    const std::shared_ptr<breakwater::detail::AlarmBell> bell_;

    std::vector<Url> seeds_;
    std::map<std::string, std::unique_ptr<Node>> nodes_;  // by address
    std::map<std::string, bool> failed_;                  // by address: whether that is known
    SlotMap map_;                                         // of a cluster
    std::set<Node*> importing_;                           // named by ASK: used, even if they keep no slots yet
    HeldCommands held_;
    Instant starting_until_{};
    Instant map_due_ = Instant::max();
    Instant last_map_{};
    std::size_t turn_ = 0;
    bool is_map_wanted_ = false;
    bool is_map_new_ = false;
};

}  // namespace breakwater::redis
