#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/redis/connection/command.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace breakwater::redis {

/// Commands that wait for their node to come up, or for a moment to pass.
class HeldCommands {
public:
    struct Held {
        Command command;
        Instant until = Instant::max();       ///< Or until its deadline, if that is earlier.
        Instant not_before = Instant::max();  ///< When to try, even if nothing changes.
        std::string asking{};                 ///< The node that ASK has named.
        bool is_early = false;                ///< Came while everything was starting.
    };

    bool empty() const noexcept { return held_.empty(); }
    void hold(Held&& held) { held_.push_back(std::move(held)); }

    /// When `release` has something to do by the time alone.
    Instant next() const noexcept {
        Instant at = Instant::max();
        for (const Held& held : held_) at = std::min({at, held.until, held.not_before, held.command.deadline});
        return at;
    }

    /// Offers each command to `send(Held&)`, which takes it or returns false, and completes what has waited long
    /// enough. `is_starting`: those that came early may wait on.
    template <class F>
    void release(Instant now, bool is_starting, F&& send) {
        for (Held& held : std::exchange(held_, {})) {
            const bool is_due = held.not_before == Instant::max() || now >= held.not_before;
            if (is_due && now < held.command.deadline && send(held)) continue;
            if (now >= std::min(held.until, held.command.deadline) || (held.is_early && !is_starting)) {
                held.command.complete(Reply::Kind::unreachable);
            } else {
                if (is_due) held.not_before = Instant::max();
                hold(std::move(held));
            }
        }
    }

    void stop() {
        for (Held& held : std::exchange(held_, {})) held.command.complete(Reply::Kind::unreachable);
    }

private:
    std::vector<Held> held_;
};

}  // namespace breakwater::redis
