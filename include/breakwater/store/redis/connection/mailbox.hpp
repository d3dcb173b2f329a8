#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/alarm_bell.hpp>
#include <breakwater/store/redis/connection/command.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace breakwater::redis {

/// How far a command got without the I/O thread.
enum class Express : std::uint8_t { refused, sent, sent_in_part };

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
        post(std::forward<F>(write), [] { return Express::refused; });
    }
    /// The same; but while the I/O thread sleeps, `express()` may do without it. Until that returns the I/O thread does
    /// not go on when it wakes, so what is otherwise its own may be used.
    template <class F, class E>
    void post(F&& write, E&& express) {
        bool has_to_ring = false;
        {
            const std::lock_guard lock{mutex_};
            const Express done = is_asleep_ ? express() : Express::refused;
            if (done == Express::sent) return;
            if (done == Express::refused) write(letters_);
            has_to_ring = std::exchange(is_asleep_, false);
        }
        if (has_to_ring) bell_->ring();
    }

    /// Of the I/O thread: what has come, into an emptied `letters`, whose memory is used again.
    void take(Letters& letters) {
        letters.clear();
        const std::lock_guard lock{mutex_};
        std::swap(letters, letters_);
    }
    /// Of the I/O thread: whether nothing has come. If so, the next letter rings, and `wake` has to be called before
    /// anything else is done.
    bool may_sleep() {
        const std::lock_guard lock{mutex_};
        is_asleep_ = letters_.empty();
        return is_asleep_;
    }
    void wake() {
        const std::lock_guard lock{mutex_};
        is_asleep_ = false;
    }

    const std::shared_ptr<breakwater::detail::AlarmBell>& bell() const noexcept { return bell_; }

private:
    std::mutex mutex_;
    Letters letters_;
    bool is_asleep_ = false;
    const std::shared_ptr<breakwater::detail::AlarmBell> bell_ = std::make_shared<breakwater::detail::AlarmBell>();
};

}  // namespace breakwater::redis
