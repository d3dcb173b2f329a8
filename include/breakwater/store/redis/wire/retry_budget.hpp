#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/retry/budget_machine.hpp>
#include <breakwater/store/redis/lua/fragment.hpp>
#include <breakwater/store/redis/lua/retry_budget.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/wire.hpp>
#include <breakwater/store/redis/words.hpp>

#include <array>
#include <chrono>
#include <cstdint>

namespace breakwater::redis {

template <>
struct Wire<RetryBudgetMachine> {
    using M = RetryBudgetMachine;
    using Options = M::Options;

    static constexpr std::array fragments{lua::retry_budget};

    static void encode(Words& words, const Options& options, const M::Credit&) { add(words, "credit", options); }
    static void encode(Words& words, const Options& options, const M::Take&) { add(words, "take", options); }
    static void encode(Words& words, const Options& options, const M::GiveBack&) { add(words, "give_back", options); }
    static void encode(Words& words, const Options& options, const M::Restore& restore) {
        const std::int64_t age_ms = restore.age / std::chrono::milliseconds{1};
        add(words, "restore", options, Words{}.add(on_wire(restore.spent)).add(on_wire(age_ms)));
    }
    static void encode(Words& words, const Options& options, const M::Sync& sync) {
        add(words, "sync", options, Words{}.add(sync.credits).add(sync.takes).add(sync.give_backs));
    }
    static void encode(Words& words, const Options& options, const Read&) { add(words, "read", options); }

    static bool decode(Numbers&, const Options&, const M::Credit&) { return true; }
    static M::Taken decode(Numbers& numbers, const Options&, const M::Take&) {
        const bool granted = numbers.next() != 0;
        const std::int64_t ms = numbers.next();
        if (granted || ms < 0) return {.granted = granted};
        return {.retry_after = std::chrono::milliseconds{ms}};
    }
    static bool decode(Numbers&, const Options&, const M::GiveBack&) { return true; }
    static bool decode(Numbers&, const Options&, const M::Restore&) { return true; }
    static std::int64_t decode(Numbers& numbers, const Options&, const M::Sync&) { return numbers.next(); }
    static M::State decode(Numbers& numbers, const Options&, const Read&) {
        const std::int64_t spent = numbers.next();
        return M::state_of(spent, numbers.next());
    }

private:
    static void add(Words& words, const char* command, const Options& options, const Words& arguments = {}) {
        add_step(words, "retry_budget", command,
                 Words{}.add(options.per_call).add(options.per_millisecond).add(options.burst).add(arguments));
    }
};

}  // namespace breakwater::redis
