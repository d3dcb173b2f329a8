#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/memory/cell.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/task/round.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/virtual_server/asker.hpp>
#include <breakwater/testing/virtual_server/timer.hpp>

#include <algorithm>
#include <any>
#include <concepts>
#include <cstddef>
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
#include <utility>
#include <vector>

namespace breakwater::testing {

template <Clock C>
class BasicVirtualLink;

/// A server of a fleet's cells, in virtual time and in one thread: it runs the machines that the scripts of a real one
/// repeat, answers at once, and can be taken away. Each `BasicVirtualLink` to it stands for one process.
///
/// By a `ManualClock` a test passes the time (`advance`); by a `SimulatedClock` the simulation does.
template <Clock C = ManualClock>
class BasicVirtualServer {
    using Link = BasicVirtualLink<C>;

public:
    explicit BasicVirtualServer(C clock) : clock_{std::move(clock)} {}
    BasicVirtualServer()
        requires std::default_initializable<C>
        : BasicVirtualServer{C{}} {}
    BasicVirtualServer(const BasicVirtualServer&) = delete;
    BasicVirtualServer& operator=(const BasicVirtualServer&) = delete;

    const C& clock() const noexcept { return clock_; }

    /// Passes time: every link's timer comes at its instant.
    void advance(Duration by)
        requires std::same_as<C, ManualClock>;
    /// Nobody reaches the server any more, or all do again.
    void stop();
    void start();
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
    friend Link;
    template <class M, class Server>
    friend struct VirtualCell;

    template <class M>
    typename M::State& state(std::string_view key, const typename M::Options& options) {
        auto& slot = cells_[std::string{key}];
        if (!slot.has_value()) slot = M::make_state(options);
        return *std::any_cast<typename M::State>(&slot);
    }
    void publish(std::string_view key, const fleet::CircuitView& view);
    void publish(std::string_view key, PauseMachine::State pause);

    const C clock_;
    bool is_running_ = true;
    std::map<std::string, std::any, std::less<>> cells_;
    struct Blob {
        std::string bytes;
        Instant expires;
    };
    std::map<std::string, Blob, std::less<>> blobs_;
    std::map<std::string, std::string> layouts_;
    std::map<std::uint64_t, Link*> links_;  // by instance
    std::uint64_t commands_ = 0;
    std::uint64_t blob_commands_ = 0;
    std::uint64_t instances_ = 0;
};

using VirtualServer = BasicVirtualServer<>;

/// A process's way to a `BasicVirtualServer`, which must outlive it.
template <Clock C = ManualClock>
class BasicVirtualLink {
    using Server = BasicVirtualServer<C>;

public:
    explicit BasicVirtualLink(Server& server) : server_{server}, instance_{++server.instances_} {}
    BasicVirtualLink(const BasicVirtualLink&) = delete;
    BasicVirtualLink& operator=(const BasicVirtualLink&) = delete;
    ~BasicVirtualLink() { server_.links_.erase(instance_); }

    const C& clock() const noexcept { return server_.clock_; }
    void start(fleet::LinkEvents& events) {
        events_ = &events;
        server_.links_.emplace(instance_, this);
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

    template <class Done, class... M, class... Commands>
    void apply(Done done, const fleet::RemoteStep<M, Commands>&... steps) {
        Batch alone{*this, tag_of(std::get<0>(std::tie(steps...)).key)};
        alone.add(std::move(done), steps...);
        alone.send();
    }
    /// With what else is asked in the round of keys with the same `{hash-tag}`.
    template <class Done, class... M, class... Commands>
    void join(Round& round, Done done, const fleet::RemoteStep<M, Commands>&... steps) {
        const std::string tag = tag_of(std::get<0>(std::tie(steps...)).key);
        round
            .batch<Batch>([&](const Batch& batch) { return batch.fits(*this, tag); },
                          [&] { return std::make_unique<Batch>(*this, tag); })
            .add(std::move(done), steps...);
    }
    template <class M, class Done>
    void read(std::string_view key, const typename M::Options& options, Done done) {
        using Answer = std::expected<typename M::State, fleet::LinkFailure>;
        if (!is_up()) return done(Answer{std::unexpected{fleet::LinkFailure{}}});
        ++server_.commands_;
        done(Answer{server_.template state<M>(key, options)});
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
    void wake_at(Instant t) {
        if (t >= wake_at_) return;
        wake_at_ = t;
        timer_.set(server_.clock_, t);
    }

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
                                        typename Server::Blob{std::move(bytes), server_.clock_.now() + ttl});
    }
    void erase(std::string_view key) {
        if (!is_up()) return;
        ++server_.blob_commands_;
        if (const auto found = server_.blobs_.find(key); found != server_.blobs_.end()) server_.blobs_.erase(found);
    }

private:
    friend Server;
    friend VirtualTimer<BasicVirtualLink, C>;

    void on_time() {
        wake_at_ = Instant::max();
        events_->on_timer();
    }

    static std::string tag_of(std::string_view key) { return std::string{key.substr(0, key.find('}') + 1)}; }

    /// The steps of one who asks or of several, which the server takes as one.
    class Batch final : public Round::Batch {
    public:
        Batch(BasicVirtualLink& link, std::string tag) : link_{link}, tag_{std::move(tag)} {}

        bool fits(const BasicVirtualLink& link, std::string_view tag) const noexcept {
            return &link == &link_ && tag == tag_;
        }
        template <class Done, class... Steps>
        void add(Done done, const Steps&... steps) {
            using Asker = VirtualAskerOf<Server, Done, Steps...>;
            askers_.push_back(std::make_unique<Asker>(link_.server_, std::move(done), steps...));
        }
        void send() override {
            using fleet::LinkFailure;
            const auto all_fail = [&](const LinkFailure& failure) {
                for (const auto& asker : askers_) asker->tell(failure);
            };
            if (!link_.is_up()) return all_fail({});
            ++link_.server_.commands_;
            const Instant now = link_.clock().now();
            const auto refused = std::ranges::find_if(askers_, [&](const auto& asker) { return !asker->take(now); });
            const bool is_refused = refused != askers_.end();
            if (is_refused)
                for (auto asker = askers_.begin(); asker != refused; ++asker) (*asker)->undo(now);
            if (link_.loses_answer()) {
                link_.cut_off();
                return all_fail({LinkFailure::Kind::lost, "connection lost"});
            }
            for (auto asker = askers_.begin(); asker != askers_.end(); ++asker) {
                if (!is_refused || asker == refused)
                    (*asker)->tell();
                else
                    (*asker)->tell({LinkFailure::Kind::withdrawn, {}});
            }
        }

    private:
        BasicVirtualLink& link_;
        const std::string tag_;
        std::vector<std::unique_ptr<VirtualAsker>> askers_;
    };
    bool loses_answer() {
        if (!answers_left_ || --*answers_left_ >= 0) return false;
        answers_left_.reset();
        return true;
    }

    void tell() {
        if (events_ == nullptr) return;
        if (is_up())
            events_->on_up();
        else
            events_->on_down("the virtual server does not answer");
    }
    bool hears(std::string_view key) const { return events_ != nullptr && is_up() && hears_ && watched_.contains(key); }

    Server& server_;
    const std::uint64_t instance_;
    fleet::LinkEvents* events_ = nullptr;
    bool is_cut_off_ = false;
    bool hears_ = true;
    std::optional<int> answers_left_{};
    std::set<std::string, std::less<>> watched_;
    Instant wake_at_ = Instant::max();
    VirtualTimer<BasicVirtualLink, C> timer_{*this};
};
using VirtualLink = BasicVirtualLink<>;

template <Clock C>
void BasicVirtualServer<C>::advance(Duration by)
    requires std::same_as<C, ManualClock>
{
    const Instant end = clock_.now() + by;
    for (;;) {
        Link* next = nullptr;
        for (const auto& [instance, link] : links_)
            if (link->wake_at_ <= end && (next == nullptr || link->wake_at_ < next->wake_at_)) next = link;
        if (next == nullptr) break;
        if (next->wake_at_ > clock_.now()) clock_.set(next->wake_at_);
        next->on_time();
    }
    clock_.set(end);
}
template <Clock C>
void BasicVirtualServer<C>::stop() {
    is_running_ = false;
    for (const auto& [instance, link] : links_) link->tell();
}
template <Clock C>
void BasicVirtualServer<C>::start() {
    is_running_ = true;
    for (const auto& [instance, link] : links_) link->tell();
}
template <Clock C>
void BasicVirtualServer<C>::publish(std::string_view key, const fleet::CircuitView& view) {
    for (const auto& [instance, link] : links_)
        if (link->hears(key)) link->events_->on_circuit(key, view);
}
template <Clock C>
void BasicVirtualServer<C>::publish(std::string_view key, PauseMachine::State pause) {
    for (const auto& [instance, link] : links_)
        if (link->hears(key)) link->events_->on_pause(key, pause);
}

}  // namespace breakwater::testing
