#pragma once

#include <breakwater/store/redis/lua/dispatcher.hpp>
#include <breakwater/store/redis/lua/fragment.hpp>
#include <breakwater/store/redis/lua/prelude.hpp>
#include <breakwater/store/redis/script.hpp>
#include <breakwater/store/redis/wire.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace breakwater::redis {

/// Whose clock a script goes by. Only tests tell it the time.
enum class ScriptTime : std::uint8_t { of_the_server, given };

/// The script for steps of these machines, in whatever order and number: it has the parts that they need and no others.
/// Thread-safe; composed at the first call.
template <Scripted... Machines>
const Script& script_for(ScriptTime time = ScriptTime::of_the_server) {
    static const auto composed = [](const lua::Fragment& clock) {
        std::vector<lua::Fragment> parts{clock, lua::prelude, lua::dispatcher};
        const auto need = [&](const lua::Fragment& part) {
            if (std::ranges::find(parts, part.text.data(), [](const auto& p) { return p.text.data(); }) == parts.end())
                parts.push_back(part);
        };
        (std::ranges::for_each(Wire<Machines>::fragments, need), ...);
        // By their text, too, so that the order of the machines makes no other script.
        std::ranges::sort(parts, [](const lua::Fragment& a, const lua::Fragment& b) {
            return a.rank != b.rank ? a.rank < b.rank : a.text < b.text;
        });
        std::string text;
        for (const lua::Fragment& part : parts) text += part.text;
        return Script{std::move(text)};
    };
    if (time == ScriptTime::given) {
        static const Script script = composed(lua::given_time);
        return script;
    }
    static const Script script = composed(lua::server_time);
    return script;
}

}  // namespace breakwater::redis
