#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/validate_in.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/rate_limiter/options.hpp>
#include <breakwater/rate_limiter/reservation.hpp>
#include <breakwater/rate_limiter/state.hpp>
#include <breakwater/rate_limiter/steps.hpp>
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
    using Steps = LimiterSteps<AlgorithmType, StoreType>;
    using Rules = LimiterRules<AlgorithmType>;

    struct Version {
        RateLimiterOptions<AlgorithmType> options;
        Rules rules;
        std::shared_ptr<typename Steps::Cell> cell;  // another layout is kept in another cell
    };
    struct Shared {
        detail::Versions<Version> versions;
        const std::string name;
        const StoreType store;
        const std::shared_ptr<typename Steps::PauseCell> pause;

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
        if (auto ok = detail::validate_in<StoreType>(options, "rate_limit"); !ok) return fail(std::move(ok).error());
        return RateLimiter{std::move(options), std::move(store)};
    }

    /// Takes `permits` (at least 1) now or not at all. A refusal says when to come back, or `Errc::exceeds_burst` if
    /// the limiter can never hold so many.
    Result<void> try_acquire(std::int64_t permits = 1) const noexcept {
        LazyNow now{clock()};
        return result_of(steps().take(permits, now));
    }
    /// The same as a `NowOrLater`, for who may not block. This handle lives until then.
    auto async_try_acquire(std::int64_t permits = 1) const
        requires AsyncStore<StoreType>
    {
        LazyNow now{clock()};
        return then(steps().async_take(permits, now), [this](const Grant& grant) { return result_of(grant); });
    }

    /// Takes `permits`, waiting up to `max_wait` for them. Blocks. Refuses at once if the wait would be longer.
    Result<void> acquire(std::int64_t permits, Duration max_wait, const std::stop_token& stop = {}) const {
        LazyNow now{clock()};
        const Instant give_up = now() + std::min<Duration>(max_wait, std::chrono::hours{24});
        for (;;) {
            const Grant grant = steps().take(permits, now);
            if (grant.granted) return {};
            if (grant.never || refuses_all(shared_->store) || now() + grant.retry_after > give_up)
                return fail(refusal_of(grant));
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
            const auto reserved = steps(version).reserve(permits, most, now);
            if (!reserved.grant.granted) return fail(refusal_of(reserved.grant));
            return Reservation{*this, version, reserved, now() + reserved.grant.retry_after};
        }
    }

    /// Gives permits back that were taken and not used.
    void give_back(std::int64_t permits = 1) const noexcept {
        LazyNow now{clock()};
        steps().give_back(permits, now);
    }

    /// Refuses everything until `t` of the store's clock, at most `max_pause` from now; nothing accrues meanwhile. A
    /// pause is never shortened. Returns how long the pause lasts.
    Duration pause_until(Instant t) const noexcept {
        LazyNow now{clock()};
        return steps().pause_until(t, now);
    }
    Duration pause_for(Duration span) const noexcept {
        LazyNow now{clock()};
        return steps().pause_until(now() + std::min(span, options().max_pause), now);
    }

    /// Heeds what a service says it still allows: at most `permits` more within `span` from now (at most `max_pause`),
    /// on top of the limiter's own limit, so this only ever makes slower. 0 permits pause; from 2,047 on nothing
    /// changes; and so it is in a pause, or if fewer are left of what was said before. Permits that go back unused are
    /// not added to it again. Returns how long the pause is that began by this; zero if none did.
    Duration limit_to(std::int64_t permits, Duration span) const noexcept {
        LazyNow now{clock()};
        return steps().limit_to(permits, span, now);
    }

    /// Goes on by other options, of the same name: for this handle, its copies and the pipelines that hold one. What is
    /// spent stays spent and a pause goes on, at the new rate; calls that are being admitted at this very moment may
    /// come on top. Permits taken before go back to where they came from. Handles made apart that share the limiter by
    /// name keep their own options. An error (`invalid_options`) changes nothing. Memory of the old options is kept
    /// until the last handle goes.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate_next(options); !ok) return ok;
        Rules rules = rules_of(options);  // by an algorithm of the user's, perhaps: before anything is held
        shared_->versions.update(
            [&](const Version& old) { return adapted(std::move(options), std::move(rules), old); });
        return {};
    }

    /// Another handle of the same limiter, which goes by other options, of the same name: as if by `reconfigure`, but
    /// this handle and its copies keep theirs. What is taken by these later is seen by the other if the algorithms
    /// count in the same form: buckets of equal rate, windows of equal length.
    Result<RateLimiter> reconfigured(Options options) const {
        if (auto ok = validate_next(options); !ok) return fail(std::move(ok).error());
        Rules rules = rules_of(options);
        RateLimiter other{*this};
        other.shared_ = std::shared_ptr<Shared>{
            new Shared{detail::Versions{adapted(std::move(options), std::move(rules), shared_->version())},
                       shared_->name, shared_->store, shared_->pause}};
        return other;
    }

    /// What to keep of the limiter when the process ends; `restore` goes on from there, `age` later: what was spent is
    /// spent then, and has been refilling since. It comes on top of what has been spent meanwhile.
    SavedLimiter save() const noexcept { return steps().save(clock().now()); }
    void restore(const SavedLimiter& saved, Duration age) const noexcept { steps().restore(saved, age, clock().now()); }

    /// How long until `permits` could be taken: zero if now, `Duration::max()` if never. Takes nothing.
    Duration retry_after(std::int64_t permits = 1) const noexcept {
        return steps().retry_after(permits, clock().now());
    }

    RateLimiterSnapshot snapshot() const { return steps().snapshot(shared_->name, clock().now()); }

    std::string_view name() const noexcept { return shared_->name; }
    const Options& options() const noexcept { return shared_->version().options; }
    const auto& clock() const noexcept { return shared_->store.clock(); }

    // The policy.

    class Glimpse {
        friend RateLimiter;
        static constexpr std::uint64_t none = 0;
        const Version* version_ = nullptr;  // where the permit comes from
        std::uint64_t permit_ = none;       // 1 + the number of attempts made when it was taken
    };
    class Lane : public Glimpse {
        friend RateLimiter;
        Duration waited_{};
    };

    /// If there is a permit now.
    [[gnu::always_inline]] bool glance(Glimpse& lane, auto& call) const noexcept {
        if constexpr (StoreType::is_deferred) return false;
        const Shared& shared = *shared_;
        const Version& version = shared.version();
        const bool granted = with_now(call, shared.store.clock(), [&] [[gnu::always_inline]] (auto& now) {
            return steps(shared, version).take_at_a_glance(now);
        });
        if (!granted) [[unlikely]]
            return false;
        lane.version_ = &version;
        lane.permit_ = std::uint64_t{1} + call.attempt;
        return true;
    }
    template <class T>
    [[gnu::always_inline]] bool glance_back(Glimpse&, const Result<T>& result) const noexcept {
        return result.has_value();
    }

    Before before(Lane& lane, auto& call) const noexcept {
        const Version& version = shared_->version();
        const Grant grant = with_now(call, clock(), [&](auto& now) { return steps(version).take(1, now); });
        return decided(lane, call, version, grant);
    }
    [[gnu::always_inline]] auto async_before(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        const Version& version = shared_->version();
        return then(with_now(call, clock(), [&](auto& now) { return steps(version).async_take(1, now); }),
                    [&, this](const Grant& grant) { return decided(lane, call, version, grant); });
    }

    template <class T>
    After after(Lane& lane, auto& call, Result<T>& result) const noexcept {
        if (!result) failed(lane, call, result.error());
        return done;
    }
    void failed(Lane& lane, auto& call, const Error& error) const noexcept {
        return_unused(lane, call);
        heed(error, call);
    }

    /// Gives the permit back if no attempt was made with it.
    void return_unused(Lane& lane, auto& call) const noexcept {
        if (lane.permit_ == std::uint64_t{1} + call.attempt) {
            LazyNow now{clock()};
            steps(*lane.version_).give_back(1, now);
        }
        lane.permit_ = Lane::none;
    }

    /// Pauses if the answer asks for it: 429 or 503 with Retry-After.
    void heed(const Error& error, auto& call) const noexcept {
        tell_of_pause(with_now(call, clock(), [&](auto& now) { return steps().heed(error, now); }), call);
    }
    /// As `limit_to`.
    void heed_quota(std::int64_t permits, Duration span, auto& call) const noexcept {
        tell_of_pause(limit_to(permits, span), call);
    }

private:
    friend Reservation;

    /// Options to go on by.
    Result<void> validate_next(const Options& options) const {
        if (auto ok = validate(options); !ok) return ok;
        return detail::validate_same_name("rate_limit", "the limiter's", shared_->name, options.name);
    }

    /// Has the limiter go on by these options.
    Version adapted(Options options, Rules rules, const Version& old) const {
        Version next = version_of(std::move(options), std::move(rules), shared_->store, &old);
        LazyNow now{clock()};
        if (next.cell != old.cell) steps(next).carry_over(steps(old), now);
        return next;
    }

    static std::shared_ptr<Shared> build(Options options, StoreType store) {
        if (auto ok = detail::validate_in<StoreType>(options, "rate_limit"); !ok) throw_error(ok.error());
        std::string name = options.name;
        Rules rules = rules_of(options);
        Version first = version_of(std::move(options), std::move(rules), store, nullptr);
        auto pause = store.template cell<PauseMachine>("pause", name, first.rules.pause);
        return std::shared_ptr<Shared>{
            new Shared{detail::Versions{std::move(first)}, std::move(name), std::move(store), std::move(pause)}};
    }
    /// A state of the old version's layout stays where it is.
    static Version version_of(Options options, Rules rules, const StoreType& store, const Version* old) {
        const bool stays = old != nullptr && old->rules.rate.layout == rules.rate.layout;
        auto cell = stays ? old->cell : store.template cell<Machine>("rate", options.name, rules.rate);
        return {std::move(options), std::move(rules), std::move(cell)};
    }

    [[gnu::always_inline]] static Steps steps(const Shared& shared, const Version& version) noexcept {
        return {shared.store, version.rules, *version.cell, *shared.pause};
    }
    Steps steps(const Version& version) const noexcept { return steps(*shared_, version); }
    Steps steps() const noexcept { return steps(shared_->version()); }

    /// Of an attempt that has asked for a permit.
    Before decided(Lane& lane, auto& call, const Version& version, const Grant& grant) const noexcept {
        if (!grant.granted) {
            if (refuses_all(shared_->store)) return reject(Errc::store_unavailable);
            return wait_or_reject(grant, version.options.max_wait, lane.waited_);
        }
        lane.version_ = &version;
        lane.permit_ = std::uint64_t{1} + call.attempt;
        return proceed;
    }

    void tell_of_pause(Duration paused, auto& call) const noexcept {
        if (paused > Duration{0}) call.emit({.kind = EventKind::limiter_paused, .policy = name(), .delay = paused});
    }

    bool cancel(const Version& version, const auto& reserved, Instant ready_at) const noexcept {
        LazyNow now{clock()};
        return steps(version).cancel(reserved, ready_at, now);
    }

    Result<void> result_of(const Grant& grant) const noexcept {
        if (grant.granted) return {};
        return fail(refusal_of(grant));
    }
    Error refusal_of(const Grant& grant) const noexcept {
        if (refuses_all(shared_->store)) return Error::refusal(Errc::store_unavailable, name());
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
