#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/validate_in.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry/budget_machine.hpp>
#include <breakwater/store/memory.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

struct RetryBudgetOptions {
    /// Within one store, budgets with the same name are the same budget. Empty: a budget of its own.
    std::string name{};

    /// How many retries each call allows. 0.001 to 1; default 0.2. Empty: there is no budget, every retry is allowed.
    std::optional<double> ratio = 0.2;

    /// How many more retries time allows, whatever the calls. 0 to 10,000 per second; default 3, so that a service with
    /// few calls is retried, too.
    std::uint32_t floor_per_second = 3;

    /// How many retries can be saved up. 1 to 10,000; default 30.
    std::uint32_t burst = 30;

    friend bool operator==(const RetryBudgetOptions&, const RetryBudgetOptions&) = default;
};

/// Checks the options; messages begin with `path`.
inline Result<void> validate(const RetryBudgetOptions& options, std::string_view path = "retry_budget") {
    if (options.ratio && !(*options.ratio >= 0.001 && *options.ratio <= 1.0))
        return detail::invalid_option(path, "ratio", "0.001 to 1, or empty", *options.ratio);
    if (options.floor_per_second > 10'000)
        return detail::invalid_option(path, "floor_per_second", "0 to 10000", options.floor_per_second);
    if (options.burst < 1 || options.burst > 10'000)
        return detail::invalid_option(path, "burst", "1 to 10000", options.burst);
    return {};
}

/// A retry budget at one moment. Reading it changes nothing.
struct RetryBudgetSnapshot {
    std::string name{};
    std::optional<std::int64_t> available{};  ///< Retries allowed now; empty if nothing limits them.
};

/// What of a retry budget outlives its process.
struct SavedRetryBudget {
    std::int64_t spent_thousandths = 0;  ///< Of a retry: calls give back parts of one.
    friend bool operator==(const SavedRetryBudget&, const SavedRetryBudget&) = default;
};

/// Keeps retries a small part of the calls, so that they cannot bring down a service that has begun to fail:
///
///     const bw::RetryBudget budget{{.ratio = 0.2, .floor_per_second = 3}};
///     bw::Pipeline guard{bw::Retry{{.max_retries = 3}, budget}, breaker};
///
/// In any interval t there are at most burst + floor × (t + 1 ms) + ratio × calls retries, of which those that
/// were not made in the end (stopped in the delay, refused further in) are given back: an interval may see as many more
/// as were taken before and given back in it. After "Site Reliability
/// Engineering" (Beyer et al., 2016), chapter 21, with the saving-up of Finagle's RetryBudget.
///
/// A handle: copies share the budget, and so may any number of `Retry` policies. Thread-safe; never blocks. While no
/// retries are made, a call costs one load.
template <Store StoreType = MemoryStore<>>
class RetryBudget {
public:
    using Options = RetryBudgetOptions;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit RetryBudget(Options options, StoreType store = StoreType{})
        : shared_{build(std::move(options), std::move(store))} {}
    explicit RetryBudget()
        requires std::default_initializable<StoreType>
        : RetryBudget{Options{}} {}

    /// As the constructor, without throwing.
    static Result<RetryBudget> make(Options options, StoreType store = StoreType{}) {
        if (auto ok = detail::validate_in<StoreType>(options, "retry_budget"); !ok) return fail(std::move(ok).error());
        return RetryBudget{std::move(options), std::move(store)};
    }

    /// Says that a call is made; `Retry` does.
    [[gnu::always_inline]] void credit(auto& call) const noexcept {
        bool credited = false;
        const Step glanced{*shared_->cell, machine_options(), RetryBudgetMachine::Credit{}};
        if (!decided_at_a_glance(shared_->store, glanced, credited)) [[unlikely]]
            (void)apply(call, RetryBudgetMachine::Credit{});
    }
    /// Asks for one retry; `Retry` does. A refusal says when time alone will have refilled enough.
    Result<void> take(auto& call) const noexcept {
        if (!options().ratio) return {};
        const auto taken = apply(call, RetryBudgetMachine::Take{});
        if (taken.granted) return {};
        Error refusal = Error::refusal(Errc::budget_exhausted, name());
        if (taken.retry_after >= Duration{0}) refusal.set_retry_after(taken.retry_after);
        return fail(std::move(refusal));
    }

    /// A retry that was taken is not made; `Retry` says so.
    void give_back() const noexcept {
        LazyNow now{shared_->store.clock()};
        shared_->store.apply(Step{*shared_->cell, machine_options(), RetryBudgetMachine::GiveBack{}}, now);
    }

    /// Goes on by other options, of the same name; what is spent is kept. Reaches this handle and its copies. An error
    /// (`invalid_options`) changes nothing.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate_next(options); !ok) return ok;
        shared_->versions.publish(Version{std::move(options)});
        return {};
    }

    /// Another handle of the same budget, which goes by other options, of the same name; this one and its copies keep
    /// theirs.
    Result<RetryBudget> reconfigured(Options options) const {
        if (auto ok = validate_next(options); !ok) return fail(std::move(ok).error());
        RetryBudget other{*this};
        other.shared_ = std::shared_ptr<Shared>{
            new Shared{detail::Versions{Version{std::move(options)}}, shared_->name, shared_->store, shared_->cell}};
        return other;
    }

    /// What to keep of the budget when the process ends; `restore` goes on from there, `age` later. It comes on top of
    /// what has been spent meanwhile.
    SavedRetryBudget save() const noexcept {
        return {.spent_thousandths = RetryBudgetMachine::spent(shared_->store.peek(*shared_->cell), machine_options(),
                                                               shared_->store.clock().now())};
    }
    void restore(const SavedRetryBudget& saved, Duration age) const noexcept {
        LazyNow now{shared_->store.clock()};
        const RetryBudgetMachine::Restore restore{saved.spent_thousandths, std::max(age, Duration{0})};
        shared_->store.apply(Step{*shared_->cell, machine_options(), restore}, now);
    }

    RetryBudgetSnapshot snapshot() const {
        RetryBudgetSnapshot seen{.name = shared_->name};
        if (options().ratio)
            seen.available = RetryBudgetMachine::available(shared_->store.peek(*shared_->cell), machine_options(),
                                                           shared_->store.clock().now());
        return seen;
    }
    std::string_view name() const noexcept { return shared_->name; }
    const Options& options() const noexcept { return shared_->versions.current().options; }

private:
    using Cell = typename StoreType::template Cell<RetryBudgetMachine>;
    struct Version {
        Options options;
        RetryBudgetMachine::Options machine = prepare(options);
    };
    struct Shared {
        detail::Versions<Version> versions;
        const std::string name;
        const StoreType store;
        const std::shared_ptr<Cell> cell;
    };

    /// Options to go on by.
    Result<void> validate_next(const Options& options) const {
        if (auto ok = validate(options); !ok) return ok;
        return detail::validate_same_name("retry_budget", "the budget's", shared_->name, options.name);
    }

    static RetryBudgetMachine::Options prepare(const Options& options) noexcept {
        return {.per_call = std::lround(options.ratio.value_or(0) * RetryBudgetMachine::permit),
                .per_millisecond = options.floor_per_second,  // thousandths per millisecond
                .burst = options.burst * RetryBudgetMachine::permit};
    }
    static std::shared_ptr<Shared> build(Options options, StoreType store) {
        if (auto ok = detail::validate_in<StoreType>(options, "retry_budget"); !ok) throw_error(ok.error());
        std::string name = options.name;
        auto cell = store.template cell<RetryBudgetMachine>("retry_budget", name, prepare(options));
        return std::shared_ptr<Shared>{new Shared{detail::Versions{Version{std::move(options)}}, std::move(name),
                                                  std::move(store), std::move(cell)}};
    }
    const RetryBudgetMachine::Options& machine_options() const noexcept { return shared_->versions.current().machine; }

    template <class Command>
    [[gnu::noinline]] auto apply(auto& call, const Command& command) const noexcept {
        return with_now(call, shared_->store.clock(), [&](auto& now) {
            return shared_->store.apply(Step{*shared_->cell, machine_options(), command}, now);
        });
    }

    std::shared_ptr<Shared> shared_;
};

}  // namespace breakwater
