#pragma once

#include <breakwater/events.hpp>

#include <array>
#include <atomic>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace partner_api {

/// An observer that counts what happens, and says so when a circuit opens. What it counts would go to a metrics
/// system, and the line to whoever is on call.
class Alerts {
public:
    void operator()(const breakwater::Event& event) {
        using breakwater::EventKind;
        switch (event.kind) {
            case EventKind::attempt_started: ++attempts_; return;
            case EventKind::retry_scheduled: ++retries_; return;
            case EventKind::permit_refused: ++refused_; return;
            case EventKind::fallback_used: ++fallbacks_; return;
            case EventKind::circuit_closed: ++closed_; return;
            case EventKind::circuit_opened: {
                ++opened_;
                std::ostringstream line;
                line << "  ALERT  circuit \"" << event.policy << "\" is open for "
                     << breakwater::format_duration(*event.delay) << '\n';
                std::cout << line.str() << std::flush;
                return;
            }
            default: return;
        }
    }

    std::string table() const {
        std::ostringstream text;
        for (const auto& [name, count] : {std::pair<std::string_view, const std::atomic<int>&>{"attempts", attempts_},
                                          {"retries", retries_},
                                          {"refused without I/O", refused_},
                                          {"answered by a fallback", fallbacks_},
                                          {"circuits opened", opened_},
                                          {"circuits closed", closed_}}) {
            text << "  " << name << std::string(24 - name.size(), ' ') << count << '\n';
        }
        return text.str();
    }
    int opened() const noexcept { return opened_; }

private:
    std::atomic<int> attempts_{0}, retries_{0}, refused_{0}, fallbacks_{0}, opened_{0}, closed_{0};
};

}  // namespace partner_api
