#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/error.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/rate_limiter/options.hpp>
#include <breakwater/rate_limiter/state.hpp>
#include <breakwater/store/store.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

namespace breakwater {

/// The options of a limiter as its machines take them.
template <RateAlgorithm Algorithm>
struct LimiterRules {
    typename RateMachine<Algorithm>::Options rate;
    PauseMachine::Options pause;
};
template <RateAlgorithm Algorithm>
LimiterRules<Algorithm> rules_of(const RateLimiterOptions<Algorithm>& options) {
    return {{options.algorithm.prepare(options.max_pause + options.max_reserve), layout_of(options.algorithm)},
            {options.max_pause}};
}

/// Of an attempt without a permit: it waits for one if `max_wait` allows, of which the call has `waited` some already.
inline Before wait_or_reject(const Grant& grant, Duration max_wait, Duration& waited) noexcept {
    if (grant.never) return reject(Errc::exceeds_burst);
    if (grant.withdrawn) return withdrawn;
    if (grant.retry_after > max_wait - waited) return reject(Errc::rate_limited, grant.retry_after);
    waited += grant.retry_after;
    return wait_for(grant.retry_after, Errc::rate_limited);
}

/// What limiters do, on the two cells that one limiter consists of: its permits, and what the service has asked for.
/// `now` is a reading of the store's clock that is taken when it is needed.
template <RateAlgorithm Algorithm, Store StoreType>
class LimiterSteps {
    using Machine = RateMachine<Algorithm>;

public:
    using Cell = typename StoreType::template Cell<Machine>;
    using PauseCell = typename StoreType::template Cell<PauseMachine>;
    using Rules = LimiterRules<Algorithm>;

    [[gnu::always_inline]] LimiterSteps(const StoreType& store, const Rules& rules, Cell& cell,
                                        PauseCell& pause) noexcept
        : store_{store}, rules_{rules}, cell_{cell}, pause_{pause} {}

    /// A permit, if that is seen at once.
    [[gnu::always_inline]] bool take_at_a_glance(auto& now) const noexcept {
        Duration paused{};
        if (!decided_at_a_glance(store_, Step{pause_, rules_.pause, PauseMachine::Check{}}, paused)) [[unlikely]]
            return false;
        const Step take{cell_, rules_.rate, typename Machine::Take{}};
        if constexpr (requires { store_.grants(take, now); })
            return store_.grants(take, now);
        else
            return store_.apply(take, now).granted;
    }
    /// Permits, if there are any and the service allows them.
    Grant take(std::int64_t permits, auto& now) const noexcept {
        return grant_of(store_.apply(now, Step{pause_, rules_.pause, PauseMachine::Check{permits}},
                                     Step{cell_, rules_.rate, typename Machine::Take{permits}},
                                     Step{pause_, rules_.pause, PauseMachine::Spend{permits}}));
    }
    [[gnu::always_inline]] auto async_take(std::int64_t permits, auto& now) const {
        return then(store_.async_apply(now, Step{pause_, rules_.pause, PauseMachine::Check{permits}},
                                       Step{cell_, rules_.rate, typename Machine::Take{permits}},
                                       Step{pause_, rules_.pause, PauseMachine::Spend{permits}}),
                    [](const auto& decisions) { return grant_of(decisions); });
    }
    /// Permits that become usable within `most`.
    auto reserve(std::int64_t permits, Duration most, auto& now) const noexcept {
        const Duration paused = ask_service(PauseMachine::Check{permits}, now);
        if (paused > most) return typename Machine::Reserved{.grant = {.retry_after = paused}};
        const auto reserved = apply(typename Machine::Reserve{permits, paused, most}, now);
        if (reserved.grant.granted && paused == Duration{0}) ask_service(PauseMachine::Spend{permits}, now);
        return reserved;
    }
    bool cancel(const auto& reserved, Instant ready_at, auto& now) const noexcept {
        return apply(typename Machine::Cancel{reserved, ready_at}, now);
    }
    void give_back(std::int64_t permits, auto& now) const noexcept { apply(typename Machine::GiveBack{permits}, now); }

    /// Returns how long the pause lasts.
    Duration pause_until(Instant until, auto& now) const noexcept {
        return std::max(Duration{0}, extend(until, now).until - now());
    }
    /// Heeds a quota; returns how long the pause is that began by it.
    Duration limit_to(std::int64_t permits, Duration span, auto& now) const noexcept {
        const Instant until = now() + std::clamp(span, Duration{0}, rules_.pause.max_pause);
        if (permits <= 0) {
            const auto extended = extend(until, now);
            return extended.from == now() ? extended.until - extended.from : Duration{0};
        }
        if (permits <= PauseMachine::most_left) ask_service(PauseMachine::Limit{permits, until}, now);
        return Duration{0};
    }
    /// Pauses if an answer asks for it: 429 or 503 with Retry-After. Returns how long the pause lasts, if there is one.
    Duration heed(const Error& error, auto& now) const noexcept {
        const auto status = error.status();
        const auto asked = error.retry_after();
        const bool throttled = status && (*status == 429 || *status == 503) && error.code() == Errc::http_status;
        return asked && throttled ? pause_until(now() + std::min(*asked, rules_.pause.max_pause), now) : Duration{0};
    }

    // What can be told without changing anything.

    Duration paused_for(Instant now, std::int64_t permits = 1) const noexcept {
        auto state = store_.peek(pause_);
        return PauseMachine::apply(state, rules_.pause, PauseMachine::Check{permits}, now);
    }
    Duration retry_after(std::int64_t permits, Instant now) const noexcept {
        const Duration paused = paused_for(now, permits);
        const Grant grant = Algorithm::peek(store_.peek(cell_), rules_.rate.prepared, permits, now + paused);
        return grant.never ? Duration::max() : paused + grant.retry_after;
    }
    RateLimiterSnapshot snapshot(std::string_view name, Instant now) const {
        return {.name = std::string{name},
                .available = std::min(PauseMachine::left(store_.peek(pause_), rules_.pause, now), available(now)),
                .paused_for = paused_for(now),
                .retry_after = retry_after(1, now)};
    }
    bool is_fresh(Instant now) const noexcept {
        return Machine::is_fresh(store_.peek(cell_), rules_.rate, now) &&
               PauseMachine::is_fresh(store_.peek(pause_), rules_.pause, now);
    }
    SavedLimiter save(Instant now) const noexcept {
        return {.spent = spent(now), .paused_for = PauseMachine::pause_left(store_.peek(pause_), rules_.pause, now)};
    }
    std::int64_t spent(Instant now) const noexcept {
        const std::int64_t capacity = Algorithm::available(typename Algorithm::State{}, rules_.rate.prepared, now);
        return capacity - available(now);
    }
    /// Takes what was spent elsewhere, as far as there is.
    void spend_again(std::int64_t permits, auto& now) const noexcept {
        permits = std::min(permits, available(now()));
        if (permits > 0) apply(typename Machine::Take{permits}, now);
    }
    /// Has spent as much as `old`, a limiter of another layout. The cell may be one that was left before, for that
    /// layout: what it still knows as spent is a part of it.
    void carry_over(const LimiterSteps& old, auto& now) const noexcept {
        spend_again(old.spent(now()) - spent(now()), now);
    }
    /// Heeds what the service has asked of `old`.
    void heed_as(const LimiterSteps& old, auto& now) const noexcept {
        constexpr std::int64_t every = std::numeric_limits<std::int64_t>::max();
        const std::int64_t left = PauseMachine::left(store_.peek(old.pause_), old.rules_.pause, now());
        limit_to(left, old.paused_for(now(), every), now);
    }

    /// Goes on from what was saved `age` before `now`.
    void restore(const SavedLimiter& saved, Duration age, Instant now) const noexcept {
        age = std::max(age, Duration{0});
        auto then = [at = age < now.time_since_epoch() ? now - age : Instant{}] { return at; };
        spend_again(saved.spent, then);
        auto reading = [now] { return now; };
        const Duration left = std::min(saved.paused_for, rules_.pause.max_pause);
        if (left > age) (void)pause_until(now + (left - age), reading);
    }

private:
    /// What comes of the three steps of taking permits.
    static Grant grant_of(const auto& decisions) noexcept {
        const auto& [paused, grant, refused] = decisions;
        if (!grant) return {.retry_after = paused.value_or(Duration{0})};
        return refused && *refused > Duration{0} ? Grant{.retry_after = *refused} : *grant;
    }

    auto apply(const auto& command, auto& now) const noexcept {
        return store_.apply(Step{cell_, rules_.rate, command}, now);
    }
    auto ask_service(const auto& command, auto& now) const noexcept {
        const Step step{pause_, rules_.pause, command};
        typename decltype(step)::Decision decision{};
        if constexpr (std::is_same_v<decltype(decision), Duration>) {
            if (decided_at_a_glance(store_, step, decision)) return decision;
        }
        return store_.apply(step, now);
    }
    PauseMachine::Extended extend(Instant until, auto& now) const noexcept {
        const auto extended = ask_service(PauseMachine::Extend{until}, now);
        if (extended.until > extended.from) apply(typename Machine::Pause{extended.from, extended.until}, now);
        return extended;
    }
    std::int64_t available(Instant now) const noexcept {
        return Algorithm::available(store_.peek(cell_), rules_.rate.prepared, now);
    }

    const StoreType& store_;
    const Rules& rules_;
    Cell& cell_;
    PauseCell& pause_;
};

}  // namespace breakwater
