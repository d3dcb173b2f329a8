#pragma once

#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace breakwater::fleet {

/// Something that one does at a time, whoever comes first, while those who come meanwhile wait for him. Thread-safe.
class OneForAll {
public:
    /// Belongs to whoever has joined. It is over when the one who leads lets his go.
    class Turn {
    public:
        Turn(Turn&& other) noexcept : all_{std::exchange(other.all_, nullptr)}, over_{std::move(other.over_)} {}
        Turn& operator=(Turn&&) = delete;
        ~Turn() { end(); }
        bool leads() const noexcept { return all_ != nullptr; }
        /// Lets those who wait go on.
        void end() noexcept {
            if (all_ != nullptr) std::exchange(all_, nullptr)->end();
        }
        /// Stopped when it is over.
        const std::stop_token& over() const noexcept { return over_; }

    private:
        friend OneForAll;
        Turn(OneForAll* all, std::stop_token over) noexcept : all_{all}, over_{std::move(over)} {}
        OneForAll* all_;  // null of one who waits
        std::stop_token over_;
    };

    Turn join() {
        const std::scoped_lock lock{mutex_};
        const bool leads = !under_way_;
        if (leads) under_way_.emplace();
        return Turn{leads ? this : nullptr, under_way_->get_token()};
    }

private:
    void end() noexcept {
        std::stop_source over = [&] {
            const std::scoped_lock lock{mutex_};
            return *std::exchange(under_way_, std::nullopt);
        }();
        over.request_stop();
    }

    std::mutex mutex_;
    std::optional<std::stop_source> under_way_;
};

}  // namespace breakwater::fleet
