#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/random.hpp>
#include <breakwater/store/redis/connection/channel.hpp>
#include <breakwater/store/redis/connection/command.hpp>
#include <breakwater/store/redis/connection/expected_replies.hpp>
#include <breakwater/store/redis/connection/greeting.hpp>
#include <breakwater/store/redis/connection/mailbox.hpp>
#include <breakwater/store/redis/connection/node_owner.hpp>
#include <breakwater/store/redis/connection/resolution.hpp>
#include <breakwater/store/redis/options.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::redis {

/// One server and the connection for commands to it: made, greeted, used, lost, and made again after a pause.
///
/// Answers come in the order of the commands, so a queue of what is expected is all there is to know. Whatever takes
/// longer than `command_timeout` takes the connection with it: on one that is late, everything behind is later.
class Node {
public:
    enum class Phase : std::uint8_t { idle, waiting, resolving, connecting, greeting, up };

    Node(NodeOwner& owner, const RedisStoreOptions& options, Url url,
         std::shared_ptr<breakwater::detail::AlarmBell> bell)
        : owner_{owner}, options_{options}, url_{std::move(url)}, address_{url_.address()}, bell_{std::move(bell)} {}
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    const Url& url() const noexcept { return url_; }
    const std::string& address() const noexcept { return address_; }
    const Endpoint& endpoint() const noexcept { return endpoint_; }  ///< Where it was last connected to.
    Phase phase() const noexcept { return phase_; }
    bool is_up() const noexcept { return phase_ == Phase::up; }
    /// Whether its first connection is being made.
    bool is_new() const noexcept { return failures_ == 0 && phase_ != Phase::idle && phase_ != Phase::up; }
    bool is_busy() const noexcept { return !expected_.empty(); }
    int fd() const noexcept { return channel_.is_open() ? channel_.fd() : -1; }
    short events() const noexcept { return channel_.events(); }

    /// Of an idle node: begins to connect.
    void start(Instant now) {
        phase_ = Phase::resolving;
        due_ = now + options_.connect_timeout;
        resolution_.begin(url_, bell_);
        tick(now);
    }

    /// Sends a command; the node is up.
    void send(Command&& command) {
        channel_.append(command.bytes);
        expected_.push(std::move(command));
    }
    /// The same on a connection that nobody uses, by a thread other than the node's, which sleeps.
    Express send_now(Command& command) {
        if (phase_ != Phase::up || !expected_.empty() || channel_.has_unsent() || !channel_.send_now(command.bytes))
            return Express::refused;
        expected_.push(std::move(command));
        return channel_.has_unsent() ? Express::sent_in_part : Express::sent;
    }
    /// The same, for a slot that is on its way to this node.
    void send_asking(Command&& command) {
        send(Purpose::asking, Words{}.add("ASKING"), command.deadline);
        send(std::move(command));
    }
    /// Asks which node keeps which slots.
    void ask_slots(Instant now) { send(Purpose::slots, greeting_words(Purpose::slots, url_), now + timeout()); }

    void flush(Instant now) {
        if (channel_.is_open() && channel_.has_unsent() && !channel_.flush()) fail(channel_.error(), now);
    }

    /// The socket is ready.
    void handle(short events, Instant now) {
        if (phase_ == Phase::connecting) {
            if (!channel_.finish_connecting()) return fail(channel_.error(), now);
            return greet(now);
        }
        if ((events & ~POLLOUT) == 0) return;  // the flush to come sends
        std::string reason;
        const bool whole = channel_.receive([&](const redisReply& reply) {
            reason = take(reply, now);
            return reason.empty();
        });
        if (!reason.empty()) return fail(reason, now);
        if (!whole) return fail(channel_.error(), now);
        if (phase_ == Phase::greeting && expected_.empty()) greeted(now);
    }

    /// Does what is due.
    void tick(Instant now) {
        if (phase_ == Phase::waiting && now >= due_) return start(now);
        if (phase_ == Phase::resolving) {
            if (auto endpoints = resolution_.take()) return connect(*endpoints, now);
            if (now >= due_) return fail("its name does not resolve within " + limit(options_.connect_timeout), now);
        }
        if (phase_ == Phase::connecting && now >= due_)
            return fail("no connection within " + limit(options_.connect_timeout), now);
        if (now >= expected_.earliest_deadline()) return fail("no answer within " + limit(timeout()), now);
        if (phase_ == Phase::up && now >= due_) {
            due_ = now + options_.heartbeat_interval;
            if (const auto tag = owner_.tag(*this)) send_heartbeat(*tag, now);
        }
    }
    /// When `tick` has something to do next.
    Instant next() const noexcept {
        return std::min(phase_ == Phase::idle || phase_ == Phase::greeting ? Instant::max() : due_,
                        expected_.earliest_deadline());
    }

    /// Gives everything up, telling nobody but those who wait.
    void stop() {
        phase_ = Phase::idle;
        channel_.close();
        resolution_.forget();
        std::exchange(expected_, {}).complete(Reply::Kind::unreachable, Instant::min());
    }

    /// Loses the connection; tries again after a pause.
    void fail(std::string_view because, Instant now) {
        const std::string reason{because};  // what it is a part of may go with the connection
        channel_.close();
        resolution_.forget();
        phase_ = Phase::waiting;
        loading_ = nullptr;
        pause_ = options_.reconnect.delay(++failures_, pause_, random_());
        due_ = now + pause_;
        auto expected = std::exchange(expected_, {});
        owner_.node_failed(*this, reason, now);
        expected.complete(Reply::Kind::disconnected, now);
    }

private:
    Duration timeout() const noexcept { return options_.command_timeout; }
    static std::string limit(Duration duration) { return breakwater::detail::option_text(duration); }

    void send(Purpose purpose, const Words& words, Instant deadline) {
        channel_.append(words.wire());
        expected_.push(purpose, deadline);
    }
    void send_heartbeat(std::string_view tag, Instant now) {
        send(Purpose::heartbeat, owner_.heartbeat(tag), now + timeout());
    }

    void connect(const Endpoints& endpoints, Instant now) {
        if (endpoints.found.empty()) return fail(endpoints.error, now);
        endpoint_ = endpoints.found[failures_ % endpoints.found.size()];  // each attempt tries the next
        if (!channel_.open(endpoint_, url_, options_.ca_file)) return fail(channel_.error(), now);
        phase_ = Phase::connecting;
        if (!channel_.is_connecting()) greet(now);
    }

    void greet(Instant now) {
        phase_ = Phase::greeting;
        info_ = {.node = address_, .sent = now};
        const Instant deadline = now + timeout();
        const auto say = [&](Purpose purpose) { send(purpose, greeting_words(purpose, url_), deadline); };
        if (!url_.password.empty()) say(Purpose::auth);
        if (url_.database != 0) say(Purpose::select);
        say(Purpose::time);
        say(Purpose::info);
        has_slots_ = owner_.is_cluster();
        if (has_slots_) say(Purpose::slots);
        is_proven_ = false;
        if (const auto tag = owner_.tag(*this)) send_heartbeat(*tag, now);
    }

    /// All that was asked so far is answered well.
    void greeted(Instant now) {
        if (owner_.is_cluster() && !has_slots_) {
            has_slots_ = true;
            return ask_slots(now);
        }
        if (is_proven_ || owner_.is_importing(*this)) {
            phase_ = Phase::up;
            due_ = now + options_.heartbeat_interval;
            failures_ = 0;
            owner_.node_is_up(*this, info_, now);
        } else if (const auto tag = owner_.tag(*this)) {
            send_heartbeat(*tag, now);
        } else {  // no master: it has told who is, and is of no further use
            stop();
        }
    }

    /// Takes one answer. The result is the reason why the connection has to go; empty if it may stay.
    std::string take(const redisReply& reply, Instant now) {
        if (expected_.empty()) return "the server answers what was not asked";
        ExpectedReplies::Entry entry = expected_.pop();
        switch (entry.purpose) {
            case Purpose::command: return take_answer(std::move(entry.command), reply, now);
            case Purpose::heartbeat: return take_heartbeat(reply, now);
            case Purpose::script:
                loading_ = nullptr;
                if (is_error(reply)) load_error_ = text_of(reply);
                return {};
            case Purpose::asking: return {};
            case Purpose::slots:
                if (is_error(reply) && phase_ == Phase::up) return {};
                if (!is_error(reply)) owner_.slots_arrived(*this, reply, now);
                break;
            case Purpose::time: info_.received = now; break;
            default: break;
        }
        std::string reason = digest(entry.purpose, reply, url_, info_);
        if (entry.purpose == Purpose::info && info_.is_cluster) owner_.found_cluster(*this);
        return reason;
    }

    std::string take_answer(Command&& command, const redisReply& reply, Instant now) {
        if (!is_error(reply)) {
            command.complete(decode(reply));
            return {};
        }
        const std::string_view text = text_of(reply);
        const std::string_view kind = error_kind(text);
        if (kind == "NOSCRIPT" && command.script != nullptr && command.resent < 3) {
            ++command.resent;
            load(*command.script, command.deadline);
            send(std::move(command));
            return {};
        }
        if (kind == "MOVED" || kind == "ASK" || kind == "TRYAGAIN") {
            owner_.redirected(*this, std::move(command), text, now);
            return {};
        }
        std::string reason;
        if (means_down(text)) reason = text;
        Reply answer = decode(reply);
        if (kind == "NOSCRIPT" && !load_error_.empty())
            answer.text = load_error_ + permission_hint(load_error_, url_, "+script|load");
        command.complete(std::move(answer));
        return reason;
    }

    /// Sends the script, unless it is on its way already: what follows on this connection finds it there.
    void load(const Script& script, Instant deadline) {
        if (loading_ == &script) return;
        loading_ = &script;
        load_error_.clear();
        send(Purpose::script, Words{}.add("SCRIPT").add("LOAD").add(script.text()), deadline);
    }

    std::string take_heartbeat(const redisReply& reply, Instant now) {
        const std::string_view text = is_error(reply) ? text_of(reply) : std::string_view{};
        const bool is_elsewhere = error_kind(text) == "MOVED";
        if (is_elsewhere && phase_ == Phase::greeting && !owner_.is_cluster()) {
            owner_.found_cluster(*this);
            return {};
        }
        if (!text.empty() && (means_down(text) || phase_ == Phase::greeting)) {
            return std::string{"the server takes no writes: "}.append(text).append(
                permission_hint(text, url_, "~" + options_.prefix + "* +set"));
        }
        if (is_elsewhere) owner_.map_is_old(now);
        is_proven_ = true;
        if (phase_ == Phase::up) owner_.heartbeat_answered(*this, decode(reply));
        return {};
    }

    NodeOwner& owner_;
    const RedisStoreOptions& options_;
    const Url url_;
    const std::string address_;
    const std::shared_ptr<breakwater::detail::AlarmBell> bell_;
    Random random_;

    Phase phase_ = Phase::idle;
    Resolution resolution_;
    Endpoint endpoint_;
    Channel channel_;
    ExpectedReplies expected_;
    Instant due_ = Instant::max();
    std::uint32_t failures_ = 0;  // since it was up
    Duration pause_{};

    HandshakeInfo info_;
    bool has_slots_ = false;
    bool is_proven_ = false;
    const Script* loading_ = nullptr;
    std::string load_error_;
};

}  // namespace breakwater::redis
