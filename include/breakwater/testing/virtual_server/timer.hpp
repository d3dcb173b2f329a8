#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop/scheduler.hpp>

#include <optional>

namespace breakwater::testing {

/// Calls a link's `on_time`. By a clock that tests move, the server's `advance` does.
template <class Link, Clock C>
class VirtualTimer {
public:
    explicit VirtualTimer(Link&) noexcept {}
    static void set(const C&, Instant) noexcept {}
};
/// By one whose simulation has timers.
template <class Link, Clock C>
    requires requires(const C& clock, Timer& timer, Instant t) { clock.simulation().set(timer, t); }
class VirtualTimer<Link, C> final : Timer {
public:
    explicit VirtualTimer(Link& link) noexcept : link_{link} {}
    VirtualTimer(const VirtualTimer&) = delete;
    VirtualTimer& operator=(const VirtualTimer&) = delete;
    ~VirtualTimer() { cancel(); }
    void set(const C& clock, Instant t) {
        cancel();
        clock_ = clock;
        clock.simulation().set(*this, t);
    }

private:
    void cancel() noexcept {
        if (clock_) clock_->simulation().cancel(*this);
        clock_.reset();
    }
    void on_time() noexcept override {
        clock_.reset();
        link_.on_time();
    }

    Link& link_;
    std::optional<C> clock_;  // whose timer is set
};

}  // namespace breakwater::testing
