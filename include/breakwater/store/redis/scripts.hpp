#pragma once

#include <breakwater/store/redis/lua/dispatcher.hpp>
#include <breakwater/store/redis/lua/fragment.hpp>
#include <breakwater/store/redis/lua/prelude.hpp>
#include <breakwater/store/redis/script.hpp>
#include <breakwater/store/redis/wire.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace breakwater::redis {

/// Whose clock a script goes by. Only tests tell it the time.
enum class ScriptTime : std::uint8_t { of_the_server, given };

/// The fragments that a script is made of, each once, and in the one order in which they can stand.
class ScriptParts {
public:
    explicit ScriptParts(const lua::Fragment& clock) : parts_{clock, lua::prelude, lua::dispatcher} {}

    void need(const lua::Fragment& part) {
        if (std::ranges::find(parts_, part.text.data(), [](const auto& p) { return p.text.data(); }) == parts_.end())
            parts_.push_back(part);
    }
    void need(const ScriptParts& others) {
        for (const lua::Fragment& part : others.parts_) need(part);
    }
    /// By their text, too, so that the order in which they were needed makes no other script.
    std::string text() const {
        auto sorted = parts_;
        std::ranges::sort(sorted, [](const lua::Fragment& a, const lua::Fragment& b) {
            return a.rank != b.rank ? a.rank < b.rank : a.text < b.text;
        });
        std::string text;
        for (const lua::Fragment& part : sorted) text += part.text;
        return text;
    }

private:
    std::vector<lua::Fragment> parts_;
};

/// A script, and what it is made of.
struct ComposedScript {
    explicit ComposedScript(ScriptParts made_of) : parts{std::move(made_of)}, script{parts.text()} {}

    const ScriptParts parts;
    const Script script;
};

/// What steps of these machines need.
template <Scripted... Machines>
ScriptParts parts_for(const lua::Fragment& clock) {
    ScriptParts parts{clock};
    const auto need = [&](const lua::Fragment& part) { parts.need(part); };
    (std::ranges::for_each(Wire<Machines>::fragments, need), ...);
    return parts;
}

/// The script for steps of these machines, in whatever order and number: it has the parts that they need and no others.
/// Thread-safe; composed at the first call.
template <Scripted... Machines>
const ComposedScript& composed_for() {
    static const ComposedScript composed{parts_for<Machines...>(lua::server_time)};
    return composed;
}
template <Scripted... Machines>
const Script& script_for(ScriptTime time = ScriptTime::of_the_server) {
    if (time == ScriptTime::of_the_server) return composed_for<Machines...>().script;
    static const Script script{parts_for<Machines...>(lua::given_time).text()};
    return script;
}

/// The script for all the steps that these are for. Thread-safe; composed once for each set of them.
inline const Script& script_for_all(std::vector<const ComposedScript*> scripts) {
    std::ranges::sort(scripts);
    scripts.erase(std::ranges::unique(scripts).begin(), scripts.end());
    if (scripts.size() == 1) return scripts.front()->script;
    static std::mutex mutex;
    static std::map<std::vector<const ComposedScript*>, Script> composed;
    const std::scoped_lock lock{mutex};
    const auto found = composed.find(scripts);
    if (found != composed.end()) return found->second;
    ScriptParts parts{lua::server_time};
    for (const ComposedScript* script : scripts) parts.need(script->parts);
    return composed.emplace(std::move(scripts), Script{parts.text()}).first->second;
}

}  // namespace breakwater::redis
