#include <breakwater/random.hpp>
#include <breakwater/rate_limiter/fixed_window.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/rate_limiter/sliding_window.hpp>
#include <breakwater/rate_limiter/token_bucket.hpp>
#include <catch_shim.hpp>

#include "seed.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

// The limiters against naive models that keep exact rational numbers in 128 bits, never wrap, never divide ahead of
// time and never pack; and against the bound they promise, which knows nothing of how they work.

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::FixedWindow;
using bw::LimiterState;
using bw::SlidingWindow;
using bw::TokenBucket;

namespace {

__extension__ using Wide = __int128;

constexpr bw::Duration max_pause = 2min;
constexpr std::int64_t latest = (std::int64_t{1} << 53) - 1;

/// Time in units of 1/permits µs, in which a permit takes `period` units to come back.
struct BucketModel {
    Wide permits, period, burst;
    Wide full_at = 0;

    explicit BucketModel(const TokenBucket& bucket)
        : permits{bucket.permits}, period{bucket.period.count()}, burst{bucket.burst.value_or(bucket.permits)} {}

    Wide units(bw::Instant t) const { return Wide{t.time_since_epoch().count()} * permits; }
    Wide short_of_full(bw::Instant now) const { return full_at > units(now) ? full_at - units(now) : Wide{0}; }
    Wide furthest() const { return burst * period + Wide{(max_pause + bw::clock_tolerance).count()} * permits; }

    /// The one tick in 2^64 whose word would mean "fresh" is the next one.
    void set(Wide value) {
        const Wide tick = std::gcd(static_cast<std::int64_t>(permits), static_cast<std::int64_t>(period));
        full_at = value % (tick << 64) == 0 ? value + tick : value;
    }

    bw::Grant take(std::int64_t n, bw::Instant now) {
        if (n < 0 || n > burst) return {.never = true};
        if (short_of_full(now) + n * period <= burst * period) {
            set(units(now) + short_of_full(now) + n * period);
            return {.granted = true};
        }
        if (short_of_full(now) > furthest()) set(units(now) + burst * period);
        const Wide missing = short_of_full(now) + n * period - burst * period;
        return {.retry_after = bw::Duration{static_cast<std::int64_t>(missing / permits + (missing % permits != 0))}};
    }
    void pause(bw::Instant from, bw::Instant until) {
        set(units(until) + (short_of_full(from) > furthest() ? burst * period : short_of_full(from)));
    }
    void give_back(std::int64_t n, bw::Instant now) {
        if (full_at > units(now)) set(std::max(units(now), full_at - n * period));
    }
    std::int64_t available(bw::Instant now) const {
        const Wide credit = burst * period - short_of_full(now);
        return credit > 0 ? static_cast<std::int64_t>(credit / period) : 0;
    }
    /// The most that may be granted while the clock reads from `low` to `high`.
    Wide bound(bw::Instant low, bw::Instant high) const { return burst + (units(high) - units(low)) / period; }
};

struct WindowModel {
    std::int64_t permits, window;
    std::int64_t index = 0;
    std::int64_t taken = 0;

    explicit WindowModel(const FixedWindow& limit) : permits{limit.permits}, window{limit.window.count()} {}

    std::int64_t index_at(bw::Instant t) const { return t.time_since_epoch().count() / window; }
    std::int64_t furthest() const { return (max_pause + bw::clock_tolerance).count() / window + 1; }
    /// Makes the window that counts at `now` the current one.
    void read(bw::Instant now) {
        if (index_at(now) > index) taken = 0;
        if (index - index_at(now) > (max_pause + bw::clock_tolerance).count() / window + 1) {
            index = index_at(now);
            taken = permits;
        }
        index = std::max(index, index_at(now));
    }
    bw::Grant take(std::int64_t n, bw::Instant now) {
        if (n < 0 || n > permits) return {.never = true};
        read(now);
        if (taken + n <= permits) {
            taken += n;
            forget_if_fresh();
            return {.granted = true};
        }
        return {.retry_after = bw::Instant{bw::Duration{(index + 1) * window}} - now};
    }
    void pause(bw::Instant from, bw::Instant until) {
        read(from);
        index = std::max(index, index_at(until - 1us));
        forget_if_fresh();
    }
    void give_back(std::int64_t n, bw::Instant now) {
        read(now);
        taken = std::max<std::int64_t>(taken - n, 0);
        forget_if_fresh();
    }
    /// The word of window 0 modulo 2^31 with nothing taken is the fresh one: of no window.
    void forget_if_fresh() {
        if (taken == 0 && (index & 0x7fff'ffff) == 0) index = 0;
    }
    std::int64_t available(bw::Instant now) const {
        WindowModel copy = *this;
        copy.read(now);
        return permits - copy.taken;
    }
    Wide bound(bw::Instant low, bw::Instant high) const { return Wide{permits} * (index_at(high) - index_at(low) + 1); }
};

/// Two counts by exact fractions. When to come back is found by trying, not by a formula.
struct SlidingModel {
    Wide permits, window;
    Wide index = 0, previous = 0, current = 0;
    Wide fresh_every;  ///< The word of a multiple of this window with nothing taken is the fresh one: of no window.

    explicit SlidingModel(const SlidingWindow& limit)
        : permits{limit.permits},
          window{limit.window.count()},
          fresh_every{Wide{1} << (63 - 2 * (64 - std::countl_zero(static_cast<std::uint64_t>(limit.permits))))} {}

    Wide index_at(bw::Instant t) const { return t.time_since_epoch().count() / window; }
    Wide furthest() const { return (max_pause + bw::clock_tolerance).count() / window + 1; }
    void read(bw::Instant now) {
        for (; index < index_at(now) && (previous != 0 || current != 0); ++index) {
            previous = std::exchange(current, 0);
        }
        if (index - index_at(now) > furthest()) {
            index = index_at(now);
            previous = 0;
            current = permits;
        }
        index = std::max(index, index_at(now));
    }
    /// The estimate times `window`.
    Wide estimate(bw::Instant now) const {
        const Wide begin = index * window;
        const Wide offset = std::max(begin, Wide{now.time_since_epoch().count()}) - begin;
        return current * window + previous * (window - offset);
    }
    bool has_room(Wide n, bw::Instant now) const {
        SlidingModel later = *this;
        later.read(now);
        return later.estimate(now) + n * later.window <= later.permits * later.window;
    }
    bw::Grant take(std::int64_t n, bw::Instant now) {
        if (n < 0 || n > permits) return {.never = true};
        if (has_room(n, now)) {
            read(now);
            current += n;
            forget_if_fresh();
            return {.granted = true};
        }
        if (index - index_at(now) > furthest()) read(now);  // a refusal changes nothing else
        Wide too_short = 0;
        Wide enough = (std::max(index - index_at(now), Wide{0}) + 3) * window;
        while (enough - too_short > 1) {
            const Wide middle = (too_short + enough) / 2;
            (has_room(n, now + bw::Duration{static_cast<std::int64_t>(middle)}) ? enough : too_short) = middle;
        }
        return {.retry_after = bw::Duration{static_cast<std::int64_t>(enough)}};
    }
    void pause(bw::Instant from, bw::Instant until) {
        read(from);
        if (index <= index_at(until - 1us)) {
            current = std::min(permits, (estimate(from) + window - 1) / window);
            previous = 0;
            index = index_at(until - 1us);
        }
        forget_if_fresh();
    }
    void give_back(std::int64_t n, bw::Instant now) {
        read(now);
        const Wide from_current = std::min(current, Wide{n});
        current -= from_current;
        previous -= std::min(previous, n - from_current);
        forget_if_fresh();
    }
    void forget_if_fresh() {
        if (previous == 0 && current == 0 && index % fresh_every == 0) index = 0;
    }
    std::int64_t available(bw::Instant now) const {
        SlidingModel copy = *this;
        copy.read(now);
        const Wide room = permits - (copy.estimate(now) + window - 1) / window;
        return static_cast<std::int64_t>(std::max(room, Wide{0}));
    }
    Wide bound(bw::Instant low, bw::Instant high) const {
        return permits + permits * Wide{(high - low).count()} / window;
    }
};

class Dice {
public:
    explicit Dice(std::uint64_t seed) : random_{seed} {}
    std::int64_t in(std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(bw::uniform(random_(), static_cast<std::uint64_t>(high - low)));
    }
    /// Evenly spread over the magnitudes up to `high`, so that small numbers are common.
    std::int64_t magnitude(std::int64_t high) { return in(0, std::min(high, std::int64_t{1} << in(0, 52))); }
    bool once_in(std::int64_t n) { return in(1, n) == 1; }

private:
    bw::Random random_;
};

TokenBucket random_bucket(Dice& dice) {
    for (;;) {
        TokenBucket bucket{.permits = 1 + dice.magnitude(1 << 21),
                           .period = bw::Duration{1 + dice.magnitude(1LL << 36)}};
        if (dice.once_in(3)) bucket.period = 1s;
        if (dice.once_in(10)) bucket = {.permits = (1 << 20) - 3, .period = 1s};  // the largest numerators
        if (!dice.once_in(3)) bucket.burst = 1 + dice.magnitude(30);
        if (validate(bucket, "")) return bucket;
    }
}

FixedWindow random_window(Dice& dice) {
    return {.permits = 1 + dice.magnitude(dice.once_in(5) ? 1LL << 30 : 30),
            .window = bw::Duration{std::clamp<std::int64_t>(dice.magnitude(1LL << 40), 1'000, 366LL * 86'400'000'000)}};
}

SlidingWindow random_sliding_window(Dice& dice) {
    for (;;) {
        const FixedWindow limit = random_window(dice);
        if (validate(SlidingWindow{limit.permits, limit.window}, "")) return {limit.permits, limit.window};
    }
}

/// When a run begins: early, somewhere, at the end of time, or where ticks and indexes wrap round.
template <class Prepared>
bw::Instant random_start(Dice& dice, const Prepared& prepared) {
    Wide wrap = 1;
    if constexpr (requires { prepared.ticks_per_us; }) {
        wrap = std::numeric_limits<std::uint64_t>::max() / prepared.ticks_per_us;
    } else if constexpr (requires { prepared.index_mask; }) {
        wrap = Wide{prepared.windows.length} * (Wide{prepared.index_mask} + 1);
    } else {
        wrap = Wide{prepared.windows.length} << 31;
    }
    constexpr std::int64_t room = std::int64_t{1} << 45;
    const std::int64_t at_wrap =
        static_cast<std::int64_t>(std::min<Wide>(wrap, latest - room)) - dice.magnitude(10'000'000);
    const std::int64_t choices[] = {dice.in(0, 1'000'000), dice.in(0, latest - room), latest - room, at_wrap};
    return bw::Instant{bw::Duration{std::max<std::int64_t>(choices[dice.in(0, 3)], 0)}};
}

/// One grant, for the bound.
struct Taken {
    bw::Instant when;
    std::int64_t permits;
};

/// However the clock moved: the permits granted by any calls in a row fit what may be granted between the lowest and
/// the highest reading among them.
template <class Model>
bool is_within_bound(const Model& model, const std::vector<Taken>& grants) {
    for (auto first = grants.begin(); first != grants.end(); ++first) {
        bw::Instant low = first->when;
        bw::Instant high = first->when;
        Wide sum = 0;
        const auto end = first + std::min<std::ptrdiff_t>(400, grants.end() - first);
        for (auto last = first; last != end; ++last) {
            low = std::min(low, last->when);
            high = std::max(high, last->when);
            sum += last->permits;
            if (sum > model.bound(low, high)) return false;
        }
    }
    return true;
}

/// Runs a machine and its model through the same random story; returns the first step at which they differ.
template <class Algorithm, class Model>
std::optional<int> first_difference(const Algorithm& algorithm, Dice& dice, std::int64_t most, std::int64_t share) {
    constexpr int steps = 400;
    const auto prepared = algorithm.prepare(max_pause);
    LimiterState state;
    Model model{algorithm};
    bw::Instant now = random_start(dice, prepared);
    bw::Instant paused_until = now;
    bw::Instant low_water = now;
    bw::Duration last_wait{};
    std::vector<Taken> grants;  // since the last thing that makes the bound void
    const std::int64_t usual = std::min<std::int64_t>(most, 1 + dice.magnitude(most));

    for (int step = 0; step < steps; ++step) {
        switch (dice.in(0, 9)) {  // the clock
            case 0:
            case 1: break;
            case 2: now += last_wait; break;
            case 3: now += bw::Duration{dice.magnitude(share)}; break;
            case 4: now += bw::Duration{dice.in(0, 3)}; break;
            case 5: now += bw::Duration{dice.magnitude(std::int64_t{1} << 36)}; break;
            case 6:
            case 7: now = std::max(low_water, now - bw::Duration{dice.magnitude(40'000'000)}); break;
            default: now += bw::Duration{dice.in(0, 2 * share)}; break;
        }
        if (now > low_water + 40s) low_water = now - 40s;  // steps back stay within the tolerance …
        if (dice.once_in(150)) {                           // … but for a few, which void the bound
            now = std::max(bw::Instant{}, now - bw::Duration{dice.magnitude(std::int64_t{1} << 39)});
            low_water = paused_until = now;
            grants.clear();
        }
        if (now < paused_until) {  // whoever paused the limiter refuses meanwhile
            if (!dice.once_in(2)) continue;
            now = paused_until;
        }
        const std::int64_t n = dice.once_in(12) ? dice.in(-1, most + 1) : dice.in(0, usual);
        const auto action = dice.in(0, 19);
        if (action == 0) {
            paused_until = now + bw::Duration{dice.in(1, max_pause.count())};
            Algorithm::pause(state, prepared, now, paused_until);
            model.pause(now, paused_until);
            if (dice.once_in(2)) {  // prolonged
                const bw::Instant from = std::exchange(paused_until, now + max_pause);
                Algorithm::pause(state, prepared, from, paused_until);
                model.pause(from, paused_until);
            }
        } else {
            const LimiterState before = state;
            const bw::Grant looked = Algorithm::peek(state, prepared, n, now);
            const bw::Grant grant = Algorithm::take(state, prepared, n, now);
            if (grant != model.take(n, now) || grant != looked) return step;
            last_wait = grant.retry_after;
            if (grant.granted) {
                grants.push_back({now, n});
                if (action == 1) {  // undone in the same step: as if never taken
                    Algorithm::give_back(state, prepared, n, now);
                    model.give_back(n, now);
                    grants.back().permits = 0;  // its reading of the clock still counts
                }
            } else if (!grant.never) {  // the wait it names is long enough, and not a microsecond too long
                if (grant.retry_after <= 0s && n > 0) return step;
                if (!Algorithm::peek(state, prepared, n, now + grant.retry_after).granted) return step;
                if (Algorithm::peek(state, prepared, n, now + grant.retry_after - 1us).granted) return step;
            } else if (state != before) {
                return step;
            }
        }
        // A word that happens to mean "fresh" (see the models) has forgotten where the clock was.
        if (state == LimiterState{}) grants.clear();
        if (Algorithm::available(state, prepared, now) != model.available(now)) return step;
    }
    if (!is_within_bound(model, grants)) return steps;
    return std::nullopt;
}

/// Takes, reserves, cancels and pauses at random while time passes. Returns the first step at which a reservation does
/// not wait exactly as long as it must, overtakes an earlier one, or leaves a trace though cancelled; or the number of
/// steps, if in any interval more was usable than the bound allows.
template <class Algorithm, class Model>
std::optional<int> first_broken_promise(const Algorithm& algorithm, Dice& dice, std::int64_t most, std::int64_t share) {
    using Machine = bw::RateMachine<Algorithm>;
    struct Made {
        typename Machine::Reserved reserved;
        bw::Instant ready_at;
        std::size_t grant;
    };
    constexpr int steps = 250;
    constexpr bw::Duration max_reserve = 3min;
    const typename Machine::Options options{algorithm.prepare(max_pause + max_reserve), ""};
    const Model model{algorithm};
    LimiterState state;
    bw::Instant now = random_start(dice, options.prepared);
    bw::Instant paused_until = now;
    bw::Duration last_wait{};
    std::vector<Taken> grants;
    std::vector<Made> made;
    const std::int64_t usual = std::min<std::int64_t>(most, 1 + dice.magnitude(most));

    for (int step = 0; step < steps; ++step) {
        switch (dice.in(0, 9)) {  // the clock
            case 0: now += last_wait; break;
            case 1: now += bw::Duration{dice.in(0, 2 * share)}; break;
            case 2: now += bw::Duration{dice.in(0, 3)}; break;
            case 3: now += bw::Duration{dice.magnitude(share)}; break;
            case 4: now += dice.once_in(10) ? bw::Duration{dice.magnitude(std::int64_t{1} << 36)} : 0us; break;
            default: break;
        }
        const bw::Duration paused = std::max<bw::Duration>(paused_until - now, 0us);
        std::int64_t n = dice.in(1, usual);
        if (dice.once_in(4)) n = std::min<std::int64_t>(most, dice.in(1, 5));
        if (dice.once_in(8)) n = std::max<std::int64_t>(1, most - dice.in(0, 20));
        const auto action = dice.in(0, 29);
        const LimiterState before = state;
        const auto is_overtaken = [&](bw::Instant when) {
            return std::ranges::any_of(grants, [&](const Taken& one) { return one.permits > 0 && one.when > when; });
        };
        if (action == 0) {
            const bw::Instant from = now + paused;
            paused_until = std::max(from, now + bw::Duration{dice.magnitude(max_pause.count())});
            Machine::apply(state, options, typename Machine::Pause{from, paused_until}, now);
        } else if (action < 6 && !made.empty()) {
            const auto which =
                made.begin() + (dice.once_in(2) ? std::ssize(made) - 1 : dice.in(0, std::ssize(made) - 1));
            if (Machine::apply(state, options, typename Machine::Cancel{which->reserved, which->ready_at}, now)) {
                if (now >= which->ready_at || state != which->reserved.before) return step;
                grants[which->grant].permits = 0;
            } else if (state != before || (now < which->ready_at && which->reserved.after == before)) {
                return step;
            }
            made.erase(which);
        } else if (action < 14) {
            if (paused > 0us) continue;
            const bw::Grant grant = Machine::apply(state, options, typename Machine::Take{n}, now);
            last_wait = grant.retry_after;
            if (!grant.granted) continue;
            if (is_overtaken(now)) return step;
            grants.push_back({now, n});
        } else {
            const bw::Grant looked = Algorithm::peek(state, options.prepared, n, now + paused);
            const bw::Duration max_wait = paused + bw::Duration{dice.magnitude((max_reserve - paused).count())};
            const auto reserved = Machine::apply(state, options, typename Machine::Reserve{n, paused, max_wait}, now);
            const bw::Duration wait = paused + looked.retry_after;
            if (reserved.grant.granted != (wait <= max_wait) || reserved.grant.retry_after != wait) return step;
            last_wait = wait;
            if (!reserved.grant.granted) {
                if (state != before) return step;
                continue;
            }
            if (is_overtaken(now + wait)) return step;
            made.push_back({reserved, now + wait, grants.size()});
            grants.push_back({now + wait, n});
        }
    }
    std::ranges::sort(grants, {}, &Taken::when);
    if (!is_within_bound(model, grants)) return steps;
    return std::nullopt;
}

/// Windows that a reservation can reach.
bw::Duration short_window(Dice& dice) { return bw::Duration{dice.in(1'000, dice.once_in(2) ? 100'000 : 60'000'000)}; }

}  // namespace

TEST_CASE("a token bucket does what exact rational arithmetic does, and keeps its bound in any window") {
    const std::uint64_t seed = test::seed();
    Dice dice{seed};
    for (int run = 0; run < 2'000; ++run) {
        const TokenBucket bucket = random_bucket(dice);
        const std::int64_t burst = bucket.burst.value_or(bucket.permits);
        const std::int64_t share = bucket.period.count() / bucket.permits + 1;
        const auto step = first_difference<TokenBucket, BucketModel>(bucket, dice, burst, share);
        CAPTURE(seed, run, bucket.permits, bucket.period.count(), burst, step.value_or(-1));
        REQUIRE_FALSE(step.has_value());
    }
}

TEST_CASE("a fixed window does what plain counting does, and keeps its bound in any window") {
    const std::uint64_t seed = test::seed();
    Dice dice{seed};
    for (int run = 0; run < 2'000; ++run) {
        const FixedWindow limit = random_window(dice);
        const auto step =
            first_difference<FixedWindow, WindowModel>(limit, dice, limit.permits, limit.window.count() / 4 + 1);
        CAPTURE(seed, run, limit.permits, limit.window.count(), step.value_or(-1));
        REQUIRE_FALSE(step.has_value());
    }
}

TEST_CASE("a sliding window does what exact fractions do, and keeps its bound in any interval") {
    const std::uint64_t seed = test::seed();
    Dice dice{seed};
    for (int run = 0; run < 2'000; ++run) {
        const SlidingWindow limit = random_sliding_window(dice);
        const auto step =
            first_difference<SlidingWindow, SlidingModel>(limit, dice, limit.permits, limit.window.count() / 4 + 1);
        CAPTURE(seed, run, limit.permits, limit.window.count(), step.value_or(-1));
        REQUIRE_FALSE(step.has_value());
    }
}

TEST_CASE("reservations of a token bucket wait no longer than they must, queue, and keep its bound") {
    const std::uint64_t seed = test::seed();
    Dice dice{seed};
    for (int run = 0; run < 1'000; ++run) {
        const TokenBucket bucket = random_bucket(dice);
        const std::int64_t burst = bucket.burst.value_or(bucket.permits);
        const std::int64_t share = bucket.period.count() / bucket.permits + 1;
        const auto step = first_broken_promise<TokenBucket, BucketModel>(bucket, dice, burst, share);
        CAPTURE(seed, run, bucket.permits, bucket.period.count(), burst, step.value_or(-1));
        REQUIRE_FALSE(step.has_value());
    }
}

TEST_CASE("reservations of a fixed window wait no longer than they must, queue, and keep its bound") {
    const std::uint64_t seed = test::seed();
    Dice dice{seed};
    for (int run = 0; run < 1'000; ++run) {
        const FixedWindow limit{.permits = dice.in(1, 12), .window = short_window(dice)};
        const auto step =
            first_broken_promise<FixedWindow, WindowModel>(limit, dice, limit.permits, limit.window.count() / 4 + 1);
        CAPTURE(seed, run, limit.permits, limit.window.count(), step.value_or(-1));
        REQUIRE_FALSE(step.has_value());
    }
}

TEST_CASE("reservations of a sliding window wait no longer than they must, queue, and keep its bound") {
    const std::uint64_t seed = test::seed();
    Dice dice{seed};
    for (int run = 0; run < 1'000; ++run) {
        SlidingWindow limit{.permits = dice.in(1, 12), .window = short_window(dice)};
        if (dice.once_in(3)) limit = {.permits = dice.in(5'000, 16'383), .window = 1ms};  // several each microsecond
        const auto step =
            first_broken_promise<SlidingWindow, SlidingModel>(limit, dice, limit.permits, limit.window.count() / 4 + 1);
        CAPTURE(seed, run, limit.permits, limit.window.count(), step.value_or(-1));
        REQUIRE_FALSE(step.has_value());
    }
}
