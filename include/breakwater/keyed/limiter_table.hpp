#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/keyed/options.hpp>
#include <breakwater/keyed/table.hpp>
#include <breakwater/rate_limiter/machine.hpp>
#include <breakwater/rate_limiter/steps.hpp>
#include <breakwater/store/store.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace breakwater {

namespace detail {

/// A cell that stands where it is declared.
template <class Cell>
struct CellInPlace {
    mutable Cell cell;
    Cell& operator*() const noexcept { return cell; }
};

/// What a keyed limiter keeps for one key.
template <class Rate, class Pause>
struct LimiterCells {
    Rate rate;
    Pause pause;
};

}  // namespace detail

/// The limiters of a keyed limiter, by their keys: finds one, or makes it. In the store's process their cells stand in
/// the table; elsewhere a key's cells are named after it.
template <RateAlgorithm Algorithm, Store StoreType>
class LimiterTable {
    using Machine = RateMachine<Algorithm>;
    using Cell = typename LimiterSteps<Algorithm, StoreType>::Cell;
    using PauseCell = typename LimiterSteps<Algorithm, StoreType>::PauseCell;
    static constexpr bool in_place = KeepsObjects<StoreType>;
    template <class C>
    using Kept = std::conditional_t<in_place, detail::CellInPlace<C>, std::shared_ptr<C>>;
    using Cells = detail::LimiterCells<Kept<Cell>, Kept<PauseCell>>;
    using Table = KeyedTable<Cells>;

public:
    using Options = KeyedRateLimiterOptions<Algorithm>;
    using Steps = LimiterSteps<Algorithm, StoreType>;
    using Pin = typename Table::Pin;

    /// Needs options that `validate` accepts.
    LimiterTable(Options options, StoreType store)
        : options_{std::move(options)}, store_{std::move(store)}, table_{find_or_make(rules_.rate.layout)} {}

    /// Goes on with the limiters of `old`, of the same name: in the same table if that fits, else each is carried over.
    LimiterTable(Options options, const LimiterTable& old)
        : options_{std::move(options)}, store_{old.store_}, table_{fits(old) ? old.table_ : another_table()} {
        if (table_ == old.table_) return;
        LazyNow now{store_.clock()};
        const auto carry = [&](const Pin& from, const Pin& to) {
            auto at = no_earlier(to, now);
            steps(to).carry_over(old.steps(from), at);
            steps(to).heed_as(old.steps(from), at);
        };
        old.for_each([&](const Pin& pin) {
            if (old.steps(pin).is_fresh(now())) return;
            if (const Pin here = find_or_insert_as(pin, now)) carry(pin, here);
        });
        carry(old.shared(), shared());
    }

    const Options& options() const noexcept { return options_; }
    const auto& rules() const noexcept { return rules_; }
    const auto& clock() const noexcept { return store_.clock(); }
    KeyedCounts counts() const { return table_->counts(); }

    Pin find_or_insert(std::string_view key, auto& now) const noexcept {
        const KeyHash hash = table_->hash(key);
        if (Pin found = table_->find(hash)) [[likely]]
            return found;
        return insert(hash, key, now());
    }
    /// The limiter of a key of another such table; null if it cannot be told: where a key's cells are found by its
    /// name, a label that is cut short is not enough.
    Pin find_or_insert_as(const Pin& other, auto& now) const noexcept {
        const KeyHash hash = other.hash();
        if (!in_place && table_->hash(other.label()) != hash) return {};
        if (Pin found = table_->find(hash)) return found;
        return insert(hash, other.label(), now());
    }
    /// The limiter that this key has, or would share with others now; null if it would get one of its own.
    Pin find(std::string_view key, auto& now) const noexcept {
        Pin pin = table_->find_surely(table_->hash(key));
        if (!pin && !in_place) return find_or_insert(key, now);
        if (!pin && table_->is_full()) return shared();
        return pin;
    }
    /// The one of the keys that found no place.
    Pin shared() const noexcept { return table_->shared(); }
    template <class F>
    void for_each(F use) const {
        table_->for_each(std::move(use));
    }

    Steps steps(const Pin& pin) const noexcept { return steps(*pin); }
    bool is_fresh(const Pin& pin, Instant now) const noexcept { return is_fresh(*pin, now); }

    /// A limiter that took another's place is not used at an earlier time than that, whoever read the clock before: the
    /// other one's permits were not all back then.
    static auto no_earlier(const Pin& pin, auto& now) noexcept {
        return [&pin, &now] { return not_before(pin, now()); };
    }
    static Instant not_before(const Pin& pin, Instant now) noexcept {
        const Duration early = pin.born() - now;
        return early > Duration{0} && early <= clock_tolerance ? pin.born() : now;
    }

private:
    bool fits(const LimiterTable& old) const {
        return old.rules_.rate.layout == rules_.rate.layout && old.options_.max_keys == options_.max_keys;
    }
    std::shared_ptr<Table> find_or_make(const std::string& layout) const {
        const auto make = [this] {
            return std::make_shared<Table>(options_.max_keys, [this] { return make_cells("*"); });
        };
        if constexpr (in_place)
            return store_.template object<Table>("keyed rate", options_.each.name, layout, make);
        else
            return make();
    }
    /// For this number of keys: there may be one of the same layout for another.
    std::shared_ptr<Table> another_table() const {
        auto table = find_or_make(rules_.rate.layout);
        if (table->counts().max_keys == options_.max_keys) return table;
        return find_or_make(rules_.rate.layout + " for " + std::to_string(options_.max_keys));
    }

    Cells make_cells(std::string_view key) const noexcept(in_place) {
        if constexpr (in_place) {
            return Cells{{Cell{rules_.rate}}, {PauseCell{rules_.pause}}};
        } else {
            const std::string& name = options_.each.name;
            const std::string whole = name.empty() ? name : std::string{name}.append(" ").append(key);
            return Cells{store_.template cell<Machine>("rate", whole, rules_.rate),
                         store_.template cell<PauseMachine>("pause", whole, rules_.pause)};
        }
    }
    [[gnu::noinline]] Pin insert(const KeyHash& hash, std::string_view key, Instant now) const noexcept {
        const auto can_go = [&](const Cells& cells) noexcept { return is_fresh(cells, now); };
        if constexpr (in_place) {
            return table_->insert(hash, key, now, can_go, [&]() noexcept { return make_cells(key); });
        } else {
            BREAKWATER_TRY {
                Cells made = make_cells(key);
                return table_->insert(hash, key, now, can_go, [&]() noexcept { return std::move(made); });
            }
            BREAKWATER_CATCH_ALL {  // no memory: no cell of its own
                return shared();
            }
        }
    }

    bool is_fresh(const Cells& cells, Instant now) const noexcept {
        if (!in_place && !options_.each.name.empty()) return true;  // the store keeps it under its name
        return steps(cells).is_fresh(now);
    }
    Steps steps(const Cells& cells) const noexcept { return {store_, rules_, *cells.rate, *cells.pause}; }

    Options options_;
    LimiterRules<Algorithm> rules_ = rules_of(options_.each);
    StoreType store_;
    std::shared_ptr<Table> table_;
};

}  // namespace breakwater
