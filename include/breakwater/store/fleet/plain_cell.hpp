#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/fleet/ask.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/fleet/place.hpp>
#include <breakwater/store/fleet/world.hpp>
#include <breakwater/store/memory/cell.hpp>
#include <breakwater/task/start.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <utility>

namespace breakwater::fleet {

/// A cell of any machine: every command is a round trip. Without the server it goes on with a state of its own, which
/// is forgotten when the server is back.
template <class M, Link L>
class PlainCell final : public CellEvents {
public:
    using Machine = M;

    PlainCell(std::shared_ptr<World<L>> world, Place place, const typename M::Options& options)
        : world_{std::move(world)}, place_{std::move(place)}, options_{options}, local_{options} {}

    template <class Command, class Now>
    DecisionOf<M, Command> apply(const typename M::Options& options, const Command& command, Now& now) {
        if (world_->may_answer()) {
            const std::scoped_lock lock{asking_};
            if (const auto decision = run_here(ask_one(world_->link(), remote<M>(place_.key, options, command))))
                return *decision;
        }
        return local_.apply(options, command, now);
    }

    typename M::State peek() const {
        if (world_->may_answer())
            if (auto state = run_here(ask_state<M>(world_->link(), place_.key, options_))) return *std::move(state);
        return local_.peek();
    }

    const std::string& key() const noexcept { return place_.key; }
    /// As it goes on without the server.
    auto& local() noexcept { return local_; }
    /// Held while the server is asked: what is decided by compare-and-swap there is contended by processes, not by all
    /// their threads.
    std::mutex& asking() noexcept { return asking_; }

private:
    const std::shared_ptr<World<L>> world_;
    const Place place_;
    const typename M::Options options_;
    std::mutex asking_;
    std::conditional_t<memory::fits_word<M>, memory::WordCell<M>, memory::BlockCell<M>> local_;
};

/// Has the server take steps of such cells as one: one round trip. Without the server each is taken here by itself.
template <Link L, class Now, class... M, class... Commands>
auto apply_together(World<L>& world, Now& now, const Step<PlainCell<M, L>, Commands>&... steps) {
    using Decisions = std::tuple<std::optional<DecisionOf<M, Commands>>...>;
    if (world.may_answer()) {
        std::array<std::mutex*, sizeof...(M)> cells{&steps.cell.asking()...};
        std::ranges::sort(cells);  // one order for all, so that nobody waits for one who waits for him
        const auto twice = std::ranges::unique(cells);
        std::array<std::unique_lock<std::mutex>, sizeof...(M)> locks;
        std::ranges::transform(cells.begin(), twice.begin(), locks.begin(),
                               [](std::mutex* m) { return std::unique_lock{*m}; });
        auto reply = run_here(ask(world.link(), remote<M>(steps.cell.key(), steps.options, steps.command)...));
        if (reply) return Decisions{std::move(reply->decisions)};
    }
    return take_in_order(now, Step{steps.cell.local(), steps.options, steps.command}...);
}

}  // namespace breakwater::fleet
