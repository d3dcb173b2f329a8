#pragma once

#include <breakwater/attempt_forecast/machine.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/validate_in.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/hedge/options.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry/budget.hpp>
#include <breakwater/store/memory.hpp>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// Makes another attempt while the first takes long, and takes the answer that comes first:
///
///     bw::Pipeline guard{bw::Deadline{2s}, bw::Hedge{{.after = 80ms}}, breaker, limiter};
///     auto call = guard.run_async(fetch);
///     bw::Result<Row> row = co_await call;
///
/// A server's rare stalls then cost no more than the delay. For what is safe to send twice (`CallOptions::resendable`),
/// by `run_async` alone: a thread cannot make two attempts. The function has to bear another call of it while one is
/// under way.
///
/// - Each attempt passes the policies inside this one by itself, in a lane of its own. A hedge never waits there: where
///   a limiter, a bulkhead or a circuit has no permit at once, or the circuit is half-open, it is not sent, and that
///   says nothing about the service.
/// - The first answer wins, also an error that no retry would mend. The other attempts are asked to stop and awaited;
///   to the policies inside they are neutral. If all fail, the error of the one that failed last is the call's.
/// - Which hedges are sent a budget of their own limits; see `HedgeOptions`. Those under way are not touched by it.
///
/// Stands inside Retry and outside of what gives out permits. After "The Tail at Scale" (Dean, Barroso, 2013).
///
/// A handle: copies share what is learned and the budget. Thread-safe.
template <Store StoreType = MemoryStore<>>
class Hedge {
    using Machine = AttemptForecastMachine;  // knows a running quantile
    using Budget = RetryBudget<StoreType>;

public:
    static constexpr Place place = Place::hedge;
    using Options = HedgeOptions;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit Hedge(Options options, StoreType store = StoreType{})
        : shared_{build(std::move(options), std::move(store))} {}
    explicit Hedge()
        requires std::default_initializable<StoreType>
        : Hedge{Options{}} {}

    /// As the constructor, without throwing.
    static Result<Hedge> make(Options options, StoreType store = StoreType{}) {
        if (auto ok = detail::validate_in<StoreType>(options, "hedge"); !ok) return fail(std::move(ok).error());
        return Hedge{std::move(options), std::move(store)};
    }

    /// Another handle, which has learned the same and spends the same budget, but goes by other options, of the same
    /// name; this one and its copies keep theirs.
    Result<Hedge> reconfigured(Options options) const {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        if (auto ok = detail::validate_same_name("hedge", "the hedge's", shared_->options.name, options.name); !ok)
            return fail(std::move(ok).error());
        Hedge other{*this};
        auto budget = shared_->budget.reconfigured(budget_options(options));
        if (!budget) return fail(std::move(budget).error());
        other.shared_ = std::make_shared<const Shared>(std::move(options), shared_->store, shared_->cell, *budget);
        return other;
    }

    HedgeSnapshot snapshot() const {
        const Duration after = delay();
        return {.name = shared_->options.name,
                .after = after == Duration::max() ? std::nullopt : std::optional{after},
                .available = shared_->budget.snapshot().available};
    }
    const Options& options() const noexcept { return shared_->options; }
    const auto& clock() const noexcept { return shared_->store.clock(); }
    std::string_view name() const noexcept { return "hedge"; }

    // The policy: it is the coroutine driver that makes the attempts.

    struct Lane {};
    static constexpr bool glance(Lane&, const auto&) noexcept { return true; }
    static constexpr Before before(Lane&, const auto&) noexcept { return proceed; }
    static constexpr After after(Lane&, const auto&, const auto&) noexcept { return done; }

    const Hedge& own() const noexcept { return *this; }
    /// Whether this call may have hedges; says that it is made.
    bool begin(auto& call) const noexcept {
        if (shared_->options.max_hedges == 0 || !call.may_hedge()) return false;
        shared_->budget.credit(call);
        return true;
    }
    /// How long after an attempt another is sent; `Duration::max()` while nobody knows.
    Duration delay() const noexcept {
        if (shared_->options.after) return *shared_->options.after;
        Machine::Admission admission{};
        const Step step{*shared_->cell, shared_->machine, Machine::Admit{Duration::max()}};
        if (!decided_at_a_glance(shared_->store, step, admission)) {
            LazyNow now{shared_->store.clock()};
            admission = shared_->store.apply(step, now);
        }
        return admission.expected > Duration{0} ? admission.expected : Duration::max();
    }
    /// Asks the budget for one.
    bool take(auto& call) const noexcept { return shared_->budget.take(call).has_value(); }
    void give_back() const noexcept { shared_->budget.give_back(); }
    /// An answer has taken so long, or is not there yet after so long.
    void learn(Duration took, bool is_answer) const noexcept {
        if (shared_->options.after) return;
        LazyNow now{shared_->store.clock()};
        const Machine::Record record{took, is_answer ? Machine::Ending::answered : Machine::Ending::cut};
        (void)shared_->store.apply(Step{*shared_->cell, shared_->machine, record}, now);
    }

private:
    using Cell = typename StoreType::template Cell<Machine>;
    struct Shared {
        Shared(Options own, StoreType of, std::shared_ptr<Cell> in, Budget limited)
            : options{std::move(own)}, store{std::move(of)}, cell{std::move(in)}, budget{std::move(limited)} {}
        const Options options;
        const Machine::Options machine = prepare(options);
        const StoreType store;
        const std::shared_ptr<Cell> cell;
        const Budget budget;
    };

    static Machine::Options prepare(const Options& options) noexcept {
        return {
            .rule = {static_cast<std::uint32_t>(std::lround(options.quantile * 10'000)), options.minimum_samples * 10},
            .minimum_samples = options.minimum_samples};
    }
    static RetryBudgetOptions budget_options(const Options& options) {
        RetryBudgetOptions budget = options.budget;
        if (budget.name.empty() && !options.name.empty()) budget.name = "hedge of " + options.name;
        return budget;
    }
    static std::shared_ptr<const Shared> build(Options options, StoreType store) {
        if (auto ok = detail::validate_in<StoreType>(options, "hedge"); !ok) throw_error(ok.error());
        auto cell = store.template cell<Machine>("hedge", options.name, prepare(options));
        Budget budget{budget_options(options), store};
        return std::make_shared<const Shared>(std::move(options), std::move(store), std::move(cell), std::move(budget));
    }

    std::shared_ptr<const Shared> shared_;
};

}  // namespace breakwater
