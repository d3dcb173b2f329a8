#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/error.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/local_fallback/fallible_store.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/testing/fault_injection/counts.hpp>
#include <breakwater/testing/fault_injection/fault.hpp>
#include <breakwater/testing/fault_injection/plan.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater {

namespace faults {

/// What becomes of a try to use a store.
enum class StoreThen : std::uint8_t {
    pass_on,    ///< The store is asked.
    no_answer,  ///< It is not, and the try gives nothing.
    error,      ///< It is not, and the try throws an `Exception` that says "injected" (where there are exceptions).
};

constexpr bool is_end(StoreThen then) noexcept { return then != StoreThen::pass_on; }

inline Result<void> validate(StoreThen, std::string_view) { return {}; }

}  // namespace faults

/// What is done to a try to use a store.
///
///     bw::StoreFault{.from = 1min, .until = 5min, .then = bw::faults::StoreThen::error}
using StoreFault = BasicFault<faults::StoreThen>;

struct StoreFaultOptions {
    /// Each is drawn by itself: the delays of those that meet a try add up, and the first that does not pass it on
    /// decides.
    std::vector<StoreFault> faults{};
    /// Of the first tries each meets the one in its place, and none of `faults`. `StoreFault{}` does nothing.
    std::vector<StoreFault> script{};
    /// The same seed has the n-th try meet the same. Default: another one each time.
    std::optional<std::uint64_t> seed{};
};

/// Checks the options; messages begin with `path`, if there is one.
inline Result<void> validate(const StoreFaultOptions& options, std::string_view path = "") {
    const std::string prefix = path.empty() ? "" : std::string{path} + '.';
    if (auto ok = validate(options.faults, prefix + "faults"); !ok) return ok;
    return validate(options.script, prefix + "script");
}

/// A store around another one (a `Store` or a `FallibleStore`) that is slow or away now and then: a `FallibleStore`, of
/// which `LocalFallback` makes one that policies take:
///
///     bw::FaultyStore faulty{bw::MemoryStore{clock}};
///     bw::LocalFallback store{faulty};
///     faulty.set({.faults = {{.then = bw::faults::StoreThen::no_answer}}});  // an outage
///
/// Every try reaches the other store, so nothing is decided at a glance. A delay blocks the thread that asks; it and
/// the times of the faults go by the store's clock. Only `set` and the constructor throw, beside what faults and the
/// other store do. A thread-safe handle: copies share faults and counts.
template <class S>
    requires(Store<S> || FallibleStore<S>)
class FaultyStore {
public:
    template <class M>
    using Cell = typename S::template Cell<M>;

    static constexpr bool is_deferred = S::is_deferred;

    /// Throws `Exception` (`invalid_options`) if the options are wrong.
    explicit FaultyStore(S store, StoreFaultOptions options = {}) : state_{std::make_shared<State>(std::move(store))} {
        if (auto ok = set(std::move(options)); !ok) throw_error(ok.error());
    }

    /// As the constructor, without throwing.
    static Result<FaultyStore> make(S store, StoreFaultOptions options = {}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return FaultyStore{std::move(store), std::move(options)};
    }

    /// From now on these faults, from their beginning. An error (`invalid_options`) changes nothing.
    Result<void> set(StoreFaultOptions options) const {
        if (auto ok = validate(options); !ok) return ok;
        const bool is_off = options.faults.empty() && options.script.empty();
        state_->plan.set(is_off ? nullptr : std::make_shared<Plan>(std::move(options), clock().now()));
        return {};
    }
    /// No more faults.
    void off() const noexcept { state_->plan.set(nullptr); }

    StoreFaultCounts snapshot() const noexcept { return state_->counter.read(); }

    decltype(auto) clock() const noexcept { return state_->store.clock(); }

    template <Machine M>
    auto cell(std::string_view kind, std::string_view name, const typename M::Options& options) const {
        return state_->store.template cell<M>(kind, name, options);
    }

    template <class Now, class... Steps>
    auto try_apply(Now& now, const Steps&... steps) const {
        return attempt([&](const S& store) {
            if constexpr (requires { now.forget(); }) now.forget();  // a delay may have taken its time
            if constexpr (FallibleStore<S>)
                return store.try_apply(now, steps...);
            else
                return std::optional{store.apply(now, steps...)};
        });
    }
    template <class AnyCell>
    auto try_peek(AnyCell& cell) const {
        return attempt([&](const S& store) {
            if constexpr (FallibleStore<S>)
                return store.try_peek(cell);
            else
                return std::optional{store.peek(cell)};
        });
    }
    template <class AnyCell>
    auto latest(AnyCell& cell) const
        requires requires(const S& store) { store.latest(cell); }
    {
        return state_->store.latest(cell);
    }

    bool try_put(std::string_view key, std::string value, Duration ttl) const {
        return attempt([&](const S& store) {
            if constexpr (FallibleStore<S>) {
                return store.try_put(key, std::move(value), ttl);
            } else {
                if (ttl > Duration{0})
                    store.put(key, std::move(value), ttl);
                else
                    store.erase(key);
                return true;
            }
        });
    }
    std::optional<std::shared_ptr<const std::string>> try_get(std::string_view key) const {
        return attempt([&](const S& store) {
            if constexpr (FallibleStore<S>)
                return store.try_get(key);
            else
                return std::optional{store.get(key)};
        });
    }

private:
    using Plan = faults::Plan<StoreFaultOptions>;

    struct State {
        explicit State(S other) : store{std::move(other)} {}
        const S store;
        faults::PlanSwitch<StoreFaultOptions> plan;
        faults::Counter<StoreFaultCounts> counter;
    };

    template <class Try>
    auto attempt(Try try_it) const -> decltype(try_it(std::declval<const S&>())) {
        faults::Counter<StoreFaultCounts>& counter = state_->counter;
        counter.add(&StoreFaultCounts::tries);
        if (const auto plan = state_->plan.get()) {
            const auto drawn = plan->next(clock().now());
            if (drawn.delay > Duration{0}) {
                counter.add(&StoreFaultCounts::delays);
                clock().wait_until(clock().now() + drawn.delay, std::stop_token{});
            }
            if (drawn.then != nullptr) {
                counter.add(&StoreFaultCounts::failures);
#ifdef __cpp_exceptions
                if (*drawn.then == faults::StoreThen::error)
                    throw Exception{Error{Errc::store_unavailable, "injected"}};
#endif
                return {};
            }
        }
        return try_it(state_->store);
    }

    std::shared_ptr<State> state_;
};

}  // namespace breakwater
