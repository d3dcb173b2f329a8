#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/redis/connection/alarm_bell.hpp>
#include <breakwater/store/redis/connection/command.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace breakwater::redis {

/// What other threads want of the I/O thread. The bell rings only while that thread sleeps, so that what many threads
/// ask for at the same time costs one wake-up and leaves in one write.
class Mailbox {
public:
    struct Letters {
        std::vector<Command> commands{};
        std::vector<std::pair<std::string, bool>> channels{};  ///< Wanted from now on, or no longer.
        Instant wake_at = Instant::max();
        bool stop = false;

        bool empty() const noexcept {
            return commands.empty() && channels.empty() && wake_at == Instant::max() && !stop;
        }
        void clear() noexcept {
            commands.clear();
            channels.clear();
            wake_at = Instant::max();
            stop = false;
        }
    };

    /// `write(Letters&)` under the lock: short, and without calling anybody.
    template <class F>
    void post(F&& write) {
        bool was_asleep = false;
        {
            const std::lock_guard lock{mutex_};
            write(letters_);
            was_asleep = std::exchange(is_asleep_, false);
        }
        if (was_asleep) bell_->ring();
    }

    /// Of the I/O thread: what has come, into an emptied `letters`, whose memory is used again.
    void take(Letters& letters) {
        letters.clear();
        const std::lock_guard lock{mutex_};
        is_asleep_ = false;
        std::swap(letters, letters_);
    }
    /// Of the I/O thread: whether nothing has come. If so, the next letter rings.
    bool may_sleep() {
        const std::lock_guard lock{mutex_};
        is_asleep_ = letters_.empty();
        return is_asleep_;
    }

    const std::shared_ptr<AlarmBell>& bell() const noexcept { return bell_; }

private:
    std::mutex mutex_;
    Letters letters_;
    bool is_asleep_ = false;
    const std::shared_ptr<AlarmBell> bell_ = std::make_shared<AlarmBell>();
};

}  // namespace breakwater::redis
