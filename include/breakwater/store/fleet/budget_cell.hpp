#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/retry/budget_machine.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/fleet/place.hpp>
#include <breakwater/store/fleet/world.hpp>
#include <breakwater/store/memory/cell.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>

namespace breakwater::fleet {

/// A retry budget of a whole fleet, in one process: decided here, on what all had spent at the last flush, and told
/// every `flush_interval`. The processes together may overspend by what each spends within one interval.
template <Link L>
class BudgetCell final : public CellEvents, public std::enable_shared_from_this<BudgetCell<L>> {
public:
    using Machine = RetryBudgetMachine;
    using Options = RetryBudgetMachine::Options;

    BudgetCell(std::shared_ptr<World<L>> world, Place place, const Options& options)
        : world_{std::move(world)}, place_{std::move(place)}, options_{options}, local_{options} {}

    /// While nothing is spent, as far as is known here, a call changes nothing.
    template <class Command, class Decision>
    bool glance(const Command& command, Decision& decision) const noexcept {
        return local_.glance(command, decision);
    }

    template <class Now>
    bool apply(const Options& options, const Machine::Credit& credit, Now& now) {
        note(credits_);
        return local_.apply(options, credit, now);
    }
    template <class Now>
    Machine::Taken apply(const Options& options, const Machine::Take& take, Now& now) {
        const auto taken = local_.apply(options, take, now);
        if (taken.granted) note(takes_);
        return taken;
    }
    template <class Now>
    bool apply(const Options& options, const Machine::GiveBack& back, Now& now) {
        note(give_backs_);
        return local_.apply(options, back, now);
    }
    template <class Now>
    bool apply(const Options& options, const Machine::Restore& restore, Now& now) {
        if (world_->answers()) world_->link().apply([](auto) {}, remote<Machine>(place_.key, options, restore));
        return local_.apply(options, restore, now);
    }
    Machine::State peek() const noexcept { return local_.peek(); }

    void on_up() override { sync(); }
    void on_timer() override {
        is_noted_ = false;
        sync();
    }

private:
    struct Adopt {
        std::int64_t spent = 0;
    };
    struct Replica : RetryBudgetMachine {
        using RetryBudgetMachine::apply;
        static constexpr bool apply(State& state, const Options& options, const Adopt& adopt, Instant now) noexcept {
            state = {};
            return RetryBudgetMachine::apply(state, options, Restore{adopt.spent, Duration{0}}, now);
        }
    };

    void note(std::atomic<std::uint32_t>& count) {
        count.fetch_add(1, std::memory_order_relaxed);
        if (!is_noted_.exchange(true))
            world_->wake(this->weak_from_this(), world_->clock().now() + world_->options().flush_interval);
    }
    void sync() {
        if (!world_->answers()) return;
        const Machine::Sync done{credits_.exchange(0), takes_.exchange(0), give_backs_.exchange(0)};
        world_->link().apply(if_alive(*this,
                                      [](BudgetCell& self, auto reply) {
                                          if (!reply) return;
                                          LazyNow now{self.world_->clock()};
                                          (void)self.local_.apply(self.options_,
                                                                  Adopt{std::get<0>(reply->decisions).value()}, now);
                                      }),
                             remote<Machine>(place_.key, options_, done));
    }

    const std::shared_ptr<World<L>> world_;
    const Place place_;
    const Options options_;
    memory::WordCell<Replica> local_;
    std::atomic<std::uint32_t> credits_ = 0;
    std::atomic<std::uint32_t> takes_ = 0;
    std::atomic<std::uint32_t> give_backs_ = 0;
    std::atomic<bool> is_noted_ = false;
};

}  // namespace breakwater::fleet
