#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/random.hpp>
#include <breakwater/store/redis/connection/channel.hpp>
#include <breakwater/store/redis/connection/greeting.hpp>
#include <breakwater/store/redis/handler.hpp>
#include <breakwater/store/redis/options.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::redis {

/// The connection that pushes arrive on: subscribed, asked at every `ping_interval` whether it is alive, and made again
/// when it is not. Which server it is to does not matter: a cluster hands each message to all of its nodes.
class Push {
public:
    /// `handler` points to who is told, or to null once nobody wants to be.
    Push(const RedisStoreOptions& options, Handler* const& handler) : options_{options}, handler_{handler} {}

    void want(std::string channel, Instant now) {
        const auto [at, is_new] = wanted_.insert(std::move(channel));
        if (!is_new || !is_listening()) return;
        say(Words{}.add("SUBSCRIBE").add(*at));
        if (greeting_due_ == Instant::max()) greeting_due_ = now + options_.command_timeout;
    }
    void forget(const std::string& channel) {
        if (wanted_.erase(channel) == 0) return;
        subscribed_.erase(channel);
        if (is_listening()) say(Words{}.add("UNSUBSCRIBE").add(channel));
    }

    /// Whether it would connect now, to a server that is up.
    bool wants_server(Instant now) const noexcept {
        return phase_ == Phase::waiting && !wanted_.empty() && now >= due_;
    }
    void connect(const Url& url, const Endpoint& endpoint, Instant now) {
        url_ = url;
        phase_ = Phase::connecting;
        due_ = now + options_.connect_timeout;
        if (!channel_.open(endpoint, url_, options_.ca_file)) return fail(channel_.error(), now);
        if (!channel_.is_connecting()) greet(now);
    }
    /// The server at this address is down.
    void lose(std::string_view address, std::string_view reason, Instant now) {
        if (phase_ == Phase::waiting || url_.address() != address) return;
        fail(std::string{reason}, now);
        due_ = now;
        failures_ = 0;
    }

    int fd() const noexcept { return channel_.is_open() ? channel_.fd() : -1; }
    short events() const noexcept { return channel_.events(); }

    void handle(short events, Instant now) {
        if (phase_ == Phase::connecting) {
            if (!channel_.finish_connecting()) return fail(channel_.error(), now);
            return greet(now);
        }
        if ((events & ~POLLOUT) == 0) return;
        std::string reason;
        const bool whole = channel_.receive([&](const redisReply& reply) {
            reason = take(reply);
            return reason.empty() && phase_ == Phase::listening;
        });
        if (!reason.empty()) return fail(reason, now);
        if (phase_ == Phase::refused) {
            channel_.close();
            due_ = now + refused_pause;
            return;
        }
        if (!whole) return fail(channel_.error(), now);
        if (phase_ == Phase::listening && subscribed_.size() == wanted_.size()) {
            greeting_due_ = Instant::max();
            failures_ = 0;
            tell(PushState::fresh, "");
        }
    }

    void tick(Instant now) {
        if (phase_ == Phase::refused && now >= due_) phase_ = Phase::waiting;
        if (phase_ == Phase::connecting && now >= due_) return fail("no connection for pushes in time", now);
        if (phase_ != Phase::listening) return;
        if (now >= greeting_due_) return fail("no answer to SUBSCRIBE in time", now);
        if (now >= pong_due_) return fail("no answer to PING on the connection for pushes in time", now);
        if (now >= due_) {
            due_ = now + options_.ping_interval;
            if (pong_due_ == Instant::max()) {
                pong_due_ = now + options_.command_timeout;
                say(Words{}.add("PING"));
            }
        }
    }
    Instant next() const noexcept {
        if (phase_ == Phase::listening) return std::min({due_, greeting_due_, pong_due_});
        return phase_ == Phase::waiting && wanted_.empty() ? Instant::max() : due_;
    }
    void flush(Instant now) {
        if (channel_.is_open() && channel_.has_unsent() && !channel_.flush()) fail(channel_.error(), now);
    }
    void stop() noexcept { channel_.close(); }

private:
    enum class Phase : std::uint8_t {
        waiting,  ///< Until `due_`, and for a server that is up.
        connecting,
        listening,
        refused,  ///< The server's user may not subscribe.
    };
    /// How long until a user without permission asks again: somebody may have been told.
    static constexpr Duration refused_pause = std::chrono::minutes{1};

    bool is_listening() const noexcept { return phase_ == Phase::listening; }
    void say(const Words& words) { channel_.append(words.wire()); }

    void greet(Instant now) {
        phase_ = Phase::listening;
        subscribed_.clear();
        due_ = now + options_.ping_interval;
        pong_due_ = Instant::max();
        greeting_due_ = now + options_.command_timeout;
        if (!url_.password.empty()) say(greeting_words(Purpose::auth, url_));
        if (wanted_.empty()) return;
        Words words;
        words.add("SUBSCRIBE");
        for (const std::string& channel : wanted_) words.add(channel);
        say(words);
    }

    /// Takes one message. The result is the reason why the connection has to go; empty if it may stay.
    std::string take(const redisReply& reply) {
        const std::string_view text = text_of(reply);
        if (is_error(reply)) {
            if (error_kind(text) != "NOPERM") return std::string{text};
            const bool of_channel = text.find("channel") != text.npos;
            const std::string rules = of_channel ? "&" + options_.prefix + "*" : "+subscribe +unsubscribe +ping";
            phase_ = Phase::refused;
            tell(PushState::stale, "pushes are not allowed: " + std::string{text} + permission_hint(text, url_, rules));
            return {};
        }
        if (reply.type == REDIS_REPLY_STATUS && text == "PONG") pong_due_ = Instant::max();
        if (reply.type != REDIS_REPLY_ARRAY || reply.elements < 2) return {};
        const std::string_view kind = text_of(*reply.element[0]);
        const std::string_view channel = text_of(*reply.element[1]);
        if (kind == "message" && reply.elements == 3) {
            if (handler_ != nullptr) handler_->on_push(channel, text_of(*reply.element[2]));
        } else if (kind == "pong") {
            pong_due_ = Instant::max();
        } else if (kind == "subscribe" && wanted_.contains(std::string{channel})) {
            subscribed_.emplace(channel);
            if (handler_ != nullptr) handler_->on_subscribed(channel);
        }
        return {};
    }

    void fail(std::string_view because, Instant now) {
        const std::string reason{because};  // what it is a part of may go with the connection
        channel_.close();
        phase_ = Phase::waiting;
        subscribed_.clear();
        pause_ = options_.reconnect.delay(++failures_, pause_, random_());
        due_ = now + pause_;
        tell(PushState::stale, reason);
    }

    /// Says so once.
    void tell(PushState state, std::string_view reason) {
        if (std::exchange(state_, state) == state && (state == PushState::fresh || reason == reason_)) return;
        reason_ = reason;
        if (handler_ != nullptr) handler_->on_push_state(state, reason);
    }

    const RedisStoreOptions& options_;
    Handler* const& handler_;
    Random random_;
    std::set<std::string> wanted_;
    std::set<std::string> subscribed_;
    Url url_;
    Channel channel_;
    Phase phase_ = Phase::waiting;
    Instant due_{};  // of what comes next in this phase
    Instant greeting_due_ = Instant::max();
    Instant pong_due_ = Instant::max();
    std::uint32_t failures_ = 0;
    Duration pause_{};
    PushState state_ = PushState::stale;
    std::string reason_;
};

}  // namespace breakwater::redis
