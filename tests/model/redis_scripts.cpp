#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/random.hpp>
#include <breakwater/rate_limiter/any_algorithm.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/retry/budget_machine.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/store/redis/wire/circuit.hpp>
#include <breakwater/store/redis/wire/pause.hpp>
#include <breakwater/store/redis/wire/rate.hpp>
#include <breakwater/store/redis/wire/retry_budget.hpp>
#include <catch_shim.hpp>

#include "redis_twin.hpp"
#include "seed.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

// The scripts against the machines they must decide like: random commands, options and times through both.

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Duration;
using bw::Instant;
using bw::test::Differences;
using bw::test::RedisPipeline;
using bw::test::RedisServer;
using bw::test::Twin;

namespace {

class Dice {
public:
    explicit Dice(std::uint64_t seed) : random_{seed} {}
    std::uint64_t bits() { return random_(); }
    std::int64_t in(std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(bw::uniform(random_(), static_cast<std::uint64_t>(high - low)));
    }
    std::uint32_t count(std::int64_t low, std::int64_t high) { return static_cast<std::uint32_t>(in(low, high)); }
    /// Evenly spread over the magnitudes up to `high`.
    std::int64_t magnitude(std::int64_t low, std::int64_t high) {
        return std::clamp(in(0, std::int64_t{1} << in(0, 52)), low, high);
    }
    Duration span(Duration low, Duration high) { return Duration{magnitude(low.count(), high.count())}; }
    bool once_in(std::int64_t n) { return in(1, n) == 1; }
    double share() { return static_cast<double>(in(1, 1'000'000)) / 1e6; }

private:
    bw::Random random_;
};

/// A clock that moves unevenly: on, not at all, a little or far back, far on.
class UnevenClock {
public:
    /// `scale`: what matters to the machine. `far`: the farthest jump.
    UnevenClock(Dice& dice, Duration scale, Duration far) : dice_{dice}, scale_{scale}, far_{far} {
        now_ = Instant{Duration{dice.once_in(5) ? dice.magnitude(1, std::int64_t{1} << 50)
                                                : 1'763'000'000'000'000 + dice.in(0, 1'000'000'000'000)}};
    }
    Instant next() {
        const std::int64_t kind = dice_.in(0, 99);
        if (kind < 50)
            now_ += Duration{dice_.in(0, scale_.count())};
        else if (kind < 60)
            now_ += std::min(far_, Duration{dice_.in(0, 40) * scale_.count()});
        else if (kind < 66)
            now_ -= std::min(far_, Duration{dice_.in(0, scale_.count())});
        else if (kind < 68)
            now_ -= std::min(far_, Duration{dice_.in(0, Duration{1min}.count())});
        else if (kind < 69)
            now_ -= std::min(far_, Duration{dice_.magnitude(0, Duration{48h}.count())});
        else if (kind < 70)
            now_ += std::min(far_, Duration{dice_.magnitude(0, Duration{48h}.count())});
        now_ = std::clamp(now_, Instant{1us}, Instant{Duration{std::int64_t{1} << 52}});
        return now_;
    }

private:
    Dice& dice_;
    Duration scale_;
    Duration far_;
    Instant now_;
};

template <class A>
bool is_valid(const A& algorithm) {
    return validate(algorithm, "").has_value();
}

bw::TokenBucket random_bucket(Dice& dice) {
    while (true) {
        bw::TokenBucket bucket{.permits = dice.magnitude(1, std::int64_t{1} << 30),
                               .period = Duration{dice.magnitude(1, std::int64_t{1} << 50)}};
        if (dice.once_in(2)) bucket.burst = dice.magnitude(1, std::int64_t{1} << 40);
        if (dice.once_in(4)) {  // a large p
            bucket.permits = (std::int64_t{1} << 20) - dice.in(0, 1'000);
            bucket.period = Duration{dice.magnitude(1, std::int64_t{1} << 33)};
        }
        if (!is_valid(bucket)) continue;
        const auto prepared = bucket.prepare();
        if (prepared.capacity / prepared.ticks_per_us <= std::uint64_t{1} << 51) return bucket;  // 71 years
    }
}
bw::FixedWindow random_fixed(Dice& dice) {
    return {.permits = dice.magnitude(1, std::int64_t{1} << 31), .window = dice.span(1ms, std::chrono::days{366})};
}
bw::SlidingWindow random_sliding(Dice& dice) {
    while (true) {
        const bw::SlidingWindow limit{.permits = dice.magnitude(1, std::int64_t{1} << 27),
                                      .window = dice.span(1ms, std::chrono::days{366})};
        if (is_valid(limit)) return limit;
    }
}

struct LimiterScales {
    std::int64_t permits;
    Duration scale;
    Duration far;
};
LimiterScales scales_of(const bw::TokenBucket& bucket) {
    const auto prepared = bucket.prepare();
    const auto p = static_cast<std::int64_t>(prepared.ticks_per_us);
    const auto most = static_cast<std::int64_t>(prepared.burst);
    return {most, Duration{std::max<std::int64_t>(static_cast<std::int64_t>(prepared.capacity) / p / 4, 2)},
            Duration{std::min((std::int64_t{1} << 60) / p, std::int64_t{1} << 45)}};
}
LimiterScales scales_of(const bw::FixedWindow& limit) {
    const std::int64_t far = std::min(std::int64_t{1} << 28, (std::int64_t{1} << 45) / limit.window.count());
    return {limit.permits, limit.window / 2, limit.window * far};
}
LimiterScales scales_of(const bw::SlidingWindow& limit) {
    const auto windows = static_cast<std::int64_t>(limit.prepare().index_mask / 16);
    return {limit.permits, limit.window / 2,
            limit.window * std::min(windows, (std::int64_t{1} << 45) / limit.window.count() + 2)};
}
LimiterScales scales_of(const bw::NoLimit&) { return {10, 1s, 1h}; }
LimiterScales scales_of(const bw::AnyAlgorithm& any) {
    return std::visit([](const auto& chosen) { return scales_of(chosen); }, any.choice());
}

template <class Decision>
bool same_if_any(const std::optional<Decision>& a, const std::optional<Decision>& b) {
    return a.has_value() == b.has_value() && (!a || bw::test::same(*a, *b));
}

class Trial {
public:
    Trial(const RedisServer& server, std::uint64_t seed) : pipeline_{server}, dice_{seed} {
        load<bw::fleet::CircuitMachine<bw::ConsecutiveFailures>>();
        load<bw::RateMachine<bw::NoLimit>>();
        load<bw::RateMachine<bw::TokenBucket>>();
        load<bw::RateMachine<bw::FixedWindow>>();
        load<bw::RateMachine<bw::SlidingWindow>>();
        load<bw::RateMachine<bw::AnyAlgorithm>>();
        load<bw::PauseMachine>();
        load<bw::RetryBudgetMachine>();
    }
    template <class... Ms>
    void load() {
        pipeline_.load(bw::redis::script_for<Ms...>(bw::redis::ScriptTime::given));
    }

    /// Some steps of one machine, or of several at once.
    void run(int steps) {
        switch (dice_.in(0, 19)) {
            case 0:
            case 1: pauses(steps); break;
            case 2:
            case 3: budgets(steps); break;
            case 4:
            case 5: limit<bw::TokenBucket>(random_bucket(dice_), steps); break;
            case 6:
            case 7: limit<bw::FixedWindow>(random_fixed(dice_), steps); break;
            case 8:
            case 9: limit<bw::SlidingWindow>(random_sliding(dice_), steps); break;
            case 10: limit<bw::AnyAlgorithm>(random_bucket(dice_), steps); break;
            case 11: limit<bw::AnyAlgorithm>(random_sliding(dice_), steps); break;
            case 12: limit<bw::AnyAlgorithm>(bw::no_limit, steps); break;
            case 13: circuit(streak(), steps); break;
            case 14: circuit(rate(), steps); break;
            case 15: circuit(bw::AnyTrip{streak()}, steps); break;
            case 16: circuit(bw::AnyTrip{rate()}, steps); break;
            case 17: circuit(rate(), steps); break;
            case 18: dice_.once_in(4) ? circuit(bw::never, steps) : circuit(rate(), steps); break;
            default: together(steps / 2);
        }
        pipeline_.finish();
    }
    const Differences& differences() const { return differences_; }

private:
    std::string key() { return "key " + std::to_string(++keys_); }

    void pauses(int steps) {
        using M = bw::PauseMachine;
        const Duration most = dice_.once_in(10) ? 0s : dice_.span(1us, 24h);
        UnevenClock clock{dice_, most / 5 + 1us, 48h};
        Twin<M> twin{pipeline_, differences_, key(), M::Options{most}};
        while (steps-- > 0) {
            const Instant now = clock.next();
            const auto instant = [&] {
                return std::max(Instant{}, now + Duration{dice_.in(-most.count() / 2, most.count() * 2)});
            };
            switch (dice_.in(0, 9)) {
                case 0: twin.apply(M::Extend{dice_.once_in(20) ? Instant::max() : instant()}, now); break;
                case 1:
                case 2: twin.apply(M::Limit{dice_.magnitude(1, M::most_left), instant()}, now); break;
                case 3:
                case 4:
                case 5: twin.apply(M::Check{dice_.magnitude(1, 3'000)}, now); break;
                default: twin.apply(M::Spend{dice_.once_in(10) ? dice_.in(-3, 0) : dice_.in(1, 20)}, now);
            }
        }
        pipeline_.finish();
    }

    void budgets(int steps) {
        using M = bw::RetryBudgetMachine;
        const M::Options options{.per_call = dice_.in(1, 1'000),
                                 .per_millisecond = dice_.once_in(4) ? 0 : dice_.in(0, 10),
                                 .burst = dice_.magnitude(500, 10'000'000)};
        UnevenClock clock{dice_, 2s, 48h};
        Twin<M> twin{pipeline_, differences_, key(), options};
        while (steps-- > 0) {
            const Instant now = clock.next();
            switch (dice_.in(0, 11)) {
                case 0:
                case 1:
                case 2: twin.apply(M::Credit{}, now); break;
                case 3: twin.apply(M::GiveBack{}, now); break;
                case 4: twin.apply(M::Restore{dice_.magnitude(-5, 20'000'000), dice_.span(0s, 1h)}, now); break;
                case 5:
                    twin.apply(M::Sync{dice_.count(0, 1 << dice_.in(0, 31)), dice_.count(0, 1 << dice_.in(0, 14)),
                                       dice_.count(0, 1 << dice_.in(0, 10))},
                               now);
                    break;
                default: twin.apply(M::Take{}, now);
            }
        }
        pipeline_.finish();
    }

    template <class A>
    void limit(const A& algorithm, int steps) {
        using M = bw::RateMachine<A>;
        const Duration max_ahead = dice_.once_in(5) ? Duration{0} : dice_.span(0s, 48h);
        const auto [permits, scale, far] = scales_of(algorithm);
        UnevenClock clock{dice_, scale, far};
        Twin<M> twin{pipeline_, differences_, key(),
                     typename M::Options{algorithm.prepare(max_ahead), bw::layout_of(algorithm)}};
        std::optional<typename M::Cancel> cancel;
        const auto some = [&] {
            return dice_.once_in(20) ? dice_.in(-1, 0) : dice_.once_in(15) ? permits + 1 : dice_.magnitude(1, permits);
        };
        while (steps-- > 0) {
            const Instant now = clock.next();
            switch (dice_.in(0, 19)) {
                case 0:
                case 1: {
                    const typename M::Reserve reserve{some(), dice_.once_in(3) ? dice_.span(0s, max_ahead) : 0s,
                                                      dice_.span(0s, max_ahead + 1h)};
                    const auto reserved = twin.apply(reserve, now);
                    cancel = {.reserved = reserved, .ready_at = now + reserved.grant.retry_after};
                    break;
                }
                case 2:
                case 3:
                    if (cancel) twin.apply(*cancel, now);
                    break;
                case 4:
                case 5: twin.apply(typename M::GiveBack{some()}, now); break;
                case 6: {
                    const Instant from = now + Duration{dice_.in(0, max_ahead.count())};
                    twin.apply(typename M::Pause{from, std::max(from - 1us, now + dice_.span(0s, max_ahead))}, now);
                    break;
                }
                case 7:
                case 8:
                case 9: twin.apply(typename M::Lease{some()}, now); break;
                default: twin.apply(typename M::Take{some()}, now);
            }
        }
        pipeline_.finish();
    }

    bw::ConsecutiveFailures streak() { return {dice_.count(1, dice_.magnitude(1, 100))}; }
    bw::FailureRate rate() {
        bw::FailureRate rule{.ratio = dice_.share()};
        if (dice_.once_in(2)) {
            const std::uint32_t size = dice_.count(1, dice_.magnitude(1, 3'000));
            rule.window = bw::CountWindow{size};
            rule.minimum_calls = dice_.count(1, size);
        } else {
            rule.window = bw::TimeWindow{dice_.span(1ms, 24h), dice_.count(1, dice_.magnitude(1, 64))};
            rule.minimum_calls = dice_.count(1, dice_.magnitude(1, 100));
        }
        if (dice_.once_in(2)) {
            rule.slow_call = {.duration = dice_.span(1ms, 1h), .ratio = dice_.share()};
            if (dice_.once_in(2)) rule.bad_ratio = dice_.share();
        }
        return rule;
    }
    template <class Trip>
    bw::CircuitRules<Trip> rules(const Trip& trip) {
        bw::RecoveryGrowth growth;
        if (dice_.once_in(2)) growth.multiplier = dice_.once_in(2) ? 2.0 : 1.0 + dice_.share() * 3.0;
        if (dice_.once_in(10)) growth.multiplier = 1000.0 * dice_.share() + 1.0;
        if (dice_.once_in(2)) growth.jitter = dice_.share();
        growth.cap = dice_.span(1ms, 24h);
        growth.heed_retry_after = dice_.once_in(3);
        bw::CircuitRules<Trip> rules{.trip = trip, .recovery = {dice_.span(1ms, 24h), growth}};
        rules.half_open_probes = dice_.count(1, dice_.once_in(4) ? 32 : 3);
        rules.success_threshold = dice_.count(1, 4);
        rules.probe_lease = dice_.span(1ms, 24h);
        if (dice_.once_in(3)) rules.ramp.duration = dice_.span(1ms, 24h);
        return rules;
    }
    bw::Tally tally() {
        bw::Tally tally;
        const auto some = [&] {
            return dice_.once_in(3) ? 0 : dice_.count(0, dice_.magnitude(1, dice_.once_in(20) ? 1 << 31 : 40));
        };
        tally.successes = some();
        tally.failures = some();
        if (dice_.once_in(3)) tally.slow = dice_.count(0, std::int64_t{tally.successes} + tally.failures / 2);
        tally.tail = dice_.count(0, tally.failures);
        return tally;
    }
    Duration retry_after() { return dice_.once_in(2) ? Duration{-1} : dice_.span(0s, 48h); }

    template <class Trip>
    void circuit(const Trip& trip, int steps) {
        using M = bw::fleet::CircuitMachine<Trip>;
        Twin<M> twin{pipeline_, differences_, key(), rules(trip)};
        const Duration scale = std::min(twin.options().recovery.timeout(), twin.options().probe_lease);
        UnevenClock clock{dice_, scale + 1us, 48h};
        std::array<std::uint64_t, 24> instances;
        for (auto& instance : instances) instance = dice_.bits() >> dice_.in(0, 60);
        std::vector<bw::CircuitTicket> tickets{{}, {.generation = 5, .token = 33}};
        std::vector<bw::fleet::CircuitView> views{{}};
        const auto any_of = [&](const auto& list) {
            return list[static_cast<std::size_t>(dice_.in(0, std::ssize(list) - 1))];
        };
        const auto a_ticket = [&] { return dice_.once_in(2) ? tickets.back() : any_of(tickets); };
        while (steps-- > 0) {
            const Instant now = clock.next();
            if (dice_.once_in(100)) twin.options() = rules(trip);
            const std::int64_t kind = dice_.in(0, 99);
            if (kind < 25) {
                const auto admission = twin.apply(typename M::Admit{}, now);
                if (admission.admitted) tickets.push_back(admission.ticket);
                views.push_back(admission.view);
            } else if (kind < 65) {
                twin.apply(typename M::Report{.instance = any_of(instances),
                                              .generation = dice_.once_in(15) ? a_ticket().generation
                                                                              : twin.state().circuit.generation,
                                              .tally = tally(),
                                              .overdue = dice_.once_in(4) ? dice_.count(0, 20) : 0,
                                              .min_reporters = dice_.once_in(2) ? 1 : dice_.count(1, 16),
                                              .random = dice_.bits(),
                                              .retry_after = retry_after()},
                           now);
            } else if (kind < 85) {
                twin.apply(typename M::Judge{.ticket = a_ticket(),
                                             .tally = dice_.once_in(5)   ? tally()
                                                      : dice_.once_in(3) ? bw::tally_of(bw::Outcome::failure)
                                                                         : bw::tally_of(bw::Outcome::success),
                                             .random = dice_.bits(),
                                             .retry_after = retry_after()},
                           now);
            } else if (kind < 90) {
                twin.apply(typename M::Release{a_ticket()}, now);
            } else if (kind < 92) {
                using enum bw::CircuitState;
                const Duration span = dice_.once_in(4) ? Duration::max() : dice_.span(0s, 48h);
                views.push_back(twin.apply(typename M::Force{dice_.once_in(2) ? open : closed, span}, now));
            } else if (kind < 93) {
                twin.apply(typename M::Reset{}, now);
            } else if (kind < 95) {
                twin.apply(restore<typename M::Restore>(), now);
            } else if (kind < 96) {
                twin.apply(typename M::Trim{}, now);
            } else if (kind < 98) {
                auto view = any_of(views);
                if (dice_.once_in(2)) view.generation = twin.state().circuit.generation + dice_.count(0, 3);
                if (dice_.once_in(3)) view.phase = static_cast<bw::CircuitState>(dice_.in(0, 2));
                views.push_back(twin.apply(typename M::Seed{view}, now));
            } else {
                twin.apply(typename M::Read{}, now);
            }
        }
        pipeline_.finish();
    }
    template <class Restore>
    Restore restore() {
        Restore restore{.age = dice_.span(0s, 48h)};
        restore.saved.state = static_cast<bw::CircuitState>(dice_.in(0, 2));
        restore.saved.forced = dice_.once_in(3);
        restore.saved.left = dice_.once_in(4) ? Duration::max() : dice_.span(0s, 72h);
        restore.saved.openings = dice_.count(0, dice_.once_in(5) ? 4'294'967'295 : 10);
        restore.saved.counts = {.calls = static_cast<std::uint64_t>(dice_.magnitude(0, 10'000'000'000)),
                                .failures = static_cast<std::uint64_t>(dice_.magnitude(0, 1'000)),
                                .slow = static_cast<std::uint64_t>(dice_.magnitude(0, 100))};
        return restore;
    }

    /// Steps of several machines at once, as a store in memory takes them.
    void together(int steps);

    RedisPipeline pipeline_;
    Dice dice_;
    Differences differences_{};
    int keys_ = 0;
};

void Trial::together(int steps) {
    using Circuit = bw::fleet::CircuitMachine<bw::AnyTrip>;
    using Rate = bw::RateMachine<bw::AnyAlgorithm>;
    using Bucket = bw::RateMachine<bw::TokenBucket>;
    using Pause = bw::PauseMachine;
    using Budget = bw::RetryBudgetMachine;
    const bw::redis::Script& script =
        bw::redis::script_for<Circuit, Rate, Bucket, Pause, Budget>(bw::redis::ScriptTime::given);
    load<Circuit, Rate, Bucket, Pause, Budget>();

    const Circuit::Options circuit = rules(bw::AnyTrip{streak()});
    const bw::AnyAlgorithm limit = dice_.once_in(2) ? bw::AnyAlgorithm{bw::FixedWindow{.permits = 5, .window = 1s}}
                                                    : bw::AnyAlgorithm{bw::SlidingWindow{.permits = 5, .window = 1s}};
    const Rate::Options rate{limit.prepare(), bw::layout_of(limit)};
    const Bucket::Options bucket{bw::TokenBucket{.permits = 7, .period = 1s}.prepare(), "bucket"};
    const Pause::Options pause;
    const Budget::Options budget{.per_call = 200, .per_millisecond = 1, .burst = 4'000};

    const bw::MemoryStore<> store;
    const auto circuit_cell = store.cell<Circuit>("circuit", "", circuit);
    const auto rate_cell = store.cell<Rate>("rate", "", rate);
    const auto bucket_cell = store.cell<Bucket>("rate", "", bucket);
    const auto pause_cell = store.cell<Pause>("pause", "", pause);
    const auto budget_cell = store.cell<Budget>("budget", "", budget);
    const std::string names = key();
    const std::array keys{names + "c", names + "r", names + "b", names + "p", names + "u"};

    UnevenClock clock{dice_, 300ms, 2h};
    std::vector<bw::CircuitTicket> tickets{{}};
    while (steps-- > 0) {
        const Instant now = clock.next();
        auto reading = [now] { return now; };
        const auto compare = [&](const auto& decided, const auto&... remote) {
            ++differences_.steps;
            const auto words = bw::redis::evalsha(script, "news", std::optional{now}, remote...);
            const bw::redis::Reply reply = pipeline_.ask(words);
            const auto answers = bw::redis::answers(reply.numbers, remote...);
            const bool is_same = answers && [&]<std::size_t... I>(std::index_sequence<I...>) {
                return (same_if_any(std::get<I>(answers->decisions), std::get<I>(decided)) && ...);
            }(std::index_sequence_for<decltype(remote)...>{});
            if (!is_same) differences_.add(words.wire() + reply.text);
        };
        const auto apart = [&]<class M>(const auto& cell, const typename M::Options& options, const std::string& name,
                                        const auto& command, std::type_identity<M>) {
            const auto decision = store.apply(bw::Step{*cell, options, command}, reading);
            compare(std::tuple{std::optional{decision}}, bw::fleet::remote<M>(name, options, command));
            return decision;
        };
        const auto& [c, r, b, p, u] = keys;
        const Circuit::Admit admit;
        const Rate::Take take{dice_.in(1, 3)};
        const Rate::Lease lease{dice_.in(1, 6)};
        const Bucket::Take take_of_bucket{dice_.in(1, 3)};
        const Pause::Check check{take.permits};
        const Pause::Spend spend{take.permits};
        const Budget::Take retry;
        const auto keep = [&](const std::optional<Circuit::Admission>& admission) {
            if (admission && admission->admitted) tickets.push_back(admission->ticket);
        };
        switch (dice_.in(0, 15)) {
            case 0: {
                const Circuit::Report report{.instance = 1,
                                             .generation = store.peek(*circuit_cell).circuit.generation,
                                             .tally = {.failures = 3, .tail = 3},
                                             .random = dice_.bits()};
                apart(circuit_cell, circuit, c, report, std::type_identity<Circuit>{});
                break;
            }
            case 1:
            case 2: {
                const Circuit::Judge judge{.ticket = tickets.back(), .tally = {.successes = 1}, .random = dice_.bits()};
                apart(circuit_cell, circuit, c, judge, std::type_identity<Circuit>{});
                break;
            }
            case 3:
                apart(circuit_cell, circuit, c, Circuit::Force{bw::CircuitState::open, dice_.span(0s, 1s)},
                      std::type_identity<Circuit>{});
                break;
            case 4:
                apart(pause_cell, pause, p, Pause::Extend{now + dice_.span(0s, 1s)}, std::type_identity<Pause>{});
                break;
            case 5:
                apart(pause_cell, pause, p, Pause::Limit{dice_.in(1, 8), now + dice_.span(0s, 4s)},
                      std::type_identity<Pause>{});
                break;
            case 6:
            case 7:
            case 8:
            case 9: {
                const auto decided =
                    store.apply(reading, bw::Step{*circuit_cell, circuit, admit}, bw::Step{*pause_cell, pause, check},
                                bw::Step{*rate_cell, rate, take}, bw::Step{*pause_cell, pause, spend});
                compare(decided, bw::fleet::remote<Circuit>(c, circuit, admit),
                        bw::fleet::remote<Pause>(p, pause, check), bw::fleet::remote<Rate>(r, rate, take),
                        bw::fleet::remote<Pause>(p, pause, spend));
                keep(std::get<0>(decided));
                break;
            }
            case 10:
            case 11:
            case 12: {
                const auto decided = store.apply(
                    reading, bw::Step{*budget_cell, budget, retry}, bw::Step{*rate_cell, rate, lease},
                    bw::Step{*bucket_cell, bucket, take_of_bucket}, bw::Step{*circuit_cell, circuit, admit});
                compare(decided, bw::fleet::remote<Budget>(u, budget, retry), bw::fleet::remote<Rate>(r, rate, lease),
                        bw::fleet::remote<Bucket>(b, bucket, take_of_bucket),
                        bw::fleet::remote<Circuit>(c, circuit, admit));
                keep(std::get<3>(decided));
                break;
            }
            default: {
                const auto decided =
                    store.apply(reading, bw::Step{*bucket_cell, bucket, take_of_bucket},
                                bw::Step{*circuit_cell, circuit, admit}, bw::Step{*budget_cell, budget, retry});
                compare(decided, bw::fleet::remote<Bucket>(b, bucket, take_of_bucket),
                        bw::fleet::remote<Circuit>(c, circuit, admit), bw::fleet::remote<Budget>(u, budget, retry));
                keep(std::get<1>(decided));
            }
        }
        const bw::redis::Read read;
        apart(circuit_cell, circuit, c, Circuit::Read{}, std::type_identity<Circuit>{});
        compare(std::tuple{std::optional{store.peek(*rate_cell)}, std::optional{store.peek(*bucket_cell)},
                           std::optional{store.peek(*pause_cell)}, std::optional{store.peek(*budget_cell)}},
                bw::fleet::remote<Rate>(r, rate, read), bw::fleet::remote<Bucket>(b, bucket, read),
                bw::fleet::remote<Pause>(p, pause, read), bw::fleet::remote<Budget>(u, budget, read));
    }
}

void compare(int steps) {
    const auto seed = test::seed();
    CAPTURE(seed);
    const RedisServer server;
    Trial trial{server, seed};
    while (trial.differences().steps < static_cast<std::size_t>(steps) && trial.differences().count == 0)
        trial.run(100);
    INFO(trial.differences().first);
    CHECK(trial.differences().count == 0);
}

}  // namespace

TEST_CASE("scripts decide as the machines do, in 20,000 random steps") { compare(20'000); }

TEST_CASE("scripts decide as the machines do, in 200,000 random steps", "[.deep]") { compare(200'000); }
