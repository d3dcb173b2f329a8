#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/fleet/ask.hpp>
#include <breakwater/store/fleet/lease.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/fleet/one_for_all.hpp>
#include <breakwater/store/fleet/pause_cell.hpp>
#include <breakwater/store/fleet/place.hpp>
#include <breakwater/store/fleet/share.hpp>
#include <breakwater/store/fleet/world.hpp>
#include <breakwater/store/memory/cell.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/now_or_later.hpp>
#include <breakwater/task/round.hpp>
#include <breakwater/task/start.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace breakwater::fleet {

/// A rate limit of a whole fleet, in one process: a permit is a round trip, or comes out of a lease of several.
///
/// Without the server a process spends its fair share of the limit: `share_of` a bucket of the same rate, from which
/// what it was granted before is taken as well.
template <RateAlgorithm Algorithm, Link L>
class RateCell final : public CellEvents, public std::enable_shared_from_this<RateCell<Algorithm, L>> {
public:
    using Machine = RateMachine<Algorithm>;
    using Options = typename Machine::Options;

    RateCell(std::shared_ptr<World<L>> world, Place place, const Options& options)
        : world_{std::move(world)}, place_{std::move(place)}, options_{options}, share_{{}} {}

    const std::string& key() const noexcept { return place_.key; }

    template <class Now>
    Grant apply(const Options& options, const typename Machine::Take& take, Now& now) {
        if (is_unlimited(options.prepared)) return {.granted = true};
        if (!world_->may_answer()) return take_alone(options, take.permits, now);
        return run_here(take_one(options, take));
    }

    /// A permit of a limiter, which also heeds what the service has asked for. Refused by that: no permit is taken. One
    /// round trip at the most; of an algorithm of the user's, for which there is no script, one more.
    template <class Now>
    NowOrLater<Grant> take(const Options& options, std::int64_t permits, PauseCell<L>& pause,
                           const PauseMachine::Options& pause_options, Now& now) {
        if (!pause.is_known()) [[unlikely]]
            return take_first(options, permits, pause, pause_options);
        if (const auto grant = take_here(options, permits, pause, pause_options, now)) return *grant;
        if (is_leased(permits, pause)) return take_leased(options);
        return take_there(options, permits, pause, pause_options);
    }

    /// Alone, of this process's share.
    template <class Now>
    typename Machine::Reserved apply(const Options& options, const typename Machine::Reserve& reserve, Now& now) {
        if (is_unlimited(options.prepared)) return {.grant = {.granted = true, .retry_after = reserve.paused}};
        if (world_->may_answer()) {
            const auto reserved = run_here(ask_one(world_->link(), remote<Machine>(place_.key, options, reserve)));
            if (reserved) return *reserved;
            heed(reserved.error());
        }
        const Grant grant = share_.apply(share(options), reserve, now);
        if (grant.granted) spent_alone_ += reserve.permits;
        return {.grant = grant};
    }
    /// What was reserved alone stays spent.
    template <class Now>
    bool apply(const Options& options, const typename Machine::Cancel& cancel, Now&) {
        if (!world_->may_answer()) return false;
        return run_here(ask_one(world_->link(), remote<Machine>(place_.key, options, cancel))).value_or(false);
    }
    /// Back into the lease it came from, or to the server; nobody waits for that.
    template <class Now>
    bool apply(const Options& options, const typename Machine::GiveBack& back, Now& now) {
        if (is_unlimited(options.prepared)) return true;
        if (back.permits == 1 && leased_.put_back(now())) return true;
        if (world_->answers()) send(options, back);
        return share_.apply(share(options), typename Share::GiveBack{back.permits}, now);
    }
    template <class Now>
    bool apply(const Options& options, const typename Machine::Pause& pause, Now& now) {
        if (is_unlimited(options.prepared)) return true;
        end_lease(options);
        if (world_->answers()) send(options, pause);
        return share_.apply(share(options), pause, now);
    }

    LimiterState peek() const {
        if (!is_unlimited(options_.prepared) && world_->may_answer())
            if (auto state = run_here(ask_state<Machine>(world_->link(), place_.key, options_))) return *state;
        return {};
    }

    /// What was spent alone is spent of the fleet's permits, too, as far as there are any.
    void on_up() override {
        const std::int64_t alone = spent_alone_.exchange(0);
        if (alone > 0) send(options_, typename Machine::Lease{alone});
    }
    void on_timer() override {
        is_awaiting_end_ = false;
        return_expired();
        if (const auto left = leased_.left(); left.permits > 0) await_end(left.until);
    }

private:
    /// A process's own part of the limit.
    struct Share {
        using State = LimiterState;
        using Options = std::optional<TokenBucket::Prepared>;
        struct Take {
            std::int64_t permits = 1;
        };
        /// Takes permits that were granted elsewhere, as far as there are any.
        struct Spend {
            std::int64_t permits = 1;
        };
        struct GiveBack {
            std::int64_t permits = 1;
        };
        static constexpr State make_state(const Options&) noexcept { return {}; }
        static Grant apply(State& state, const Options& share, const Take& take, Instant now) noexcept {
            // A deep request takes its time, but is not refused for ever because the share is small.
            return share ? TokenBucket::take(state, *share, std::min(take.permits, burst(*share)), now)
                         : Grant{.granted = true};
        }
        static bool apply(State& state, const Options& share, const Spend& spend, Instant now) noexcept {
            if (!share) return true;
            const std::int64_t there = std::min(spend.permits, TokenBucket::available(state, *share, now));
            if (there > 0) (void)TokenBucket::take(state, *share, there, now);
            return true;
        }
        static bool apply(State& state, const Options& share, const GiveBack& back, Instant now) noexcept {
            if (share) TokenBucket::give_back(state, *share, back.permits, now);
            return true;
        }
        static Grant apply(State& state, const Options& share, const typename Machine::Reserve& reserve,
                           Instant now) noexcept {
            if (!share) return {.granted = true, .retry_after = reserve.paused};
            const std::int64_t permits = std::min(reserve.permits, burst(*share));
            Grant grant =
                TokenBucket::reserve(state, *share, permits, now + reserve.paused, reserve.max_wait - reserve.paused);
            grant.retry_after += reserve.paused;
            return grant;
        }
        static bool apply(State& state, const Options& share, const typename Machine::Pause& pause, Instant) noexcept {
            if (share) TokenBucket::pause(state, *share, pause.from, pause.until);
            return true;
        }
        static std::int64_t burst(const TokenBucket::Prepared& share) noexcept {
            return static_cast<std::int64_t>(share.burst);
        }
    };
    typename Share::Options share(const Options& options) const noexcept {
        const auto whole = as_bucket(options.prepared);
        return whole ? std::optional{share_of(*whole, world_->link().instances())} : std::nullopt;
    }

    /// What can be decided without the server, if anything.
    template <class Now>
    std::optional<Grant> take_here(const Options& options, std::int64_t permits, PauseCell<L>& pause,
                                   const PauseMachine::Options& pause_options, Now& now) {
        if (world_->decides_for_all()) return Grant{.granted = world_->lets_all_through()};
        const Duration paused = pause.apply(pause_options, PauseMachine::Check{permits}, now);
        if (paused > Duration{0}) {
            end_lease(options);
            return Grant{.retry_after = paused};
        }
        const bool has_quota = pause.has_quota();
        if (!has_quota && is_unlimited(options.prepared)) return Grant{.granted = true};
        if (!world_->may_answer()) {
            const Grant grant = take_alone(options, permits, now);
            if (grant.granted && has_quota) (void)pause.apply(pause_options, PauseMachine::Spend{permits}, now);
            return grant;
        }
        if (is_leased(permits, pause) && leased_.take(now())) return Grant{.granted = true};
        return {};
    }
    bool is_leased(std::int64_t permits, const PauseCell<L>& pause) const noexcept {
        return permits == 1 && world_->options().lease > 1 && !pause.has_quota();
    }

    /// Of a process that has just come: a pause that began before it did is seen by the server.
    Task<Grant> take_first(const Options& options, std::int64_t permits, PauseCell<L>& pause,
                           const PauseMachine::Options& pause_options) {
        if constexpr (takes_in_one) {
            pause.read();
        } else {
            auto getting_to_know = pause.get_to_know();
            co_await getting_to_know;
            LazyNow now{world_->clock()};
            if (const auto grant = take_here(options, permits, pause, pause_options, now)) co_return *grant;
        }
        auto taking = take_there(options, permits, pause, pause_options);
        co_return co_await taking;
    }
    static constexpr bool takes_in_one = L::template takes_together<PauseMachine, Machine>;
    Task<Grant> take_there(const Options& options, std::int64_t permits, PauseCell<L>& pause,
                           const PauseMachine::Options& pause_options) {
        if constexpr (takes_in_one)
            return take_in_one(options, permits, pause, pause_options);
        else
            return take_in_two(options, permits, pause, pause_options);
    }

    Task<Grant> take_one(const Options& options, typename Machine::Take take) {
        Round* const round = co_await current_round();
        auto asked = ask_one(round, world_->link(), remote<Machine>(place_.key, options, take));
        const auto grant = co_await asked;
        if (!grant) co_return take_without_answer(grant.error(), options, take.permits);
        co_return counted(options, take.permits, *grant);
    }

    Grant take_without_answer(const LinkFailure& failure, const Options& options, std::int64_t permits) {
        if (failure.kind == LinkFailure::Kind::withdrawn) return {.withdrawn = true};
        heed(failure);
        if (world_->decides_after(failure)) return {.granted = world_->lets_all_through()};
        LazyNow now{world_->clock()};
        return take_alone(options, permits, now);
    }
    template <class Now>
    Grant take_alone(const Options& options, std::int64_t permits, Now& now) {
        const Grant whole = Algorithm::peek({}, options.prepared, permits, now());
        if (whole.never) return whole;
        const Grant grant = share_.apply(share(options), typename Share::Take{permits}, now);
        if (grant.granted) spent_alone_ += permits;
        return grant;
    }
    Grant counted(const Options& options, std::int64_t permits, const Grant& grant) {
        LazyNow now{world_->clock()};
        if (grant.granted) share_.apply(share(options), typename Share::Spend{permits}, now);
        return grant;
    }

    Task<Grant> take_in_one(const Options& options, std::int64_t permits, PauseCell<L>& pause,
                            const PauseMachine::Options& pause_options) {
        Round* const round = co_await current_round();
        auto asked =
            ask(round, world_->link(), remote<PauseMachine>(pause.key(), pause_options, PauseMachine::Check{permits}),
                remote<Machine>(place_.key, options, typename Machine::Take{permits}),
                remote<PauseMachine>(pause.key(), pause_options, PauseMachine::Spend{permits}));
        const auto reply = co_await asked;
        if (!reply) co_return take_without_answer(reply.error(), options, permits);
        const auto& [check, grant, spend] = reply->decisions;
        if (check.value_or(Duration{0}) > Duration{0}) co_return Grant{.retry_after = *check};
        if (!grant || !grant->granted) co_return grant.value_or(Grant{});
        if (spend.value_or(Duration{0}) > Duration{0}) co_return Grant{.retry_after = *spend};
        co_return counted(options, permits, *grant);
    }
    Task<Grant> take_in_two(const Options& options, std::int64_t permits, PauseCell<L>& pause,
                            const PauseMachine::Options& pause_options) {
        auto taking = take_one(options, {permits});
        const Grant grant = co_await taking;
        if (!grant.granted || !pause.has_quota()) co_return grant;
        auto spending = pause.spend(pause_options, {permits});
        const Duration refused = co_await spending;
        if (refused == Duration{0}) co_return grant;
        LazyNow now{world_->clock()};
        (void)apply(options, typename Machine::GiveBack{permits}, now);
        co_return Grant{.retry_after = refused};
    }

    /// One asks for a lease; all others wait for what it gets.
    Task<Grant> take_leased(const Options& options) {
        for (;;) {
            LazyNow now{world_->clock()};
            if (leased_.take(now())) co_return Grant{.granted = true};
            if (!world_->may_answer()) co_return take_alone(options, 1, now);
            const Instant none_before = none_before_.load(std::memory_order_acquire);
            if (now() < none_before) co_return Grant{.retry_after = none_before - now()};
            auto turn = refill_.join();
            if (turn.leads()) {
                auto leasing = lease_some(options, std::move(turn));
                co_return co_await leasing;
            }
            auto wait = until_stopped(turn.over(), world_->link().patience());
            if (co_await wait == Wait::elapsed)
                co_return take_without_answer({LinkFailure::Kind::lost, {}}, options, 1);
        }
    }
    /// And takes the first permit of the lease.
    Task<Grant> lease_some(const Options& options, OneForAll::Turn turn) {
        const std::int64_t permits = lease(options, world_->clock().now());
        Round* const round = co_await current_round();
        auto asked =
            ask_one(round, world_->link(), remote<Machine>(place_.key, options, typename Machine::Lease{permits}));
        const auto leased = co_await asked;
        if (!leased) {
            turn.end();  // an observer may be told
            co_return take_without_answer(leased.error(), options, 1);
        }
        const Instant now = world_->clock().now();
        if (!leased->grant.granted) {
            none_before_.store(now + leased->grant.retry_after, std::memory_order_release);
            co_return leased->grant;
        }
        const Instant until = lease_end(leased->until, now);
        leased_.set(leased->permits - 1, until);
        if (leased->permits > 1) await_end(until);
        co_return counted(options, leased->permits, {.granted = true});
    }
    /// At most what leaves half of the burst to the others.
    std::int64_t lease(const Options& options, Instant now) const noexcept {
        const std::int64_t burst = Algorithm::available({}, options.prepared, now);
        const std::int64_t fair = burst / (2 * std::int64_t{world_->link().instances()});
        return std::max<std::int64_t>(std::min<std::int64_t>(fair, world_->options().lease), 1);
    }
    /// The server's word is how long the whole fleet needs for so many permits of a bucket; this process gets only its
    /// part of them. Those of a window end with it.
    Instant lease_end(Instant until, Instant now) const noexcept {
        if (!layout_is_bucket() || until <= now) return until;
        constexpr Duration most = std::chrono::seconds{1};
        return std::max(until, now + std::min((until - now) * (2 * std::int64_t{world_->link().instances()}), most));
    }
    /// To give back what is left then. Once for many leases: one that was used up has nothing to give.
    void await_end(Instant until) {
        if (!is_awaiting_end_.exchange(true)) world_->wake(this->weak_from_this(), until);
    }
    void end_lease(const Options& options) { give_back(options, leased_.end()); }
    void return_expired() { give_back(options_, leased_.end_if_over(world_->clock().now())); }
    /// Permits of a window that is over have lapsed with it; a bucket takes them back at any time.
    void give_back(const Options& options, const LeasedPermits::Left& left) {
        const bool can = layout_is_bucket() || world_->clock().now() < left.until;
        if (left.permits > 0 && can && world_->answers()) send(options, typename Machine::GiveBack{left.permits});
    }
    bool layout_is_bucket() const noexcept { return options_.layout.starts_with("token_bucket"); }

    void heed(const LinkFailure& failure) const {
        if (failure.kind == LinkFailure::Kind::unreadable) world_->tell_unreadable(place_.key, failure.words);
    }
    template <class Command>
    void send(const Options& options, const Command& command) {
        world_->link().apply([](auto) {}, remote<Machine>(place_.key, options, command));
    }

    const std::shared_ptr<World<L>> world_;
    const Place place_;
    const Options options_;
    LeasedPermits leased_;
    std::atomic<bool> is_awaiting_end_ = false;
    OneForAll refill_;
    std::atomic<Instant> none_before_{Instant{}};  // as the server has said
    memory::WordCell<Share> share_;
    std::atomic<std::int64_t> spent_alone_ = 0;
};

}  // namespace breakwater::fleet
