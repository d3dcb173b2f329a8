#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/events.hpp>
#include <breakwater/store/local_fallback/options.hpp>

#include <atomic>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::fallback {

/// Knows whether a store fails, leaves it alone while it does, and tells of both edges. Thread-safe.
template <Clock C>
class Outage {
public:
    Outage(C clock, LocalFallbackOptions options) : clock_{std::move(clock)}, options_{std::move(options)} {}

    const LocalFallbackOptions& options() const noexcept { return options_; }
    bool is_on() const noexcept { return ask_at_.load(std::memory_order_acquire) != at_any_time; }

    /// What `try_it` gives: something that converts to false, or an exception, if the store has failed. Gives such a
    /// thing without a try while the store is left alone.
    template <class Try>
    auto attempt(Try try_it) noexcept -> decltype(try_it()) {
        const Instant due = ask_at_.load(std::memory_order_acquire);
        if (due != at_any_time && !is_time(ask_at_, due)) return {};
        std::string why = "no answer";
        BREAKWATER_TRY {
            if (auto answer = try_it()) {
                if (due != at_any_time && ask_at_.exchange(at_any_time) != at_any_time)
                    tell(EventKind::store_rejoined, {});
                return answer;
            }
        }
        BREAKWATER_CATCH_ALL { why = words_in_flight(); }
        // From now on, and not from when it was asked: that may have been long ago.
        if (ask_at_.exchange(clock_.now() + options_.retry_after) == at_any_time) tell(EventKind::store_degraded, why);
        return {};
    }

    /// Whether the instant `at` has come; if so, puts it off by `retry_after`. Of several threads one is told so.
    bool is_time(std::atomic<Instant>& at) const noexcept { return is_time(at, at.load(std::memory_order_acquire)); }

    static constexpr Instant at_any_time = Instant::min();

private:
    bool is_time(std::atomic<Instant>& at, Instant due) const noexcept {
        const Instant now = clock_.now();
        const Instant next = now + options_.retry_after;
        const bool is_set_back = due > next + clock_tolerance;
        return (now >= due || is_set_back) && at.compare_exchange_strong(due, next);
    }
    void tell(EventKind kind, std::string_view why) const noexcept {
        options_.observer({.kind = kind, .policy = options_.name, .subject = why, .at = clock_.now()});
    }
    static std::string words_in_flight() {
#ifdef __cpp_exceptions
        try {
            throw;
        } catch (const std::exception& known) {
            return known.what();
        } catch (...) {
        }
#endif
        return "unknown exception";
    }

    const C clock_;
    const LocalFallbackOptions options_;
    std::atomic<Instant> ask_at_ = at_any_time;  // when a store that has failed is asked again
};

}  // namespace breakwater::fallback
