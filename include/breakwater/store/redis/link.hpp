#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/redis/batch.hpp>
#include <breakwater/store/redis/connections.hpp>
#include <breakwater/store/redis/handler.hpp>
#include <breakwater/store/redis/members.hpp>
#include <breakwater/store/redis/news.hpp>
#include <breakwater/store/redis/options.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/scripts.hpp>
#include <breakwater/store/redis/sealed.hpp>
#include <breakwater/store/redis/server_clock.hpp>
#include <breakwater/store/redis/steps.hpp>
#include <breakwater/store/redis/swap.hpp>
#include <breakwater/store/redis/wire.hpp>
#include <breakwater/store/redis/wire/circuit.hpp>
#include <breakwater/store/redis/wire/pause.hpp>
#include <breakwater/store/redis/wire/rate.hpp>
#include <breakwater/store/redis/wire/retry_budget.hpp>
#include <breakwater/store/redis/words.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace breakwater::redis {

/// A fleet's link to Redis: what the cells ask, in the words of the server's scripts.
class RedisLink final : private Handler {
public:
    /// Needs options that `validate` accepts.
    explicit RedisLink(const RedisStoreOptions& options)
        : options_{options},
          instance_{draw()},
          members_{options.prefix, instance_},
          seal_{options.secret},
          connections_{options, *this, std::to_string(instance_)} {}

    const ServerClock& clock() const noexcept { return clock_; }
    std::uint64_t instance() const noexcept { return instance_; }
    std::uint32_t instances() const noexcept { return instances_.load(std::memory_order_relaxed); }
    bool is_up() const noexcept { return connections_.is_up(); }
    bool is_own_thread() const noexcept { return connections_.is_own_thread(); }
    bool is_inherited() const noexcept { return connections_.is_forked(); }
    /// The I/O thread keeps time; this is for when it is held up itself.
    Duration patience() const noexcept { return options_.command_timeout + std::chrono::milliseconds{20}; }

    void start(fleet::LinkEvents& events) {
        events_ = &events;
        if (!connections_.start()) events.on_down("inherited by fork: construct stores after it");
    }
    /// All cells of one name share a channel.
    void watch(std::string_view key) { connections_.subscribe(channel_of(key)); }
    void announce(std::string_view stem, std::string_view layout, std::function<void(std::string_view)> other) {
        static const Script script{R"(
local now = redis.call('TIME')[1]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 86400)
local others = redis.call('ZRANGE', KEYS[1], 0, -1)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], 2 * 86400000)
for _, layout in ipairs(others) do if layout ~= ARGV[1] then return layout end end
return ''
)"};
        const std::string place = std::string{stem} + "layouts";
        connections_.submit(
            {.key = place,
             .command = Words{}.add("EVALSHA").add(script.sha1()).add(std::int64_t{1}).add(place).add(layout),
             .script = &script,
             .done = [other = std::move(other)](Reply&& reply) {
                 if (reply.ok() && !reply.text.empty()) other(reply.text);
             }});
    }
    void wake_at(Instant t) { connections_.wake_at(clock_.steady(t)); }

    /// Whether steps of these machines can be taken as one: all by a script, or none.
    template <class... M>
    static constexpr bool takes_together = (Scripted<M> && ...) || !(Scripted<M> || ...);

    template <class Done, class... M, class... C>
    void apply(Done done, const fleet::RemoteStep<M, C>&... steps) {
        if constexpr ((Scripted<M> && ...)) {
            ScriptBatch alone{connections_, channel_of(std::get<0>(std::tie(steps...)).key)};
            alone.add(std::move(done), steps...);
            alone.send();
        } else {
            static_assert(takes_together<M...>);
            static_assert((Portable<M> && ...),
                          "breakwater: a state that others share is kept as bytes: make the machine's (or the trip "
                          "rule's) State trivially copyable, or give it parts(state)");
            std::make_shared<SwapAttempt<Done, fleet::RemoteStep<M, C>...>>(
                connections_, channel_of(std::get<0>(std::tie(steps...)).key), std::move(done), steps...)
                ->begin();
        }
    }

    /// With what else is asked in the round of keys with the same `{hash-tag}`.
    template <class Done, Scripted... M, class... C>
    void join(Round& round, Done done, const fleet::RemoteStep<M, C>&... steps) {
        const std::string channel = channel_of(std::get<0>(std::tie(steps...)).key);
        round
            .batch<ScriptBatch>([&](const ScriptBatch& batch) { return batch.fits(connections_, channel); },
                                [&] { return std::make_unique<ScriptBatch>(connections_, channel); })
            .add(std::move(done), steps...);
    }

    template <class M, class Done>
    void read(std::string_view key, const typename M::Options& options, Done done) {
        using State = std::expected<typename M::State, fleet::LinkFailure>;
        if constexpr (Scripted<M>) {
            apply(
                [done = std::move(done)](auto reply) mutable {
                    if (!reply) return done(State{std::unexpected{std::move(reply.error())}});
                    done(State{*std::get<0>(std::move(reply->decisions))});
                },
                fleet::remote<M>(key, options, Read{}));
        } else {
            peek_at<M>(connections_, key, options, std::move(done));
        }
    }

    // Byte strings, sealed by the secret.

    void get(std::string_view key, std::function<void(std::optional<std::string>)> done) {
        std::string place = blob_place(key);
        connections_.submit({.key = place,
                             .command = Words{}.add("GET").add(place),
                             .done = [this, place, done = std::move(done)](Reply&& reply) {
                                 if (reply.kind != Reply::Kind::answer) return done(std::nullopt);
                                 auto value = reply.text.size() <= options_.max_blob_bytes + 64
                                                  ? seal_.open(place, reply.text)
                                                  : std::nullopt;
                                 if (!value) tell_forged(place);
                                 done(std::move(value));
                             }});
    }
    void put(std::string_view key, std::string_view value, Duration ttl) {
        if (value.size() > options_.max_blob_bytes) return;
        const std::string place = blob_place(key);
        const std::int64_t ms = std::max<std::int64_t>(ttl / std::chrono::milliseconds{1}, 1);
        connections_.submit({.key = place,
                             .command = Words{}.add("SET").add(place).add(seal_.seal(place, value)).add("PX").add(ms),
                             .done = [](Reply&&) {}});
    }
    void erase(std::string_view key) {
        const std::string place = blob_place(key);
        connections_.submit({.key = place, .command = Words{}.add("DEL").add(place), .done = [](Reply&&) {}});
    }
    void claim(std::string_view key, Duration ttl, std::function<void(bool)> done) {
        const std::string place = blob_place(key);
        const std::int64_t ms = std::max<std::int64_t>(ttl / std::chrono::milliseconds{1}, 1);
        connections_.submit(
            {.key = place,
             .command = Words{}.add("SET").add(place).add(seal_.seal(place, "")).add("NX").add("PX").add(ms),
             .done = [done = std::move(done)](Reply&& reply) { done(reply.kind != Reply::Kind::nothing); }});
    }
    std::string_view why_no_blobs() const noexcept {
        return seal_ ? "" : "a shared cache needs RedisStoreOptions::secret";
    }

private:
    static std::uint64_t draw() {
        std::random_device device;
        const std::uint64_t bits = (std::uint64_t{device()} << 32) | device();
        return (bits >> 12) | 1;
    }
    static std::string channel_of(std::string_view key) { return std::string{key.substr(0, key.find('}') + 1)}; }
    std::string blob_place(std::string_view key) const { return options_.prefix + "blob:" + seal_.key(key); }
    void tell_forged(const std::string& place) const {
        options_.observer({.kind = EventKind::store_unreadable,
                           .policy = place,
                           .subject = "a value was not made with this fleet's secret",
                           .at = clock_.now()});
    }

    // The handler's, on the I/O thread.

    void on_up(const HandshakeInfo& info) override {
        clock_.learn(Instant{Duration{info.server_time}}, info.sent, info.received);
        ++nodes_up_;
        events_->on_up();
    }
    void on_down(std::string_view node, std::string_view reason) override {
        const std::string why = std::string{node}.append(": ").append(reason);
        nodes_up_ = std::max(nodes_up_ - 1, 0);
        if (nodes_up_ == 0)
            events_->on_down(why);
        else
            events_->on_partly_down(why);
    }
    void on_push(std::string_view, std::string_view message) override {
        const auto news = read_news(message);
        if (!news) return;
        Numbers numbers{news->numbers};
        if (news->machine == "circuit")
            events_->on_circuit(news->key, circuit_view(numbers));
        else if (news->machine == "pause")
            events_->on_pause(news->key, Wire<PauseMachine>::decode_state(numbers));
    }
    void on_push_state(PushState state, std::string_view reason) override {
        events_->on_pushes(state == PushState::fresh, reason);
    }
    void on_timer() override { events_->on_timer(); }
    std::optional<Words> heartbeat(std::string_view tag) override { return members_.heartbeat(tag); }
    void on_heartbeat(std::string_view node, Reply&& reply) override {
        if (!reply.ok() || reply.numbers.size() < 2) return;
        instances_.store(static_cast<std::uint32_t>(std::clamp<std::int64_t>(reply.numbers[0], 1, 1 << 20)),
                         std::memory_order_relaxed);
        const std::int64_t epoch = reply.numbers[1];
        const auto [known, is_new] = epochs_.try_emplace(std::string{node}, epoch);
        if (!is_new && std::exchange(known->second, epoch) != epoch) events_->on_loss(node);
    }

    const RedisStoreOptions options_;
    const std::uint64_t instance_;
    Members members_;
    const Seal seal_;
    ServerClock clock_;
    fleet::LinkEvents* events_ = nullptr;
    std::atomic<std::uint32_t> instances_ = 1;
    // The I/O thread's own.
    int nodes_up_ = 0;
    std::map<std::string, std::int64_t, std::less<>> epochs_;
    Connections connections_;  // last: its thread stops before what it calls goes
};

}  // namespace breakwater::redis
