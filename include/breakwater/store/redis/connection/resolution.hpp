#pragma once

#include <breakwater/detail/alarm_bell.hpp>
#include <breakwater/detail/blocked_signals.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/store/redis/connection/endpoint.hpp>
#include <breakwater/store/redis/url.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace breakwater::redis {

/// Asks where a server is. A name is looked up on a thread of its own, since that may take many seconds and cannot be
/// interrupted; nobody waits for it, and the bell rings when the answer is there.
class Resolution {
public:
    void begin(const Url& url, const std::shared_ptr<breakwater::detail::AlarmBell>& bell) {
        state_ = std::make_shared<State>();
        if (is_numeric(url)) {
            state_->endpoints = resolve(url);
            return;
        }
        BREAKWATER_TRY {
            const breakwater::detail::BlockedSignals blocked;
            std::thread{[state = state_, bell, url] {
                Endpoints endpoints = resolve(url);
                {
                    const std::lock_guard lock{state->mutex};
                    state->endpoints = std::move(endpoints);
                }
                bell->ring();
            }}.detach();
        }
        BREAKWATER_CATCH_ALL { state_->endpoints = Endpoints{.error = "no thread to look its name up"}; }
    }

    /// The answer, once; nothing while it is not there.
    std::optional<Endpoints> take() {
        if (state_ == nullptr) return std::nullopt;
        const std::lock_guard lock{state_->mutex};
        return std::exchange(state_->endpoints, std::nullopt);
    }
    /// No longer wanted.
    void forget() noexcept { state_ = nullptr; }

private:
    struct State {
        std::mutex mutex;
        std::optional<Endpoints> endpoints;
    };
    std::shared_ptr<State> state_;
};

}  // namespace breakwater::redis
