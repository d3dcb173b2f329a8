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

/// The command that has `script` take the steps in order as one. News of circuits and pauses are published on
/// `channel`, unless that is empty. `now` is for scripts that are given the time, and them only.
template <class... Steps>
Words evalsha(const Script& script, std::string_view channel, std::optional<Instant> now, const Steps&... steps) {
    Words words;
    words.add("EVALSHA").add(script.sha1()).add(sizeof...(Steps));
    (words.add(steps.key), ...);
    words.add(channel);
    if (now) words.add(on_wire(*now));
    (Wire<typename Steps::Machine>::encode(words, steps.options, steps.command), ...);
    return words;
}
template <class... Steps>
Words evalsha(const Script& script, std::string_view channel, const Steps&... steps) {
    return evalsha(script, channel, std::optional<Instant>{}, steps...);
}

/// Reads the reply to `evalsha` of these steps; empty if it has not just the numbers that it should.
template <class... Steps>
std::optional<fleet::Answers<Steps...>> answers(std::span<const std::int64_t> reply, const Steps&... steps) {
    Numbers numbers{reply};
    fleet::Answers<Steps...> answers{.now = Instant{Duration{numbers.next()}}};
    bool refused = false;
    const auto read = [&](const auto& step, auto& decision) {
        using M = typename std::remove_cvref_t<decltype(step)>::Machine;
        if (refused) return;
        decision = Wire<M>::decode(numbers, step.options, step.command);
        if constexpr (requires { M::is_refusal(*decision); }) refused = M::is_refusal(*decision);
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (read(steps, std::get<I>(answers.decisions)), ...);
    }(std::index_sequence_for<Steps...>{});
    if (numbers.is_short() || !numbers.is_at_end()) return std::nullopt;
    return answers;
}

}  // namespace breakwater::redis
