#pragma once

#include <breakwater/events.hpp>

#include <concepts>
#include <utility>

namespace breakwater {

/// An observer that calls `alert(event)` when a circuit opens, or opens again after a probe: `event.client`,
/// `event.policy` (the circuit's name) and `event.delay` (until the next probe) are what an alert needs. What is forced
/// open by hand is no alert.
///
///     options.observer = bw::observers(bw::request_log(std::clog), bw::on_open([](const bw::Event& event) { … }));
template <std::invocable<const Event&> F>
Observer on_open(F alert) {
    return [alert = std::move(alert)](const Event& event) mutable {
        if (event.kind == EventKind::circuit_opened) alert(event);
    };
}

}  // namespace breakwater
