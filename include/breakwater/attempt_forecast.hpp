#pragma once

#include <breakwater/attempt_forecast/machine.hpp>
#include <breakwater/attempt_forecast/options.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/error.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/memory.hpp>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace breakwater {

/// Begins no attempt that is expected to take longer than is left until the call's deadline:
///
///     bw::Pipeline guard{bw::Deadline{2s}, bw::Retry{}, bw::AttemptForecast{}, breaker};
///
/// Such an attempt is refused with `Errc::deadline_too_near` before it takes permits, and asked about again after an
/// inner wait; nor does `Retry` begin a delay after which too little would be left. What is expected is a quantile of
/// the times of the newest attempts (`AttemptForecastOptions`), within 6.25 %, whatever is called: where calls differ
/// much, use a forecast for each kind. A call without a deadline is never refused.
///
/// - An attempt that was answered, with an error status, too, counts with its time. One that was cut by a timeout, the
///   deadline or a stop request counts as at least that long. Other errors and refusals count for nothing: how long an
///   answer would have taken they do not say.
/// - When no attempt was timed for `trial_interval`, one is let through that would be refused; while such trials are
///   answered in time, the next follows at once. Finagle's DeadlineFilter bounds its refusals for the same reason.
///
/// Stands inside Deadline and Retry and outside of what gives out permits; another order does not compile.
///
/// A handle: copies share the estimate. Thread-safe; never blocks for longer than a few instructions and allocates
/// nothing. Asking costs a load; an attempt's time is recorded with two atomic exchanges, and read from the clock where
/// neither a client nor an observer has done so: once, or twice in a call without a deadline.
template <Store StoreType = MemoryStore<>>
class AttemptForecast {
    using Machine = AttemptForecastMachine;
    using Cell = typename StoreType::template Cell<Machine>;

public:
    static constexpr Place place = Place::forecast;
    using Options = AttemptForecastOptions;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit AttemptForecast(Options options, StoreType store = StoreType{})
        : shared_{build(std::move(options), std::move(store))} {}
    explicit AttemptForecast()
        requires std::default_initializable<StoreType>
        : AttemptForecast{Options{}} {}

    /// As the constructor, without throwing.
    static Result<AttemptForecast> make(Options options, StoreType store = StoreType{}) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return AttemptForecast{std::move(options), std::move(store)};
    }

    /// Goes on by other options, of the same name; what was learned is kept, and another quantile holds from the
    /// next timed attempt on. Reaches this handle and its copies. An error (`invalid_options`) changes nothing.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate_next(options); !ok) return ok;
        shared_->versions.publish(Version{std::move(options)});
        return {};
    }

    /// Another handle of the same estimate, which goes by other options, of the same name; this one and its copies keep
    /// theirs.
    Result<AttemptForecast> reconfigured(Options options) const {
        if (auto ok = validate_next(options); !ok) return fail(std::move(ok).error());
        AttemptForecast other{*this};
        other.shared_ = std::shared_ptr<Shared>{
            new Shared{detail::Versions{Version{std::move(options)}}, shared_->name, shared_->store, shared_->cell}};
        return other;
    }

    AttemptForecastSnapshot snapshot() const {
        const Machine::State seen = shared_->store.peek(*shared_->cell);
        return {.name = shared_->name,
                .expected = Machine::expected(seen, machine_options()),
                .samples = seen.took.samples()};
    }
    std::string_view name() const noexcept { return shared_->name; }
    const Options& options() const noexcept { return shared_->versions.current().options; }
    const auto& clock() const noexcept { return shared_->store.clock(); }

    // The policy.

    /// What is known of one attempt.
    class Lane {
        friend AttemptForecast;
        bool is_trial_ = false;
        Duration left_{};                 // of a trial and a refusal
        Machine::Admission admission_{};  // of a refusal
    };

    /// With time enough.
    [[gnu::always_inline]] bool glance(Lane&, auto& call) const noexcept {
        call.attempt_took = Duration{0};
        call.now();  // so that the attempt's beginning is known
        Machine::Admission admission{};
        const Step step{*shared_->cell, machine_options(), Machine::Admit{call.remaining()}};
        if (!decided_at_a_glance(shared_->store, step, admission)) return false;
        call.attempt_expected = admission.expected;
        return true;
    }

    Before before(Lane& lane, auto& call) const noexcept {
        if (glance(lane, call)) return proceed;
        lane.left_ = call.remaining();
        const auto admission = with_now(call, clock(), [&](auto& now) {
            return shared_->store.apply(Step{*shared_->cell, machine_options(), Machine::Admit{lane.left_}}, now);
        });
        call.attempt_expected = admission.expected;
        lane.is_trial_ = admission.trial;
        if (admission.admitted) return proceed;
        lane.admission_ = admission;
        return reject(Errc::deadline_too_near);
    }

    /// After an inner wait less time is left.
    Before reask(Lane& lane, auto& call) const noexcept {
        if (!lane.is_trial_) return before(lane, call);
        call.now();
        lane.left_ = call.remaining();
        return proceed;
    }

    template <class T>
    [[gnu::always_inline]] After after(Lane& lane, auto& call, const Result<T>& result) const noexcept {
        if (result)
            learn(lane, call, Machine::Ending::answered);
        else if (const auto ending = ending_of(result.error()))
            learn(lane, call, *ending);
        return done;
    }

    Error refusal(Lane& lane, auto&, const Before&) const noexcept {
        return Error::refusal({.expected = lane.admission_.expected,
                               .left = lane.left_,
                               .samples = lane.admission_.samples,
                               .quantile = static_cast<std::uint16_t>(machine_options().rule.quantile)});
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
    };
    /// A time that was read before.
    struct Known {
        Instant at;
        Instant operator()() const noexcept { return at; }
    };

    /// Options to go on by.
    Result<void> validate_next(const Options& options) const {
        if (auto ok = validate(options); !ok) return ok;
        return detail::validate_same_name("forecast", "the forecast's", shared_->name, options.name);
    }

    static Machine::Options prepare(const Options& options) noexcept {
        return {.rule = {.quantile = static_cast<std::uint32_t>(std::lround(options.quantile * 10'000)),
                         .most = options.max_samples},
                .minimum_samples = options.minimum_samples,
                .trial_interval = options.trial_interval};
    }
    static std::shared_ptr<Shared> build(Options options, StoreType store) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        std::string name = options.name;
        auto cell = store.template cell<Machine>("attempt_forecast", name, prepare(options));
        return std::shared_ptr<Shared>{new Shared{detail::Versions{Version{std::move(options)}}, std::move(name),
                                                  std::move(store), std::move(cell)}};
    }
    const Machine::Options& machine_options() const noexcept { return shared_->versions.current().machine; }

    /// How an attempt ended that was made; empty if that does not tell what an answer takes.
    static std::optional<Machine::Ending> ending_of(const Error& error) noexcept {
        if (is_refusal(error.code())) return {};  // a redirect was not followed
        if (error.status() || was_answered(error.code())) return Machine::Ending::answered;
        if (was_cut(error.code())) return Machine::Ending::cut;
        return {};
    }

    template <class AnyCall>
    [[gnu::noinline]] void learn(const Lane& lane, AnyCall& call, Machine::Ending ending) const noexcept {
        const Instant began = call.attempt_began;
        if (began == Instant::max()) return;  // none was made, or a policy further in made the call forget the time
        const bool was_timed = call.attempt_took > Duration{0};
        const Instant ended = was_timed ? began + call.attempt_took : call.now();
        const Duration took = ended - began;
        if (lane.is_trial_ && ending == Machine::Ending::answered && took <= lane.left_)
            ending = Machine::Ending::in_time;
        const Step step{*shared_->cell, machine_options(), Machine::Record{took, ending}};
        if constexpr (std::is_same_v<decltype(call.now), LazyNow<std::remove_cvref_t<decltype(clock())>>>) {
            if (call.now.clock() == clock()) {
                Known now{ended};
                call.attempt_expected = shared_->store.apply(step, now);
                return;
            }
        }
        LazyNow now{clock()};
        call.attempt_expected = shared_->store.apply(step, now);
    }

    std::shared_ptr<Shared> shared_;
};

}  // namespace breakwater
