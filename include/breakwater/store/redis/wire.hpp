#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/words.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace breakwater::redis {

/// How a machine's commands and decisions travel to and from the scripts. A specialisation, in store/redis/wire/, has
///
/// - `fragments`: the parts of the script that the machine needs;
/// - `encode(words, options, command)`: appends the machine's name, the command's, how many arguments there are, and
///   these: first the options that the machine decides by, then what the command says;
/// - `decode(numbers, options, command)`: reads the decision, just its own numbers.
template <class M>
struct Wire;

/// Machines that run at the server.
template <class M>
concept Scripted = requires { Wire<M>::fragments; };

using fleet::Read;

/// Appends one step: a machine's command and its arguments.
inline void add_step(Words& words, std::string_view machine, std::string_view command, const Words& arguments) {
    words.add(machine).add(command).add(arguments.count()).add(arguments);
}

/// Numbers as the scripts can have them: doubles, exact up to 2^53.
inline constexpr std::int64_t most_on_wire = (std::int64_t{1} << 53) - 1;

constexpr std::int64_t on_wire(std::int64_t number) noexcept { return std::clamp(number, -most_on_wire, most_on_wire); }
constexpr std::int64_t on_wire(Duration span) noexcept { return on_wire(std::int64_t{span.count()}); }
constexpr std::int64_t on_wire(Instant instant) noexcept { return on_wire(instant.time_since_epoch()); }

// For ever is -1; so are more than 142 years, which added to an instant might not be a number for a script any more.

constexpr std::int64_t endless_on_wire(Duration span) noexcept {
    return span.count() > most_on_wire / 2 ? -1 : span.count();
}
constexpr std::int64_t endless_on_wire(Instant instant) noexcept {
    const std::int64_t us = instant.time_since_epoch().count();
    return us > most_on_wire ? -1 : us;
}
constexpr Duration endless_span(std::int64_t number) noexcept {
    return number < 0 ? Duration::max() : Duration{number};
}
constexpr Instant endless_instant(std::int64_t number) noexcept {
    return number < 0 ? Instant::max() : Instant{Duration{number}};
}

}  // namespace breakwater::redis
