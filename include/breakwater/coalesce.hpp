#pragma once

#include <breakwater/coalesce/lane.hpp>
#include <breakwater/coalesce/options.hpp>
#include <breakwater/coalesce/table.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>

#include <cstddef>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace breakwater {

/// Of the calls with the same key that are under way at once, one goes on inwards, and the others have its result:
///
///     bw::Pipeline guard{bw::Coalesce<Price>{}, bw::Retry{}, breaker};
///     auto price = guard.run(fetch_price, {.key = "milk"});
///
/// For calls that change nothing and would all be told the same: "singleflight" in Go, "request collapsing" in Hystrix
/// and in HTTP caches. A call without a key goes alone. Those that follow take no permit and make no attempt.
///
/// - The result, an error too, is copied to all. If the leader is cancelled or its deadline passes, the first of those
///   who wait leads.
/// - A follower waits for at most `max_wait`, then it goes alone.
/// - What stands outside of this policy is each call's own: retries and fallbacks there, for instance.
///
/// A handle: copies share the calls under way. Thread-safe.
template <class T>
class Coalesce {
public:
    using Options = CoalesceOptions;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit Coalesce(const Options& options = {})
        : options_{checked(options)}, table_{std::make_shared<CoalesceTable<T>>()} {}

    /// As the constructor, without throwing.
    static Result<Coalesce> make(const Options& options) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return Coalesce{options};
    }

    const Options& options() const noexcept { return options_; }
    /// How many keys are under way now.
    std::size_t in_flight() const { return table_->size(); }

    // The policy.

    using Lane = CoalesceLane<T>;
    using Waiter = typename CoalesceTable<T>::Waiter;

    std::string_view name() const noexcept { return "coalesce"; }
    Before before(Lane& lane, auto& call) const {
        if (call.key().empty() || !call.may_wait()) return proceed;
        return lane.join(*table_, call.key(), options_.max_wait);
    }
    bool enqueue(Lane& lane, Waiter& waiter) const {
        lane.enqueue(waiter);
        return true;
    }
    Before settle(Lane& lane, Waiter& waiter) const noexcept { return lane.settle(waiter); }
    Result<T> answer(Lane& lane, auto& call) const {
        call.emit({.kind = EventKind::coalesced, .policy = name()});
        Result<T> result = lane.answer();
        if (result) call.source = Source::coalesced;
        return result;
    }
    template <class U>
    After after(Lane& lane, auto&, Result<U>& result) const {
        static_assert(std::is_same_v<T, U>, "breakwater: Coalesce<T> stands around calls that give that T");
        if (lane.leads() && (result || !is_own_affair(result.error()))) lane.finish(&result);
        return done;
    }

private:
    static Options checked(Options options) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        return options;
    }

    Options options_;
    std::shared_ptr<CoalesceTable<T>> table_;
};

}  // namespace breakwater
