#pragma once

#include <breakwater/detail/stop_link.hpp>
#include <breakwater/event_loop/scheduler.hpp>
#include <breakwater/events.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/callable.hpp>
#include <breakwater/pipeline/reports.hpp>
#include <breakwater/result.hpp>
#include <breakwater/source.hpp>

#include <optional>
#include <stop_token>
#include <string>
#include <utility>

namespace breakwater {

namespace detail {

/// Has a call go by what it was told, but for the stop token. `facts` are those of the options.
template <class T, class AnyCall>
void begin_by(const CallOptions<T>& options, const CallFacts& facts, AnyCall& call) {
    call.only_once = !options.resendable;
    call.facts = &facts;
    call.has_own_fallback = static_cast<bool>(options.fallback);
    if (options.deadline) call.set_deadline(*options.deadline);
}

/// Answers in place of an error if the call was told how.
template <class T, class AnyCall>
void end_by(const CallOptions<T>& options, AnyCall& call, Result<T>& result) {
    if (result || !options.fallback || !fallback_by_default(result.error())) return;
    call.emit({.kind = EventKind::fallback_used, .code = result.error().code()});
    answer_by(options.fallback, result);
    if (result) call.source = Source::fallback;
}

}  // namespace detail

/// Of a call that was told nothing.
class NoCallOptions {
public:
    static std::stop_token stop() noexcept { return {}; }
    static void begin(auto&) noexcept {}
    static void end(auto&, auto&) noexcept {}
};

/// `CallOptions` as a task keeps them.
template <class T>
class OwnCallOptions {
public:
    explicit OwnCallOptions(CallOptions<T> options)
        : options_{std::move(options)},
          subject_{options_.subject},
          tag_{options_.tag},
          key_{options_.key},
          correlation_id_{options_.correlation_id} {}

    std::stop_token stop() const noexcept { return options_.stop; }
    void begin(auto& call) {
        facts_ = {.subject = subject_, .tag = tag_, .key = key_, .correlation_id = correlation_id_};
        detail::begin_by(options_, facts_, call);
    }
    void end(auto& call, Result<T>& result) const { detail::end_by(options_, call, result); }

private:
    CallOptions<T> options_;
    std::string subject_;
    std::string tag_;
    std::string key_;
    std::string correlation_id_;
    CallFacts facts_{};
};

/// A pipeline's call of a function of the user's, for the coroutine driver.
template <class Pipeline, class F, class Options>
class PipelineFlight {
    using AnyCall = typename Pipeline::CallType;

public:
    using Value = AwaitedValue<F, AnyCall>;

    PipelineFlight(Pipeline guard, F function, Options options)
        : guard_{std::move(guard)}, function_{std::move(function)}, options_{std::move(options)} {}

    detail::EitherStop stop(const std::stop_token& of_task) const { return {of_task, options_.stop()}; }
    static Scheduler* scheduler() noexcept { return nullptr; }
    AnyCall& begin(const std::stop_token* stop) {
        AnyCall& call = call_.emplace(guard_.clock());
        call.stop = stop;
        options_.begin(call);
        return call;
    }
    const auto& policies() const noexcept { return guard_.policies(); }
    decltype(auto) attempt(AnyCall& call) { return detail::invoke_with(function_, call); }
    void end(AnyCall& call, Result<Value>& result) const {
        options_.end(call, result);
        detail::report_call_end(call, result);
    }

private:
    Pipeline guard_;
    F function_;
    [[no_unique_address]] Options options_;
    std::optional<AnyCall> call_;
};

}  // namespace breakwater
