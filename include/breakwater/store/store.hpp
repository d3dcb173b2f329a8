#pragma once

#include <breakwater/clock.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater {

/// A policy's decisions as a store sees them: a regular `State`, `Options` that never change it, and a static
/// `apply(state, options, command, now) → decision` for each command of its closed set, all `noexcept`.
///
/// `make_state(options)` gives the first state; `layout(options)` names its form, and cells of one kind and name are
/// shared only between equal layouts. Optional:
/// - `is_fresh(state, options, now)`: from `now` on it decides as the first state would, so nothing is lost with it;
/// - `is_refusal(decision)` and `undo(command, decision) → command`, for steps that are taken together. Where `{}` is a
///   refusal, it is what a store says that refuses all;
/// - `grants(state, options, command, now) → bool`: does what `apply` does where that is no refusal; else nothing;
/// - `outlasts(here, there, now)`: while its store was away this process has seen what holds on for it, although the
///   store has another state (see `LocalFallback`);
/// - `summary(state, options)` (at most 60 bits), and for what can be decided from this word without touching the state
///   `glance(summary, command, decision) → bool`, or `glance(summary, options, command, now, decision) → bool`.
template <class M>
concept Machine = std::copyable<typename M::State> && requires(const typename M::Options& options) {
    { M::make_state(options) } -> std::same_as<typename M::State>;
    { M::layout(options) } -> std::same_as<std::string>;
};

/// What `M` decides on `Command`.
template <class M, class Command>
using DecisionOf = decltype(M::apply(std::declval<typename M::State&>(), std::declval<const typename M::Options&>(),
                                     std::declval<const Command&>(), Instant{}));

/// One command for one cell.
template <class Cell, class Command>
struct Step {
    using Machine = typename Cell::Machine;
    using Decision = DecisionOf<Machine, Command>;

    Cell& cell;
    const typename Machine::Options& options;
    Command command;
};
template <class Cell, class Options, class Command>
Step(Cell&, const Options&, Command) -> Step<Cell, Command>;

/// Decides without a write, a wait or the time if the store can do so here; says whether it did.
template <class S, class Cell, class Command>
[[gnu::always_inline]] inline bool decided_at_a_glance(const S& store, const Step<Cell, Command>& step,
                                                       typename Step<Cell, Command>::Decision& decision) noexcept {
    if constexpr (requires { store.glance(step, decision); })
        return store.glance(step, decision);
    else
        return false;
}

namespace detail {

template <class S>
constexpr bool is_taken(const S&, const std::optional<typename S::Decision>& decision) {
    if constexpr (requires { S::Machine::is_refusal(*decision); })
        return decision && !S::Machine::is_refusal(*decision);
    else
        return decision.has_value();
}

}  // namespace detail

/// Undoes those of the steps that were taken, each by its machine's own command and not by a rollback, as being asked
/// may have effects that stay.
template <class F, class... Steps>
constexpr void undo_taken(F apply_one, const std::tuple<std::optional<typename Steps::Decision>...>& decisions,
                          const Steps&... steps) {
    const auto undo = [&]<class S>(const S& step, const auto& decision) {
        if constexpr (requires { S::Machine::undo(step.command, *decision); }) {
            if (detail::is_taken(step, decision))
                (void)apply_one(Step{step.cell, step.options, S::Machine::undo(step.command, *decision)});
        }
    };
    std::apply([&](const auto&... own) { (undo(steps, own), ...); }, decisions);
}

/// Takes the steps in order as one, as a store's `apply` does: `apply_one(step)` takes or undoes one, and the first
/// refusal undoes the earlier ones. Returns a tuple of optional decisions. To be called with nobody else between the
/// steps who must not be.
template <class F, class... Steps>
constexpr auto apply_in_order(F apply_one, const Steps&... steps) {
    std::tuple<std::optional<typename Steps::Decision>...> decisions;
    const auto take = [&](const auto& step, auto& decision) {
        decision = apply_one(step);
        return detail::is_taken(step, decision);
    };
    const bool all = std::apply([&](auto&... own) { return (take(steps, own) && ...); }, decisions);
    if (!all) undo_taken(apply_one, decisions, steps...);
    return decisions;
}

/// Takes steps on cells of this process in order.
template <class Now, class... Cells, class... Commands>
auto take_in_order(Now& now, const Step<Cells, Commands>&... steps) noexcept {
    return apply_in_order([&](const auto& step) { return step.cell.apply(step.options, step.command, now); }, steps...);
}

/// Whether the store wants every call refused, because it cannot be reached.
template <class S>
[[gnu::always_inline]] inline bool refuses_all(const S& store) noexcept {
    if constexpr (requires { store.refuses_all(); })
        return store.refuses_all();
    else
        return false;
}

/// The archetype machine: counts up to a limit. Used to check that a type is a store.
struct CountingMachine {
    struct State {
        std::uint32_t count = 0;
        friend bool operator==(const State&, const State&) = default;
    };
    struct Options {
        std::uint32_t limit = 1;
    };
    struct Add {};
    struct Remove {};

    static constexpr State make_state(const Options&) noexcept { return {}; }
    static std::string layout(const Options&) { return "count"; }
    static constexpr bool apply(State& state, const Options& options, const Add&, Instant) noexcept {
        if (state.count >= options.limit) return false;
        ++state.count;
        return true;
    }
    static constexpr bool apply(State& state, const Options&, const Remove&, Instant) noexcept {
        if (state.count > 0) --state.count;
        return true;
    }
    static constexpr bool is_refusal(bool decision) noexcept { return !decision; }
    static constexpr Remove undo(const Add&, bool) noexcept { return {}; }
};

/// A store whose cells stand in this process and can be placed by others.
template <class S>
concept KeepsObjects = requires(const S& store, std::string_view text, std::shared_ptr<int> (*make)()) {
    { store.template object<int>(text, text, text, make) } -> std::same_as<std::shared_ptr<int>>;
    { store.apart() } -> std::same_as<S>;
};

/// Remembers. A store keeps a machine's state in *cells* and byte strings as *blobs*, tells the time they are kept by,
/// and is a thread-safe handle: copies share everything.
///
/// - `cell<M>(kind, name, options)` resolves a cell once; the handle stays valid after the store is gone. The same
///   kind, name and layout give the same cell; an empty name gives a cell of its own. May lock and allocate.
/// - `apply(step, now)` applies one command atomically and returns the decision. It reads the clock only if it must.
///   `apply(now, steps...)` takes the steps in order as one: the first refusal undoes the earlier ones, and the steps
///   after it get no decision. Neither throws. A store that answers later says `is_deferred`: they block until it has.
/// - Optional: `glance(step, decision) → bool` decides without a write, a wait or the time where that can be done;
///   `glance(step, at, decision) → bool` without a write or a wait.
/// - Optional: `grants(step, now) → bool` applies a command of a machine that has `grants`, if that is no refusal.
/// - `peek(cell)` copies the state.
/// - A store that can fail has tries in place of these, or beside them: see `FallibleStore`. `LocalFallback` makes a
///   store of it with which no call fails.
/// - Optional: `refuses_all() → bool`: policies refuse every call with `Errc::store_unavailable`.
/// - Optional: `object<T>(kind, name, layout, make)` keeps an object of this process's, as `cell` does cells, and
///   `apart()` gives an empty store of the same clock. Only a store whose cells stand in this process has them. Keyed
///   policies keep the table of their keys there, with the cells in it; on any other store each key is a cell named
///   after it, and forgetting it is the store's affair.
/// - `put`, `get`, `erase`: blobs with a time to live. A store may forget a blob at any time, but never returns one
///   whose time has passed. They never throw for lack of room; what does not fit is not kept. `put` may return how many
///   other blobs it has dropped to make room.
/// - Optional: `keep_together(name)`: of the cells that are made by this copy from now on, those of this name and of
///   keys under it ("name key") are kept in one place.
/// - Optional: `claim(key, ttl) → bool`: a claim, which others that share the store have not got while it lasts;
///   `erase` ends it. True also where the store cannot tell. A store that has it lets processes make one call for all.
/// - A store that answers later may be an `AsyncStore`, for calls that do not block.
template <class S>
concept Store = std::copyable<S> && requires(const S& store, const CountingMachine::Options& options,
                                             std::string_view text, std::string bytes, Duration ttl) {
    requires Clock<std::remove_cvref_t<decltype(store.clock())>>;
    { S::is_deferred } -> std::convertible_to<bool>;
    { *store.template cell<CountingMachine>(text, text, options) };
    requires requires(typename S::template Cell<CountingMachine>& cell,
                      LazyNow<std::remove_cvref_t<decltype(store.clock())>>& now) {
        { store.apply(Step{cell, options, CountingMachine::Add{}}, now) } -> std::same_as<bool>;
        { store.peek(cell) } -> std::same_as<CountingMachine::State>;
    };
    { store.put(text, std::move(bytes), ttl) };
    { store.get(text) } -> std::same_as<std::shared_ptr<const std::string>>;
    { store.erase(text) };
};

/// The store, which keeps in one place what is made by this copy under that name, if it has several.
template <Store S>
S kept_together(S store, std::string_view name) {
    if constexpr (requires { store.keep_together(name); }) {
        if (!name.empty()) store.keep_together(name);
    }
    return store;
}

/// A store for which no thread need wait: it says `is_async` and has `async_apply`, `async_get` and `async_claim`,
/// which take what `apply`, `get` and `claim` do and give what those do as a `NowOrLater`, at the latest after a time
/// that is bounded by the store. Cells, and what a step refers to, live until then. Calls on another deferred store
/// block.
template <class S>
concept AsyncStore = Store<S> && requires { requires S::is_async; };

}  // namespace breakwater
