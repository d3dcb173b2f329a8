#pragma once

#include <breakwater/attempt_forecast/machine.hpp>
#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/retry/budget_machine.hpp>
#include <breakwater/store/fleet/ask.hpp>
#include <breakwater/store/fleet/budget_cell.hpp>
#include <breakwater/store/fleet/circuit_cell.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/fleet/local_cell.hpp>
#include <breakwater/store/fleet/options.hpp>
#include <breakwater/store/fleet/pause_cell.hpp>
#include <breakwater/store/fleet/place.hpp>
#include <breakwater/store/fleet/plain_cell.hpp>
#include <breakwater/store/fleet/rate_cell.hpp>
#include <breakwater/store/fleet/world.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/now_or_later.hpp>
#include <breakwater/task/start.hpp>
#include <breakwater/throttle/machine.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <typeinfo>
#include <utility>

namespace breakwater {

namespace fleet {

/// How a machine's cell is kept in a process.
template <class M, Link L>
struct CellFor {
    using type = PlainCell<M, L>;
};
template <TripRule Trip, Link L>
struct CellFor<breakwater::CircuitMachine<Trip>, L> {
    using type = CircuitCell<Trip, L>;
};
template <RateAlgorithm A, Link L>
struct CellFor<RateMachine<A>, L> {
    using type = RateCell<A, L>;
};
template <Link L>
struct CellFor<PauseMachine, L> {
    using type = PauseCell<L>;
};
template <Link L>
struct CellFor<RetryBudgetMachine, L> {
    using type = BudgetCell<L>;
};
/// How long calls take here says nothing about other processes.
template <Link L>
struct CellFor<AttemptForecastMachine, L> {
    using type = LocalCell<AttemptForecastMachine>;
};
/// Probabilities of refusal hold for each process apart, and asking for them would cost each call a round trip.
template <Link L>
struct CellFor<ThrottleMachine, L> {
    using type = LocalCell<ThrottleMachine>;
};

}  // namespace fleet

/// State that the processes of a fleet share, at a server that `LinkType` leads to.
///
/// Thread-safe; copies share everything. Nothing connects before the first cell is made. A command waits for one answer
/// of the server at the most, and never longer than the link's patience; what each costs, its cell says. What the
/// policies of an attempt ask, if anything, is asked in one round: of cells that are kept together, by one command.
/// When the server cannot be reached no call fails: see `OnStoreFailure`.
template <fleet::Link LinkType>
class FleetStore {
    using World = fleet::World<LinkType>;
    using Check = Step<fleet::PauseCell<LinkType>, PauseMachine::Check>;
    template <RateAlgorithm A>
    using Take = Step<fleet::RateCell<A, LinkType>, typename RateMachine<A>::Take>;
    using Spend = Step<fleet::PauseCell<LinkType>, PauseMachine::Spend>;
    using Blob = std::shared_ptr<const std::string>;

public:
    template <class M>
    using Cell = typename fleet::CellFor<M, LinkType>::type;

    static constexpr bool is_deferred = true;
    static constexpr bool is_async = true;

    template <class... LinkArguments>
    explicit FleetStore(fleet::Options options, LinkArguments&&... arguments)
        : world_{std::make_shared<World>(std::move(options), std::forward<LinkArguments>(arguments)...)} {}

    const auto& clock() const noexcept { return world_->clock(); }

    /// An empty name gives a cell that nobody else finds.
    template <Machine M>
    std::shared_ptr<Cell<M>> cell(std::string_view kind, std::string_view name,
                                  const typename M::Options& options) const {
        const std::string own = name.empty() ? world_->unique_name() : std::string{name};
        const std::size_t group = group_ && own.starts_with(*group_ + " ") ? group_->size() : own.size();
        const fleet::Place place{world_->options().prefix, kind, std::string_view{own}.substr(0, group),
                                 std::string_view{own}.substr(std::min(group + 1, own.size())), layout<M>(options)};
        return world_->template cell<Cell<M>>(place, [&] { return std::make_shared<Cell<M>>(world_, place, options); });
    }

    /// Cells that this copy makes from now on of this name, and of keys under it ("name key"), are kept together: they
    /// can be asked by one command.
    void keep_together(std::string_view name) { group_ = std::make_shared<const std::string>(name); }

    template <class Cell, class Command, class Now>
    auto apply(const Step<Cell, Command>& step, Now& now) const {
        return step.cell.apply(step.options, step.command, now);
    }

    template <class Cell, class Command>
    [[gnu::always_inline]] bool glance(const Step<Cell, Command>& step,
                                       typename Step<Cell, Command>::Decision& decision) const noexcept {
        if constexpr (requires { step.cell.glance(step.command, decision); })
            return step.cell.glance(step.command, decision);
        else
            return false;
    }

    /// A circuit's admission, or an outcome.
    template <class Cell, class Command, class Now>
    auto async_apply(const Step<Cell, Command>& step, Now& now) const {
        return step.cell.decide(step.options, step.command, now);
    }

    /// A permit of a limiter.
    template <class Now, RateAlgorithm A>
    auto async_apply(Now& now, const Check& check, const Take<A>& take, const Spend&) const {
        return then(take.cell.take(take.options, take.command.permits, check.cell, check.options, now),
                    [](const Grant& grant) {
                        return std::tuple{std::optional<Duration>{}, std::optional{grant}, std::optional<Duration>{}};
                    });
    }
    template <class Now, RateAlgorithm A>
    auto apply(Now& now, const Check& check, const Take<A>& take, const Spend& spend) const {
        return run_here(async_apply(now, check, take, spend));
    }
    /// Any steps in one round trip.
    template <class Now, class... M, class... Commands>
    auto apply(Now& now, const Step<fleet::PlainCell<M, LinkType>, Commands>&... steps) const {
        return fleet::apply_together(*world_, now, steps...);
    }

    template <class Cell>
    auto peek(const Cell& cell) const {
        return cell.peek();
    }

    /// Kept by the server; not at all if that cannot be reached, or keeps no byte strings.
    void put(std::string_view key, const std::string& value, Duration ttl) const {
        if (ttl <= Duration{0}) return erase(key);
        if (!world_->keeps_blobs()) return;
        if (world_->may_answer()) world_->link().put(blob_key(key), value, ttl);
    }
    std::shared_ptr<const std::string> get(std::string_view key) const { return run_here(async_get(key)); }
    NowOrLater<Blob> async_get(std::string_view key) const {
        using Value = std::optional<std::string>;
        if (!world_->keeps_blobs() || !world_->may_answer()) return Blob{};
        const auto arrival = std::make_shared<fleet::Arrival<Value>>();
        world_->link().get(blob_key(key), [arrival](Value value) { arrival->bring(std::move(value)); });
        return found(fleet::arrival_of(arrival, world_->link().patience()));
    }
    void erase(std::string_view key) const {
        if (world_->keeps_blobs() && world_->may_answer()) world_->link().erase(blob_key(key));
    }

    bool claim(std::string_view key, Duration ttl) const { return run_here(async_claim(key, ttl)); }
    NowOrLater<bool> async_claim(std::string_view key, Duration ttl) const {
        if (!world_->keeps_blobs() || !world_->may_answer()) return true;
        const auto arrival = std::make_shared<fleet::Arrival<bool>>();
        world_->link().claim(blob_key(key), ttl, [arrival](bool is_free) { arrival->bring(bool{is_free}); });
        return claimed(fleet::arrival_of(arrival, world_->link().patience()));
    }

    /// The server cannot be reached and `OnStoreFailure::closed` holds.
    bool refuses_all() const noexcept { return world_->decides_for_all() && !world_->lets_all_through(); }

    /// Whether the server answers. False before the first use.
    bool is_up() const noexcept { return world_->answers() && world_->link().is_up(); }

    /// How many processes have used what this one shares lately, this one included.
    std::uint32_t instances() const noexcept { return world_->link().instances(); }

protected:
    World& world() const noexcept { return *world_; }

private:
    static Task<Blob> found(Task<std::optional<std::optional<std::string>>> looking) {
        auto value = co_await looking;
        co_return value && *value ? std::make_shared<const std::string>(**std::move(value)) : nullptr;
    }
    static Task<bool> claimed(Task<std::optional<bool>> claiming) {
        const std::optional<bool> is_free = co_await claiming;
        co_return is_free.value_or(true);
    }

    /// A machine that is not one of ours may look like another: its type is a part of its layout.
    template <class M>
    static std::string layout(const typename M::Options& options) {
        if constexpr (std::is_same_v<Cell<M>, fleet::PlainCell<M, LinkType>>)
            return M::layout(options) + "@" + typeid(M).name();
        else
            return M::layout(options);
    }
    std::string blob_key(std::string_view key) const { return world_->options().prefix + "blob:" + std::string{key}; }

    std::shared_ptr<World> world_;
    std::shared_ptr<const std::string> group_;  // null: each name is kept by itself
};

}  // namespace breakwater
