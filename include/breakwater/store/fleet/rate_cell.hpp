#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/fleet/ask.hpp>
#include <breakwater/store/fleet/lease.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/fleet/pause_cell.hpp>
#include <breakwater/store/fleet/place.hpp>
#include <breakwater/store/fleet/share.hpp>
#include <breakwater/store/fleet/world.hpp>
#include <breakwater/store/memory/cell.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
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
        if (!world_->is_up()) return take_alone(options, take.permits, now);
        const auto reply = ask(world_->link(), remote<Machine>(place_.key, options, take));
        if (!reply) return failed(reply.error()), take_alone(options, take.permits, now);
        return counted(options, take.permits, std::get<0>(reply->decisions).value(), now);
    }

    /// A permit of a limiter, which also heeds what the service has asked for. Refused by that: no permit is taken.
    /// One round trip at the most.
    template <class Now>
    Grant take(const Options& options, std::int64_t permits, PauseCell<L>& pause,
               const PauseMachine::Options& pause_options, Now& now) {
        if (world_->decides_for_all()) return {.granted = world_->lets_all_through()};
        const Duration paused = pause.apply(pause_options, PauseMachine::Check{permits}, now);
        if (paused > Duration{0}) {
            end_lease(options);
            return {.retry_after = paused};
        }
        const bool has_quota = pause.has_quota();
        if (!has_quota && is_unlimited(options.prepared)) return {.granted = true};
        if (!world_->is_up()) {
            const Grant grant = take_alone(options, permits, now);
            if (grant.granted && has_quota) (void)pause.apply(pause_options, PauseMachine::Spend{permits}, now);
            return grant;
        }
        if (!has_quota && permits == 1 && world_->options().lease > 1) return take_leased(options, now);
        return take_exact(options, permits, pause, pause_options, now);
    }

    /// Alone, of this process's share.
    template <class Now>
    typename Machine::Reserved apply(const Options& options, const typename Machine::Reserve& reserve, Now& now) {
        if (is_unlimited(options.prepared)) return {.grant = {.granted = true, .retry_after = reserve.paused}};
        if (world_->is_up()) {
            const auto reply = ask(world_->link(), remote<Machine>(place_.key, options, reserve));
            if (reply) return std::get<0>(reply->decisions).value();
            failed(reply.error());
        }
        const Grant grant = share_.apply(share(options), reserve, now);
        if (grant.granted) spent_alone_ += reserve.permits;
        return {.grant = grant};
    }
    /// What was reserved alone stays spent.
    template <class Now>
    bool apply(const Options& options, const typename Machine::Cancel& cancel, Now&) {
        if (!world_->is_up()) return false;
        const auto reply = ask(world_->link(), remote<Machine>(place_.key, options, cancel));
        return reply && std::get<0>(reply->decisions).value();
    }
    /// Back into the lease it came from, or to the server; nobody waits for that.
    template <class Now>
    bool apply(const Options& options, const typename Machine::GiveBack& back, Now& now) {
        if (is_unlimited(options.prepared)) return true;
        if (back.permits == 1 && leased_.put_back(now())) return true;
        if (!world_->is_down()) send(options, back);
        return share_.apply(share(options), typename Share::GiveBack{back.permits}, now);
    }
    template <class Now>
    bool apply(const Options& options, const typename Machine::Pause& pause, Now& now) {
        if (is_unlimited(options.prepared)) return true;
        end_lease(options);
        if (!world_->is_down()) send(options, pause);
        return share_.apply(share(options), pause, now);
    }

    LimiterState peek() const {
        if (!is_unlimited(options_.prepared) && world_->is_up())
            if (auto state = ask_state<Machine>(world_->link(), place_.key, options_)) return *state;
        return {};
    }

    /// What was spent alone is spent of the fleet's permits, too, as far as there are any.
    void on_up() override {
        const std::int64_t alone = spent_alone_.exchange(0);
        if (alone > 0) send(options_, typename Machine::Lease{alone});
    }
    void on_timer() override { return_expired(); }

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

    template <class Now>
    Grant take_alone(const Options& options, std::int64_t permits, Now& now) {
        const Grant whole = Algorithm::peek({}, options.prepared, permits, now());
        if (whole.never) return whole;
        const Grant grant = share_.apply(share(options), typename Share::Take{permits}, now);
        if (grant.granted) spent_alone_ += permits;
        return grant;
    }
    template <class Now>
    Grant counted(const Options& options, std::int64_t permits, const Grant& grant, Now& now) {
        if (grant.granted) share_.apply(share(options), typename Share::Spend{permits}, now);
        return grant;
    }

    template <class Now>
    Grant take_exact(const Options& options, std::int64_t permits, PauseCell<L>& pause,
                     const PauseMachine::Options& pause_options, Now& now) {
        if constexpr (L::template takes_together<PauseMachine, Machine>) {
            return take_in_one(options, permits, pause, pause_options, now);
        } else {  // an algorithm of the user's, for which there is no script
            const Grant grant = apply(options, typename Machine::Take{permits}, now);
            const Duration refused =
                grant.granted ? pause.apply(pause_options, PauseMachine::Spend{permits}, now) : Duration{0};
            if (refused == Duration{0}) return grant;
            (void)apply(options, typename Machine::GiveBack{permits}, now);
            return {.retry_after = refused};
        }
    }
    template <class Now>
    Grant take_in_one(const Options& options, std::int64_t permits, PauseCell<L>& pause,
                      const PauseMachine::Options& pause_options, Now& now) {
        const auto reply =
            ask(world_->link(), remote<PauseMachine>(pause.key(), pause_options, PauseMachine::Check{permits}),
                remote<Machine>(place_.key, options, typename Machine::Take{permits}),
                remote<PauseMachine>(pause.key(), pause_options, PauseMachine::Spend{permits}));
        if (!reply) return failed(reply.error()), take_alone(options, permits, now);
        const auto& [check, grant, spend] = reply->decisions;
        if (check.value_or(Duration{0}) > Duration{0}) return {.retry_after = *check};
        if (!grant || !grant->granted) return grant.value_or(Grant{});
        if (spend.value_or(Duration{0}) > Duration{0}) return {.retry_after = *spend};
        return counted(options, permits, *grant, now);
    }

    template <class Now>
    Grant take_leased(const Options& options, Now& now) {
        if (leased_.take(now())) [[likely]]
            return {.granted = true};
        std::unique_lock lock{refill_};  // one asks, all others wait for what it gets
        if (leased_.take(now())) return {.granted = true};
        if (world_->is_down()) return take_alone(options, 1, now);
        if (now() < none_before_) return {.retry_after = none_before_ - now()};
        const auto reply =
            ask(world_->link(), remote<Machine>(place_.key, options, typename Machine::Lease{lease(options, now())}));
        if (!reply) {
            lock.unlock();  // an observer may be told
            return failed(reply.error()), take_alone(options, 1, now);
        }
        const auto& leased = std::get<0>(reply->decisions).value();
        if (!leased.grant.granted) {
            none_before_ = now() + leased.grant.retry_after;
            return leased.grant;
        }
        const Instant until = lease_end(leased.until, now());
        leased_.set(leased.permits - 1, until);
        if (leased.permits > 1) world_->wake(this->weak_from_this(), until);
        return counted(options, leased.permits, {.granted = true}, now);
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
    void end_lease(const Options& options) { give_back(options, leased_.end()); }
    void return_expired() { give_back(options_, leased_.end_if_over(world_->clock().now())); }
    /// Permits of a window that is over have lapsed with it; a bucket takes them back at any time.
    void give_back(const Options& options, const LeasedPermits::Left& left) {
        const bool can = layout_is_bucket() || world_->clock().now() < left.until;
        if (left.permits > 0 && can && !world_->is_down()) send(options, typename Machine::GiveBack{left.permits});
    }
    bool layout_is_bucket() const noexcept { return options_.layout.starts_with("token_bucket"); }

    template <class Command>
    void send(const Options& options, const Command& command) {
        world_->link().apply([](auto) {}, remote<Machine>(place_.key, options, command));
    }
    void failed(const LinkFailure& failure) const {
        if (failure.kind == LinkFailure::Kind::unreadable) world_->tell_unreadable(place_.key, failure.words);
    }

    const std::shared_ptr<World<L>> world_;
    const Place place_;
    const Options options_;
    LeasedPermits leased_;
    std::mutex refill_;
    Instant none_before_{};  // as the server has said; under `refill_`
    memory::WordCell<Share> share_;
    std::atomic<std::int64_t> spent_alone_ = 0;
};

}  // namespace breakwater::fleet
