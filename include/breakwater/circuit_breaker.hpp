#pragma once

#include <breakwater/circuit_breaker/circuit.hpp>
#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/circuit_breaker/options.hpp>
#include <breakwater/circuit_breaker/permit.hpp>
#include <breakwater/circuit_breaker/state.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/validate_in.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/pipeline/attempt_outcome.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/random.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/memory.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// Stops calling a service that fails, and finds out when it works again.
///
/// A handle: copies share the circuit. Thread-safe; never blocks for longer than a few instructions. While the circuit
/// is closed and calls succeed, a `ConsecutiveFailures` circuit reads no clock and writes nothing shared.
///
///     bw::CircuitBreaker breaker{{.name = "ledger", .trip = bw::ConsecutiveFailures{5}}};
///     bw::Pipeline guard{bw::Retry{{.max_retries = 3}}, breaker};
///
/// `Trip` is `AnyTrip` (chosen at run time) or a static choice such as `FailureRate`.
template <TripRule Trip = AnyTrip, Store StoreType = MemoryStore<>>
class CircuitBreaker {
    using Circuit = detail::Circuit<Trip, StoreType>;
    using Machine = typename Circuit::Machine;
    using Rules = typename Circuit::Rules;
    using Version = typename Circuit::Version;

public:
    static constexpr Place place = Place::admission;
    using Options = CircuitBreakerOptions<Trip>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit CircuitBreaker(Options options, StoreType store = StoreType{})
        : circuit_{build(std::move(options), std::move(store), 0)} {}
    /// One key's circuit among others of these options: called "name key", or as the key if there is no name.
    CircuitBreaker(Options options, StoreType store, std::string_view key)
        : circuit_{build(of_key(std::move(options), key), std::move(store), key.size())} {}

    /// As the constructor, without throwing.
    static Result<CircuitBreaker> make(Options options, StoreType store = StoreType{}) {
        if (auto ok = detail::validate_in<StoreType>(options, "circuit_breaker"); !ok)
            return fail(std::move(ok).error());
        return CircuitBreaker{std::move(options), std::move(store)};
    }

    /// Goes on by other options, of the same name: for this handle, its copies and the pipelines that hold one. What
    /// has been counted is kept as far as the new trip rule can hold it, and so are state, opening and probes; a
    /// circuit stays open for no longer than the new options allow. Attempts under way are judged by the old options.
    /// Handles made apart that share the circuit by name keep their own options. An error (`invalid_options`) changes
    /// nothing. Memory of the old options is kept until the last handle goes.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate_next(options); !ok) return ok;
        Version next{std::move(options)};
        auto fresh = next.rules.trip.make_state();  // of the user's, perhaps: before anything is held
        circuit_->versions.update([&](const Version& old) {
            adapt(next, fresh, old);
            return std::move(next);
        });
        tell({.kind = EventKind::reconfigured});
        return {};
    }

    /// Another handle of the same circuit, which goes by other options, of the same name: as if by `reconfigure`, but
    /// this handle and its copies keep theirs.
    Result<CircuitBreaker> reconfigured(Options options) const {
        if (auto ok = validate_next(options); !ok) return fail(std::move(ok).error());
        Version next{std::move(options)};
        auto fresh = next.rules.trip.make_state();
        adapt(next, fresh, circuit_->version());
        const auto seed = next.options.seed;
        CircuitBreaker other{*this};
        other.circuit_ =
            std::shared_ptr<Circuit>{new Circuit{detail::Versions{std::move(next)}, circuit_->name, circuit_->key_size,
                                                 circuit_->store, circuit_->cell, circuit_->refusal, Random{seed}}};
        return other;
    }

    using Permit = CircuitPermit<Trip, StoreType>;

    /// Asks for a permit outside a pipeline. A refusal says the circuit's state and when to come back.
    Result<Permit> try_acquire() const {
        const auto& [options, rules, layout] = circuit_->version();
        const auto admission = circuit_->apply(rules, admit(rules));
        if (admission.transition) circuit_->tell(circuit_->own(*admission.transition, admission.open_for));
        if (admission.admitted) return Permit{circuit_, rules, admission.ticket};
        if (options.shadow) return Permit{circuit_, rules, Circuit::uncounted};
        if (refuses_all(circuit_->store)) return fail(Error::refusal(Errc::store_unavailable, name()));
        return fail(circuit_->refusal_of(admission.state, known(admission.retry_after)));
    }

    /// Refuses every call for `span`, by default until `reset` or another force; then the next call is a probe. Calls
    /// under way go on, and what they report changes nothing.
    void force_open(Duration span = Duration::max()) const noexcept { force(CircuitState::open, span); }
    /// Admits every call for `span`, by default until `reset` or another force, and counts nothing.
    void force_closed(Duration span = Duration::max()) const noexcept { force(CircuitState::closed, span); }
    /// Closes the circuit, ends a force and forgets all that was counted.
    void reset() const noexcept {
        command(typename Machine::Reset{});
        tell({.kind = EventKind::circuit_forced});
    }

    /// What to keep of the circuit when the process ends; `restore` goes on from there, `age` later. Saved while
    /// half-open, it comes back open and due for a probe. Restoring replaces whatever the circuit has learned before.
    SavedCircuit save() const {
        return Machine::saved(circuit_->store.peek(*circuit_->cell), circuit_->version().rules, clock().now());
    }
    void restore(const SavedCircuit& saved, Duration age) const noexcept {
        command(typename Machine::Restore{saved, std::max(age, Duration{0})});
    }

    /// What the circuit looks like now. Changes nothing.
    CircuitSnapshot snapshot() const {
        CircuitSnapshot seen =
            Machine::snapshot(circuit_->store.peek(*circuit_->cell), circuit_->version().rules, clock().now());
        seen.name = circuit_->name;
        return seen;
    }
    CircuitState state() const { return circuit_->store.peek(*circuit_->cell).phase; }

    std::string_view name() const noexcept { return circuit_->name; }
    const Options& options() const noexcept { return circuit_->version().options; }
    const auto& clock() const noexcept { return circuit_->store.clock(); }

    // The policy.

    class Glimpse {
        friend CircuitBreaker;
        CircuitTicket ticket_{};
        typename Circuit::Cell* cell_ = nullptr;
        const Version* version_ = nullptr;  // by which the attempt is judged
    };
    /// The permit of one attempt. If the circuit holds something for it, such as a probe's slot, it gives that back
    /// when it goes without a verdict.
    class Lane : public Glimpse {
    public:
        Lane() noexcept {}
        Lane(Lane&&) = delete;
        ~Lane() {
            if (held_in_ != nullptr) held_in_->release(this->version_->rules, this->ticket_);
        }

    private:
        friend CircuitBreaker;
        const Circuit* held_in_ = nullptr;  // null if nothing is held; the pipeline that runs the call keeps it alive
        union {
            Instant outer_deadline_;   // of a probe: the attempt's deadline before it, `max()` if none probes outside
            CircuitState refused_in_;  // of a refusal
        };
    };

    /// Through a closed circuit.
    [[gnu::always_inline]] bool glance(Glimpse& lane, const auto&) const noexcept {
        typename Machine::Admission admission{};
        const Circuit& circuit = *circuit_;
        const Version& version = circuit.version();
        const Step step{*circuit.cell, version.rules, typename Machine::Admit{}};
        if (!decided_at_a_glance(circuit.store, step, admission)) [[unlikely]]
            return false;
        lane.ticket_.generation = admission.ticket.generation;  // no probe: nothing else is set
        lane.cell_ = circuit.cell.get();
        lane.version_ = &version;
        return true;
    }
    /// A success that changes nothing.
    template <class T>
    [[gnu::always_inline]] bool glance_back(Glimpse& lane, const Result<T>& result) const noexcept {
        return result && recorded_at_a_glance(lane, Outcome::success);
    }

    /// Counts a success of a plain call: nobody is told what comes of it.
    [[gnu::always_inline]] bool finish(const Glimpse& lane, const auto&) const noexcept {
        count_success(lane);
        return true;
    }
    /// What an open circuit says to a plain call; `proceed` if it may say something else.
    [[gnu::always_inline]] Before refuses(auto& call) const noexcept {
        const Circuit& circuit = *circuit_;
        const Version& version = circuit.version();
        typename Machine::Admission admission{};
        if constexpr (requires(const Step<typename Circuit::Cell, typename Machine::Admit>& step) {
                          circuit.store.glance(step, Instant{}, admission);
                      }) {
            const Step step{*circuit.cell, version.rules, typename Machine::Admit{}};
            const auto is_open = with_now(call, circuit.store.clock(), [&] [[gnu::always_inline]] (auto& now) {
                return circuit.store.glance(step, now(), admission);
            });
            if (is_open && !version.options.shadow) return reject(Errc::circuit_open, admission.retry_after);
        }
        return proceed;
    }
    Error refusal(const Before& before) const noexcept {
        return circuit_->refusal_of(CircuitState::open, before.delay);
    }

    Before before(Lane& lane, auto& call) const noexcept {
        const Rules& rules = ask_by_current(lane);
        return entered(lane, call, with_now(call, clock(), [&](auto& now) {
                           return circuit_->store.apply(Step{*circuit_->cell, rules, admit(rules)}, now);
                       }));
    }
    auto async_before(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        const Rules& rules = ask_by_current(lane);
        return then(with_now(call, clock(),
                             [&](auto& now) {
                                 return circuit_->store.async_apply(Step{*circuit_->cell, rules, admit(rules)}, now);
                             }),
                    [&, this](const typename Machine::Admission& admission) { return entered(lane, call, admission); });
    }

    /// After an inner wait: gives the permit back and asks anew.
    Before reask(Lane& lane, auto& call) const noexcept {
        leave(lane, call);
        return before(lane, call);
    }
    auto async_reask(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        leave(lane, call);
        return async_before(lane, call);
    }

    template <class T>
    After after(Lane& lane, auto& call, Result<T>& result) const noexcept {
        const Outcome outcome = result ? Outcome::success : judge(lane.version_->options, result.error(), call);
        if (outcome == Outcome::neutral) {
            leave(lane, call);
            return done;
        }
        if (!recorded_at_a_glance(lane, outcome)) [[unlikely]]
            record(lane, call, outcome, asked_by(result));
        return done;
    }
    template <class T>
    auto async_after(Lane& lane, auto& call, Result<T>& result) const -> detail::Eventual<After, decltype(call)>
        requires AsyncStore<StoreType>
    {
        const Outcome outcome = result ? Outcome::success : judge(lane.version_->options, result.error(), call);
        if (outcome == Outcome::neutral) leave(lane, call);
        if (outcome == Outcome::neutral || recorded_at_a_glance(lane, outcome) || !is_counted(lane, call)) return done;
        const auto step = verdict(lane, outcome, asked_by(result));
        return then(with_now(call, clock(), [&](auto& now) { return circuit_->store.async_apply(step, now); }),
                    [&, this](const typename Machine::Recorded& recorded) {
                        filed(lane, call, recorded);
                        return done;
                    });
    }

    Error refusal(Lane& lane, auto&, const Before& before) const noexcept {
        if (before.code != Errc::circuit_open) [[unlikely]]
            return refusal_by(name(), before);
        return circuit_->refusal_of(lane.refused_in_, before.delay);
    }

private:
    const Rules& ask_by_current(Lane& lane) const noexcept {
        lane.cell_ = circuit_->cell.get();
        lane.version_ = &circuit_->version();
        return lane.version_->rules;
    }
    /// Of an attempt that has asked for a permit.
    Before entered(Lane& lane, auto& call, const typename Machine::Admission& admission) const noexcept {
        const auto& [options, rules, layout] = *lane.version_;
        if (admission.transition) report(call, *admission.transition, admission.open_for);
        if (admission.withdrawn) return withdrawn;
        if (!admission.admitted) {
            lane.refused_in_ = admission.state;
            if (!options.shadow && refuses_all(circuit_->store)) return reject(Errc::store_unavailable);
            return options.shadow ? pass_uncounted(lane, call, admission)
                                  : reject(Errc::circuit_open, known(admission.retry_after));
        }
        lane.ticket_ = admission.ticket;
        if (admission.ticket.is_held()) lane.held_in_ = circuit_.get();
        if (admission.ticket.is_probe()) {
            lane.outer_deadline_ = call.attempt_deadline;
            if (call.is_hedge) [[unlikely]] {  // the slot is for a call that has no other attempt
                leave(lane, call);
                lane.refused_in_ = CircuitState::half_open;
                return reject(Errc::circuit_open);
            }
            call.probing = true;
            call.attempt_deadline = std::min(call.attempt_deadline, call.now() + rules.probe_lease);
        }
        return proceed;
    }

    /// Options to go on by.
    Result<void> validate_next(const Options& options) const {
        if (auto ok = validate(options); !ok) return ok;
        return detail::validate_same_name("circuit_breaker", "the circuit's", circuit_->name, options.name);
    }

    /// Has the circuit go on by these options; `fresh` is a state of their trip rule.
    void adapt(const Version& next, typename Trip::State& fresh, const Version& old) const noexcept {
        command(next.rules, typename Machine::Adapt{next.layout != old.layout ? &fresh : nullptr});
    }

    static Options of_key(Options options, std::string_view key) {
        if (!options.name.empty()) options.name += ' ';
        options.name += key;
        return options;
    }
    static std::shared_ptr<Circuit> build(Options options, StoreType store, std::size_t key_size) {
        if (auto ok = detail::validate_in<StoreType>(options, "circuit_breaker"); !ok) throw_error(ok.error());
        std::string name = options.name;
        auto cell = store.template cell<Machine>("circuit", name, rules_of(options));
        Error refusal = Error::refusal(Errc::circuit_open, name);
        const auto seed = options.seed;
        return std::shared_ptr<Circuit>{new Circuit{detail::Versions{Version{std::move(options)}}, std::move(name),
                                                    key_size, std::move(store), std::move(cell), std::move(refusal),
                                                    Random{seed}}};
    }

    [[gnu::always_inline]] bool recorded_at_a_glance(const Glimpse& lane, Outcome outcome) const noexcept {
        typename Machine::Recorded recorded{};
        const Step step{*lane.cell_, lane.version_->rules, typename Machine::Record{lane.ticket_, tally_of(outcome)}};
        return decided_at_a_glance(circuit_->store, step, recorded);
    }
    [[gnu::noinline]] void count_success(Glimpse lane) const noexcept {  // by value: it stays in registers
        LazyNow now{clock()};
        const typename Machine::Record success{lane.ticket_, tally_of(Outcome::success)};
        (void)circuit_->store.apply(Step{*lane.cell_, lane.version_->rules, success}, now);
    }
    [[gnu::noinline]] void record(Lane& lane, auto& call, Outcome outcome, Duration retry_after) const noexcept {
        if (!is_counted(lane, call)) return;
        const auto step = verdict(lane, outcome, retry_after);
        filed(lane, call, with_now(call, clock(), [&](auto& now) { return circuit_->store.apply(step, now); }));
    }
    /// An attempt that is not goes without a verdict.
    static bool is_counted(Lane& lane, auto& call) noexcept {
        if (lane.ticket_.generation == Circuit::uncounted.generation) return false;
        if (call.tag().empty() || !lane.version_->options.uncounted_tags.contains(call.tag())) return true;
        leave(lane, call);
        return false;
    }
    auto verdict(Lane& lane, Outcome outcome, Duration retry_after) const noexcept {
        const std::uint64_t random = outcome == Outcome::failure ? circuit_->random() : 0;
        return Step{*circuit_->cell, lane.version_->rules,
                    typename Machine::Record{lane.ticket_, tally_of(outcome), random, retry_after}};
    }
    /// Of an attempt whose verdict was told.
    void filed(Lane& lane, auto& call, const typename Machine::Recorded& recorded) const noexcept {
        if (lane.held_in_ != nullptr) [[unlikely]]
            let_go(lane, call);
        if (recorded.verdict != Machine::Verdict::counted) [[unlikely]]
            report(call, recorded);
    }
    /// The Retry-After of an answer; negative if there is none.
    template <class T>
    static Duration asked_by(const Result<T>& result) noexcept {
        return result ? Duration{-1} : result.error().retry_after().value_or(Duration{-1});
    }

    /// In shadow mode: reports the refusal and lets the call through, with a ticket of no circuit.
    [[gnu::noinline]] Before pass_uncounted(Lane& lane, auto& call,
                                            const typename Machine::Admission& admission) const noexcept {
        lane.ticket_ = Circuit::uncounted;
        std::optional<Duration> delay;
        if (admission.retry_after != Duration::max()) delay = admission.retry_after;
        call.emit(circuit_->own({.kind = EventKind::would_refuse, .code = Errc::circuit_open, .delay = delay}));
        return proceed;
    }

    void force(CircuitState to, Duration span) const noexcept {
        span = std::max(span, Duration{0});
        command(typename Machine::Force{to, span});
        std::optional<Duration> delay;
        if (span != Duration::max()) delay = span;
        tell({.kind = EventKind::circuit_forced, .delay = delay, .circuit = to});
    }
    void command(const auto& command) const noexcept { this->command(circuit_->version().rules, command); }
    void command(const Rules& rules, const auto& command) const noexcept { (void)circuit_->apply(rules, command); }

    typename Machine::Admit admit(const Rules& rules) const noexcept {
        if constexpr (TimedTripRule<Trip>) {
            if (rules.trip.slow_after() != Duration::max()) return {.random = circuit_->random()};
        }
        return {};
    }

    /// A refusal's delay; negative if nobody knows it.
    static constexpr Duration known(Duration retry_after) noexcept {
        return retry_after == Duration::max() ? Duration{-1} : retry_after;
    }

    [[gnu::noinline]] static void let_go(Lane& lane, auto& call) noexcept {
        lane.held_in_ = nullptr;
        if (!lane.ticket_.is_probe()) return;
        call.attempt_deadline = lane.outer_deadline_;
        call.probing = lane.outer_deadline_ != Instant::max();
    }
    static void leave(Lane& lane, auto& call) noexcept {
        if (lane.held_in_ != nullptr) {
            lane.held_in_->release(lane.version_->rules, lane.ticket_);
            let_go(lane, call);
        }
        lane.ticket_ = {};
    }

    [[gnu::noinline]] static Outcome judge(const Options& options, const Error& error, auto& call) noexcept {
        return attempt_outcome(options.classify, options.deadline_counts_after, error, call);
    }

    [[gnu::noinline]] void report(auto& call, const typename Machine::Recorded& recorded) const noexcept {
        if (recorded.late()) call.emit(circuit_->own({.kind = EventKind::late_result}));
        if (const auto transition = recorded.transition()) report(call, *transition, recorded.open_for);
    }
    [[gnu::noinline]] void report(auto& call, const CircuitTransition& transition, Duration open_for) const noexcept {
        call.emit(circuit_->own(transition, open_for));
    }
    /// What befalls the circuit outside a call.
    void tell(const Event& event) const noexcept { circuit_->tell(circuit_->own(event)); }

    std::shared_ptr<Circuit> circuit_;
};

template <Store S>
CircuitBreaker(CircuitBreakerOptions<AnyTrip>, S) -> CircuitBreaker<AnyTrip, S>;

}  // namespace breakwater
