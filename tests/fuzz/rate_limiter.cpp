// The limiters' machines under any sequence of commands and any clock: a refusal says exactly when to come back, no
// wait is negative or without end, and while the clock behaves no more is granted than promised.
#include "input.hpp"

#include <breakwater/rate_limiter/machine.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t latest = (std::int64_t{1} << 53) - 1;
constexpr bw::Duration max_pause = 5min;
__extension__ using Wide = unsigned __int128;

bw::Instant move(fuzz::Input& input, bw::Instant now, bool& is_monotone) {
    const auto kind = input.take<std::uint8_t>();
    std::int64_t step = kind < 128 ? kind : kind < 192 ? input.take<std::uint16_t>() : input.take<std::uint32_t>();
    if (kind > 250) {  // hostile
        step = kind % 2 == 0 ? -step : input.take<std::int64_t>() % latest;
        is_monotone = false;
    }
    return bw::Instant{bw::Duration{std::clamp(now.time_since_epoch().count() + step, std::int64_t{0}, latest)}};
}

template <class A>
A take_algorithm(fuzz::Input& input) {
    const auto permits = input.take_in<std::int64_t>(1, input.take_in<int>(0, 3) == 0 ? 100'000 : 20);
    const bw::Duration span{input.take_in<std::int64_t>(1, 200) * (input.take_in<int>(0, 1) == 0 ? 1'000 : 777'777)};
    if constexpr (std::same_as<A, bw::TokenBucket>)
        return {.permits = permits, .period = span, .burst = input.take_in<std::int64_t>(1, 50)};
    else
        return {.permits = permits, .window = span};
}

/// How long a refusal can last at most.
bw::Duration longest_wait(const bw::TokenBucket& bucket, bw::Duration ahead) {
    return ahead + bw::clock_tolerance + bucket.period * *bucket.burst / bucket.permits + 1us;
}
bw::Duration longest_wait(const auto& limit, bw::Duration ahead) {
    return ahead + bw::clock_tolerance + 4 * limit.window;
}

/// What may be granted in a span of the clock.
Wide bound(const bw::TokenBucket& bucket, bw::Instant from, bw::Instant to) {
    return static_cast<Wide>(*bucket.burst) + static_cast<Wide>((to - from).count()) *
                                                  static_cast<Wide>(bucket.permits) /
                                                  static_cast<Wide>(bucket.period.count());
}
Wide bound(const bw::FixedWindow& limit, bw::Instant from, bw::Instant to) {
    const auto index = [&](bw::Instant t) { return t.time_since_epoch() / limit.window; };
    return static_cast<Wide>(limit.permits) * static_cast<Wide>(index(to) - index(from) + 1);
}
Wide bound(const bw::SlidingWindow& limit, bw::Instant from, bw::Instant to) {
    return static_cast<Wide>(limit.permits) + static_cast<Wide>((to - from).count()) *
                                                  static_cast<Wide>(limit.permits) /
                                                  static_cast<Wide>(limit.window.count());
}

template <class A>
void limiter(fuzz::Input input) {
    using M = bw::RateMachine<A>;
    const A algorithm = take_algorithm<A>(input);
    if (!validate(algorithm, "algorithm")) return;
    const bw::Duration max_reserve = 1min;
    const typename M::Options options{algorithm.prepare(max_pause + max_reserve), layout_of(algorithm)};
    const bw::Duration longest = longest_wait(algorithm, max_pause + max_reserve);
    typename M::State state = M::make_state(options);
    bool is_monotone = true;
    bw::Instant now{bw::Duration{input.take<std::uint32_t>()}}, paused_until{};
    const bw::Instant begin = now;
    Wide granted = 0;
    std::int64_t taken = 0;
    for (int steps = 0; !input.empty() && steps < 1'000; ++steps) {
        now = move(input, now, is_monotone);
        if (now > bw::Instant{bw::Duration{latest}} - 24h) return;  // the end of all clocks
        const auto command = input.take_in<int>(0, 15);
        const auto n = input.take_in<std::int64_t>(1, command == 15 ? 200'000 : 8);
        if (command < 12 && now < paused_until) continue;  // to refuse meanwhile is the caller's task
        if (command < 10) {
            const bw::Grant seen = A::peek(state, options.prepared, n, now);
            const bw::Grant grant = M::apply(state, options, typename M::Take{n}, now);
            fuzz::require(seen == grant, "peek answers as take does");
            fuzz::require(grant.granted + grant.never + (grant.retry_after > 0s) == 1, "granted, never, or later");
            fuzz::require(grant.retry_after <= longest, "no wait is without end");
            if (grant.granted) {
                granted += static_cast<Wide>(n);
                taken += n;
            } else if (!grant.never) {
                auto later = state;
                fuzz::require(M::apply(later, options, typename M::Take{n}, now + grant.retry_after).granted,
                              "waiting exactly as long as told is enough");
                auto early = state;
                if (is_monotone && grant.retry_after > 1us)
                    fuzz::require(!M::apply(early, options, typename M::Take{n}, now + grant.retry_after - 1us).granted,
                                  "and waiting any less is not");
            }
        } else if (command < 12) {
            const auto reserved = M::apply(state, options, typename M::Reserve{n, 0s, max_reserve}, now);
            fuzz::require(reserved.grant.retry_after >= 0s && reserved.grant.retry_after <= longest,
                          "a reservation's wait lies in its bounds");
            if (reserved.grant.granted) {
                fuzz::require(reserved.grant.retry_after <= max_reserve, "it is as long as was asked for at most");
                is_monotone = false;  // granted ahead of time
                if (input.take<std::uint8_t>() % 2 == 0) {
                    const auto ready = now + reserved.grant.retry_after;
                    const bool undone = M::apply(state, options, typename M::Cancel{reserved, ready}, now);
                    fuzz::require(undone == (now < ready), "what is not yet usable can be cancelled");
                    fuzz::require(!undone || state == reserved.before, "and is undone");
                }
            }
        } else if (command == 12) {
            M::apply(state, options, typename M::GiveBack{std::min(n, taken)}, now);
            granted -= static_cast<Wide>(std::min(n, taken));
            taken -= std::min(n, taken);
        } else if (command == 13) {
            const bw::Instant from = std::max(now, paused_until);
            const bw::Instant until = std::min(from + n * 1ms, now + max_pause);
            M::apply(state, options, typename M::Pause{from, until}, now);
            paused_until = std::max(paused_until, until);
            if (paused_until > now + max_pause) paused_until = now;  // after a clock set back
        }
        const std::int64_t available = A::available(state, options.prepared, now);
        fuzz::require(available >= 0, "nobody has less than nothing");
        if (available > 0)
            fuzz::require(A::peek(state, options.prepared, available, now).granted, "what is available is granted");
        fuzz::require(!A::peek(state, options.prepared, available + 1, now).granted, "and no more");
        if (is_monotone && command != 13)
            fuzz::require(granted <= bound(algorithm, begin, now), "no more is granted than promised");
    }
}

/// A pause or a quota, against two numbers.
void pause(fuzz::Input input) {
    using M = bw::PauseMachine;
    const M::Options options{.max_pause = bw::Duration{input.take<std::uint32_t>()}};
    M::State state;
    bool is_monotone = true;
    bw::Instant now{bw::Duration{input.take<std::uint32_t>()}}, until{};
    std::int64_t left = 0;  // 0 before `until`: a pause, or used up
    bool paused = false;
    for (int steps = 0; !input.empty() && steps < 1'000; ++steps) {
        now = move(input, now, is_monotone);
        if (now > bw::Instant{bw::Duration{latest}} - 24h) return;
        const auto command = input.take_in<int>(0, 7);
        const auto n = input.take_in<std::int64_t>(1, M::most_left);
        const bw::Duration span{input.take<std::int32_t>()};
        const bw::Duration before = M::apply(state, options, M::Check{}, now);
        if (command < 4) {
            const bw::Duration refused = M::apply(state, options, M::Spend{n % 4 + 1}, now);
            if (is_monotone) {
                const bool is_free = now >= until || (!paused && left >= n % 4 + 1);
                fuzz::require(refused == (is_free ? 0s : until - now), "refused until the end, if it is");
                if (is_free && now < until) left -= n % 4 + 1;
            }
        } else if (command < 6) {
            const auto extended = M::apply(state, options, M::Extend{now + span}, now);
            fuzz::require(extended.from >= now && extended.until >= extended.from, "a pause lies ahead");
            if (span > 0s && options.max_pause > 0s) {
                until = std::max(paused && until > now ? until : now, now + std::min(span, options.max_pause));
                paused = true;
            }
        } else {
            M::apply(state, options, M::Limit{n, now + span}, now);
            const bool is_tighter = now >= until || (!paused && n < left);
            if (span > 0s && options.max_pause > 0s && is_tighter) {
                until = now + std::min(span, options.max_pause);
                left = n;
                paused = false;
            }
            const bw::Duration after = M::apply(state, options, M::Check{}, now);
            fuzz::require(before == 0s || after == before, "a quota neither ends nor begins a pause");
        }
        const bw::Duration refused = M::apply(state, options, M::Check{}, now);
        fuzz::require(refused >= 0s && refused <= options.max_pause + bw::clock_tolerance, "no pause is without end");
        auto later = state;
        fuzz::require(M::apply(later, options, M::Check{}, now + refused) == 0s, "after it calls are let through");
        fuzz::require((M::left(state, options, now) == 0) == (refused > 0s), "nothing is left exactly in a pause");
        if (is_monotone && now < until)
            fuzz::require(M::left(state, options, now) == (paused ? 0 : left), "what is left is what was not spent");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    switch (input.take<std::uint8_t>() % 4) {
        case 0: limiter<bw::TokenBucket>(input); break;
        case 1: limiter<bw::FixedWindow>(input); break;
        case 2: limiter<bw::SlidingWindow>(input); break;
        default: pause(input); break;
    }
    return 0;
}
