#pragma once

#include <breakwater/circuit_breaker/machine.hpp>
#include <breakwater/circuit_breaker/options.hpp>
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
    using Machine = CircuitMachine<Trip>;
    using Cell = typename StoreType::template Cell<Machine>;
    using Rules = typename Machine::Options;

    static constexpr std::uint64_t not_counted = 0;  // no circuit's generation
    struct Version {
        CircuitBreakerOptions<Trip> options;
        Rules rules = rules_of(options);
        std::string layout = Machine::layout(rules);
    };
    struct Shared {
        detail::Versions<Version> versions;
        const std::string name;
        const std::size_t key_size;  // of the name's end, if it is one key's circuit
        const StoreType store;
        const std::shared_ptr<Cell> cell;
        const Error refusal;  // the one that all are copied from
        Random random;

        const Version& version() const noexcept { return versions.current(); }
        std::string_view key() const noexcept { return std::string_view{name}.substr(name.size() - key_size); }
    };

public:
    static constexpr Place place = Place::admission;
    using Options = CircuitBreakerOptions<Trip>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit CircuitBreaker(Options options, StoreType store = StoreType{})
        : shared_{build(std::move(options), std::move(store), 0)} {}
    /// One key's circuit among others of these options: called "name key", or as the key if there is no name.
    CircuitBreaker(Options options, StoreType store, std::string_view key)
        : shared_{build(of_key(std::move(options), key), std::move(store), key.size())} {}

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
        shared_->versions.update([&](const Version& old) {
            adapt(next, fresh, old);
            return std::move(next);
        });
        tell(*shared_, {.kind = EventKind::reconfigured});
        return {};
    }

    /// Another handle of the same circuit, which goes by other options, of the same name: as if by `reconfigure`, but
    /// this handle and its copies keep theirs.
    Result<CircuitBreaker> reconfigured(Options options) const {
        if (auto ok = validate_next(options); !ok) return fail(std::move(ok).error());
        Version next{std::move(options)};
        auto fresh = next.rules.trip.make_state();
        adapt(next, fresh, shared_->version());
        const auto seed = next.options.seed;
        CircuitBreaker other{*this};
        other.shared_ =
            std::shared_ptr<Shared>{new Shared{detail::Versions{std::move(next)}, shared_->name, shared_->key_size,
                                               shared_->store, shared_->cell, shared_->refusal, Random{seed}}};
        return other;
    }

    /// A permit for one attempt. Record its outcome; destroyed without one it gives its slot back and counts nothing.
    /// Safe to use after the breaker and its store are gone.
    class Permit {
    public:
        Permit(Permit&& other) noexcept
            : shared_{std::move(other.shared_)}, rules_{other.rules_}, ticket_{other.ticket_} {}
        Permit& operator=(Permit&& other) noexcept {
            Permit moved{std::move(other)};
            std::swap(shared_, moved.shared_);
            std::swap(rules_, moved.rules_);
            std::swap(ticket_, moved.ticket_);
            return *this;
        }
        ~Permit() {
            if (shared_) release(*shared_, *rules_, ticket_);
        }

        /// True if this permit is one of a half-open circuit's probes.
        bool is_probe() const noexcept { return ticket_.is_probe(); }

        /// Tells the circuit how the attempt ended; the permit is spent. Returns the transition this caused, if any.
        std::optional<CircuitTransition> record(Outcome outcome) noexcept {
            const auto shared = std::exchange(shared_, nullptr);
            if (!shared) return {};
            LazyNow now{shared->store.clock()};
            if (outcome == Outcome::neutral) {
                release(*shared, *rules_, ticket_);
                return {};
            }
            if (ticket_.generation == not_counted) return {};
            const typename Machine::Record record{ticket_, tally_of(outcome), shared->random()};
            const auto recorded = shared->store.apply(Step{*shared->cell, *rules_, record}, now);
            const auto transition = recorded.transition();
            if (transition) tell(*shared, event_of(*transition, recorded.open_for));
            return transition;
        }

    private:
        friend CircuitBreaker;
        Permit(std::shared_ptr<Shared> shared, const Rules& rules, CircuitTicket ticket) noexcept
            : shared_{std::move(shared)}, rules_{&rules}, ticket_{ticket} {}

        std::shared_ptr<Shared> shared_;
        const Rules* rules_;
        CircuitTicket ticket_;
    };

    /// Asks for a permit outside a pipeline. A refusal says the circuit's state and when to come back.
    Result<Permit> try_acquire() const {
        LazyNow now{clock()};
        const auto& [options, rules, layout] = shared_->version();
        const auto admission = shared_->store.apply(Step{*shared_->cell, rules, admit(rules)}, now);
        if (admission.transition) tell(*shared_, event_of(*admission.transition, admission.open_for));
        if (admission.admitted) return Permit{shared_, rules, admission.ticket};
        if (options.shadow) return Permit{shared_, rules, {.generation = not_counted}};
        if (refuses_all(shared_->store)) return fail(Error::refusal(Errc::store_unavailable, name()));
        return fail(refusal_of(admission.state, known(admission.retry_after)));
    }

    /// Refuses every call for `span`, by default until `reset` or another force; then the next call is a probe. Calls
    /// under way go on, and what they report changes nothing.
    void force_open(Duration span = Duration::max()) const noexcept { force(CircuitState::open, span); }
    /// Admits every call for `span`, by default until `reset` or another force, and counts nothing.
    void force_closed(Duration span = Duration::max()) const noexcept { force(CircuitState::closed, span); }
    /// Closes the circuit, ends a force and forgets all that was counted.
    void reset() const noexcept {
        command(typename Machine::Reset{});
        tell(*shared_, {.kind = EventKind::circuit_forced});
    }

    /// What to keep of the circuit when the process ends; `restore` goes on from there, `age` later. Saved while
    /// half-open, it comes back open and due for a probe. Restoring replaces whatever the circuit has learned before.
    SavedCircuit save() const {
        return Machine::saved(shared_->store.peek(*shared_->cell), shared_->version().rules, clock().now());
    }
    void restore(const SavedCircuit& saved, Duration age) const noexcept {
        command(typename Machine::Restore{saved, std::max(age, Duration{0})});
    }

    /// What the circuit looks like now. Changes nothing.
    CircuitSnapshot snapshot() const {
        CircuitSnapshot seen =
            Machine::snapshot(shared_->store.peek(*shared_->cell), shared_->version().rules, clock().now());
        seen.name = shared_->name;
        return seen;
    }
    CircuitState state() const { return shared_->store.peek(*shared_->cell).phase; }

    std::string_view name() const noexcept { return shared_->name; }
    const Options& options() const noexcept { return shared_->version().options; }
    const auto& clock() const noexcept { return shared_->store.clock(); }

    // The policy.

    /// The permit of one attempt. If the circuit holds something for it, such as a probe's slot, it gives that back
    /// when it goes without a verdict.
    class Lane {
    public:
        Lane() noexcept {}
        Lane(Lane&&) = delete;
        ~Lane() {
            if (held_in_ != nullptr) release(*held_in_, version_->rules, ticket_);
        }

    private:
        friend CircuitBreaker;
        CircuitTicket ticket_;
        const Version* version_;     // by which the attempt is judged
        Shared* held_in_ = nullptr;  // null if nothing is held; the pipeline that runs the call keeps it alive
        union {
            Instant outer_deadline_;   // of a probe: the attempt's deadline before it, `max()` if none probes outside
            CircuitState refused_in_;  // of a refusal
        };
    };

    /// Through a closed circuit.
    [[gnu::always_inline]] bool glance(Lane& lane, auto&) const noexcept {
        typename Machine::Admission admission{};
        const Version& version = shared_->version();
        const Step step{*shared_->cell, version.rules, typename Machine::Admit{}};
        if (!decided_at_a_glance(shared_->store, step, admission)) return false;
        lane.ticket_.generation = admission.ticket.generation;  // no probe: nothing else is set
        lane.version_ = &version;
        return true;
    }

    Before before(Lane& lane, auto& call) const noexcept {
        const Rules& rules = (lane.version_ = &shared_->version())->rules;
        return entered(lane, call, with_now(call, clock(), [&](auto& now) {
                           return shared_->store.apply(Step{*shared_->cell, rules, admit(rules)}, now);
                       }));
    }
    auto async_before(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        const Rules& rules = (lane.version_ = &shared_->version())->rules;
        return then(with_now(call, clock(),
                             [&](auto& now) {
                                 return shared_->store.async_apply(Step{*shared_->cell, rules, admit(rules)}, now);
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
    [[gnu::always_inline]] After after(Lane& lane, auto& call, Result<T>& result) const noexcept {
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
        return then(with_now(call, clock(), [&](auto& now) { return shared_->store.async_apply(step, now); }),
                    [&, this](const typename Machine::Recorded& recorded) {
                        filed(lane, call, recorded);
                        return done;
                    });
    }

    Error refusal(Lane& lane, auto&, const Before& before) const noexcept {
        if (before.code != Errc::circuit_open) [[unlikely]]
            return refusal_by(name(), before);
        return refusal_of(lane.refused_in_, before.delay);
    }

private:
    /// Of an attempt that has asked for a permit.
    Before entered(Lane& lane, auto& call, const typename Machine::Admission& admission) const noexcept {
        const auto& [options, rules, layout] = *lane.version_;
        if (admission.transition) report(call, *admission.transition, admission.open_for);
        if (!admission.admitted) {
            lane.refused_in_ = admission.state;
            if (!options.shadow && refuses_all(shared_->store)) return reject(Errc::store_unavailable);
            return options.shadow ? pass_uncounted(lane, call, admission)
                                  : reject(Errc::circuit_open, known(admission.retry_after));
        }
        lane.ticket_ = admission.ticket;
        if (admission.ticket.is_held()) lane.held_in_ = shared_.get();
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
        return detail::validate_same_name("circuit_breaker", "the circuit's", shared_->name, options.name);
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
    static std::shared_ptr<Shared> build(Options options, StoreType store, std::size_t key_size) {
        if (auto ok = detail::validate_in<StoreType>(options, "circuit_breaker"); !ok) throw_error(ok.error());
        std::string name = options.name;
        auto cell = store.template cell<Machine>("circuit", name, rules_of(options));
        Error refusal = Error::refusal(Errc::circuit_open, name);
        const auto seed = options.seed;
        return std::shared_ptr<Shared>{new Shared{detail::Versions{Version{std::move(options)}}, std::move(name),
                                                  key_size, std::move(store), std::move(cell), std::move(refusal),
                                                  Random{seed}}};
    }

    [[gnu::noinline]] static void release(const Shared& shared, const Rules& rules,
                                          const CircuitTicket& ticket) noexcept {
        if (!ticket.is_held()) return;
        LazyNow now{shared.store.clock()};
        shared.store.apply(Step{*shared.cell, rules, typename Machine::Release{ticket}}, now);
    }

    [[gnu::always_inline]] bool recorded_at_a_glance(Lane& lane, Outcome outcome) const noexcept {
        typename Machine::Recorded recorded{};
        const Step step{*shared_->cell, lane.version_->rules,
                        typename Machine::Record{lane.ticket_, tally_of(outcome)}};
        return decided_at_a_glance(shared_->store, step, recorded);
    }
    [[gnu::noinline]] void record(Lane& lane, auto& call, Outcome outcome, Duration retry_after) const noexcept {
        if (!is_counted(lane, call)) return;
        const auto step = verdict(lane, outcome, retry_after);
        filed(lane, call, with_now(call, clock(), [&](auto& now) { return shared_->store.apply(step, now); }));
    }
    /// An attempt that is not goes without a verdict.
    static bool is_counted(Lane& lane, auto& call) noexcept {
        if (lane.ticket_.generation == not_counted) return false;
        if (call.tag().empty() || !lane.version_->options.uncounted_tags.contains(call.tag())) return true;
        leave(lane, call);
        return false;
    }
    auto verdict(Lane& lane, Outcome outcome, Duration retry_after) const noexcept {
        const std::uint64_t random = outcome == Outcome::failure ? shared_->random() : 0;
        return Step{*shared_->cell, lane.version_->rules,
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
        lane.ticket_ = {.generation = not_counted};
        std::optional<Duration> delay;
        if (admission.retry_after != Duration::max()) delay = admission.retry_after;
        call.emit(own({.kind = EventKind::would_refuse, .code = Errc::circuit_open, .delay = delay}));
        return proceed;
    }

    void force(CircuitState to, Duration span) const noexcept {
        span = std::max(span, Duration{0});
        command(typename Machine::Force{to, span});
        std::optional<Duration> delay;
        if (span != Duration::max()) delay = span;
        tell(*shared_, {.kind = EventKind::circuit_forced, .delay = delay, .circuit = to});
    }
    void command(const auto& command) const noexcept { this->command(shared_->version().rules, command); }
    void command(const Rules& rules, const auto& command) const noexcept {
        LazyNow now{clock()};
        shared_->store.apply(Step{*shared_->cell, rules, command}, now);
    }

    typename Machine::Admit admit(const Rules& rules) const noexcept {
        if constexpr (TimedTripRule<Trip>) {
            if (rules.trip.slow_after() != Duration::max()) return {.random = shared_->random()};
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
            release(*lane.held_in_, lane.version_->rules, lane.ticket_);
            let_go(lane, call);
        }
        lane.ticket_ = {};
    }

    [[gnu::noinline]] Error refusal_of(CircuitState state, Duration retry_after) const noexcept {
        Error error{shared_->refusal};
        error.set_circuit(state);
        if (retry_after >= Duration{0}) error.set_retry_after(retry_after);
        return error;
    }

    [[gnu::noinline]] static Outcome judge(const Options& options, const Error& error, auto& call) noexcept {
        return attempt_outcome(options.classify, options.deadline_counts_after, error, call);
    }

    [[gnu::noinline]] void report(auto& call, const typename Machine::Recorded& recorded) const noexcept {
        if (recorded.late()) call.emit(own({.kind = EventKind::late_result}));
        if (const auto transition = recorded.transition()) report(call, *transition, recorded.open_for);
    }
    [[gnu::noinline]] void report(auto& call, const CircuitTransition& transition, Duration open_for) const noexcept {
        call.emit(own(event_of(transition, open_for)));
    }

    static Event event_of(const CircuitTransition& transition, Duration open_for) noexcept {
        switch (transition.to) {
            case CircuitState::open: return {.kind = EventKind::circuit_opened, .delay = open_for};
            case CircuitState::half_open: return {.kind = EventKind::circuit_half_opened};
            case CircuitState::closed: break;
        }
        return {.kind = EventKind::circuit_closed};
    }
    /// As this circuit's.
    Event own(const Event& event) const noexcept { return of(*shared_, event); }
    static Event of(const Shared& shared, Event event) noexcept {
        event.policy = shared.name;
        event.key = shared.key();
        return event;
    }
    /// What befalls the circuit outside a call.
    [[gnu::noinline]] static void tell(const Shared& shared, Event event) noexcept {
        const Observer& observer = shared.version().options.observer;
        if (!observer) return;
        event.at = shared.store.clock().now();
        observer(of(shared, event));
    }

    std::shared_ptr<Shared> shared_;
};

template <Store S>
CircuitBreaker(CircuitBreakerOptions<AnyTrip>, S) -> CircuitBreaker<AnyTrip, S>;

}  // namespace breakwater
