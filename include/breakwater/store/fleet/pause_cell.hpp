#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/store/fleet/ask.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/fleet/place.hpp>
#include <breakwater/store/fleet/world.hpp>
#include <breakwater/store/memory/cell.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/start.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

namespace breakwater::fleet {

/// What a service has asked of a whole fleet: a pause is heeded without asking the server, which tells of it; a quota
/// is counted there.
template <Link L>
class PauseCell final : public CellEvents, public std::enable_shared_from_this<PauseCell<L>> {
public:
    using Machine = PauseMachine;
    using Options = PauseMachine::Options;

    PauseCell(std::shared_ptr<World<L>> world, Place place, const Options& options)
        : world_{std::move(world)}, place_{std::move(place)}, options_{options}, local_{options} {}

    /// Whether the service allows a number of calls that all processes count down together.
    bool has_quota() const noexcept { return local_.peek().quota != 0; }
    /// Whether what the server has has been heard once, or cannot be.
    bool is_known() const noexcept { return is_known_.load(std::memory_order_acquire) || !world_->may_answer(); }
    /// A pause that began before this process did holds for its first call, too.
    Task<> get_to_know() {
        auto asked = ask_state<PauseMachine>(world_->link(), place_.key, options_);
        if (const auto state = co_await asked) on_pause(*state);
    }

    /// The same, and nobody waits.
    void read() {
        world_->link().template read<PauseMachine>(
            place_.key, options_, if_alive(*this, [](PauseCell& self, auto state) {
                if (state)
                    self.on_pause(*state);
                else if (state.error().kind == LinkFailure::Kind::unreadable)
                    self.world_->tell_unreadable(self.place_.key, state.error().words);
            }));
    }

    template <class Command>
    bool glance(const Command& command, Duration& paused) const noexcept {
        return is_known_.load(std::memory_order_acquire) && !world_->decides_for_all() &&
               local_.glance(command, paused);
    }

    template <class Now>
    Duration apply(const Options& options, const PauseMachine::Check& check, Now& now) noexcept {
        if (world_->decides_for_all()) return Duration{0};
        if (!is_known()) [[unlikely]]
            run_here(get_to_know());
        return local_.apply(options, check, now);
    }
    template <class Now>
    Duration apply(const Options& options, const PauseMachine::Spend& spend, Now& now) {
        if (world_->decides_for_all()) return Duration{0};
        const Duration refused = local_.apply(options, spend, now);
        if (refused > Duration{0} || !has_quota() || !world_->may_answer()) return refused;
        return run_here(spend_there(options, spend));
    }
    /// A pause or a quota: here at once, and for all others within one push.
    template <class Command, class Now>
    auto apply(const Options& options, const Command& command, Now& now) {
        const auto decision = local_.apply(options, command, now);
        if (world_->answers()) world_->link().apply([](auto) {}, remote<PauseMachine>(place_.key, options, command));
        return decision;
    }

    /// Counts down what the service allows.
    Task<Duration> spend(const Options& options, PauseMachine::Spend spend) {
        LazyNow now{world_->clock()};
        const Duration refused = local_.apply(options, spend, now);
        if (refused > Duration{0}) co_return refused;
        auto spending = spend_there(options, spend);
        co_return co_await spending;
    }

    PauseMachine::State peek() const noexcept { return local_.peek(); }
    const std::string& key() const noexcept { return place_.key; }

    void on_pause(PauseMachine::State state) override {
        is_known_.store(true, std::memory_order_release);
        LazyNow now{world_->clock()};
        (void)local_.apply(options_, Adopt{state}, now);
    }
    void on_up() override {
        // A pause of the time without the server is told to all.
        LazyNow now{world_->clock()};
        const auto here = local_.peek();
        const Duration left = PauseMachine::pause_left(here, options_, now());
        if (left > Duration{0}) {
            world_->link().apply([](auto) {},
                                 remote<PauseMachine>(place_.key, options_, PauseMachine::Extend{now() + left}));
        }
        read();
    }

private:
    Task<Duration> spend_there(const Options& options, PauseMachine::Spend spend) {
        auto asked = ask_one(world_->link(), remote<PauseMachine>(place_.key, options, spend));
        const auto refused = co_await asked;
        co_return refused.value_or(Duration{0});
    }

    struct Adopt {
        PauseMachine::State state{};
    };
    struct Replica : PauseMachine {
        using PauseMachine::apply;
        static constexpr bool apply(State& state, const Options&, const Adopt& adopt, Instant) noexcept {
            state = adopt.state;
            return true;
        }
    };

    const std::shared_ptr<World<L>> world_;
    const Place place_;
    const Options options_;
    memory::WordCell<Replica> local_;
    std::atomic<bool> is_known_ = false;  // what the server has has been heard once
};

}  // namespace breakwater::fleet
