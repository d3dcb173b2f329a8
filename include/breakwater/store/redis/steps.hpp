#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/script.hpp>
#include <breakwater/store/redis/wire.hpp>
#include <breakwater/store/redis/words.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater::redis {

/// Some steps as they are sent: the keys, and the words for each.
class StepWords {
public:
    template <class M, class C>
    void add(const fleet::RemoteStep<M, C>& step) {
        keys_.add(step.key);
        Wire<M>::encode(words_, step.options, step.command);
    }

    /// The command that has `script` take the steps in order as one. News of circuits and pauses are published on
    /// `channel`, unless that is empty. `now` is for scripts that are given the time, and them only.
    Words evalsha(const Script& script, std::string_view channel, std::optional<Instant> now = {}) const {
        Words command;
        command.add("EVALSHA").add(script.sha1()).add(keys_.count()).add(keys_).add(channel);
        if (now) command.add(on_wire(*now));
        return command.add(words_);
    }

private:
    Words keys_;
    Words words_;
};

template <class... Steps>
Words evalsha(const Script& script, std::string_view channel, std::optional<Instant> now, const Steps&... steps) {
    StepWords words;
    (words.add(steps), ...);
    return words.evalsha(script, channel, now);
}
template <class... Steps>
Words evalsha(const Script& script, std::string_view channel, const Steps&... steps) {
    return evalsha(script, channel, std::optional<Instant>{}, steps...);
}

/// Reads what was decided on the steps, as far as they were taken; says whether the last of these was refused.
template <class... Steps>
bool read_decisions(Numbers& numbers, std::tuple<std::optional<typename Steps::Decision>...>& decisions,
                    const Steps&... steps) {
    bool refused = false;
    const auto read = [&](const auto& step, auto& decision) {
        using M = typename std::remove_cvref_t<decltype(step)>::Machine;
        if (refused) return;
        decision = Wire<M>::decode(numbers, step.options, step.command);
        if constexpr (requires { M::is_refusal(*decision); }) refused = M::is_refusal(*decision);
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (read(steps, std::get<I>(decisions)), ...);
    }(std::index_sequence_for<Steps...>{});
    return refused;
}

/// Reads the reply to `evalsha` of these steps; empty if it has not just the numbers that it should.
template <class... Steps>
std::optional<fleet::Answers<Steps...>> answers(std::span<const std::int64_t> reply, const Steps&... steps) {
    Numbers numbers{reply};
    fleet::Answers<Steps...> answers{.now = Instant{Duration{numbers.next()}}};
    read_decisions(numbers, answers.decisions, steps...);
    if (numbers.is_short() || !numbers.is_at_end()) return std::nullopt;
    return answers;
}

}  // namespace breakwater::redis
