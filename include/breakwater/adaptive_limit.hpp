#pragma once

#include <breakwater/adaptive_limit/algorithm.hpp>
#include <breakwater/adaptive_limit/any_algorithm.hpp>
#include <breakwater/adaptive_limit/machine.hpp>
#include <breakwater/adaptive_limit/options.hpp>
#include <breakwater/bulkhead/permits.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/pipeline/attempt_outcome.hpp>
#include <breakwater/pipeline/call.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/memory/cell.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// A bulkhead that finds its own number: bounds how many calls of this process are in flight at once by what the
/// service can take, judged by how long its answers take and how many calls it drops.
///
///     bw::AdaptiveLimit limit{{.name = "ledger", .max_limit = 100}};
///     bw::Pipeline guard{bw::Deadline{5s}, bw::Retry{}, breaker, limit, bw::AttemptTimeout{1s}};
///
/// Calls beyond the limit are refused with `Errc::bulkhead_full`, or queue first, as in a `Bulkhead`: the same rules,
/// and to a caller the same refusal, since what can be done about it is the same; the error's policy names which. After
/// each window of calls `Algorithm` moves the limit: `AnyLimitAlgorithm` (chosen at run time) or a static choice such
/// as `Vegas`. What it assumes:
///
/// - An answer counts with its time, from when the attempt begins: no wait for permits counts. A drop (see
///   `AdaptiveLimitOptions`) counts as one, and its time not at all. Neutral outcomes (refusals further in, cancelled
///   calls, lost hedges) count for nothing.
/// - The calls are of one kind. Where some take ten times as long as others, use a limit for each kind.
/// - Of a limit less than half used it is not known whether the service could take it: it does not grow.
/// - `Gradient2` and `Vegas` let half as many calls through for two windows now and then, to see what an answer takes
///   without a queue. Other clients of the service are not asked: what their calls queue is taken for the service's
///   own time.
///
/// A handle: copies share the limit. Thread-safe; never blocks for longer than a few instructions, except in the queue,
/// and allocates nothing, except for a call that queues. A call reads the call's clock twice (less where others have
/// done so) and adds to what a bulkhead costs two atomic exchanges. All pipelines that hold it have to use one clock.
template <LimitAlgorithm Algorithm = AnyLimitAlgorithm>
class AdaptiveLimit {
    using Machine = AdaptiveLimitMachine<Algorithm>;

    struct Version {
        AdaptiveLimitOptions<Algorithm> options;
        typename Machine::Options machine = prepare(options);
    };
    struct Shared {
        explicit Shared(AdaptiveLimitOptions<Algorithm> options)
            : name{options.name},
              permits{options.initial_limit, options.max_queue},
              versions{Version{std::move(options)}},
              cell{versions.current().machine} {}
        const std::string name;
        BulkheadPermits permits;
        detail::Versions<Version> versions;
        memory::BlockCell<Machine> cell;
    };
    /// A time that was read before.
    struct Known {
        Instant at;
        Instant operator()() const noexcept { return at; }
    };

public:
    static constexpr Place place = Place::admission;
    using Options = AdaptiveLimitOptions<Algorithm>;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit AdaptiveLimit(Options options) : shared_{build(std::move(options))} {}
    explicit AdaptiveLimit() : AdaptiveLimit{Options{}} {}

    /// As the constructor, without throwing.
    static Result<AdaptiveLimit> make(Options options) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return AdaptiveLimit{std::move(options)};
    }

    /// Goes on by other options, of the same name: for this handle, its copies and the pipelines that hold one. The
    /// limit and what was learned are kept, as far as the new bounds allow. Calls in flight and in the queue stay
    /// there. An error (`invalid_options`) changes nothing.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate(options); !ok) return ok;
        if (auto ok = detail::validate_same_name("adaptive_limit", "the limit's", shared_->name, options.name); !ok)
            return ok;
        shared_->versions.update([&](const Version&) {
            Version next{std::move(options)};
            Known now{};
            shared_->cell.apply(next.machine, typename Machine::Adapt{}, now);
            return next;
        });
        publish();
        return {};
    }

    /// How the limit stands, and what it goes by. Changes nothing.
    AdaptiveLimitSnapshot snapshot() const {
        const auto counts = shared_->permits.counts();
        const Version& version = shared_->versions.current();
        const auto seen = shared_->cell.peek();
        const double long_rtt = version.options.algorithm.baseline(seen.learned);
        const bool is_known = long_rtt > 0 && seen.short_rtt > 0;
        return {.name = shared_->name,
                .limit = Machine::limit(seen, version.machine),
                .in_flight = counts.in_flight,
                .queued = counts.queued,
                .max_queue = version.options.max_queue,
                .long_rtt = Duration{std::llround(long_rtt)},
                .short_rtt = Duration{std::llround(seen.short_rtt)},
                .gradient = is_known ? std::min(1.0, long_rtt / seen.short_rtt) : 1.0,
                .is_probing = seen.phase != Machine::Phase::measuring};
    }

    std::string_view name() const noexcept { return shared_->name; }
    const Options& options() const noexcept { return shared_->versions.current().options; }

    // The policy.

    /// The permit of one passage.
    class Lane {
    public:
        Lane() noexcept = default;
        Lane(Lane&&) = delete;
        [[gnu::always_inline]] ~Lane() {
            if (permits_ != nullptr) permits_->give_back();
        }

    private:
        friend AdaptiveLimit;
        BulkheadPermits* permits_ = nullptr;  // null: none; the pipeline that runs the call keeps them alive
    };
    using Waiter = BulkheadPermits::Waiter;

    /// If a permit is free.
    [[gnu::always_inline]] bool glance(Lane& lane, auto& call) const noexcept {
        if (!shared_->permits.take()) return false;
        lane.permits_ = &shared_->permits;
        call.attempt_took = Duration{0};
        call.now();  // so that the attempt's beginning is known
        return true;
    }

    Before before(Lane& lane, auto& call) const noexcept {
        if (glance(lane, call)) return proceed;
        call.attempt_took = Duration{0};
        const Options& options = this->options();
        if (options.max_queue == 0 || options.max_wait == Duration{0}) return reject(Errc::bulkhead_full);
        return queue_for(options.max_wait, Errc::bulkhead_full);
    }
    /// After an inner wait, which does not count.
    Before reask(Lane&, auto& call) const noexcept {
        call.now();
        return proceed;
    }
    bool enqueue(Lane&, Waiter& waiter) const { return shared_->permits.enqueue(waiter); }
    Before settle(Lane& lane, Waiter& waiter) const noexcept {
        if (!shared_->permits.settle(waiter)) return reject(Errc::bulkhead_full);
        lane.permits_ = &shared_->permits;
        return proceed;
    }

    template <class T>
    [[gnu::always_inline]] After after(Lane&, auto& call, const Result<T>& result) const noexcept {
        if (result) [[likely]]
            learn(call, Outcome::success);
        else
            judge(call, result.error());
        return done;
    }

private:
    static typename Machine::Options prepare(const Options& options) noexcept {
        return {.algorithm = options.algorithm,
                .min_limit = options.min_limit,
                .max_limit = options.max_limit,
                .initial_limit = options.initial_limit,
                .window = options.window,
                .minimum_samples = options.minimum_samples,
                .drop_ratio = options.drop_ratio};
    }
    static std::shared_ptr<Shared> build(Options options) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        return std::make_shared<Shared>(std::move(options));
    }

    [[gnu::noinline]] void judge(auto& call, const Error& error) const noexcept {
        const Options& options = this->options();
        const Outcome outcome = attempt_outcome(options.classify, options.deadline_counts_after, error, call);
        if (outcome != Outcome::neutral) learn(call, outcome);
    }

    template <class AnyCall>
    [[gnu::noinline]] void learn(AnyCall& call, Outcome outcome) const noexcept {
        const Instant began = call.attempt_began;
        if (began == Instant::max()) return;  // none was made, or a policy further in made the call forget the time
        const Instant ended = call.attempt_took > Duration{0} ? began + call.attempt_took : call.now();
        const Duration took = std::max(Duration{0}, ended - began);
        const Version& version = shared_->versions.current();
        const bool is_slow = version.options.slow_after && took > *version.options.slow_after;
        Known now{ended};
        const typename Machine::Record record{.took = took,
                                              .in_flight = shared_->permits.counts().in_flight,
                                              .dropped = is_slow || outcome == Outcome::failure};
        const auto change = shared_->cell.apply(version.machine, record, now);
        if (!change) [[likely]]
            return;
        publish();
        call.emit({.kind = EventKind::limit_changed, .policy = name(), .limit = change.limit});
    }

    /// Gives out as many permits as the machine says. It may say something else as soon as it is asked, by another
    /// thread; but who changes it comes here afterwards, and the last to leave has seen its last word.
    [[gnu::noinline]] void publish() const noexcept {
        std::uint32_t limit = 0;
        do {
            limit = current_limit();
            shared_->permits.resize(limit, options().max_queue);
        } while (limit != current_limit());
    }
    std::uint32_t current_limit() const noexcept {
        return Machine::limit(shared_->cell.peek(), shared_->versions.current().machine);
    }

    std::shared_ptr<Shared> shared_;
};

AdaptiveLimit() -> AdaptiveLimit<AnyLimitAlgorithm>;
AdaptiveLimit(AdaptiveLimitOptions<AnyLimitAlgorithm>) -> AdaptiveLimit<AnyLimitAlgorithm>;

}  // namespace breakwater
