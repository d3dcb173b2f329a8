#pragma once

#include <breakwater/circuit_breaker/window.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/pipeline/attempt_outcome.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/random.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/throttle/machine.hpp>
#include <breakwater/throttle/options.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// Refuses part of the calls while the service accepts only part of them, so that it is not busy with refusing:
///
///     bw::Throttle throttle{{.name = "ledger"}};
///     bw::Pipeline guard{bw::Deadline{5s}, bw::Retry{}, throttle, breaker};
///
/// A call is refused with `Errc::throttled` and the probability
///
///     max(0, (requests − K × accepts) / (requests + 1))
///
/// of a window, at most `max_probability`. So about K times as many calls are sent as the service accepts, however many
/// are made. Where a circuit breaker lets all calls through or none, this lets through what the service takes: it suits
/// one that is overloaded, a breaker one that is down. When the service can take all calls again, refusals end within
/// 0.7 windows if there were five times too many, within 1.2 if there were ten (K = 2). After "Site Reliability
/// Engineering" (Beyer et al., 2016), chapter 21, "Client-Side Throttling".
///
/// - Each attempt is a request: accepted if its outcome is a success, not accepted if it is a failure. What is refused
///   here is a request, too, and not accepted. Other refusals and neutral outcomes count for nothing.
/// - A refusal ends the retry loop, as any does. It has no `retry_after`: another call may well pass at once.
///
/// A handle: copies share the window. Thread-safe; never blocks for longer than a few instructions and allocates
/// nothing. Without failures in the window asking costs a load; what comes of a call is recorded with two atomic
/// exchanges and a clock reading. In a store that a fleet shares each process still keeps a window of its own:
/// probabilities that each process finds for itself add up to the same share, and asking a server for them would cost
/// each call a round trip.
template <Store StoreType = MemoryStore<>>
class Throttle {
    using Machine = ThrottleMachine;
    using Cell = typename StoreType::template Cell<Machine>;

public:
    static constexpr Place place = Place::admission;
    using Options = ThrottleOptions;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit Throttle(Options options, StoreType store = StoreType{})
        : shared_{build(std::move(options), std::move(store))} {}
    explicit Throttle()
        requires std::default_initializable<StoreType>
        : Throttle{Options{}} {}

    /// As the constructor, without throwing.
    static Result<Throttle> make(Options options, StoreType store = StoreType{}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return Throttle{std::move(options), std::move(store)};
    }

    /// Goes on by other options, of the same name: for this handle, its copies and the pipelines that hold one. What
    /// was counted is kept as far as the new window holds it. Handles made apart that share the throttle by name keep
    /// their own options. An error (`invalid_options`) changes nothing.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate(options); !ok) return ok;
        if (auto ok = detail::validate_same_name("throttle", "the throttle's", shared_->name, options.name); !ok)
            return ok;
        Version next{std::move(options)};
        Machine::State fresh = Machine::make_state(next.machine);
        shared_->versions.update([&](const Version&) {
            LazyNow now{clock()};
            shared_->store.apply(Step{*shared_->cell, next.machine, Machine::Adapt{&fresh}}, now);
            return std::move(next);
        });
        return {};
    }

    /// What the window holds now. Changes nothing.
    ThrottleSnapshot snapshot() const {
        const Machine::State seen = shared_->store.peek(*shared_->cell);
        const Instant now = clock().now();
        const WindowCounts counts = seen.requests.counts(now);
        return {.name = shared_->name,
                .requests = counts.calls,
                .accepts = counts.calls - counts.failures,
                .refusal_probability = Machine::refusal_probability(seen, version().machine, now)};
    }
    std::string_view name() const noexcept { return shared_->name; }
    const Options& options() const noexcept { return version().options; }
    const auto& clock() const noexcept { return shared_->store.clock(); }

    // The policy.

    struct Lane {};

    /// While nothing is refused.
    [[gnu::always_inline]] bool glance(Lane&, auto&) const noexcept {
        Machine::Admission admission{};
        return decided_at_a_glance(shared_->store, Step{*shared_->cell, version().machine, Machine::Admit{}},
                                   admission);
    }

    Before before(Lane& lane, auto& call) const noexcept {
        if (glance(lane, call)) return proceed;
        const Version& version = this->version();
        if (!call.tag().empty() && version.options.never_throttled.contains(call.tag())) return proceed;
        const auto admission = apply(call, version, Machine::Admit{shared_->random()});
        return admission.admitted ? proceed : reject(Errc::throttled);
    }

    template <class T>
    [[gnu::always_inline]] After after(Lane&, auto& call, const Result<T>& result) const noexcept {
        if (result) [[likely]]
            (void)apply(call, version(), Machine::Record{.accepted = true});
        else
            judge(call, result.error());
        return done;
    }

private:
    struct Version {
        Options options;
        Machine::Options machine = prepare(options);
    };
    struct Shared {
        detail::Versions<Version> versions;
        const std::string name;
        const StoreType store;
        const std::shared_ptr<Cell> cell;
        Random random;
    };

    static Machine::Options prepare(const Options& options) noexcept {
        return {.accepts_multiplier = options.accepts_multiplier,
                .max_probability = options.max_probability,
                .minimum_requests = options.minimum_requests,
                .window = options.window};
    }
    static std::shared_ptr<Shared> build(Options options, StoreType store) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        std::string name = options.name;
        auto cell = store.template cell<Machine>("throttle", name, prepare(options));
        const auto seed = options.seed;
        return std::shared_ptr<Shared>{new Shared{detail::Versions{Version{std::move(options)}}, std::move(name),
                                                  std::move(store), std::move(cell), Random{seed}}};
    }
    const Version& version() const noexcept { return shared_->versions.current(); }

    template <class Command>
    [[gnu::noinline]] auto apply(auto& call, const Version& version, const Command& command) const noexcept {
        return with_now(call, clock(), [&](auto& now) {
            return shared_->store.apply(Step{*shared_->cell, version.machine, command}, now);
        });
    }
    [[gnu::noinline]] void judge(auto& call, const Error& error) const noexcept {
        const Version& version = this->version();
        const auto& [options, machine] = version;
        const Outcome outcome = attempt_outcome(options.classify, options.deadline_counts_after, error, call);
        if (outcome == Outcome::neutral) return;
        (void)apply(call, version, Machine::Record{.accepted = outcome == Outcome::success});
    }

    std::shared_ptr<Shared> shared_;
};

}  // namespace breakwater
