#pragma once

#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/store/fleet/ask.hpp>
#include <breakwater/store/fleet/circuit_machine.hpp>
#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/fleet/place.hpp>
#include <breakwater/store/fleet/replica.hpp>
#include <breakwater/store/fleet/world.hpp>
#include <breakwater/store/memory/cell.hpp>
#include <breakwater/task.hpp>
#include <breakwater/task/now_or_later.hpp>
#include <breakwater/task/round.hpp>
#include <breakwater/task/start.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace breakwater::fleet {

/// A circuit shared by a fleet, in one process. A closed or open circuit is passed without asking the server. What has
/// been seen is reported every `flush_interval`; at once, by the caller, when that could open the circuit. Probes are
/// lent by the server, in the round trip in which the call's other policies ask, and their verdicts told to it, by the
/// caller: one more.
///
/// Without the server the circuit goes on alone; so it does, until it has closed again, where it opens while the others
/// see the service work (`Options::min_reporters`).
template <TripRule Trip, Link L>
class CircuitCell final : public CellEvents, public std::enable_shared_from_this<CircuitCell<Trip, L>> {
    using Server = fleet::CircuitMachine<Trip>;
    using Replica = ReplicaMachine<Trip>;
    using Entered = typename Replica::Entered;
    using Pending = typename Replica::Pending;

public:
    using Machine = breakwater::CircuitMachine<Trip>;
    using Options = typename Machine::Options;
    using Admit = typename Machine::Admit;
    using Admission = typename Machine::Admission;
    using Record = typename Machine::Record;
    using Recorded = typename Machine::Recorded;

    CircuitCell(std::shared_ptr<World<L>> world, Place place, const Options& options)
        : world_{std::move(world)}, spot_{std::make_shared<const Spot>(std::move(place), options)}, local_{options} {}

    /// What is still to be reported is: a program may run for less than a `flush_interval`.
    ~CircuitCell() override {
        if (is_isolated_ || !world_->answers() || world_->link().is_own_thread()) return;
        LazyNow now{world_->clock()};
        const auto pending = local_.apply(spot_->options, typename Replica::TakePending{}, now);
        if (pending.is_empty) return;
        (void)run_here(ask(*spot_, report_of(pending, 0, 0, Duration{-1})));
    }

    template <class Command>
    [[gnu::always_inline]] bool glance(const Command& command, DecisionOf<Machine, Command>& decision) const noexcept {
        return !world_->decides_for_all() && local_.glance(command, decision);
    }

    template <class Now>
    NowOrLater<Admission> decide(const Options& options, const Admit& admit, Now& now) {
        if (world_->decides_for_all()) return Admission{.admitted = world_->lets_all_through()};
        if (is_alone()) return alone(options, admit, now);
        if (!is_known_.load(std::memory_order_acquire)) [[unlikely]]
            return enter_first(options, admit);
        return enter(options, admit, now);
    }
    template <class Now>
    NowOrLater<Recorded> decide(const Options& options, const Record& record, Now& now) {
        if (is_alone()) return alone(options, record, now);
        if (record.ticket.is_probe()) return judge(options, record);
        const auto counted = local_.apply(options, typename Replica::Count{record.ticket, record.tally}, now);
        if (counted.is_late) return Recorded{.verdict = Machine::Verdict::late};
        if (counted.would_trip) {
            const Pending pending = local_.apply(options, typename Replica::TakePending{}, now);
            return report(options, pending, counted.overdue, record.random, record.retry_after);
        }
        if (counted.is_first) world_->wake(this->weak_from_this(), now() + world_->options().flush_interval);
        return Recorded{};
    }
    template <class Now>
    Admission apply(const Options& options, const Admit& admit, Now& now) {
        return run_here(decide(options, admit, now));
    }
    template <class Now>
    Recorded apply(const Options& options, const Record& record, Now& now) {
        return run_here(decide(options, record, now));
    }

    template <class Now>
    bool apply(const Options& options, const typename Machine::Release& release, Now& now) {
        if (!release.ticket.is_probe() || is_alone()) return local_.apply(options, release, now);
        tell(*spot(options), release);
        return true;
    }

    template <class Now>
    bool apply(const Options& options, const typename Machine::Adapt& adapt, Now& now) {
        local_.apply(options, adapt, now);
        const auto before = spot();
        const auto next = std::make_shared<const Spot>(before->place.with(Machine::layout(options)), options);
        {
            const std::scoped_lock lock{mutex_};
            spot_ = next;
        }
        if (next->place.key == before->place.key) {
            tell(*next, typename Server::Trim{});
        } else {  // the server keeps another layout in another cell: that is told what is known
            world_->move(next->place, this->shared_from_this());
            tell(*next, typename Server::Seed{view(options, now)});
        }
        return true;
    }

    /// By hand: for all processes, or for this one if the server cannot be reached.
    template <class Command, class Now>
    auto apply(const Options& options, const Command& command, Now& now) {
        is_isolated_ = false;
        const auto decision = local_.apply(options, command, now);
        if (world_->may_answer()) {
            if (const auto view = run_here(ask(*spot(options), command))) follow(*view, true);
        }
        return decision;
    }

    typename Machine::State peek() const { return local_.peek(); }

    // The world's.

    void on_up() override { read_again(); }
    void on_circuit(const CircuitView& view) override {
        if (!is_isolated_ || view.generation > local_.peek().generation) follow(view, false);
    }
    /// What is pending is reported, and nobody waits.
    void on_timer() override {
        if (is_isolated_ || !world_->answers()) return;
        LazyNow now{world_->clock()};
        const auto spot = this->spot();
        const auto pending = local_.apply(spot->options, typename Replica::TakePending{}, now);
        if (pending.is_empty) return;
        tell(*spot, report_of(pending, 0, 0, Duration{-1}),
             [known = known()](CircuitCell& self, const typename Server::Recorded& recorded) {
                 self.learn(recorded.view, known);
                 if (recorded.effect != CircuitEffect::isolated) return;
                 LazyNow at{self.world_->clock()};
                 self.isolate(self.spot()->options, 0, Duration{-1}, at);
             });
    }

private:
    /// Where the server keeps the circuit, and the latest options that belong there.
    struct Spot {
        Place place;
        Options options;
    };
    using SpotPointer = std::shared_ptr<const Spot>;

    SpotPointer spot() const {
        const std::scoped_lock lock{mutex_};
        return spot_;
    }
    /// With a caller's options, if they are of the layout that is kept there.
    SpotPointer spot(const Options& options) const {
        auto latest = spot();
        if (Machine::layout(options) != latest->place.layout) return latest;
        return std::make_shared<const Spot>(latest->place, options);
    }

    /// Has the server take a command, for a task to wait for.
    template <class Command>
    auto ask(const Spot& spot, const Command& command, Round* round = nullptr) {
        return ask_one(round, world_->link(), remote<Server>(spot.place.key, spot.options, command));
    }
    /// The same, and nobody waits: what it decides goes to `then(cell, decision)`.
    template <class Command, class F>
    void tell(const Spot& spot, const Command& command, F then) {
        world_->link().apply(if_alive(*this,
                                      [then = std::move(then)](CircuitCell& self, auto reply) {
                                          if (const auto decision = only(std::move(reply)))
                                              then(self, *decision);
                                          else
                                              self.failed(decision.error());
                                      }),
                             remote<Server>(spot.place.key, spot.options, command));
    }
    /// What it has then is heeded.
    template <class Command>
    void tell(const Spot& spot, const Command& command) {
        tell(spot, command, [known = known()](CircuitCell& self, const CircuitView& view) { self.learn(view, known); });
    }

    bool is_alone() noexcept { return is_isolated_.load(std::memory_order_acquire) || !world_->may_answer(); }

    template <class Command, class Now>
    auto alone(const Options& options, const Command& command, Now& now) {
        const auto decision = local_.apply(options, command, now);
        if (is_isolated_ && local_.peek().phase == CircuitState::closed) {
            is_isolated_ = false;
            read_again();
        }
        return decision;
    }

    /// Of a process that has just come: what the others know holds for its first call, too.
    Task<Admission> enter_first(const Options& options, Admit admit) {
        const std::uint64_t known = this->known();
        Round* const round = co_await current_round();
        auto asked = ask(*spot(options), typename Server::Read{}, round);
        const auto view = co_await asked;
        if (!view && view.error().kind == LinkFailure::Kind::withdrawn) co_return Admission{.withdrawn = true};
        if (!view) co_return enter_without_answer(view.error(), options, admit);
        rejoin(*view, known);
        LazyNow now{world_->clock()};
        if (is_alone()) co_return alone(options, admit, now);
        auto entered = enter(options, admit, now);
        if (Admission* const own = entered.value()) co_return *own;
        auto asking = std::move(entered).task();
        co_return co_await asking;
    }
    template <class Now>
    NowOrLater<Admission> enter(const Options& options, const Admit& admit, Now& now) {
        const Entered entered = local_.apply(options, typename Replica::Enter{}, now);
        switch (entered.kind) {
            case Entered::Kind::decided: break;
            case Entered::Kind::ask: return ask_for_probe(options, entered, admit);
            case Entered::Kind::report_overdue: return report_overdue(options, entered, admit);
        }
        return entered.admission;
    }
    Admission enter_without_answer(const LinkFailure& failure, const Options& options, const Admit& admit) {
        failed(failure);
        if (world_->decides_after(failure)) return {.admitted = world_->lets_all_through()};
        LazyNow now{world_->clock()};
        return alone(options, admit, now);
    }

    Task<Admission> ask_for_probe(const Options& options, Entered entered, Admit admit) {
        const auto spot = this->spot(options);
        const std::uint64_t known = this->known();
        Round* const round = co_await current_round();
        auto asked = ask(*spot, typename Server::Admit{}, round);
        auto admission = co_await asked;
        if (!admission && admission.error().kind == LinkFailure::Kind::withdrawn)
            co_return Admission{.transition = entered.admission.transition, .withdrawn = true};
        if (admission && admission->view.generation < known) {
            auto reminding = remind(*spot);
            if (co_await reminding) {
                auto asked_again = ask(*spot, typename Server::Admit{});
                admission = co_await asked_again;
            }
        }
        if (!admission) co_return enter_without_answer(admission.error(), options, admit);
        const CircuitView& view = admission->view;
        learn(view, known);
        Admission own{.admitted = admission->admitted,
                      .state = view.phase,
                      .ticket = admission->ticket,
                      .retry_after = admission->retry_after,
                      .transition = entered.admission.transition};
        if (view.phase != entered.admission.state && notice(view.generation))
            own.transition = CircuitTransition{entered.admission.state, view.phase};
        co_return own;
    }

    Task<Admission> report_overdue(const Options& options, Entered entered, Admit admit) {
        LazyNow now{world_->clock()};
        const Pending pending = local_.apply(options, typename Replica::TakePending{}, now);
        auto reporting = report(options, pending, entered.overdue, admit.random, Duration{-1});
        const Recorded recorded = co_await reporting;
        if (recorded.verdict != Machine::Verdict::opened) co_return entered.admission;
        co_return Admission{.state = CircuitState::open,
                            .retry_after = recorded.open_for,
                            .open_for = recorded.open_for,
                            .transition = recorded.transition()};
    }

    Task<Recorded> judge(const Options& options, Record record) {
        const typename Server::Judge verdict{record.ticket, record.tally, record.random, record.retry_after};
        const std::uint64_t known = this->known();
        auto asked = ask(*spot(options), verdict);
        const auto recorded = co_await asked;
        if (recorded) co_return learned(*recorded, known);
        failed(recorded.error());
        LazyNow now{world_->clock()};
        co_return alone(options, record, now);
    }

    /// Reports now, and heeds the answer. Where the server has lost the circuit it is reported anew.
    Task<Recorded> report(const Options& options, Pending pending, std::uint32_t overdue, std::uint64_t random,
                          Duration retry_after) {
        const auto spot = this->spot(options);
        auto report = report_of(pending, overdue, random, retry_after);
        const std::uint64_t known = this->known();
        auto asked = ask(*spot, report);
        auto recorded = co_await asked;
        if (recorded && recorded->view.generation < known) {
            auto reminding = remind(*spot);
            if (co_await reminding) {
                report.generation = local_.peek().generation;
                auto asked_again = ask(*spot, report);
                recorded = co_await asked_again;
            }
        }
        if (recorded && recorded->effect != CircuitEffect::isolated) co_return learned(*recorded, known);
        if (!recorded) failed(recorded.error());
        LazyNow now{world_->clock()};
        co_return Recorded{isolate(options, random, retry_after, now), Machine::Verdict::opened};
    }
    /// A server that answers with an older circuit than was known when it was asked has lost it: it is told.
    Task<bool> remind(const Spot& spot) {
        LazyNow now{world_->clock()};
        const typename Server::Seed seed{view(spot.options, now)};
        auto asked = ask(spot, seed);
        const auto kept = co_await asked;
        if (!kept) co_return false;
        co_return follow(*kept, true);
    }
    typename Server::Report report_of(const Pending& pending, std::uint32_t overdue, std::uint64_t random,
                                      Duration retry_after) const {
        return {.instance = world_->link().instance(),
                .generation = pending.generation,
                .tally = pending.tally,
                .overdue = overdue,
                .min_reporters = world_->min_reporters(),
                .random = random,
                .retry_after = retry_after};
    }
    template <class Now>
    Duration isolate(const Options& options, std::uint64_t random, Duration retry_after, Now& now) {
        is_isolated_ = true;
        return local_.apply(options, typename Replica::Isolate{random, retry_after}, now);
    }

    Recorded learned(const typename Server::Recorded& recorded, std::uint64_t known) {
        using enum CircuitEffect;
        learn(recorded.view, known);
        if (recorded.effect == late) return {.verdict = Machine::Verdict::late};
        const bool changed = recorded.effect == opened || recorded.effect == opened_again || recorded.effect == closed;
        if (!changed || !notice(recorded.view.generation)) return {};
        return {recorded.open_for, recorded.effect == opened         ? Machine::Verdict::opened
                                   : recorded.effect == opened_again ? Machine::Verdict::opened_again
                                                                     : Machine::Verdict::closed};
    }
    bool notice(std::uint64_t generation) {
        LazyNow now{world_->clock()};
        return local_.apply(spot()->options, typename Replica::Notice{generation}, now);
    }

    // What the server tells.

    bool follow(const CircuitView& view, bool always) {
        LazyNow now{world_->clock()};
        const bool followed = local_.apply(spot()->options, typename Replica::Follow{view, always}, now);
        if (followed) {
            followed_ = view.generation;
            is_isolated_ = false;
        }
        return followed;
    }
    /// The generation heard last. Answers are told apart by it as of when they were asked for, since what others change
    /// meanwhile may be heard before them.
    std::uint64_t known() const noexcept { return followed_; }
    /// Of an answer. One that is older than what was known then: the server has lost the circuit.
    void learn(const CircuitView& view, std::uint64_t known) {
        if (!follow(view, false) && view.generation < known) rejoin(view, known);
    }
    void read_again() {
        tell(*spot(), typename Server::Read{},
             [known = known()](CircuitCell& self, const CircuitView& view) { self.rejoin(view, known); });
    }
    /// After a time without the server, or when it has forgotten. An open circuit is not closed by that: what the
    /// server has lost it is told, and what was done by hand; a circuit that opened meanwhile stays open for this
    /// process.
    void rejoin(const CircuitView& view, std::uint64_t known) {
        is_known_.store(true, std::memory_order_release);
        const bool is_lost = view.generation < known;
        if (!is_lost && view.generation < followed_) return;  // it has changed since
        const auto here = local_.peek();
        const bool is_shared = here.generation == followed_ || here.forced;
        const bool is_closed = here.phase == CircuitState::closed && !here.forced;
        if (is_lost || (here.forced && view.generation < here.generation))
            seed(is_shared, is_shared || is_closed);
        else if (is_closed || view.phase != CircuitState::closed || view.forced || view.generation > here.generation)
            follow(view, true);
        else
            is_isolated_ = true;
    }
    /// Tells the server what all knew; then goes by its word, or stays alone.
    void seed(bool is_shared, bool follows) {
        LazyNow now{world_->clock()};
        const auto spot = this->spot();
        const CircuitView known = is_shared ? view(spot->options, now) : CircuitView{.generation = followed_};
        if (!follows) is_isolated_ = true;
        tell(*spot, typename Server::Seed{known}, [follows](CircuitCell& self, const CircuitView& kept) {
            if (follows) self.follow(kept, true);
        });
    }
    template <class Now>
    CircuitView view(const Options& options, Now& now) const {
        const typename Machine::State here = local_.peek();
        return Server::view({.circuit = here}, options, now());
    }
    void failed(const LinkFailure& failure) const {
        if (failure.kind == LinkFailure::Kind::unreadable) world_->tell_unreadable(spot()->place.key, failure.words);
    }

    const std::shared_ptr<World<L>> world_;
    mutable std::mutex mutex_;
    SpotPointer spot_;
    memory::BlockCell<Replica> local_;
    std::atomic<bool> is_known_ = false;  // what the server has has been heard once
    std::atomic<bool> is_isolated_ = false;
    std::atomic<std::uint64_t> followed_ = 0;
};

}  // namespace breakwater::fleet
