#pragma once

#include <breakwater/detail/stop_link.hpp>

#include <memory>
#include <stop_token>

namespace breakwater {

/// What ends a wait in a policy's queue: the waiter's turn, or a stop request.
class QueueTurn {
public:
    QueueTurn(const auto& waiter, const std::stop_token& stop) : turn_{waiter.turn()} {
        if (stop.stop_possible()) link_ = std::make_unique<detail::StopLink>(stop, turn_);
    }
    QueueTurn(const QueueTurn&) = delete;
    QueueTurn& operator=(const QueueTurn&) = delete;
    std::stop_token token() const noexcept { return turn_.get_token(); }

private:
    std::stop_source turn_;
    std::unique_ptr<detail::StopLink> link_;
};

}  // namespace breakwater
