#pragma once

#include <breakwater/detail/exceptions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/keyed/by.hpp>
#include <breakwater/keyed/name.hpp>
#include <breakwater/keyed/options.hpp>
#include <breakwater/keyed/table.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/rate_limiter/machine.hpp>
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
#include <type_traits>
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

namespace detail {

/// A cell that stands where it is declared.
template <class Cell>
struct CellInPlace {
    mutable Cell cell;
    Cell& operator*() const noexcept { return cell; }
};

/// What a keyed limiter keeps for one key.
template <class Rate, class Pause>
struct LimiterCells {
    Rate rate;
    Pause pause;
};

}  // namespace detail

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
    using Machine = RateMachine<AlgorithmType>;
    using Steps = LimiterSteps<AlgorithmType, StoreType>;
    using Rules = LimiterRules<AlgorithmType>;
    using Cell = typename Steps::Cell;
    using PauseCell = typename Steps::PauseCell;
    static constexpr bool in_place = KeepsObjects<StoreType>;
    template <class C>
    using Kept = std::conditional_t<in_place, detail::CellInPlace<C>, std::shared_ptr<C>>;
    using Cells = detail::LimiterCells<Kept<Cell>, Kept<PauseCell>>;
    using Table = KeyedTable<Cells>;

    struct Shared {
        KeyedRateLimiterOptions<AlgorithmType> options;
        Rules rules;
        StoreType store;
        std::shared_ptr<Table> table;
    };

public:
    static constexpr Place place = Place::admission;
    using Algorithm = AlgorithmType;
    using Options = KeyedRateLimiterOptions<Algorithm>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit KeyedRateLimiter(Options options, StoreType store = StoreType{})
        : shared_{build(std::move(options), std::move(store))} {}
    explicit KeyedRateLimiter(Algorithm algorithm, StoreType store = StoreType{})
        : KeyedRateLimiter{Options{.each = {.algorithm = std::move(algorithm)}}, std::move(store)} {}

    /// As the constructor, without throwing.
    static Result<KeyedRateLimiter> make(Options options, StoreType store = StoreType{}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return KeyedRateLimiter{std::move(options), std::move(store)};
    }

    /// Another handle of the same limiters, which goes by other options, of the same name; this one and its copies keep
    /// theirs. What is spent stays spent and pauses go on, for each key as if by `RateLimiter::reconfigured`. If
    /// `max_keys` is less than the keys whose limiters are not full, the ones beyond share one. Looks at every key, if
    /// `max_keys` or the form in which the algorithm counts is another.
    Result<KeyedRateLimiter> reconfigured(Options options) const {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        if (auto ok =
                detail::validate_same_name("each", "the limiters'", shared_->options.each.name, options.each.name);
            !ok)
            return fail(std::move(ok).error());
        KeyedRateLimiter next{*this};
        next.shared_ = build(std::move(options), shared_->store, shared_.get());
        if (next.shared_->table == shared_->table) return next;
        LazyNow now{clock()};
        const auto carry = [&](const Cells& from, const Pin& to) {
            auto at = no_earlier(to, now);
            next.steps(*to).carry_over(steps(from), at);
            next.steps(*to).heed_as(steps(from), at);
        };
        shared_->table->for_each([&](const Pin& pin) {
            // Elsewhere a key's cells are found by its name, which a label that is cut short does not tell.
            const bool has_name = in_place || shared_->table->hash(pin.label()) == pin.hash();
            if (has_name && !steps(*pin).is_fresh(now())) carry(*pin, next.insert(pin.hash(), pin.label(), now()));
        });
        carry(*shared_->table->shared(), next.shared_->table->shared());
        return next;
    }

    /// Takes `permits` of this key now or not at all; refusals as of `RateLimiter::try_acquire`.
    Result<void> try_acquire(std::string_view key, std::int64_t permits = 1) const noexcept {
        LazyNow now{clock()};
        const Pin pin = find_or_insert(key, now);
        auto at = no_earlier(pin, now);
        const Grant grant = steps(*pin).take(permits, at);
        if (grant.granted) return {};
        return fail(refusal_of(pin, grant));
    }

    /// Takes `permits` of this key, waiting up to `max_wait` for them. Blocks. Refuses at once if the wait would be
    /// longer. The key is not forgotten meanwhile.
    Result<void> acquire(std::string_view key, std::int64_t permits, Duration max_wait,
                         const std::stop_token& stop = {}) const {
        LazyNow now{clock()};
        const Pin pin = find_or_insert(key, now);
        const Instant give_up = now() + std::min<Duration>(max_wait, std::chrono::hours{24});
        auto at = no_earlier(pin, now);
        for (;;) {
            const Grant grant = steps(*pin).take(permits, at);
            if (grant.granted) return {};
            if (grant.never || now() + grant.retry_after > give_up) return fail(refusal_of(pin, grant));
            if (clock().wait_until(now() + grant.retry_after, stop) == Wait::stopped) return fail(Errc::cancelled);
            now.forget();
        }
    }

    /// Gives permits of this key back that were taken and not used.
    void give_back(std::string_view key, std::int64_t permits = 1) const noexcept {
        LazyNow now{clock()};
        const Pin pin = find_or_insert(key, now);
        auto at = no_earlier(pin, now);
        steps(*pin).give_back(permits, at);
    }

    /// Refuses this key until `t` of the store's clock, at most `max_pause` from now; nothing accrues meanwhile.
    /// Returns how long the pause lasts.
    Duration pause_until(std::string_view key, Instant t) const noexcept {
        LazyNow now{clock()};
        const Pin pin = find_or_insert(key, now);
        auto at = no_earlier(pin, now);
        return steps(*pin).pause_until(t, at);
    }
    Duration pause_for(std::string_view key, Duration span) const noexcept {
        LazyNow now{clock()};
        return pause_until(key, now() + std::min(span, options().each.max_pause));
    }
    /// Heeds what a service says it still allows under this key: as `RateLimiter::limit_to`.
    Duration limit_to(std::string_view key, std::int64_t permits, Duration span) const noexcept {
        LazyNow now{clock()};
        return limit_to(find_or_insert(key, now), permits, span, now);
    }

    /// How long until `permits` of this key could be taken: zero if now, `Duration::max()` if never. Takes nothing and
    /// makes nothing: of a key not known it tells what a new limiter would, or the shared one if there is no place.
    Duration retry_after(std::string_view key, std::int64_t permits = 1) const noexcept {
        const Shared& shared = *shared_;
        LazyNow now{clock()};
        Pin pin = shared.table->find_surely(shared.table->hash(key));
        if (!pin && !in_place) pin = find_or_insert(key, now);
        if (!pin && shared.table->is_full()) pin = shared.table->shared();
        if (!pin) {
            const Grant grant = Algorithm::peek({}, shared.rules.rate.prepared, permits, now());
            return grant.never ? Duration::max() : grant.retry_after;
        }
        auto at = no_earlier(pin, now);
        return steps(*pin).retry_after(permits, at());
    }

    /// At most `most` limiters that are not full. Looks at every key, without a lock: about 20 ms for a million.
    KeyedRateLimiterSnapshot snapshot(std::size_t most = 100) const {
        const Instant now = clock().now();
        KeyedRateLimiterSnapshot seen{.name = std::string{name()}, .counts = shared_->table->counts()};
        std::vector<RateLimiterSnapshot>& busiest = seen.limiters;  // a heap with the least busy one in front
        const auto is_busier = [](const RateLimiterSnapshot& a, const RateLimiterSnapshot& b) {
            return a.retry_after != b.retry_after ? a.retry_after > b.retry_after : a.available < b.available;
        };
        shared_->table->for_each([&](const Pin& pin) {
            if (most == 0 || is_fresh(*pin, now)) return;
            busiest.push_back(look(pin, now));
            std::ranges::push_heap(busiest, is_busier);
            if (busiest.size() <= most) return;
            std::ranges::pop_heap(busiest, is_busier);
            busiest.pop_back();
        });
        std::ranges::sort_heap(busiest, is_busier);
        seen.shared = look(shared_->table->shared(), now);
        return seen;
    }

    /// As of `RateLimiter`, for each key whose limiter is not full: `use(key, saved)`. Of a key that is not shown whole
    /// (see `KeyLabel`) only the label is known.
    template <class F>
    void save(F use) const {
        const Instant now = clock().now();
        shared_->table->for_each([&](const Pin& pin) {
            if (!is_fresh(*pin, now)) use(std::string{pin.label()}, steps(*pin).save(not_before(pin, now)));
        });
    }
    void restore(std::string_view key, const SavedLimiter& saved, Duration age) const noexcept {
        LazyNow now{clock()};
        const Pin pin = find_or_insert(key, now);
        steps(*pin).restore(saved, age, now());
    }

    std::string_view name() const noexcept { return shared_->options.each.name; }
    const Options& options() const noexcept { return shared_->options; }
    const auto& clock() const noexcept { return shared_->store.clock(); }

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
        typename Table::Pin pin_;
        Duration waited_{};
        std::uint64_t permit_ = 0;  // 1 + the number of attempts made when it was taken; 0 if there is none
    };

    /// Lets the call pass under this key; to be called before `before`, once for each passage.
    void place_under(Lane& lane, std::string_view key) const noexcept {
        LazyNow now{clock()};
        lane.pin_ = find_or_insert(key, now);
    }

    Before before(Lane& lane, auto& call) const noexcept {
        const Grant grant = with_now(call, clock(), [&](auto& now) {
            if (!lane.has_key()) lane.pin_ = find_or_insert(call.key(), now);
            auto at = no_earlier(lane.pin_, now);
            return steps(*lane.pin_).take(1, at);
        });
        if (!grant.granted) return wait_or_reject(grant, options().each.max_wait, lane.waited_);
        lane.permit_ = std::uint64_t{1} + call.attempt;
        return proceed;
    }

    template <class T>
    After after(Lane& lane, auto& call, Result<T>& result) const noexcept {
        if (!result) [[unlikely]]
            failed(lane, call, result.error());
        return done;
    }

    /// As `limit_to`, in a pipeline.
    void heed_quota(std::string_view key, std::int64_t permits, Duration span, auto& call) const noexcept {
        LazyNow now{clock()};
        const Pin pin = find_or_insert(key, now);
        tell_of_pause(pin, limit_to(pin, permits, span, now), call);
    }

    Error refusal(Lane& lane, auto&, const Before& before) const noexcept {
        return refusal_by(KeyedName{name(), lane.pin_.label()}.text(), before);
    }

private:
    using Pin = typename Table::Pin;

    /// With the table of `old`, if there is one and it fits.
    static std::shared_ptr<const Shared> build(Options options, StoreType store, const Shared* old = nullptr) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        const auto& each = options.each;
        Rules rules = rules_of(each);
        const auto make = [&] {
            return std::make_shared<Table>(options.max_keys, [&] { return make_cells(store, each.name, "*", rules); });
        };
        const auto find_or_make = [&](const std::string& layout) {
            if constexpr (in_place)
                return store.template object<Table>("keyed rate", each.name, layout, make);
            else
                return make();
        };
        std::shared_ptr<Table> table;
        if (old == nullptr) {
            table = find_or_make(rules.rate.layout);
        } else if (old->rules.rate.layout == rules.rate.layout && old->options.max_keys == options.max_keys) {
            table = old->table;
        } else {
            table = find_or_make(rules.rate.layout);
            if (table->counts().max_keys != options.max_keys)  // one that was made for another number of keys
                table = find_or_make(rules.rate.layout + " for " + std::to_string(options.max_keys));
        }
        return std::make_shared<const Shared>(
            Shared{std::move(options), std::move(rules), std::move(store), std::move(table)});
    }

    static Cells make_cells(const StoreType& store, const std::string& name, std::string_view key,
                            const Rules& rules) noexcept(in_place) {
        if constexpr (in_place) {
            return Cells{{Cell{rules.rate}}, {PauseCell{rules.pause}}};
        } else {
            const std::string whole = name.empty() ? name : std::string{name}.append(" ").append(key);
            return Cells{store.template cell<Machine>("rate", whole, rules.rate),
                         store.template cell<PauseMachine>("pause", whole, rules.pause)};
        }
    }

    Pin find_or_insert(std::string_view key, auto& now) const noexcept {
        Table& table = *shared_->table;
        const KeyHash hash = table.hash(key);
        if (Pin found = table.find(hash)) [[likely]]
            return found;
        return insert(hash, key, now());
    }
    [[gnu::noinline]] Pin insert(const KeyHash& hash, std::string_view key, Instant now) const noexcept {
        const Shared& shared = *shared_;
        const std::string& name = shared.options.each.name;
        const auto can_go = [&](const Cells& cells) noexcept { return is_fresh(cells, now); };
        if constexpr (in_place) {
            return shared.table->insert(hash, key, now, can_go,
                                        [&]() noexcept { return make_cells(shared.store, name, key, shared.rules); });
        } else {
            BREAKWATER_TRY {
                Cells made = make_cells(shared.store, name, key, shared.rules);
                return shared.table->insert(hash, key, now, can_go, [&]() noexcept { return std::move(made); });
            }
            BREAKWATER_CATCH_ALL {  // no memory: no cell of its own
                return shared.table->shared();
            }
        }
    }

    bool is_fresh(const Cells& cells, Instant now) const noexcept {
        if (!in_place && !name().empty()) return true;  // the store keeps it under its name
        return steps(cells).is_fresh(now);
    }

    Steps steps(const Cells& cells) const noexcept {
        return {shared_->store, shared_->rules, *cells.rate, *cells.pause};
    }
    /// A limiter that took another's place is not used at an earlier time than that, whoever read the clock before: the
    /// other one's permits were not all back then.
    static auto no_earlier(const Pin& pin, auto& now) noexcept {
        return [&pin, &now] { return not_before(pin, now()); };
    }
    static Instant not_before(const Pin& pin, Instant now) noexcept {
        const Duration early = pin.born() - now;
        return early > Duration{0} && early <= clock_tolerance ? pin.born() : now;
    }
    Duration limit_to(const Pin& pin, std::int64_t permits, Duration span, auto& now) const noexcept {
        auto at = no_earlier(pin, now);
        return steps(*pin).limit_to(permits, span, at);
    }
    RateLimiterSnapshot look(const Pin& pin, Instant now) const {
        return steps(*pin).snapshot(pin.label(), not_before(pin, now));
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
            auto at = no_earlier(lane.pin_, now);
            if (lane.permit_ == std::uint64_t{1} + call.attempt) steps(*lane.pin_).give_back(1, at);
            return steps(*lane.pin_).heed(error, at);
        });
        lane.permit_ = 0;
        tell_of_pause(lane.pin_, paused, call);
    }
    void tell_of_pause(const Pin& pin, Duration paused, auto& call) const noexcept {
        if (paused <= Duration{0}) return;
        const KeyedName whose{name(), pin.label()};
        call.emit({.kind = EventKind::limiter_paused, .policy = whose.text(), .delay = paused});
    }

    std::shared_ptr<const Shared> shared_;
};

template <Store S>
KeyedRateLimiter(KeyedRateLimiterOptions<AnyAlgorithm>, S) -> KeyedRateLimiter<AnyAlgorithm, S>;
template <RateAlgorithm A>
KeyedRateLimiter(A) -> KeyedRateLimiter<A>;
template <RateAlgorithm A, Store S>
KeyedRateLimiter(A, S) -> KeyedRateLimiter<A, S>;

}  // namespace breakwater
