#pragma once

#include <breakwater/bulkhead/options.hpp>
#include <breakwater/bulkhead/permits.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/detail/versions.hpp>
#include <breakwater/pipeline/policy.hpp>
#include <breakwater/pipeline/queue_turn.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string_view>
#include <utility>

namespace breakwater {

/// Bounds how many calls of this process are in flight at once, so that a service that hangs does not take every
/// thread. Calls beyond that are refused with `Errc::bulkhead_full`, or queue first if there is a queue.
///
/// A handle: copies share the permits. Thread-safe. A call that finds a permit free costs two atomic exchanges, reads
/// no clock, takes no lock and allocates nothing. The queue is first come, first served: a permit that comes back goes
/// to the first in it, and a call that leaves (its time or its deadline is over, a stop is requested) never gets one.
/// A half-open circuit's probe does not queue. Refusals have no `retry_after`: nobody knows it.
///
///     bw::Bulkhead bulkhead{{.name = "ledger", .max_concurrent = 20, .max_queue = 50, .max_wait = 2s}};
///     bw::Pipeline guard{bw::Deadline{5s}, breaker, bulkhead};
///
/// A guarded call inside a call that the same bulkhead guards needs a second permit: with `max_concurrent` such calls
/// in flight it is refused or, where there is a queue, waits for itself until its time is over.
class Bulkhead {
    struct Shared {
        explicit Shared(const BulkheadOptions& options)
            : name{options.name}, permits{options.max_concurrent, options.max_queue}, versions{options} {}
        const std::string name;
        BulkheadPermits permits;
        detail::Versions<BulkheadOptions> versions;
    };

public:
    static constexpr Place place = Place::admission;
    using Options = BulkheadOptions;

    /// Throws `Exception` (`invalid_options`) naming the field if the options are wrong.
    explicit Bulkhead(const Options& options) : shared_{build(options)} {}

    /// As the constructor, without throwing.
    static Result<Bulkhead> make(const Options& options) {
        if (auto ok = validate(options); !ok) return fail(std::move(ok).error());
        return Bulkhead{options};
    }

    /// A permit for one call, given back when destroyed. Safe to use after the bulkhead is gone.
    class Permit {
    public:
        Permit(Permit&& other) noexcept = default;
        Permit& operator=(Permit&& other) noexcept {
            Permit moved{std::move(other)};
            std::swap(shared_, moved.shared_);
            return *this;
        }
        ~Permit() {
            if (shared_) shared_->permits.give_back();
        }

    private:
        friend Bulkhead;
        explicit Permit(std::shared_ptr<Shared> shared) noexcept : shared_{std::move(shared)} {}

        std::shared_ptr<Shared> shared_;
    };

    /// A permit now or not at all.
    Result<Permit> try_acquire() const noexcept {
        if (shared_->permits.take()) return Permit{shared_};
        return fail(full());
    }

    /// A permit now or after queueing for up to `max_wait` (at most 24h), by `clock`. Blocks. The error is
    /// `bulkhead_full`, or `cancelled` if a stop was requested first.
    template <Clock C = SteadyClock>
    Result<Permit> acquire(Duration max_wait, const std::stop_token& stop = {}, const C& clock = {}) const {
        if (shared_->permits.take()) return Permit{shared_};
        if (max_wait <= Duration{0}) return fail(full());
        BulkheadPermits::Waiter waiter;
        if (!shared_->permits.enqueue(waiter)) return fail(full());
        {
            const QueueTurn turn{waiter, stop};
            clock.wait_until(clock.now() + std::min<Duration>(max_wait, std::chrono::hours{24}), turn.token());
        }
        if (shared_->permits.settle(waiter)) return Permit{shared_};
        return fail(stop.stop_requested() ? Error{Errc::cancelled} : full());
    }

    /// Goes on by other options, of the same name: for this handle, its copies and the pipelines that hold one. Calls
    /// in flight and in the queue stay there; with fewer permits than calls in flight, none is given out until enough
    /// have come back. An error (`invalid_options`) changes nothing.
    Result<void> reconfigure(Options options) const {
        if (auto ok = validate(options); !ok) return ok;
        if (auto ok = detail::validate_same_name("bulkhead", "the bulkhead's", shared_->name, options.name); !ok)
            return ok;
        shared_->versions.update([&](const Options&) {
            shared_->permits.resize(options.max_concurrent, options.max_queue);
            return std::move(options);
        });
        return {};
    }

    /// How many calls are in flight and queue now. Changes nothing.
    BulkheadSnapshot snapshot() const {
        const auto counts = shared_->permits.counts();
        return {.name = shared_->name,
                .in_flight = counts.in_flight,
                .queued = counts.queued,
                .max_concurrent = options().max_concurrent,
                .max_queue = options().max_queue};
    }

    std::string_view name() const noexcept { return shared_->name; }
    const Options& options() const noexcept { return shared_->versions.current(); }

    // The policy.

    class Glimpse {
        friend Bulkhead;
        BulkheadPermits* permits_ = nullptr;  // null: none; the pipeline that runs the call keeps them alive
    };
    /// The permit of one passage.
    class Lane : public Glimpse {
    public:
        Lane() noexcept = default;
        Lane(Lane&&) = delete;
        ~Lane() { return_permit(*this); }
    };
    using Waiter = BulkheadPermits::Waiter;

    /// If a permit is free.
    [[gnu::always_inline]] bool glance(Glimpse& lane, const auto&) const noexcept {
        if (!shared_->permits.take()) return false;
        lane.permits_ = &shared_->permits;
        return true;
    }
    [[gnu::always_inline]] static bool glance_back(Glimpse& lane, const auto&) noexcept {
        return_permit(lane);
        return true;
    }

    Before before(Lane& lane, auto& call) const noexcept {
        return glance(lane, call) ? proceed : queue_or_reject(options());
    }
    /// Of an attempt without a permit.
    static Before queue_or_reject(const Options& options) noexcept {
        if (options.max_queue == 0 || options.max_wait == Duration{0}) return reject(Errc::bulkhead_full);
        return queue_for(options.max_wait, Errc::bulkhead_full);
    }
    bool enqueue(Lane&, Waiter& waiter) const { return shared_->permits.enqueue(waiter); }
    Before settle(Lane& lane, Waiter& waiter) const noexcept {
        if (!shared_->permits.settle(waiter)) return reject(Errc::bulkhead_full);
        lane.permits_ = &shared_->permits;
        return proceed;
    }

    After after(Lane&, auto&, auto&) const noexcept { return done; }

private:
    [[gnu::always_inline]] static void return_permit(Glimpse& lane) noexcept {
        if (lane.permits_ != nullptr) lane.permits_->give_back();
        lane.permits_ = nullptr;
    }
    static std::shared_ptr<Shared> build(const Options& options) {
        if (auto ok = validate(options); !ok) throw_error(ok.error());
        return std::make_shared<Shared>(options);
    }

    Error full() const noexcept { return Error::refusal(Errc::bulkhead_full, name()); }

    std::shared_ptr<Shared> shared_;
};

}  // namespace breakwater
