#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/rate_limiter/options.hpp>
#include <breakwater/rate_limiter/reservation.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/memory.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// A limiter as seen from outside. Reading it changes nothing.
struct RateLimiterSnapshot {
    std::string name{};
    std::int64_t available = 0;  ///< Permits that could be taken now.
    Duration paused_for{};       ///< Zero if there is no pause.
    Duration retry_after{};      ///< When one permit is free; zero if one is.
};

/// What of a limiter outlives its process.
struct SavedLimiter {
    std::int64_t spent = 0;  ///< Permits taken and not refilled yet.
    Duration paused_for{};
    friend bool operator==(const SavedLimiter&, const SavedLimiter&) = default;
};

/// Spends permits at a bounded rate, and heeds a service's Retry-After.
///
/// A handle: copies share the permits. Thread-safe. In a pipeline one permit is taken for each attempt; a call that may
/// wait (`max_wait`) sleeps and asks again. Waiters are not queued: whoever asks first when a permit is free gets it;
/// `reserve` gives a place in a queue.
///
/// `Algorithm` is `AnyAlgorithm` (chosen at run time) or a static choice: `RateLimiter limiter{TokenBucket{…}}`.
template <RateAlgorithm AlgorithmType = AnyAlgorithm, Store StoreType = MemoryStore<>>
class RateLimiter {
    using Machine = RateMachine<AlgorithmType>;
    using Cell = typename StoreType::template Cell<Machine>;
    using PauseCell = typename StoreType::template Cell<PauseMachine>;

    struct Version {
        RateLimiterOptions<AlgorithmType> options;
        typename Machine::Options rules;
        PauseMachine::Options pause_rules;
        std::shared_ptr<Cell> cell;  // another layout is kept in another cell
    };
    struct Shared {
        detail::Versions<Version> versions;
        const std::string name;
        const StoreType store;
        const std::shared_ptr<PauseCell> pause;

        const Version& version() const noexcept { return versions.current(); }
    };

public:
    static constexpr Place place = Place::admission;
    using Algorithm = AlgorithmType;
    using Options = RateLimiterOptions<Algorithm>;
    using Reservation = breakwater::Reservation<RateLimiter>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit RateLimiter(Options options, StoreType store = StoreType{})
        : shared_{build(std::move(options), std::move(store))} {}
    explicit RateLimiter(Algorithm algorithm, StoreType store = StoreType{})
        : RateLimiter{Options{.algorithm = std::move(algorithm)}, std::move(store)} {}

    /// As the constructor, without throwing.
    static Result<RateLimiter> make(Options options, StoreType store = StoreType{}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return RateLimiter{std::move(options), std::move(store)};
    }

    /// Takes `permits` (at least 1) now or not at all. A refusal says when to come back, or `Errc::exceeds_burst` if
    /// the limiter can never hold so many.
    Result<void> try_acquire(std::int64_t permits = 1) const noexcept {
        LazyNow now{clock()};
        const Grant grant = take(shared_->version(), permits, now);
        if (grant.granted) return {};
        return fail(refusal_of(grant));
    }

    /// Takes `permits`, waiting up to `max_wait` for them. Blocks. Refuses at once if the wait would be longer.
    Result<void> acquire(std::int64_t permits, Duration max_wait, const std::stop_token& stop = {}) const {
        LazyNow now{clock()};
        const Instant give_up = now() + std::min<Duration>(max_wait, std::chrono::hours{24});
        for (;;) {
            const Grant grant = take(shared_->version(), permits, now);
            if (grant.granted) return {};
            if (grant.never || now() + grant.retry_after > give_up) return fail(refusal_of(grant));
            if (clock().wait_until(now() + grant.retry_after, stop) == Wait::stopped) return fail(Errc::cancelled);
            now.forget();
        }
    }

    /// Takes `permits` (at least 1) now that become usable within `max_wait` (at most the option `max_reserve`), or not
    /// at all. The reservation tells when; to use them earlier would break the limit. Reservations are served in the
    /// order made, and before all who only ask. A pause known now is part of the wait. Refusals as of `try_acquire`.
    Result<Reservation> reserve(std::int64_t permits, Duration max_wait) const noexcept {
        static_assert(
            ReservableAlgorithm<Algorithm>,
            "breakwater: this limiter's algorithm grants nothing ahead of time: give it a static "
            "reserve(State&, const Prepared&, std::int64_t n, Instant now, Duration max_wait) noexcept -> Grant");
        if constexpr (ReservableAlgorithm<Algorithm>) {
            const Version& version = shared_->version();
            LazyNow now{clock()};
            const Duration most = std::clamp(max_wait, Duration{0}, version.options.max_reserve);
            const Duration paused = ask_service(version, PauseMachine::Check{permits}, now);
            if (paused > most) return fail(refusal_of({.retry_after = paused}));
            const auto reserved = apply(version, typename Machine::Reserve{permits, paused, most}, now);
            if (!reserved.grant.granted) return fail(refusal_of(reserved.grant));
            if (paused == Duration{0}) ask_service(version, PauseMachine::Spend{permits}, now);
            return Reservation{*this, version, reserved, now() + reserved.grant.retry_after};
        }
    }

    /// Gives permits back that were taken and not used.
    void give_back(std::int64_t permits = 1) const noexcept { give_back(shared_->version(), permits); }

    /// Refuses everything until `t` of the store's clock, at most `max_pause` from now; nothing accrues meanwhile. A
    /// pause is never shortened. Returns how long the pause lasts.
    Duration pause_until(Instant t) const noexcept {
        LazyNow now{clock()};
        return pause(t, now);
    }
    Duration pause_for(Duration span) const noexcept {
        LazyNow now{clock()};
        return pause(now() + std::min(span, options().max_pause), now);
    }

    /// Heeds what a service says it still allows: at most `permits` more within `span` from now (at most `max_pause`),
    /// on top of the limiter's own limit, so this only ever makes slower. 0 permits pause; from 2,047 on nothing
    /// changes; and so it is in a pause, or if fewer are left of what was said before. Permits that go back unused are
    /// not added to it again. Returns how long the pause is that began by this; zero if none did.
    Duration limit_to(std::int64_t permits, Duration span) const noexcept {
        const Version& version = shared_->version();
        LazyNow now{clock()};
        const Instant until = now() + std::clamp(span, Duration{0}, version.options.max_pause);
        if (permits <= 0) {
            const auto extended = extend(until, now);
            return extended.from == now() ? extended.until - extended.from : Duration{0};
        }
        if (permits <= PauseMachine::most_left) ask_service(version, PauseMachine::Limit{permits, until}, now);
        return Duration{0};
    }

    /// Goes on by other options, of the same name: for this handle, its copies and the pipelines that hold one. What is
    /// spent stays spent and a pause goes on, at the new rate; calls that are being admitted at this very moment may
    /// come on top. Permits taken before go back to where they came from. Handles made apart that share the limiter by
    /// name keep their own options. An error (`invalid_options`) changes nothing. Memory of the old options is kept
    /// until the last handle goes.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate(options); !ok) return ok;
        if (options.name != shared_->name)
            return detail::invalid_option("rate_limit", "name", "the limiter's, " + detail::option_text(shared_->name),
                                          options.name);
        const Version& old = shared_->version();
        Version next = version_of(std::move(options), shared_->store, &old);
        if (next.cell != old.cell) {
            LazyNow now{clock()};
            spend_again(next, spent(old, now()), now);
        }
        shared_->versions.publish(std::move(next));
        return {};
    }

    /// What to keep of the limiter when the process ends; `restore` goes on from there, `age` later: what was spent is
    /// spent then, and has been refilling since. It comes on top of what has been spent meanwhile.
    SavedLimiter save() const {
        const Version& version = shared_->version();
        const Instant now = clock().now();
        const auto paused = shared_->store.peek(*shared_->pause);
        return {.spent = spent(version, now), .paused_for = PauseMachine::pause_left(paused, version.pause_rules, now)};
    }
    void restore(const SavedLimiter& saved, Duration age) const noexcept {
        const Version& version = shared_->version();
        age = std::max(age, Duration{0});
        const Instant now = clock().now();
        LazyNow then{clock(), age < now.time_since_epoch() ? now - age : Instant{}};
        spend_again(version, saved.spent, then);
        if (saved.paused_for > age) (void)pause_for(saved.paused_for - age);
    }

    /// How long until `permits` could be taken: zero if now, `Duration::max()` if never. Takes nothing.
    Duration retry_after(std::int64_t permits = 1) const noexcept {
        const Version& version = shared_->version();
        const Instant now = clock().now();
        const Duration paused = paused_for(version, now, permits);
        const Grant grant =
            Algorithm::peek(shared_->store.peek(*version.cell), version.rules.prepared, permits, now + paused);
        if (grant.never) return Duration::max();
        return paused + grant.retry_after;
    }

    RateLimiterSnapshot snapshot() const {
        const Version& version = shared_->version();
        const Instant now = clock().now();
        return {
            .name = shared_->name,
            .available = std::min(PauseMachine::left(shared_->store.peek(*shared_->pause), version.pause_rules, now),
                                  available(version, now)),
            .paused_for = paused_for(version, now),
            .retry_after = retry_after()};
    }

    std::string_view name() const noexcept { return shared_->name; }
    const Options& options() const noexcept { return shared_->version().options; }
    const auto& clock() const noexcept { return shared_->store.clock(); }

    // The policy.

    class Lane {
        friend RateLimiter;
        static constexpr std::uint64_t none = 0;
        Duration waited_{};
        const Version* version_;       // where the permit comes from
        std::uint64_t permit_ = none;  // 1 + the number of attempts made when it was taken
    };

    /// If there is a permit now.
    [[gnu::always_inline]] bool glance(Lane& lane, auto& call) const noexcept {
        if constexpr (StoreType::is_deferred) return false;
        const Version& version = shared_->version();
        Duration paused{};
        const Step check{*shared_->pause, version.pause_rules, PauseMachine::Check{}};
        if (!decided_at_a_glance(shared_->store, check, paused)) return false;
        const Grant grant = with_now(call, clock(), [&] [[gnu::always_inline]] (auto& now) {
            return apply(version, typename Machine::Take{}, now);
        });
        if (!grant.granted) return false;
        lane.version_ = &version;
        lane.permit_ = std::uint64_t{1} + call.attempt;
        return true;
    }

    Before before(Lane& lane, auto& call) const noexcept {
        const Version& version = shared_->version();
        const Grant grant = with_now(call, clock(), [&](auto& now) { return take(version, 1, now); });
        if (grant.granted) {
            lane.version_ = &version;
            lane.permit_ = std::uint64_t{1} + call.attempt;
            return proceed;
        }
        if (grant.never) return reject(Errc::exceeds_burst);
        if (grant.retry_after > version.options.max_wait - lane.waited_) {
            return reject(Errc::rate_limited, grant.retry_after);
        }
        lane.waited_ += grant.retry_after;
        return wait_for(grant.retry_after, Errc::rate_limited);
    }

    template <class T>
    After after(Lane& lane, auto& call, Result<T>& result) const noexcept {
        if (!result) [[unlikely]]
            failed(lane, call, result.error());
        return done;
    }
    [[gnu::noinline]] void failed(Lane& lane, auto& call, const Error& error) const noexcept {
        return_unused(lane, call);
        heed(error, call);
    }

    /// Gives the permit back if no attempt was made with it.
    void return_unused(Lane& lane, auto& call) const noexcept {
        if (lane.permit_ == std::uint64_t{1} + call.attempt) give_back(*lane.version_, 1);
        lane.permit_ = Lane::none;
    }

    /// Pauses if the answer asks for it: 429 or 503 with Retry-After.
    void heed(const Error& error, auto& call) const noexcept {
        const auto status = error.status();
        const auto asked = error.retry_after();
        if (!asked || !status || (*status != 429 && *status != 503) || error.code() != Errc::http_status) return;
        const Duration span = std::min(*asked, options().max_pause);
        const Duration paused = with_now(call, clock(), [&](auto& now) { return pause(now() + span, now); });
        if (paused > Duration{0}) call.emit({.kind = EventKind::limiter_paused, .policy = name(), .delay = paused});
    }

private:
    friend Reservation;

    static std::shared_ptr<Shared> build(Options options, StoreType store) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        std::string name = options.name;
        Version first = version_of(std::move(options), store, nullptr);
        auto pause = store.template cell<PauseMachine>("pause", name, first.pause_rules);
        return std::shared_ptr<Shared>{
            new Shared{detail::Versions{std::move(first)}, std::move(name), std::move(store), std::move(pause)}};
    }
    /// A state of the old version's layout stays where it is.
    static Version version_of(Options options, const StoreType& store, const Version* old) {
        typename Machine::Options rules{options.algorithm.prepare(options.max_pause + options.max_reserve),
                                        layout_of(options.algorithm)};
        const PauseMachine::Options pause_rules{options.max_pause};
        const bool stays = old != nullptr && old->rules.layout == rules.layout;
        auto cell = stays ? old->cell : store.template cell<Machine>("rate", options.name, rules);
        return {std::move(options), std::move(rules), pause_rules, std::move(cell)};
    }

    [[gnu::always_inline]] auto apply(const Version& version, const auto& command, auto& now) const noexcept {
        return shared_->store.apply(Step{*version.cell, version.rules, command}, now);
    }
    auto ask_service(const Version& version, const auto& command, auto& now) const noexcept {
        return shared_->store.apply(Step{*shared_->pause, version.pause_rules, command}, now);
    }

    Grant take(const Version& version, std::int64_t permits, auto& now) const noexcept {
        const Duration paused = ask_service(version, PauseMachine::Check{permits}, now);
        if (paused > Duration{0}) [[unlikely]]
            return {.retry_after = paused};
        const typename Machine::Take take{permits};
        const Grant grant = apply(version, take, now);
        if (!grant.granted) return grant;
        const Duration refused = spend(version, permits, now);
        if (refused == Duration{0}) [[likely]]
            return grant;
        apply(version, Machine::undo(take, grant), now);
        return {.retry_after = refused};
    }
    void give_back(const Version& version, std::int64_t permits) const noexcept {
        LazyNow now{clock()};
        apply(version, typename Machine::GiveBack{permits}, now);
    }

    /// Takes permits from what the service still allows. Zero, or how long there are not so many.
    Duration spend(const Version& version, std::int64_t permits, auto& now) const noexcept {
        const Step step{*shared_->pause, version.pause_rules, PauseMachine::Spend{permits}};
        Duration refused{};
        if (decided_at_a_glance(shared_->store, step, refused)) return refused;
        return shared_->store.apply(step, now);
    }

    bool cancel(const Version& version, const auto& reserved, Instant ready_at) const noexcept {
        LazyNow now{clock()};
        return apply(version, typename Machine::Cancel{reserved, ready_at}, now);
    }

    Duration pause(Instant until, auto& now) const noexcept {
        return std::max(Duration{0}, extend(until, now).until - now());
    }
    PauseMachine::Extended extend(Instant until, auto& now) const noexcept {
        const Version& version = shared_->version();
        const auto extended = ask_service(version, PauseMachine::Extend{until}, now);
        if (extended.until > extended.from) apply(version, typename Machine::Pause{extended.from, extended.until}, now);
        return extended;
    }
    Duration paused_for(const Version& version, Instant now, std::int64_t permits = 1) const noexcept {
        auto state = shared_->store.peek(*shared_->pause);
        return PauseMachine::apply(state, version.pause_rules, PauseMachine::Check{permits}, now);
    }

    std::int64_t available(const Version& version, Instant now) const noexcept {
        return Algorithm::available(shared_->store.peek(*version.cell), version.rules.prepared, now);
    }
    static std::int64_t capacity(const Version& version, Instant now) noexcept {
        return Algorithm::available(typename Algorithm::State{}, version.rules.prepared, now);
    }
    std::int64_t spent(const Version& version, Instant now) const noexcept {
        return capacity(version, now) - available(version, now);
    }
    /// Takes what was spent elsewhere, as far as there is.
    void spend_again(const Version& version, std::int64_t permits, auto& now) const noexcept {
        permits = std::min(permits, available(version, now()));
        if (permits > 0) apply(version, typename Machine::Take{permits}, now);
    }

    Error refusal_of(const Grant& grant) const noexcept {
        if (grant.never) return Error::refusal(Errc::exceeds_burst, name());
        return Error::refusal(Errc::rate_limited, name(), grant.retry_after);
    }

    std::shared_ptr<Shared> shared_;
};

template <Store S>
RateLimiter(RateLimiterOptions<AnyAlgorithm>, S) -> RateLimiter<AnyAlgorithm, S>;
template <RateAlgorithm A>
RateLimiter(A) -> RateLimiter<A>;
template <RateAlgorithm A, Store S>
RateLimiter(A, S) -> RateLimiter<A, S>;

}  // namespace breakwater
