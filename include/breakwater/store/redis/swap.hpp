#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/redis/connections.hpp>
#include <breakwater/store/redis/failure.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/script.hpp>
#include <breakwater/store/redis/wire/circuit.hpp>
#include <breakwater/store/redis/words.hpp>
#include <breakwater/store/state_bytes.hpp>
#include <breakwater/store/store.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace breakwater::redis {

/// Whether a machine can run without a script of its own: here, on a copy of its state.
template <class M>
concept Portable = KeptAsBytes<typename M::State>;

/// The script that reads cells of such machines: the server's time, of each cell its version and its state's size, and
/// all states in one string.
inline constexpr std::string_view load_function = R"(
local function load()
    local time = redis.call('TIME')
    local numbers, texts = {time[1] * 1000000 + time[2]}, {}
    for _, key in ipairs(KEYS) do
        local cell = redis.call('HMGET', key, 'version', 'state')
        texts[#texts + 1] = cell[2] or ''
        numbers[#numbers + 1] = tonumber(cell[1] or 0)
        numbers[#numbers + 1] = #texts[#texts]
    end
    numbers[#numbers + 1] = table.concat(texts)
    return numbers
end
)";
inline const Script& load_script() {
    static const Script script{std::string{load_function} + "return load()\n"};
    return script;
}

/// Reads the state of such a cell; `done(std::expected<State, LinkFailure>)`.
template <class M, class Done>
void peek_at(Connections& connections, std::string_view key, const typename M::Options& options, Done done) {
    using State = std::expected<typename M::State, fleet::LinkFailure>;
    connections.submit({.key = std::string{key},
                        .command = Words{}.add("EVALSHA").add(load_script().sha1()).add(std::int64_t{1}).add(key),
                        .script = &load_script(),
                        .done = [done = std::move(done), state = M::make_state(options)](Reply&& reply) mutable {
                            if (!reply.ok()) return done(State{std::unexpected{failure_of(reply)}});
                            const bool is_new = reply.numbers.size() == 3 && reply.numbers[1] == 0;
                            if (is_new || StateBytes::read(reply.text, state)) return done(State{std::move(state)});
                            done(State{std::unexpected{
                                fleet::LinkFailure{fleet::LinkFailure::Kind::unreadable, "another machine's state"}}});
                        }});
}

/// Takes steps of machines that have no script at the server: reads the states, decides here, and writes them if nobody
/// has changed one meanwhile; else once more, 32 times at the most. (Compare-and-swap, as brandur/redis-cell does it.)
template <class Done, class... S>
class SwapAttempt : public std::enable_shared_from_this<SwapAttempt<Done, S...>> {
    using Reply = fleet::Reply<S...>;
    static constexpr std::size_t count = sizeof...(S);

public:
    /// News of circuits are published on `channel`.
    SwapAttempt(Connections& connections, std::string channel, Done done, const S&... steps)
        : connections_{connections},
          channel_{std::move(channel)},
          done_{std::move(done)},
          keys_{std::string{steps.key}...},
          options_{steps.options...},
          commands_{steps.command...} {}

    /// Owns itself until it is done.
    void begin() {
        Words command;
        command.add("EVALSHA").add(load_script().sha1());
        add_keys(command);
        send(std::move(command), &load_script());
    }

private:
    static constexpr int most_tries = 32;

    static const Script& swap_script() {
        static const Script script{std::string{load_function} + R"(
for i, key in ipairs(KEYS) do
    if tonumber(redis.call('HGET', key, 'version') or 0) ~= tonumber(ARGV[2 * i]) then return load() end
end
for i, key in ipairs(KEYS) do
    redis.call('HSET', key, 'version', string.format('%.0f', ARGV[2 * i] + 1), 'state', ARGV[2 * i + 1])
    redis.call('PEXPIRE', key, ARGV[1])
end
local news = ARGV[#ARGV]
if news ~= '' then redis.pcall('PUBLISH', ARGV[#ARGV - 1], news) end
return {-1}
)"};
        return script;
    }
    void add_keys(Words& command) const {
        command.add(std::int64_t{count});
        for (const std::string& key : keys_) command.add(key);
    }
    void send(Words&& command, const Script* script) {
        connections_.submit({.key = keys_.front(),
                             .command = std::move(command),
                             .script = script,
                             .done = [self = this->shared_from_this()](redis::Reply&& reply) { self->heed(reply); }});
    }

    void heed(const redis::Reply& reply) {
        if (!reply.ok()) return done_(Reply{std::unexpected{failure_of(reply)}});
        if (reply.numbers.size() == 1 && reply.numbers[0] == -1) return done_(Reply{std::move(answers_)});
        if (++tries_ > most_tries)
            return done_(
                Reply{std::unexpected{fleet::LinkFailure{fleet::LinkFailure::Kind::refused, "too busy a cell"}}});
        decide(reply, std::index_sequence_for<S...>{});
    }

    /// A copy of one step's state.
    template <class M>
    struct Copy {
        using Machine = M;
        const std::string& key;
        std::string& news;
        typename M::State state;

        template <class Command, class Now>
        auto apply(const typename M::Options& options, const Command& command, Now& now) {
            if constexpr (requires { news_of(key, M::view(state, options, now())); }) {
                const auto before = M::view(state, options, now());
                const auto decision = M::apply(state, options, command, now());
                const auto after = M::view(state, options, now());
                if (before.generation != after.generation || before.phase != after.phase) news = news_of(key, after);
                return decision;
            } else {
                return M::apply(state, options, command, now());
            }
        }
    };

    template <std::size_t... I>
    void decide(const redis::Reply& reply, std::index_sequence<I...>) {
        if (reply.numbers.size() != 1 + 2 * count) return unreadable();
        std::string news;
        std::tuple<Copy<typename S::Machine>...> copies{
            Copy<typename S::Machine>{keys_[I], news, S::Machine::make_state(std::get<I>(options_))}...};
        std::size_t at = 0;
        bool is_readable = true;
        const auto read = [&](auto& copy, std::int64_t version, std::int64_t size) {
            const std::string_view bytes =
                std::string_view{reply.text}.substr(std::min(at, reply.text.size()), static_cast<std::size_t>(size));
            at += static_cast<std::size_t>(size);
            if (version != 0) is_readable = is_readable && StateBytes::read(bytes, copy.state);
        };
        (read(std::get<I>(copies), reply.numbers[1 + 2 * I], reply.numbers[2 + 2 * I]), ...);
        if (!is_readable) return unreadable();

        answers_.now = Instant{Duration{reply.numbers[0]}};
        auto now = [this] { return answers_.now; };
        answers_.decisions =
            take_in_order(now, Step{std::get<I>(copies), std::get<I>(options_), std::get<I>(commands_)}...);
        Words command;
        command.add("EVALSHA").add(swap_script().sha1());
        add_keys(command);
        command.add(std::int64_t{std::chrono::hours{24} / std::chrono::milliseconds{1}});
        ((command.add(reply.numbers[1 + 2 * I]), command.add(StateBytes::of(std::get<I>(copies).state))), ...);
        command.add(channel_).add(news);
        send(std::move(command), &swap_script());
    }
    void unreadable() {
        done_(Reply{std::unexpected{fleet::LinkFailure{fleet::LinkFailure::Kind::unreadable,
                                                       keys_.front() + " holds no state of this machine"}}});
    }

    Connections& connections_;
    const std::string channel_;
    Done done_;
    const std::array<std::string, count> keys_;
    const std::tuple<typename S::Machine::Options...> options_;
    const std::tuple<typename S::Command...> commands_;
    fleet::Answers<S...> answers_{};
    int tries_ = 0;
};

}  // namespace breakwater::redis
