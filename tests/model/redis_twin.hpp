#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/random.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/retry/budget_machine.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/scripts.hpp>
#include <breakwater/store/redis/steps.hpp>
#include <breakwater/store/redis/words.hpp>
#include <redis_server.hpp>

#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater::test {

/// A connection that sends many commands before it reads their replies.
class RedisPipeline {
public:
    using Then = std::function<void(const redis::Reply&)>;

    explicit RedisPipeline(const RedisServer& server)
        : context_{::redisConnectUnix(server.socket().c_str()), ::redisFree} {
        if (!context_ || context_->err != 0) throw std::runtime_error{"cannot connect to the test's redis-server"};
    }

    void send(const redis::Words& command, Then then) {
        const std::string wire = command.wire();
        ::redisAppendFormattedCommand(context_.get(), wire.data(), wire.size());
        waiting_.push_back(std::move(then));
        if (waiting_.size() >= 64) finish();
    }
    /// Reads all replies.
    void finish() {
        for (const Then& then : std::exchange(waiting_, {})) {
            void* reply = nullptr;
            if (::redisGetReply(context_.get(), &reply) != REDIS_OK) throw std::runtime_error{context_->errstr};
            const std::unique_ptr<void, void (*)(void*)> owned{reply, ::freeReplyObject};
            then(read(*static_cast<const redisReply*>(reply)));
        }
    }
    redis::Reply ask(const redis::Words& command) {
        redis::Reply answer;
        send(command, [&](const redis::Reply& reply) { answer = reply; });
        finish();
        return answer;
    }
    redis::Reply ask(std::initializer_list<std::string_view> words) {
        redis::Words command;
        for (const std::string_view word : words) command.add(word);
        return ask(command);
    }
    /// What comes without being asked for.
    redis::Reply next() {
        redis::Reply push;
        waiting_.emplace_back([&](const redis::Reply& reply) { push = reply; });
        finish();
        return push;
    }
    void load(const redis::Script& script) { ask({"SCRIPT", "LOAD", script.text()}); }

private:
    static redis::Reply read(const redisReply& reply) {
        redis::Reply answer{.kind = redis::Reply::Kind::answer};
        read_into(answer, reply);
        return answer;
    }
    static void read_into(redis::Reply& answer, const redisReply& reply) {
        switch (reply.type) {
            case REDIS_REPLY_ERROR: answer.kind = redis::Reply::Kind::error; [[fallthrough]];
            case REDIS_REPLY_STATUS:
            case REDIS_REPLY_STRING: answer.text.assign(reply.str, static_cast<std::size_t>(reply.len)); break;
            case REDIS_REPLY_INTEGER: answer.numbers.push_back(reply.integer); break;
            case REDIS_REPLY_ARRAY:
                for (std::size_t i = 0; i < reply.elements; ++i) read_into(answer, *reply.element[i]);
                break;
            default: answer.kind = redis::Reply::Kind::nothing;
        }
    }

    std::unique_ptr<redisContext, void (*)(redisContext*)> context_;
    std::vector<Then> waiting_;
};

/// The differences that were found, the first of them in words.
struct Differences {
    std::size_t steps = 0;
    std::size_t count = 0;
    std::string first{};

    void add(const std::string& what) {
        if (count++ == 0) first = what;
    }
};

// Whether two decisions are the same.

template <class T>
bool same(const T& a, const T& b) {
    if constexpr (requires { a.view; })
        if (!(a.view == b.view)) return false;
    if constexpr (requires { a.began_half_open; })
        return a.admitted == b.admitted && a.began_half_open == b.began_half_open &&
               a.ticket.generation == b.ticket.generation && a.ticket.token == b.ticket.token &&
               a.retry_after == b.retry_after;
    else if constexpr (requires { a.effect; })
        return a.effect == b.effect && a.open_for == b.open_for;
    else if constexpr (requires { a.before; })
        return a.grant == b.grant && a.before == b.before && a.after == b.after;
    else if constexpr (requires { a.grant; })
        return a.grant == b.grant && a.permits == b.permits && a.until == b.until;
    else if constexpr (requires { a.from; })
        return a.from == b.from && a.until == b.until;
    else if constexpr (requires {
                           T{}.granted;
                           requires !requires { a.never; };
                       })
        return a.granted == b.granted && a.retry_after == b.retry_after;
    else
        return a == b;
}

/// A machine twice: here, and at a server.
template <class M>
class Twin {
public:
    using Options = typename M::Options;

    Twin(RedisPipeline& pipeline, Differences& differences, std::string key, Options options)
        : pipeline_{pipeline},
          differences_{differences},
          script_{redis::script_for<M>(redis::ScriptTime::given)},
          key_{std::move(key)},
          options_{std::move(options)},
          state_{M::make_state(options_)} {}

    const Options& options() const noexcept { return options_; }
    const auto& state() const noexcept { return state_; }
    /// Thresholds may change from one step to the next.
    Options& options() noexcept { return options_; }

    template <class Command>
    auto apply(const Command& command, Instant now) {
        ++differences_.steps;
        const auto decision = M::apply(state_, options_, command, now);
        compare(command, decision, now);
        if constexpr (requires { typename M::Read; }) {
            compare(typename M::Read{}, M::apply(state_, options_, typename M::Read{}, now), now);
        } else {
            compare(redis::Read{}, state_, now);
            // The one state in many that the word of a limiter does not tell from a fresh one.
            if (state_ == M::make_state(options_)) pipeline_.send(redis::Words{}.add("DEL").add(key_), [](auto&) {});
        }
        return decision;
    }

private:
    template <class Command, class Decision>
    void compare(const Command& command, const Decision& decision, Instant now) {
        const redis::Words words =
            redis::evalsha(script_, "news", std::optional{now}, fleet::remote<M>(key_, options_, command));
        pipeline_.send(words, [this, words, options = options_, command, decision](const redis::Reply& reply) {
            const auto step = fleet::remote<M>(key_, options, command);
            const auto answers = redis::answers(reply.numbers, step);
            if (reply.kind == redis::Reply::Kind::answer && answers &&
                same(*std::get<0>(answers->decisions), Decision{decision}))
                return;
            std::string text = words.wire();
            std::erase(text, '\r');
            std::ranges::replace(text, '\n', ' ');
            text += "\nanswered: " + reply.text;
            for (const std::int64_t number : reply.numbers) text += " " + std::to_string(number);
            differences_.add(text);
        });
    }

    RedisPipeline& pipeline_;
    Differences& differences_;
    const redis::Script& script_;
    std::string key_;
    Options options_;
    typename M::State state_;
};

}  // namespace breakwater::test
