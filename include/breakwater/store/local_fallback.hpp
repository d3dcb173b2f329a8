#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/error.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/local_fallback/cell.hpp>
#include <breakwater/store/local_fallback/fallible_store.hpp>
#include <breakwater/store/local_fallback/options.hpp>
#include <breakwater/store/local_fallback/outage.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/store/store.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater {

/// A store around one that may fail: no call fails with it. While it does, each cell goes on in this process, with the
/// state that `S::latest` tells, or else one that is `retry_after` old at most (it is read so often while the cell is
/// used); blobs are neither kept nor found, nor erased. `retry_after` later one call asks again, and no other.
///
/// A store that is back has the last word: what was counted meanwhile is forgotten, so that each process may have let a
/// limit through once more. Only what a machine says `outlasts` that goes on here until it ends: a circuit that opened
/// meanwhile, until it has closed again; a pause. Steps taken together are then taken one after another.
///
/// With `OnStoreFailure::open` every command is decided as by a new state, and nothing is remembered; with `closed`
/// what can be refused is. Thread-safe; copies share everything. A cell without a name is this process's alone.
template <FallibleStore S>
class LocalFallback {
    using ClockType = std::remove_cvref_t<decltype(std::declval<const S&>().clock())>;

public:
    template <class M>
    using Cell = fallback::Cell<M, typename S::template Cell<M>>;

    static constexpr bool is_deferred = S::is_deferred;

    /// Throws `Exception` (`invalid_options`) if the options are wrong.
    explicit LocalFallback(S store, LocalFallbackOptions options = {})
        : world_{std::make_shared<World>(std::move(store), std::move(options))} {
        if (auto ok = validate(world_->outage.options()); !ok) throw_error(ok.error());
    }

    /// As the constructor, without throwing.
    static Result<LocalFallback> make(S store, LocalFallbackOptions options = {}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return LocalFallback{std::move(store), std::move(options)};
    }

    decltype(auto) clock() const noexcept { return world_->store.clock(); }

    template <Machine M>
    std::shared_ptr<Cell<M>> cell(std::string_view kind, std::string_view name,
                                  const typename M::Options& options) const {
        if (name.empty()) return std::make_shared<Cell<M>>(nullptr, options);
        return world_->memory.template object<Cell<M>>(kind, name, M::layout(options), [&] {
            return std::make_shared<Cell<M>>(world_->store.template cell<M>(kind, name, options), options);
        });
    }

    template <class M, class Command, class Now>
    DecisionOf<M, Command> apply(const Step<Cell<M>, Command>& step, Now& now) const noexcept {
        if (auto decisions = ask(now, step)) return *std::get<0>(*std::move(decisions));
        return decide_here(step, now);
    }
    template <class Now, class... M, class... Commands>
    auto apply(Now& now, const Step<Cell<M>, Commands>&... steps) const noexcept {
        if (auto decisions = ask(now, steps...)) return *std::move(decisions);
        return apply_in_order([&](const auto& step) { return apply(step, now); }, steps...);
    }

    template <class M, class Command>
    bool glance(const Step<Cell<M>, Command>& step, DecisionOf<M, Command>& decision) const noexcept {
        auto& [cell, options, command] = step;
        if (!cell.shared) return cell.own.glance(command, decision);
        if constexpr (requires { world_->store.glance(Step{*cell.shared, options, command}, decision); })
            return is_up() && !cell.is_alone() && world_->store.glance(Step{*cell.shared, options, command}, decision);
        else
            return false;
    }

    template <class M, class Shared>
    typename M::State peek(fallback::Cell<M, Shared>& cell) const {
        if (goes_by_store(cell))
            if (auto state = attempt([&] { return world_->store.try_peek(*cell.shared); })) return *std::move(state);
        leave(cell);
        return cell.own.peek();
    }

    void put(std::string_view key, std::string value, Duration ttl) const {
        attempt([&] { return world_->store.try_put(key, std::move(value), ttl); });
    }
    std::shared_ptr<const std::string> get(std::string_view key) const {
        auto value = attempt([&] { return world_->store.try_get(key); });
        return value ? *std::move(value) : nullptr;
    }
    void erase(std::string_view key) const { put(key, {}, Duration{0}); }

    /// The store fails and `OnStoreFailure::closed` holds.
    bool refuses_all() const noexcept {
        return world_->outage.options().on_store_failure == OnStoreFailure::closed && !is_up();
    }
    /// Whether the store did what it was last asked to do.
    bool is_up() const noexcept { return !world_->outage.is_on(); }

private:
    struct World {
        World(S s, LocalFallbackOptions options) : store{std::move(s)}, outage{store.clock(), std::move(options)} {}
        const S store;
        const MemoryStore<ClockType> memory{store.clock()};  // where cells are found
        fallback::Outage<ClockType> outage;
    };

    template <class Try>
    auto attempt(Try try_it) const noexcept {
        return world_->outage.attempt(std::move(try_it));
    }

    template <class Now, class... M, class... Commands>
    auto ask(Now& now, const Step<Cell<M>, Commands>&... steps) const noexcept {
        std::optional<std::tuple<std::optional<DecisionOf<M, Commands>>...>> decisions;
        if (!(goes_by_store(steps.cell) && ...)) return decisions;
        decisions = attempt(
            [&] { return world_->store.try_apply(now, Step{*steps.cell.shared, steps.options, steps.command}...); });
        if (decisions) (note(steps.cell), ...);
        return decisions;
    }

    /// Whether a cell's state is the store's. One that has been alone comes back here.
    template <class M, class Shared>
    bool goes_by_store(fallback::Cell<M, Shared>& cell) const noexcept {
        if (!cell.shared || !cell.is_alone()) return cell.shared != nullptr;
        const auto there = attempt([&] { return world_->store.try_peek(*cell.shared); });
        if (!there) return false;
        if constexpr (requires { M::outlasts(*there, *there, Instant{}); })
            if (M::outlasts(cell.own.peek(), *there, clock().now())) return false;
        cell.rejoin();
        return true;
    }
    template <class M, class Shared>
    void leave(fallback::Cell<M, Shared>& cell) const noexcept {
        if (!cell.shared) return;
        cell.leave([&]([[maybe_unused]] auto adopt) {
            if constexpr (requires { world_->store.latest(*cell.shared); }) adopt(world_->store.latest(*cell.shared));
        });
    }
    /// For when the store fails.
    template <class M, class Shared>
    void note(fallback::Cell<M, Shared>& cell) const noexcept {
        if constexpr (!requires { world_->store.latest(*cell.shared); }) {
            if (!world_->outage.is_time(cell.note_at)) return;
            if (auto state = attempt([&] { return world_->store.try_peek(*cell.shared); }))
                cell.note(*std::move(state));
        }
    }

    template <class M, class Command, class Now>
    DecisionOf<M, Command> decide_here(const Step<Cell<M>, Command>& step, Now& now) const noexcept {
        auto& [cell, options, command] = step;
        if (cell.shared && !is_up()) {
            const OnStoreFailure mode = world_->outage.options().on_store_failure;
            if (mode == OnStoreFailure::open) {
                auto state = M::make_state(options);
                return M::apply(state, options, command, now());
            }
            if constexpr (requires(DecisionOf<M, Command> decision) { M::is_refusal(decision); })
                if (mode == OnStoreFailure::closed)
                    if (DecisionOf<M, Command> refusal{}; M::is_refusal(refusal)) return refusal;
        }
        leave(cell);
        return cell.own.apply(options, command, now);
    }

    std::shared_ptr<World> world_;
};

}  // namespace breakwater
