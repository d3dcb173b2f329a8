#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/random.hpp>
#include <breakwater/testing/fault_injection/fault.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace breakwater::faults {

/// What a plan has for one request.
template <class Then>
struct Drawn {
    Duration delay{};
    const Then* then = nullptr;  ///< Null: it is passed on. Lives as long as the plan.
};

/// Faults as they were set, and how far they have come. Thread-safe.
///
/// What is drawn for the n-th request depends on the seed, on n and on the place of the fault alone: not on threads,
/// and not on other faults.
template <class Options>
class Plan {
    using Faults = decltype(Options::faults);
    using Then = decltype(Faults::value_type::then);

public:
    Plan(Options options, Instant began)
        : options_{std::move(options)},
          began_{began},
          seed_{Random::mix(options_.seed ? *options_.seed : random_seed())} {}

    const Options& options() const noexcept { return options_; }

    Drawn<Then> next(Instant now) noexcept {
        const std::uint64_t number = requests_.fetch_add(1, std::memory_order_relaxed);
        const Duration elapsed = std::max(now - began_, Duration{0});  // a clock may be set back
        std::span<const typename Faults::value_type> faults{options_.faults};
        if (number < options_.script.size()) faults = std::span{options_.script}.subspan(number, 1);
        Drawn<Then> drawn;
        for (std::size_t i = 0; i < faults.size(); ++i) {
            const auto& fault = faults[i];
            if (elapsed < fault.from || (fault.until && elapsed >= *fault.until)) continue;
            Random random{Random::mix(Random::mix(seed_ + number) + i)};
            if (static_cast<double>(random() >> 11) * 0x1p-53 >= fault.rate) continue;
            drawn.delay += fault.delay.draw(random);
            if (drawn.then == nullptr && is_end(fault.then)) drawn.then = &fault.then;
        }
        return drawn;
    }

private:
    const Options options_;
    const Instant began_;
    const std::uint64_t seed_;
    std::atomic<std::uint64_t> requests_{0};
};

/// The plan that is followed now, if any. Thread-safe; without one it costs a load.
template <class Options>
class PlanSwitch {
public:
    void set(std::shared_ptr<Plan<Options>> plan) noexcept {
        const std::scoped_lock lock{mutex_};
        is_on_.store(plan != nullptr, std::memory_order_release);
        plan_.swap(plan);
    }
    std::shared_ptr<Plan<Options>> get() const noexcept {
        if (!is_on_.load(std::memory_order_acquire)) return nullptr;
        const std::scoped_lock lock{mutex_};
        return plan_;
    }

private:
    std::atomic<bool> is_on_{false};
    mutable std::mutex mutex_;
    std::shared_ptr<Plan<Options>> plan_;
};

}  // namespace breakwater::faults
