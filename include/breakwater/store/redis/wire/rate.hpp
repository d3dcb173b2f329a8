#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/any_algorithm.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/redis/lua/fixed_window.hpp>
#include <breakwater/store/redis/lua/fragment.hpp>
#include <breakwater/store/redis/lua/limiter.hpp>
#include <breakwater/store/redis/lua/no_limit.hpp>
#include <breakwater/store/redis/lua/sliding_window.hpp>
#include <breakwater/store/redis/lua/token_bucket.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/wire.hpp>
#include <breakwater/store/redis/wire/limiter_word.hpp>
#include <breakwater/store/redis/words.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <variant>

namespace breakwater::redis {

/// The built-in algorithms, by what is prepared of their options.
template <class Algorithm>
struct LimiterScript;

template <>
struct LimiterScript<NoLimit> {
    static constexpr std::array fragments{lua::limiter, lua::no_limit};
};
template <>
struct LimiterScript<TokenBucket> {
    static constexpr std::array fragments{lua::limiter, lua::token_bucket};
};
template <>
struct LimiterScript<FixedWindow> {
    static constexpr std::array fragments{lua::limiter, lua::fixed_window};
};
template <>
struct LimiterScript<SlidingWindow> {
    static constexpr std::array fragments{lua::limiter, lua::sliding_window};
};
template <>
struct LimiterScript<AnyAlgorithm> {
    static constexpr std::array fragments{lua::limiter, lua::no_limit, lua::token_bucket, lua::fixed_window,
                                          lua::sliding_window};
};

template <class Algorithm>
    requires requires { LimiterScript<Algorithm>::fragments; }
struct Wire<RateMachine<Algorithm>> {
    using M = RateMachine<Algorithm>;
    using Options = typename M::Options;
    using Prepared = typename Algorithm::Prepared;

    static constexpr const auto& fragments = LimiterScript<Algorithm>::fragments;

    static void encode(Words& words, const Options& options, const typename M::Take& take) {
        add(words, "take", options, Words{}.add(on_wire(take.permits)));
    }
    static void encode(Words& words, const Options& options, const typename M::Reserve& reserve) {
        add(words, "reserve", options,
            Words{}.add(on_wire(reserve.permits)).add(on_wire(reserve.paused)).add(on_wire(reserve.max_wait)));
    }
    static void encode(Words& words, const Options& options, const typename M::Cancel& cancel) {
        Words arguments;
        arguments.add(on_wire(cancel.ready_at));
        with(options, [&](const auto& prepared) {
            LimiterWord{prepared}.add(arguments, cancel.reserved.before, cancel.ready_at);
            LimiterWord{prepared}.add(arguments, cancel.reserved.after, cancel.ready_at);
        });
        add(words, "cancel", options, arguments);
    }
    static void encode(Words& words, const Options& options, const typename M::GiveBack& back) {
        add(words, "give_back", options, Words{}.add(on_wire(back.permits)));
    }
    static void encode(Words& words, const Options& options, const typename M::Pause& pause) {
        add(words, "pause", options, Words{}.add(on_wire(pause.from)).add(on_wire(pause.until)));
    }
    static void encode(Words& words, const Options& options, const typename M::Lease& lease) {
        add(words, "lease", options, Words{}.add(on_wire(lease.permits)));
    }
    static void encode(Words& words, const Options& options, const Read&) { add(words, "read", options, Words{}); }

    static Grant decode(Numbers& numbers, const Options&, const typename M::Take&) { return grant(numbers); }
    static typename M::Reserved decode(Numbers& numbers, const Options& options, const typename M::Reserve&) {
        const auto before = state(numbers, options);
        const Grant granted = grant(numbers);
        return {granted, before, state(numbers, options)};
    }
    static bool decode(Numbers& numbers, const Options&, const typename M::Cancel&) { return numbers.next() != 0; }
    static bool decode(Numbers&, const Options&, const typename M::GiveBack&) { return true; }
    static bool decode(Numbers&, const Options&, const typename M::Pause&) { return true; }
    static typename M::Leased decode(Numbers& numbers, const Options&, const typename M::Lease&) {
        const Grant granted = grant(numbers);
        const std::int64_t permits = numbers.next();
        return {granted, permits, Instant{Duration{numbers.next()}}};
    }
    static typename M::State decode(Numbers& numbers, const Options& options, const Read&) {
        return state(numbers, options);
    }

private:
    /// Of a choice at run time, what was chosen.
    template <class F>
    static auto with(const Options& options, F function) {
        if constexpr (std::is_same_v<Algorithm, AnyAlgorithm>)
            return std::visit(function, options.prepared);
        else
            return function(options.prepared);
    }
    static void add(Words& words, std::string_view command, const Options& options, const Words& rest) {
        with(options, [&](const auto& prepared) {
            Words arguments;
            LimiterWord{prepared}.add_options(arguments);
            add_step(words, LimiterWord{prepared}.name, command, arguments.add(rest));
        });
    }
    static Grant grant(Numbers& numbers) {
        Grant grant;
        grant.granted = numbers.next() != 0;
        grant.never = numbers.next() != 0;
        grant.retry_after = Duration{numbers.next()};
        return grant;
    }
    static typename M::State state(Numbers& numbers, const Options& options) {
        return with(options, [&](const auto& prepared) { return LimiterWord{prepared}.state(numbers); });
    }
};

}  // namespace breakwater::redis
