#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/memory/cell.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/testing/manual_clock.hpp>

#include <algorithm>
#include <any>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater::testing {

class VirtualLink;

/// A server of a fleet's cells, in virtual time and in one thread: it runs the machines that the scripts of a real one
/// repeat, answers at once, and can be taken away. Each `VirtualLink` to it stands for one process.
class VirtualServer {
public:
    explicit VirtualServer(ManualClock clock = ManualClock{}) : clock_{std::move(clock)} {}
    VirtualServer(const VirtualServer&) = delete;
    VirtualServer& operator=(const VirtualServer&) = delete;

    const ManualClock& clock() const noexcept { return clock_; }

    /// Passes time: every link's timer comes at its instant.
    inline void advance(Duration by);
    /// Nobody reaches the server any more, or all do again.
    inline void stop();
    inline void start();
    /// Forgets everything, as a server that restarts without a file does.
    void forget() {
        cells_.clear();
        blobs_.clear();
    }
    /// How many commands have been answered, of all links.
    std::uint64_t commands() const noexcept { return commands_; }
    /// How often a byte string was read or written.
    std::uint64_t blob_commands() const noexcept { return blob_commands_; }

private:
    friend VirtualLink;

    template <class M>
    typename M::State& state(std::string_view key, const typename M::Options& options) {
        auto& slot = cells_[std::string{key}];
        if (!slot.has_value()) slot = M::make_state(options);
        return *std::any_cast<typename M::State>(&slot);
    }
    inline void publish(std::string_view key, const fleet::CircuitView& view);
    inline void publish(std::string_view key, PauseMachine::State pause);

    const ManualClock clock_;
    bool is_running_ = true;
    std::map<std::string, std::any, std::less<>> cells_;
    struct Blob {
        std::string bytes;
        Instant expires;
    };
    std::map<std::string, Blob, std::less<>> blobs_;
    std::map<std::string, std::string> layouts_;
    std::set<VirtualLink*> links_;
    std::uint64_t commands_ = 0;
    std::uint64_t blob_commands_ = 0;
    std::uint64_t instances_ = 0;
};

/// A process's way to a `VirtualServer`, which must outlive it.
class VirtualLink {
public:
    explicit VirtualLink(VirtualServer& server) : server_{server}, instance_{++server.instances_} {}
    VirtualLink(const VirtualLink&) = delete;
    VirtualLink& operator=(const VirtualLink&) = delete;
    ~VirtualLink() { server_.links_.erase(this); }

    const ManualClock& clock() const noexcept { return server_.clock_; }
    void start(fleet::LinkEvents& events) {
        events_ = &events;
        server_.links_.insert(this);
        tell();
    }
    bool is_up() const noexcept { return server_.is_running_ && !is_cut_off_; }
    static constexpr bool is_own_thread() noexcept { return false; }
    static constexpr bool is_inherited() noexcept { return false; }
    Duration patience() const noexcept { return std::chrono::milliseconds{1}; }
    std::uint64_t instance() const noexcept { return instance_; }
    std::uint32_t instances() const noexcept { return static_cast<std::uint32_t>(server_.links_.size()); }

    /// A partition: only this process is cut off from the server.
    void cut_off() {
        is_cut_off_ = true;
        tell();
    }
    void reconnect() {
        is_cut_off_ = false;
        tell();
    }
    /// Changes made by others are no longer told, or again.
    void hear(bool hears) {
        hears_ = hears;
        if (events_ != nullptr) events_->on_pushes(hears, hears ? "" : "not heard");
    }
    /// Answers so many more commands and then loses the connection before the answer.
    void lose_answer_after(int commands) { answers_left_ = commands; }

    template <class...>
    static constexpr bool takes_together = true;

    template <class Done, class... M, class... C>
    void apply(Done done, const fleet::RemoteStep<M, C>&... steps) {
        using Reply = fleet::Reply<fleet::RemoteStep<M, C>...>;
        if (!is_up()) return done(Reply{std::unexpected{fleet::LinkFailure{}}});
        ++server_.commands_;
        const Instant now = server_.clock_.now();
        auto reading = [now] { return now; };
        fleet::Answers<fleet::RemoteStep<M, C>...> answers{.now = now};
        answers.decisions = [&](auto... cells) {
            return take_in_order(reading, Step{cells, steps.options, steps.command}...);
        }(RemoteCell<M>{server_, std::string{steps.key}, steps.options}...);
        if (answers_left_ && --*answers_left_ < 0) {
            answers_left_.reset();
            cut_off();
            return done(Reply{std::unexpected{fleet::LinkFailure{fleet::LinkFailure::Kind::lost, "connection lost"}}});
        }
        done(Reply{std::move(answers)});
    }
    template <class M, class Done>
    void read(std::string_view key, const typename M::Options& options, Done done) {
        using Answer = std::expected<typename M::State, fleet::LinkFailure>;
        if (!is_up()) return done(Answer{std::unexpected{fleet::LinkFailure{}}});
        ++server_.commands_;
        done(Answer{server_.state<M>(key, options)});
    }
    template <class Done>
    void claim(std::string_view key, Duration ttl, Done done) {
        if (!is_up()) return done(true);
        bool is_free = true;
        get(key, [&](const std::optional<std::string>& there) { is_free = !there; });
        if (is_free) put(key, {}, ttl);
        done(is_free);
    }
    std::string_view why_no_blobs() const noexcept { return {}; }
    void watch(std::string_view key) { watched_.emplace(key); }
    template <class Done>
    void announce(std::string_view stem, std::string_view layout, Done done) {
        auto& known = server_.layouts_[std::string{stem}];
        if (!known.empty() && known != layout) done(known);
        known = layout;
    }
    void wake_at(Instant t) { wake_at_ = std::min(wake_at_, t); }

    template <class Done>
    void get(std::string_view key, Done done) {
        if (!is_up()) return done(std::optional<std::string>{});
        ++server_.blob_commands_;
        const auto found = server_.blobs_.find(key);
        if (found == server_.blobs_.end() || found->second.expires <= server_.clock_.now())
            return done(std::optional<std::string>{});
        done(std::optional{found->second.bytes});
    }
    void put(std::string_view key, std::string bytes, Duration ttl) {
        if (!is_up()) return;
        ++server_.blob_commands_;
        server_.blobs_.insert_or_assign(std::string{key},
                                        VirtualServer::Blob{std::move(bytes), server_.clock_.now() + ttl});
    }
    void erase(std::string_view key) {
        if (!is_up()) return;
        ++server_.blob_commands_;
        if (const auto found = server_.blobs_.find(key); found != server_.blobs_.end()) server_.blobs_.erase(found);
    }

private:
    friend VirtualServer;

    /// A cell of the server's, which tells of its changes.
    template <class M>
    struct RemoteCell {
        using Machine = M;
        VirtualServer& server;
        std::string key;
        const typename M::Options& options;

        template <class Command, class Now>
        auto apply(const typename M::Options& own, const Command& command, Now& now) {
            auto& state = server.template state<M>(key, own);
            if constexpr (requires { M::view(state, own, now()); }) {
                const auto before = M::view(state, own, now());
                const auto decision = M::apply(state, own, command, now());
                const auto after = M::view(state, own, now());
                const bool is_told = before.generation != after.generation || before.phase != after.phase ||
                                     (before.counts.failures == 0) != (after.counts.failures == 0);
                if (is_told) server.publish(key, after);
                return decision;
            } else if constexpr (std::is_same_v<M, PauseMachine>) {
                const auto before = state;
                const auto decision = M::apply(state, own, command, now());
                if (!(state == before)) server.publish(key, state);
                return decision;
            } else {
                return M::apply(state, own, command, now());
            }
        }
    };

    void tell() {
        if (events_ == nullptr) return;
        if (is_up())
            events_->on_up();
        else
            events_->on_down("the virtual server does not answer");
    }
    bool hears(std::string_view key) const { return events_ != nullptr && is_up() && hears_ && watched_.contains(key); }

    VirtualServer& server_;
    const std::uint64_t instance_;
    fleet::LinkEvents* events_ = nullptr;
    bool is_cut_off_ = false;
    bool hears_ = true;
    std::optional<int> answers_left_{};
    std::set<std::string, std::less<>> watched_;
    Instant wake_at_ = Instant::max();
};

inline void VirtualServer::advance(Duration by) {
    const Instant end = clock_.now() + by;
    for (;;) {
        VirtualLink* next = nullptr;
        for (VirtualLink* link : links_)
            if (link->wake_at_ <= end && (next == nullptr || link->wake_at_ < next->wake_at_)) next = link;
        if (next == nullptr) break;
        if (next->wake_at_ > clock_.now()) clock_.set(next->wake_at_);
        next->wake_at_ = Instant::max();
        next->events_->on_timer();
    }
    clock_.set(end);
}
inline void VirtualServer::stop() {
    is_running_ = false;
    for (VirtualLink* link : links_) link->tell();
}
inline void VirtualServer::start() {
    is_running_ = true;
    for (VirtualLink* link : links_) link->tell();
}
inline void VirtualServer::publish(std::string_view key, const fleet::CircuitView& view) {
    for (VirtualLink* link : links_)
        if (link->hears(key)) link->events_->on_circuit(key, view);
}
inline void VirtualServer::publish(std::string_view key, PauseMachine::State pause) {
    for (VirtualLink* link : links_)
        if (link->hears(key)) link->events_->on_pause(key, pause);
}

}  // namespace breakwater::testing
