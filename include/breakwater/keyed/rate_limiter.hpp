#pragma once

#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/validate_in.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/keyed/by.hpp>
#include <breakwater/keyed/limiter_table.hpp>
#include <breakwater/keyed/name.hpp>
#include <breakwater/keyed/options.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/rate_limiter/state.hpp>
#include <breakwater/rate_limiter/steps.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/memory.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// A keyed limiter as seen from outside.
struct KeyedRateLimiterSnapshot {
    std::string name{};
    KeyedCounts counts{};
    /// Those that are not full, the ones with the longest way back first.
    std::vector<RateLimiterSnapshot> limiters{};
    RateLimiterSnapshot shared{};  ///< Of the keys that found no place.
};

/// A rate limiter for each key (tenant, user, host …), all of one rule.
///
///     bw::KeyedRateLimiter limiter{bw::TokenBucket{.permits = 10, .period = 1s}};
///     if (!limiter.try_acquire("tenant-7")) …
///     bw::Pipeline guard{bw::Retry{}, limiter};
///     guard.run(f, {.key = "tenant-7"});
///
/// A handle: copies share the permits. Thread-safe. A key is known by a hash under a secret of this process and costs
/// 128 bytes; one that is known is found without a lock. At most `max_keys` have a limiter. When there are more, a new
/// key takes the place of one whose limiter is full and not paused, which therefore loses nothing; while there is none
/// (see `KeyedTable`), it shares one limiter, of the same rule, with all others in that position. Keys are shown in
/// errors and snapshots: use no secret as a key.
///
/// On a store whose cells do not stand in this process, a key's cells are named after it.
template <RateAlgorithm AlgorithmType = AnyAlgorithm, Store StoreType = MemoryStore<>>
class KeyedRateLimiter {
    using Table = LimiterTable<AlgorithmType, StoreType>;
    using Tables = detail::Versions<Table>;
    using Pin = typename Table::Pin;

public:
    static constexpr Place place = Place::admission;
    using Algorithm = AlgorithmType;
    using Options = KeyedRateLimiterOptions<Algorithm>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit KeyedRateLimiter(Options options, StoreType store = StoreType{})
        : tables_{build(std::move(options), std::move(store))} {}
    explicit KeyedRateLimiter(Algorithm algorithm, StoreType store = StoreType{})
        : KeyedRateLimiter{Options{.each = {.algorithm = std::move(algorithm)}}, std::move(store)} {}

    /// As the constructor, without throwing.
    static Result<KeyedRateLimiter> make(Options options, StoreType store = StoreType{}) {
        if (auto ok = detail::validate_in<StoreType>(options, "rate_limit"); !ok) return fail(std::move(ok).error());
        return KeyedRateLimiter{std::move(options), std::move(store)};
    }

    /// Goes on by other options, of the same name: for this handle, its copies and the pipelines that hold one. What is
    /// spent stays spent and pauses go on, for each key as if by `RateLimiter::reconfigure`. If `max_keys` is less than
    /// the keys whose limiters are not full, the ones beyond share one. Calls under way end by the old options. Looks
    /// at every key, if `max_keys` or the form in which the algorithm counts is another; the memory of the old keys is
    /// then kept until the last handle goes. An error (`invalid_options`) changes nothing.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate_next(options); !ok) return ok;
        tables_->update([&](const Table& old) { return Table{std::move(options), old}; });
        return {};
    }

    /// Another handle of the same limiters, which goes by other options, of the same name: as if by `reconfigure`, but
    /// this one and its copies keep theirs.
    Result<KeyedRateLimiter> reconfigured(Options options) const {
        if (auto ok = validate_next(options); !ok) return fail(std::move(ok).error());
        KeyedRateLimiter next{*this};
        next.tables_ = std::make_shared<Tables>(Table{std::move(options), table()});
        return next;
    }

    /// Takes `permits` of this key now or not at all; refusals as of `RateLimiter::try_acquire`.
    Result<void> try_acquire(std::string_view key, std::int64_t permits = 1) const noexcept {
        const Table& table = this->table();
        LazyNow now{table.clock()};
        const Pin pin = table.find_or_insert(key, now);
        auto at = Table::no_earlier(pin, now);
        return result_of(pin, table.steps(pin).take(permits, at));
    }
    /// The same as a `NowOrLater`, for who may not block. This handle lives until then.
    auto async_try_acquire(std::string_view key, std::int64_t permits = 1) const
        requires AsyncStore<StoreType>
    {
        const Table& table = this->table();
        LazyNow now{table.clock()};
        Pin pin = table.find_or_insert(key, now);
        auto at = Table::no_earlier(pin, now);
        auto taking = table.steps(pin).async_take(permits, at);
        return then(std::move(taking),
                    [this, pin = std::move(pin)](const Grant& grant) { return result_of(pin, grant); });
    }

    /// Takes `permits` of this key, waiting up to `max_wait` for them. Blocks. Refuses at once if the wait would be
    /// longer. The key is not forgotten meanwhile.
    Result<void> acquire(std::string_view key, std::int64_t permits, Duration max_wait,
                         const std::stop_token& stop = {}) const {
        const Table& table = this->table();
        LazyNow now{table.clock()};
        const Pin pin = table.find_or_insert(key, now);
        const Instant give_up = now() + std::min<Duration>(max_wait, std::chrono::hours{24});
        auto at = Table::no_earlier(pin, now);
        for (;;) {
            const Grant grant = table.steps(pin).take(permits, at);
            if (grant.granted) return {};
            if (grant.never || now() + grant.retry_after > give_up) return fail(refusal_of(pin, grant));
            if (clock().wait_until(now() + grant.retry_after, stop) == Wait::stopped) return fail(Errc::cancelled);
            now.forget();
        }
    }

    /// Gives permits of this key back that were taken and not used.
    void give_back(std::string_view key, std::int64_t permits = 1) const noexcept {
        with_limiter_of(key, [&](auto steps, auto& now) { steps.give_back(permits, now); });
    }

    /// Refuses this key until `t` of the store's clock, at most `max_pause` from now; nothing accrues meanwhile.
    /// Returns how long the pause lasts.
    Duration pause_until(std::string_view key, Instant t) const noexcept {
        return with_limiter_of(key, [&](auto steps, auto& now) { return steps.pause_until(t, now); });
    }
    Duration pause_for(std::string_view key, Duration span) const noexcept {
        return pause_until(key, clock().now() + std::min(span, options().each.max_pause));
    }
    /// Heeds what a service says it still allows under this key: as `RateLimiter::limit_to`.
    Duration limit_to(std::string_view key, std::int64_t permits, Duration span) const noexcept {
        return with_limiter_of(key, [&](auto steps, auto& now) { return steps.limit_to(permits, span, now); });
    }

    /// How long until `permits` of this key could be taken: zero if now, `Duration::max()` if never. Takes nothing and
    /// makes nothing: of a key not known it tells what a new limiter would, or the shared one if there is no place.
    Duration retry_after(std::string_view key, std::int64_t permits = 1) const noexcept {
        const Table& table = this->table();
        LazyNow now{table.clock()};
        const Pin pin = table.find(key, now);
        if (pin) return table.steps(pin).retry_after(permits, Table::not_before(pin, now()));
        const Grant grant = Algorithm::peek({}, table.rules().rate.prepared, permits, now());
        return grant.never ? Duration::max() : grant.retry_after;
    }

    /// At most `most` limiters that are not full. Looks at every key, without a lock: about 20 ms for a million.
    KeyedRateLimiterSnapshot snapshot(std::size_t most = 100) const {
        const Table& table = this->table();
        const Instant now = table.clock().now();
        const auto look = [&](const Pin& pin) {
            return table.steps(pin).snapshot(pin.label(), Table::not_before(pin, now));
        };
        KeyedRateLimiterSnapshot seen{.name = std::string{name()}, .counts = table.counts()};
        std::vector<RateLimiterSnapshot>& busiest = seen.limiters;  // a heap with the least busy one in front
        const auto is_busier = [](const RateLimiterSnapshot& a, const RateLimiterSnapshot& b) {
            return a.retry_after != b.retry_after ? a.retry_after > b.retry_after : a.available < b.available;
        };
        table.for_each([&](const Pin& pin) {
            if (most == 0 || table.is_fresh(pin, now)) return;
            busiest.push_back(look(pin));
            std::push_heap(busiest.begin(), busiest.end(), is_busier);
            if (busiest.size() <= most) return;
            std::pop_heap(busiest.begin(), busiest.end(), is_busier);
            busiest.pop_back();
        });
        std::sort_heap(busiest.begin(), busiest.end(), is_busier);
        seen.shared = look(table.shared());
        return seen;
    }

    /// As of `RateLimiter`, for each key whose limiter is not full: `use(key, saved)`. Of a key that is not shown whole
    /// (see `KeyLabel`) only the label is known.
    template <class F>
    void save(F use) const {
        const Table& table = this->table();
        const Instant now = table.clock().now();
        table.for_each([&](const Pin& pin) {
            if (table.is_fresh(pin, now)) return;
            use(std::string{pin.label()}, table.steps(pin).save(Table::not_before(pin, now)));
        });
    }
    void restore(std::string_view key, const SavedLimiter& saved, Duration age) const noexcept {
        const Table& table = this->table();
        LazyNow now{table.clock()};
        table.steps(table.find_or_insert(key, now)).restore(saved, age, now());
    }

    std::string_view name() const noexcept { return options().each.name; }
    const Options& options() const noexcept { return table().options(); }
    const auto& clock() const noexcept { return table().clock(); }

    // The policy. Its key is the call's (`CallOptions::key`), unless a function says otherwise.

    /// The policy with the key that `key_of` finds: see `By`.
    template <class F>
    By<KeyedRateLimiter, F> by(F key_of) const {
        return {*this, std::move(key_of)};
    }

    /// Holds the key's limiter while the call passes.
    class Lane {
    public:
        bool has_key() const noexcept { return static_cast<bool>(pin_); }

    private:
        friend KeyedRateLimiter;
        const Table* table_ = nullptr;  // where the pin is from
        Pin pin_;
        Duration waited_{};
        std::uint64_t permit_ = 0;  // 1 + the number of attempts made when it was taken; 0 if there is none
    };

    std::string_view key(const Lane& lane) const noexcept {
        return lane.has_key() ? lane.pin_.label() : std::string_view{};
    }
    /// Lets the call pass under this key; to be called before `before`, once for each passage.
    void place_under(Lane& lane, std::string_view key) const noexcept {
        LazyNow now{clock()};
        place_under(lane, key, now);
    }

    Before before(Lane& lane, auto& call) const noexcept {
        const Grant grant = with_limiter(lane, call, [](const auto& steps, auto& now) { return steps.take(1, now); });
        return decided(lane, call, grant);
    }
    auto async_before(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        return then(with_limiter(lane, call, [](const auto& steps, auto& now) { return steps.async_take(1, now); }),
                    [&](const Grant& grant) { return decided(lane, call, grant); });
    }

    template <class T>
    After after(Lane& lane, auto& call, Result<T>& result) const noexcept {
        if (!result) [[unlikely]]
            failed(lane, call, result.error());
        return done;
    }

    /// As `limit_to`, in a pipeline.
    void heed_quota(std::string_view key, std::int64_t permits, Duration span, auto& call) const noexcept {
        with_limiter_of(key, [&](auto steps, auto& now, const Pin& pin) {
            tell_of_pause(pin, steps.limit_to(permits, span, now), call);
        });
    }

    Error refusal(Lane& lane, auto&, const Before& before) const noexcept {
        return refusal_by(KeyedName{name(), lane.pin_.label()}.text(), before);
    }

private:
    static std::shared_ptr<Tables> build(Options options, StoreType store) {
        if (auto ok = detail::validate_in<StoreType>(options, "rate_limit"); !ok) throw_error(ok.error());
        return std::make_shared<Tables>(Table{std::move(options), std::move(store)});
    }
    /// Options to go on by.
    Result<void> validate_next(const Options& options) const {
        if (auto ok = validate(options); !ok) return ok;
        return detail::validate_same_name("each", "the limiters'", this->options().each.name, options.each.name);
    }

    const Table& table() const noexcept { return tables_->current(); }
    void place_under(Lane& lane, std::string_view key, auto& now) const noexcept {
        lane.table_ = &table();
        lane.pin_ = lane.table_->find_or_insert(key, now);
    }

    /// What `use(steps, now)` gives on the limiter of a call.
    template <class F>
    auto with_limiter(Lane& lane, auto& call, F use) const {
        return with_now(call, clock(), [&](auto& now) {
            if (!lane.has_key()) place_under(lane, call.key(), now);
            auto at = Table::no_earlier(lane.pin_, now);
            return use(lane.table_->steps(lane.pin_), at);
        });
    }
    /// Of an attempt that has asked for a permit.
    static Before decided(Lane& lane, auto& call, const Grant& grant) noexcept {
        if (!grant.granted) return wait_or_reject(grant, lane.table_->options().each.max_wait, lane.waited_);
        lane.permit_ = std::uint64_t{1} + call.attempt;
        return proceed;
    }

    /// What `use(steps, now)` or `use(steps, now, pin)` gives.
    template <class F>
    auto with_limiter_of(std::string_view key, F use) const noexcept {
        const Table& table = this->table();
        LazyNow now{table.clock()};
        const Pin pin = table.find_or_insert(key, now);
        auto at = Table::no_earlier(pin, now);
        if constexpr (requires { use(table.steps(pin), at, pin); })
            return use(table.steps(pin), at, pin);
        else
            return use(table.steps(pin), at);
    }

    Result<void> result_of(const Pin& pin, const Grant& grant) const noexcept {
        if (grant.granted) return {};
        return fail(refusal_of(pin, grant));
    }
    Error refusal_of(const Pin& pin, const Grant& grant) const noexcept {
        const KeyedName whose{name(), pin.label()};
        if (grant.never) return Error::refusal(Errc::exceeds_burst, whose.text());
        return Error::refusal(Errc::rate_limited, whose.text(), grant.retry_after);
    }

    /// Gives the permit back if no attempt was made with it; pauses the key if the answer asks for it: 429 or 503 with
    /// Retry-After.
    [[gnu::noinline]] void failed(Lane& lane, auto& call, const Error& error) const noexcept {
        const Duration paused = with_now(call, clock(), [&](auto& now) {
            auto at = Table::no_earlier(lane.pin_, now);
            const auto steps = lane.table_->steps(lane.pin_);
            if (lane.permit_ == std::uint64_t{1} + call.attempt) steps.give_back(1, at);
            if (const Table& table = this->table(); &table != lane.table_) [[unlikely]] {
                if (const Pin pin = table.find_or_insert_as(lane.pin_, now)) table.steps(pin).heed(error, now);
            }
            return steps.heed(error, at);
        });
        lane.permit_ = 0;
        tell_of_pause(lane.pin_, paused, call);
    }
    void tell_of_pause(const Pin& pin, Duration paused, auto& call) const noexcept {
        if (paused <= Duration{0}) return;
        const KeyedName whose{name(), pin.label()};
        call.emit({.kind = EventKind::limiter_paused, .policy = whose.text(), .key = pin.label(), .delay = paused});
    }

    std::shared_ptr<Tables> tables_;
};

template <Store S>
KeyedRateLimiter(KeyedRateLimiterOptions<AnyAlgorithm>, S) -> KeyedRateLimiter<AnyAlgorithm, S>;
template <RateAlgorithm A>
KeyedRateLimiter(A) -> KeyedRateLimiter<A>;
template <RateAlgorithm A, Store S>
KeyedRateLimiter(A, S) -> KeyedRateLimiter<A, S>;

}  // namespace breakwater
