#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/result.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace breakwater {

/// What a rate limiter remembers: one word, so that a store can keep it in one atomic. All zero means fresh and full.
/// How the word is read is the algorithm's affair.
struct LimiterState {
    std::uint64_t word = 0;
    friend bool operator==(const LimiterState&, const LimiterState&) = default;
};

/// The answer to a request for permits.
struct Grant {
    bool granted = false;
    bool never = false;  ///< More was asked for than the limiter ever holds; waiting does not help.
    /// If refused but not for ever: waiting exactly this long is enough if nobody else takes. If reserved: when the
    /// permits become usable.
    Duration retry_after{};
    /// Refused because something else was that was asked in the same round: see `Before::Kind::withdrawn`.
    bool withdrawn = false;
    friend bool operator==(const Grant&, const Grant&) = default;
};

/// How long a pause may last unless the options say otherwise.
inline constexpr Duration default_max_pause = std::chrono::minutes{5};

/// Decides how many permits there are, on one word of state. An algorithm is its own options (a regular value); the
/// numbers the hot path needs are `Prepared` from them once, after `validate` has accepted them.
///
/// - `take` grants all `n` permits or none. A refusal changes the state only if that lay further ahead of `now` than
///   `capacity + max_ahead + clock_tolerance` (a clock set back, a word of other options): it then starts again,
///   empty. So a store publishes the state whenever it changed, granted or not.
/// - Optional: `grants(state, prepared, n, now) → bool` takes where `take` would grant; else it changes nothing.
/// - `peek` answers as `take` would and takes nothing; `available` is the number of permits it would grant.
/// - `pause`: nothing accrues in [from, until). `from` is not before the end of an earlier pause, and `until` at most
///   `max_ahead` ahead of the clock. To refuse calls meanwhile is the caller's task.
/// - Optional: `is_fresh(state, prepared, now)` says that from `now` on the state decides as a fresh one would. Without
///   it only the word 0 is fresh. A keyed limiter forgets only what is fresh.
/// - Optional: `lease_end(prepared, n, now)` says until when `n` permits just taken may wait to be used.
/// - `give_back` undoes a `take` of the same `n`: exact if it follows in the same step, else never above full.
///
/// None of them allocates, blocks or throws.
///
/// ```
/// struct OncePerBoot {                                    // the archetype: one permit, ever
///     using State = LimiterState;
///     struct Prepared {};
///     constexpr Prepared prepare(Duration) const noexcept { return {}; }
///     static constexpr Grant take(State& s, const Prepared& p, std::int64_t n, Instant now) noexcept {
///         const Grant grant = peek(s, p, n, now);
///         return s.word |= grant.granted ? 1U : 0U, grant;
///     }
///     static constexpr Grant peek(const State& s, const Prepared&, std::int64_t n, Instant) noexcept {
///         return n == 1 && s.word == 0 ? Grant{.granted = true} : Grant{.never = true};
///     }
///     static constexpr void pause(State&, const Prepared&, Instant, Instant) noexcept {}
///     static constexpr void give_back(State& s, const Prepared&, std::int64_t, Instant) noexcept { s = {}; }
///     static constexpr std::int64_t available(const State& s, const Prepared&, Instant) noexcept { return !s.word; }
///     friend Result<void> validate(const OncePerBoot&, std::string_view) { return {}; }
/// };
/// ```
template <class A>
concept RateAlgorithm = std::copyable<A> && std::copyable<typename A::Prepared> &&
                        std::is_trivially_copyable_v<typename A::State> && sizeof(typename A::State) == 8 &&
                        requires(const A& algorithm, typename A::State& state, const typename A::State& seen,
                                 const typename A::Prepared& prepared, std::int64_t n, Instant now, Duration max_ahead,
                                 std::string_view path) {
                            { algorithm.prepare(max_ahead) } noexcept -> std::same_as<typename A::Prepared>;
                            { A::take(state, prepared, n, now) } noexcept -> std::same_as<Grant>;
                            { A::peek(seen, prepared, n, now) } noexcept -> std::same_as<Grant>;
                            { A::pause(state, prepared, now, now) } noexcept;
                            { A::give_back(state, prepared, n, now) } noexcept;
                            { A::available(seen, prepared, now) } noexcept -> std::same_as<std::int64_t>;
                            { validate(algorithm, path) } -> std::same_as<Result<void>>;
                        };

/// An algorithm that also grants permits of the future. `reserve` answers as `take` does, but where `take` would refuse
/// with a `retry_after` of at most `max_wait` it takes the permits all the same, and grants them with that
/// `retry_after`. Until then `take` grants nothing that the reservation needs, and no later reservation becomes usable
/// before it. To put the state back to what it was undoes a reservation, as long as nothing else has changed it.
template <class A>
concept ReservableAlgorithm = RateAlgorithm<A> && std::equality_comparable<typename A::State> &&
                              requires(typename A::State& state, const typename A::Prepared& prepared, std::int64_t n,
                                       Instant now, Duration max_wait) {
                                  { A::reserve(state, prepared, n, now, max_wait) } noexcept -> std::same_as<Grant>;
                              };

}  // namespace breakwater
