#pragma once

#include <breakwater/client/saved_state.hpp>
#include <breakwater/client/stack.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/validate_in.hpp>
#include <breakwater/events.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/transport/transport.hpp>

#include <nlohmann/json.hpp>

#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>

namespace breakwater {

/// What all copies of a client share: the transport, the store, and the stack that calls go by from now on, which can
/// be replaced by another one. Thread-safe.
template <Transport TransportType, Store StoreType, class Policies>
class ClientCore {
public:
    using Transport = TransportType;
    using Store = StoreType;
    using Stack = ClientStack<StoreType, Policies>;
    using Options = typename Stack::Options;

    /// Whether a client of this transport and store can go by the options.
    static Result<void> check(const Options& options) {
        if (auto ok = detail::validate_in<StoreType>(options, ""); !ok) return ok;
        if (!AsyncTransport<TransportType> && options.hedge.max_hedges > 0)
            return detail::invalid_option("hedge", "max_hedges", "0 where the transport makes one attempt at a time",
                                          options.hedge.max_hedges);
        return {};
    }

    /// Needs options that `check` accepts.
    ClientCore(Options options, TransportType transport, StoreType store);

    const TransportType& transport() const noexcept { return transport_; }
    const StoreType& store() const noexcept { return store_; }

    /// To be kept as long as a call takes.
    std::shared_ptr<const Stack> stack() const {
        const std::scoped_lock lock{stack_mutex_};
        return stack_;
    }

    Result<void> reconfigure(Options options);

    /// Goes on from what `Stack::save` told, of a client of this name.
    Result<void> restore(const nlohmann::json& json);

    /// Is stopped when the client's last handle goes: nobody waits then for calls that block nobody.
    std::stop_token calls() const noexcept { return calls_.get_token(); }
    void cancel_calls() noexcept { calls_.request_stop(); }

private:
    static Result<void> same_names(const Options& old, const Options& options) {
        using detail::validate_same_name;
        if (auto ok = validate_same_name("", "the client's", old.name, options.name); !ok) return ok;
        const auto& [circuit, budget] = std::pair{&options.circuit_breaker.name, &options.retry_budget.name};
        if (auto ok = validate_same_name("circuit_breaker", "the circuit's", old.circuit_breaker.name, *circuit); !ok)
            return ok;
        if (old.throttle && options.throttle) {
            auto ok = validate_same_name("throttle", "the throttle's", old.throttle->name, options.throttle->name);
            if (!ok) return ok;
        }
        if (old.adaptive_limit && options.adaptive_limit) {
            auto ok = validate_same_name("adaptive_limit", "the limit's", old.adaptive_limit->name,
                                         options.adaptive_limit->name);
            if (!ok) return ok;
        }
        if (auto ok = validate_same_name("hedge", "the hedge's", old.hedge.name, options.hedge.name); !ok) return ok;
        return validate_same_name("retry_budget", "the budget's", old.retry_budget.name, *budget);
    }

    const TransportType transport_;
    const StoreType store_;
    std::stop_source calls_;
    std::recursive_mutex change_mutex_;  // an observer that is told of the store by then may come again
    mutable std::mutex stack_mutex_;     // of the pointer alone
    std::shared_ptr<const Stack> stack_;
};

/// What the copies of a client hold. When the last goes, the tasks under way are cancelled; they keep the core until
/// they are over.
template <class Core>
class ClientHandle {
public:
    explicit ClientHandle(std::shared_ptr<Core> core) noexcept : core_{std::move(core)} {}
    ~ClientHandle() { core_->cancel_calls(); }
    ClientHandle(const ClientHandle&) = delete;
    ClientHandle& operator=(const ClientHandle&) = delete;

    const std::shared_ptr<Core>& core() const noexcept { return core_; }

private:
    const std::shared_ptr<Core> core_;
};

// Out of the class they are not inline, and an `extern template` keeps them from being instantiated again.

template <Transport TransportType, Store StoreType, class Policies>
ClientCore<TransportType, StoreType, Policies>::ClientCore(Options options, TransportType transport, StoreType store)
    : transport_{std::move(transport)},
      store_{kept_together(std::move(store), options.name)},
      stack_{std::make_shared<const Stack>(Stack::completed(std::move(options)), store_)} {}

template <Transport TransportType, Store StoreType, class Policies>
Result<void> ClientCore<TransportType, StoreType, Policies>::reconfigure(Options options) {
    if (auto ok = check(options); !ok) return ok;
    options = Stack::completed(std::move(options));
    std::shared_ptr<const Stack> old;  // holds functions of the user's: destroyed with nothing held
    std::shared_ptr<const Stack> next;
    {
        const std::scoped_lock one_at_a_time{change_mutex_};
        old = stack();
        if (auto ok = same_names(old->options, options); !ok) return ok;
        next = std::make_shared<const Stack>(std::move(options), store_, old.get());
        next->adapt();
        const std::scoped_lock lock{stack_mutex_};
        stack_ = next;
    }
    next->observer({.kind = EventKind::reconfigured, .at = store_.clock().now()});
    return {};
}

template <Transport TransportType, Store StoreType, class Policies>
Result<void> ClientCore<TransportType, StoreType, Policies>::restore(const nlohmann::json& json) {
    const auto saved = saved_state_from_json(json);
    if (!saved) return fail(saved.error());
    const std::scoped_lock one_at_a_time{change_mutex_};  // or it might go to a stack that is being replaced
    const auto stack = this->stack();
    if (auto ok = detail::validate_same_name("", "the client's", stack->options.name, saved->name); !ok) return ok;
    stack->restore(*saved);
    return {};
}

}  // namespace breakwater
