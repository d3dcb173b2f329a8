#pragma once

#include <breakwater/circuit_breaker.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/detail/validate_in.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/keyed/by.hpp>
#include <breakwater/keyed/options.hpp>
#include <breakwater/keyed/table.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/memory.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// A keyed breaker as seen from outside.
struct KeyedCircuitBreakerSnapshot {
    std::string name{};
    KeyedCounts counts{};
    /// Those that are not as new, open ones first, then by failures.
    std::vector<CircuitSnapshot> circuits{};
    CircuitSnapshot shared{};  ///< Of the keys that found no place.
};

/// A circuit for each key (host, tenant, endpoint …), all of one rule, so that what fails for one does not stop the
/// others.
///
///     bw::KeyedCircuitBreaker breaker{{.each = {.name = "shards", .trip = bw::ConsecutiveFailures{5}}}};
///     bw::Pipeline guard{bw::Retry{}, breaker};
///     guard.run(f, {.key = "shard-7"});
///
/// A handle: copies share the circuits. Thread-safe. A key that is known is found without a lock. At most `max_keys`
/// have a circuit. When there are more, a new key takes the place of one whose circuit is closed, not forced, with no
/// failure counted and nobody in it: what may be lost is a window's count of successes. While there is none (see
/// `KeyedTable`), it shares one circuit with all others in that position. Keys are shown in errors and snapshots: use
/// no secret as a key.
///
/// On a store whose cells do not stand in this process, a key's circuit is named after it.
template <TripRule Trip = AnyTrip, Store StoreType = MemoryStore<>>
class KeyedCircuitBreaker {
    using Breaker = CircuitBreaker<Trip, StoreType>;
    using Table = KeyedTable<Breaker>;
    using Pin = typename Table::Pin;

    struct Shared {
        KeyedCircuitBreakerOptions<Trip> options;
        StoreType store;
        StoreType cells;  // where each key's circuit is kept under its name
        std::shared_ptr<Table> table;
    };
    using Versions = detail::Versions<Shared>;

public:
    static constexpr Place place = Place::admission;
    using Options = KeyedCircuitBreakerOptions<Trip>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit KeyedCircuitBreaker(Options options, StoreType store = StoreType{})
        : versions_{build(std::move(options), std::move(store))} {}

    /// As the constructor, without throwing.
    static Result<KeyedCircuitBreaker> make(Options options, StoreType store = StoreType{}) {
        if (auto ok = detail::validate_in<StoreType>(options, "circuit_breaker"); !ok)
            return fail(std::move(ok).error());
        return KeyedCircuitBreaker{std::move(options), std::move(store)};
    }

    /// Goes on by other options, of the same name: for this handle, its copies and the pipelines that hold one. What
    /// each circuit knows goes on as if by `CircuitBreaker::reconfigure`. If `max_keys` is less than there are,
    /// circuits that are not as new come first. Calls under way end by the old options. Looks at every key; the memory
    /// of the old options is kept until the last handle goes. An error (`invalid_options`) changes nothing.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate_next(options); !ok) return ok;
        versions_->update([&](const Shared& old) { return adapted(std::move(options), old); });
        this->options().each.observer(
            {.kind = EventKind::reconfigured, .policy = name(), .at = shared().store.clock().now()});
        return {};
    }

    /// Another handle of the same circuits, which goes by other options, of the same name: as if by `reconfigure`, but
    /// this one and its copies keep theirs. Circuits stay common to both; those of keys that are new to both are each
    /// handle's own.
    Result<KeyedCircuitBreaker> reconfigured(Options options) const {
        if (auto ok = validate_next(options); !ok) return fail(std::move(ok).error());
        KeyedCircuitBreaker other{*this};
        if (!is_same(options, shared().options))
            other.versions_ = std::make_shared<Versions>(adapted(std::move(options), shared()));
        return other;
    }

    /// A permit of one key's circuit, as `CircuitBreaker::Permit`. While it exists the key is not forgotten.
    class Permit {
    public:
        Permit(Permit&&) noexcept = default;
        Permit& operator=(Permit&& other) noexcept {
            Permit moved{std::move(other)};
            std::swap(table_, moved.table_);
            std::swap(pin_, moved.pin_);
            std::swap(permit_, moved.permit_);
            return *this;
        }
        ~Permit() = default;
        bool is_probe() const noexcept { return permit_.is_probe(); }
        std::optional<CircuitTransition> record(Outcome outcome) noexcept { return permit_.record(outcome); }

    private:
        friend KeyedCircuitBreaker;
        Permit(std::shared_ptr<Table> table, Pin pin, typename Breaker::Permit permit) noexcept
            : table_{std::move(table)}, pin_{std::move(pin)}, permit_{std::move(permit)} {}

        std::shared_ptr<Table> table_;  // these go in the opposite order
        Pin pin_;
        typename Breaker::Permit permit_;
    };

    /// Asks for a permit outside a pipeline. A refusal says the circuit's state and when to come back.
    Result<Permit> try_acquire(std::string_view key) const {
        const Shared& shared = this->shared();
        Pin pin = find_or_insert(shared, key);
        auto permit = pin->try_acquire();
        if (!permit) return fail(std::move(permit).error());
        return Permit{shared.table, std::move(pin), *std::move(permit)};
    }

    /// As of `CircuitBreaker`, for one key.
    void force_open(std::string_view key, Duration span = Duration::max()) const noexcept {
        find_or_insert(key)->force_open(span);
    }
    void force_closed(std::string_view key, Duration span = Duration::max()) const noexcept {
        find_or_insert(key)->force_closed(span);
    }
    void reset(std::string_view key) const noexcept { find_or_insert(key)->reset(); }

    /// What the key's circuit looks like now. Of a key not known it tells what a new circuit would, or the shared one
    /// if there is no place. Changes nothing.
    CircuitSnapshot snapshot(std::string_view key) const {
        const Shared& shared = this->shared();
        const Table& table = *shared.table;
        if (const Pin pin = table.find_surely(table.hash(key))) return pin->snapshot();
        if (in_place && table.is_full()) return table.shared()->snapshot();
        return circuit(key, shared.options, cells_of(shared.store)).snapshot();
    }
    CircuitState state(std::string_view key) const { return snapshot(key).state; }
    /// How long the key's circuit stays open; zero if it is not, `Duration::max()` if nobody knows.
    Duration retry_after(std::string_view key) const {
        const CircuitSnapshot seen = snapshot(key);
        return seen.state != CircuitState::open ? Duration{0} : seen.retry_after.value_or(Duration::max());
    }

    /// At most `most` circuits that are not as new. Looks at every key, without the table's lock.
    KeyedCircuitBreakerSnapshot snapshot(std::size_t most = 100) const {
        const Table& table = *shared().table;
        KeyedCircuitBreakerSnapshot seen{.name = std::string{name()}, .counts = table.counts()};
        table.for_each([&](const Pin& pin) {
            CircuitSnapshot circuit = pin->snapshot();
            if (is_fresh(circuit)) return;
            circuit.name = pin.label();
            seen.circuits.push_back(std::move(circuit));
        });
        std::sort(seen.circuits.begin(), seen.circuits.end(), [](const CircuitSnapshot& a, const CircuitSnapshot& b) {
            const bool a_closed = a.state == CircuitState::closed;
            const bool b_closed = b.state == CircuitState::closed;
            return a_closed != b_closed ? b_closed : a.counts.failures > b.counts.failures;
        });
        if (seen.circuits.size() > most) seen.circuits.resize(most);
        seen.shared = table.shared()->snapshot();
        return seen;
    }

    /// As of `CircuitBreaker`, for each key whose circuit is not as new: `use(key, saved)`. Of a key that is not shown
    /// whole (see `KeyLabel`) only the label is known.
    template <class F>
    void save(F use) const {
        shared().table->for_each([&](const Pin& pin) {
            if (!is_fresh(pin->snapshot())) use(std::string{pin.label()}, pin->save());
        });
    }
    void restore(std::string_view key, const SavedCircuit& saved, Duration age) const noexcept {
        find_or_insert(key)->restore(saved, age);
    }

    std::string_view name() const noexcept { return shared().options.each.name; }
    const Options& options() const noexcept { return shared().options; }
    const auto& clock() const noexcept { return shared().store.clock(); }

    // The policy. Its key is the call's (`CallOptions::key`), unless a function says otherwise.

    /// The policy with the key that `key_of` finds: see `By`.
    template <class F>
    By<KeyedCircuitBreaker, F> by(F key_of) const {
        return {*this, std::move(key_of)};
    }

    /// Holds the key's circuit while the call passes.
    class Lane {
    public:
        bool has_key() const noexcept { return static_cast<bool>(pin_); }

    private:
        friend KeyedCircuitBreaker;
        Pin pin_;  // goes last: what passes refers to the circuit
        typename Breaker::Lane own_;
    };

    std::string_view key(const Lane& lane) const noexcept {
        return lane.has_key() ? lane.pin_.label() : std::string_view{};
    }
    /// Lets the call pass under this key; to be called before `before`, once for each passage.
    void place_under(Lane& lane, std::string_view key) const noexcept { lane.pin_ = find_or_insert(key); }

    Before before(Lane& lane, auto& call) const noexcept {
        if (!lane.has_key()) place_under(lane, call.key());
        if (lane.pin_->glance(lane.own_, call)) return proceed;
        return lane.pin_->before(lane.own_, call);
    }
    Before reask(Lane& lane, auto& call) const noexcept { return lane.pin_->reask(lane.own_, call); }
    After after(Lane& lane, auto& call, auto& result) const noexcept {
        return lane.pin_->after(lane.own_, call, result);
    }
    auto async_before(Lane& lane, auto& call) const -> detail::Eventual<Before, decltype(call)>
        requires AsyncStore<StoreType>
    {
        if (!lane.has_key()) place_under(lane, call.key());
        if (lane.pin_->glance(lane.own_, call)) return proceed;
        return lane.pin_->async_before(lane.own_, call);
    }
    auto async_reask(Lane& lane, auto& call) const
        requires AsyncStore<StoreType>
    {
        return lane.pin_->async_reask(lane.own_, call);
    }
    auto async_after(Lane& lane, auto& call, auto& result) const
        requires AsyncStore<StoreType>
    {
        return lane.pin_->async_after(lane.own_, call, result);
    }
    Error refusal(Lane& lane, auto& call, const Before& before) const noexcept {
        return lane.pin_->refusal(lane.own_, call, before);
    }

private:
    static constexpr bool in_place = KeepsObjects<StoreType>;

    static std::shared_ptr<Versions> build(Options options, StoreType store) {
        if (auto ok = detail::validate_in<StoreType>(options, "circuit_breaker"); !ok) throw_error(ok.error());
        StoreType cells = cells_of(store);
        const auto make = [&] {
            return std::make_shared<Table>(options.max_keys, [&] { return circuit("*", options, cells_of(store)); });
        };
        std::shared_ptr<Table> table;
        if constexpr (in_place)
            table = store.template object<Table>("keyed circuit", options.each.name, options.each.trip.layout(), make);
        else
            table = make();
        return std::make_shared<Versions>(
            Shared{std::move(options), std::move(store), std::move(cells), std::move(table)});
    }

    /// Options to go on by.
    Result<void> validate_next(const Options& options) const {
        if (auto ok = validate(options); !ok) return ok;
        return detail::validate_same_name("each", "the circuits'", shared().options.each.name, options.each.name);
    }
    static bool is_same(const Options& a, const Options& b) {
        return are_same(a.each, b.each) && a.max_keys == b.max_keys;
    }
    /// Has the circuits go on by these options.
    static Shared adapted(Options options, const Shared& before) {
        if (is_same(options, before.options)) return before;
        const auto heir_of = [&](const Pin& pin) {
            auto own = options.each;
            own.name = pin->name();
            return value_or_throw(pin->reconfigured(std::move(own)));
        };
        const Table& old = *before.table;
        const auto table = std::make_shared<Table>(options.max_keys, [&] { return heir_of(old.shared()); });
        const auto adopt = [&](const Pin& pin) {
            Breaker heir = heir_of(pin);
            table->insert(
                pin.hash(), pin.label(), pin.born(), [](const Breaker& other) noexcept { return can_go(other); },
                [&]() noexcept -> Breaker { return std::move(heir); });
        };
        old.for_each([&](const Pin& pin) {
            if (!can_go(*pin)) adopt(pin);
        });
        old.for_each([&](const Pin& pin) {
            if (!table->is_full() && !table->contains(pin.hash())) adopt(pin);
        });
        return Shared{std::move(options), before.store, before.cells, table};
    }
    const Shared& shared() const noexcept { return versions_->current(); }

    /// The circuits of a table that stands in the store are found through the table alone. Their names are for people:
    /// the cells of keys that are forgotten must not stay in the store, nor may the store hold itself alive.
    static StoreType cells_of(const StoreType& store) {
        if constexpr (in_place)
            return store.apart();
        else
            return store;
    }

    static Breaker circuit(std::string_view key, const Options& options, const StoreType& cells) {
        return Breaker{options.each, cells, key};
    }

    Pin find_or_insert(std::string_view key) const noexcept { return find_or_insert(shared(), key); }
    static Pin find_or_insert(const Shared& shared, std::string_view key) noexcept {
        const KeyHash hash = shared.table->hash(key);
        if (Pin found = shared.table->find(hash)) [[likely]]
            return found;
        return insert(shared, hash, key);
    }
    [[gnu::noinline]] static Pin insert(const Shared& shared, const KeyHash& hash, std::string_view key) noexcept {
        Table& table = *shared.table;
        BREAKWATER_TRY {  // made before the lock is taken: options may hold functions of the user's
            Breaker made = circuit(in_place ? KeyLabel{key, hash}.text() : key, shared.options, shared.cells);
            return table.insert(
                hash, key, shared.store.clock().now(), [](const Breaker& other) noexcept { return can_go(other); },
                [&]() noexcept -> Breaker { return std::move(made); });
        }
        BREAKWATER_CATCH_ALL {  // no memory: no circuit of its own
            return table.shared();
        }
    }

    static bool can_go(const Breaker& breaker) noexcept {
        if (!in_place) return true;  // the store keeps it under its name
        BREAKWATER_TRY { return is_fresh(breaker.snapshot()); }
        BREAKWATER_CATCH_ALL { return false; }
    }
    template <class Snapshot>
    static bool is_fresh(const Snapshot& seen) noexcept {
        TripCounts successes;
        successes.calls = seen.counts.calls;
        bool all_admitted = true;
        if constexpr (requires { seen.admitted_share; }) all_admitted = seen.admitted_share == 1.0;
        return seen.state == CircuitState::closed && !seen.forced && seen.counts == successes && all_admitted;
    }

    std::shared_ptr<Versions> versions_;
};

template <Store S>
KeyedCircuitBreaker(KeyedCircuitBreakerOptions<AnyTrip>, S) -> KeyedCircuitBreaker<AnyTrip, S>;

}  // namespace breakwater
