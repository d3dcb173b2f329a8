#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/result.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace breakwater {

template <class T>
class NowOrLater;

namespace detail {

/// `NowOrLater<T>`, named where its header is not read: until a call is known, which it depends on in name only.
template <class T, class AnyCall>
struct Eventually {
    using type = NowOrLater<T>;
};
template <class T, class AnyCall>
using Eventual = typename Eventually<T, AnyCall>::type;

}  // namespace detail

/// What a policy says before the call goes on inwards.
class Before {
public:
    enum class Kind : std::uint8_t { proceed, wait, queue, reject, answer, withdrawn };

    Kind kind = Kind::proceed;
    Errc code = Errc::failure;  ///< Of a rejection; of a wait or queue: what it turns into if the call may not wait.
    Duration delay{};           ///< Of a wait; of a queue: at most; of a rejection: retry_after, or negative for none.
};
inline constexpr Before proceed{};
/// Ask again after `delay`. Becomes a rejection with `code` if the deadline is nearer or a probe is under way.
constexpr Before wait_for(Duration delay, Errc code) noexcept { return {Before::Kind::wait, code, delay}; }
/// Wait in the policy's queue for at most `most` (up to 24h). Becomes a rejection with `code` if the queue is full, the
/// time is over, or a probe is under way.
constexpr Before queue_for(Duration most, Errc code) noexcept { return {Before::Kind::queue, code, most}; }
constexpr Before reject(Errc code, Duration retry_after = Duration{-1}) noexcept {
    return {Before::Kind::reject, code, retry_after};
}
/// The words of a rejection by the policy called `name`.
inline Error refusal_by(std::string_view name, const Before& before) noexcept {
    return Error::refusal(before.code, name, before.delay < Duration{0} ? std::nullopt : std::optional{before.delay});
}
/// The policy has the result itself: `answer(lane, call)` gives it.
inline constexpr Before answer_now{Before::Kind::answer, Errc::failure, {}};

/// The store was asked together with what other policies needed of it, and refused one of those: this one has taken
/// nothing, and would be asked again.
inline constexpr Before withdrawn{Before::Kind::withdrawn, Errc::failure, {}};

/// What a policy says when the call has come back.
struct After {
    bool again = false;
    Duration delay{};
};
inline constexpr After done{};
constexpr After again_after(Duration delay) noexcept { return {true, delay}; }

/// Decides before and after a call; never waits itself. A policy is a handle: copies share state, all members are
/// thread-safe.
///
/// - `Lane` is what the policy keeps for one passage of one call; default-constructed before, destroyed after, on
///   every way out. A permit in it gives itself back there.
/// - `before(lane, call)` says proceed, wait, queue, reject or answer. After a wait it is asked again, and so is every
///   policy outside it that has a `reask(lane, call)`.
/// - A policy that says queue has a type `Waiter`: `enqueue(lane, waiter) → bool` takes a place in the queue, or says
///   that it is full; `waiter.turn()` is a `std::stop_source` that is stopped when the turn has come (or the call
///   leaves); and `settle(lane, waiter)` ends the waiting and says proceed, reject or answer. If the call goes on,
///   every policy outside it that has a `reask` is asked again.
/// - `after(lane, call, result)` says done, or again after a delay; it may replace the result. It is called exactly
///   once for each passage inwards. Must not throw.
/// - A policy whose store answers later has `async_before`, `async_reask` and `async_after` beside those without
///   `async_`, whose decision they give as a `NowOrLater`: with them an asynchronous call blocks no thread. Lane, call
///   and result stay where they are until then. What policies of `Place::admission` ask that stand side by side is
///   asked in one `Round`: until they are answered the call goes on inwards as if they had said proceed, as far as the
///   last of them; and if one is refused then, `after` has been told of that error by those inside it.
/// - Optional: `glance(lane, call) → bool` admits the call if that takes next to nothing; only if it says no is
///   `before` asked. `glance_back(lane, result) → bool` says done if there is next to nothing to do after the call, and
///   does it; only if it says no is `after` asked. One that says no has done nothing, and may be asked again.
/// - Optional: a type `Glimpse`, a base of `Lane` or `Lane` itself, which is all of it that those two take. A call of
///   which nothing is told (a `PlainCall`) goes without lanes through policies all of which have it; see `PlainDriver`.
///   Beside it, for such calls alone: `finish(glimpse, result) → bool` does what `after` would do where `glance_back`
///   has said no to a success; `refuses(call) → Before` says reject where `before` would, as far as that is told at
///   once, and `refusal(before) → Error` words it.
/// - Optional: `refusal(lane, call, before) → Error` words a rejection; `name()` names the policy in events, and
///   `key(lane)` whom it tells the call by.
///
/// ```
/// struct Archetype {
///     struct Lane {};
///     Before before(Lane&, auto&) const { return proceed; }
///     After after(Lane&, auto&, auto&) const { return done; }
/// };
/// ```
template <class P>
concept Policy = std::copy_constructible<P> && std::default_initializable<typename P::Lane> &&
                 requires(const P& policy, typename P::Lane& lane, Call<SteadyClock>& call, Result<int>& result) {
                     { policy.before(lane, call) } -> std::same_as<Before>;
                     { policy.after(lane, call, result) } -> std::same_as<After>;
                 };

/// Where a policy stands in the way of a call, for the order checks. A policy that says nothing may stand anywhere.
enum class Place : std::uint8_t { anywhere, fallback, deadline, retry, hedge, forecast, admission, attempt };

template <class P>
inline constexpr Place place_of = Place::anywhere;
template <class P>
    requires requires {
        { P::place } -> std::convertible_to<Place>;
    }
inline constexpr Place place_of<P> = P::place;

template <class P>
std::string_view name_of(const P& policy) noexcept {
    if constexpr (requires {
                      { policy.name() } -> std::convertible_to<std::string_view>;
                  })
        return policy.name();
    else
        return {};
}

/// The key by which a policy tells this call from others; empty if it does not.
template <class P>
std::string_view lane_key(const P& policy, const typename P::Lane& lane) noexcept {
    if constexpr (requires {
                      { policy.key(lane) } -> std::convertible_to<std::string_view>;
                  })
        return policy.key(lane);
    else
        return {};
}

}  // namespace breakwater
