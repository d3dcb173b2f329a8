#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/blocked_signals.hpp>
#include <breakwater/detail/exceptions.hpp>
#include <breakwater/detail/fork.hpp>
#include <breakwater/store/redis/connection/io_loop.hpp>
#include <breakwater/store/redis/connection/slots.hpp>
#include <breakwater/store/redis/handler.hpp>
#include <breakwater/store/redis/options.hpp>
#include <breakwater/store/redis/request.hpp>
#include <breakwater/uuid.hpp>

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace breakwater::redis {

/// The connections of one process to a server or to a cluster's masters, with one thread that owns them.
///
/// Nothing connects, and no thread runs, before the first use. All members are thread-safe and none waits for the
/// network. A command is answered, or known not to be, within `command_timeout`: when one is not, the server is down
/// until it has answered a greeting and taken a write in that time, and every command meanwhile is `unreachable` at
/// once. The commands of the first `command_timeout` wait for the connection being made.
///
/// In the child of a fork nothing inherited is touched: every command is `unreachable`.
class Connections {
public:
    /// The options are valid; `handler` outlives this object. `instance` is what this process is called in the store.
    Connections(RedisStoreOptions options, Handler& handler, std::string instance = make_uuid())
        : loop_{std::make_shared<IoLoop>(std::move(options), std::move(instance), handler)} {}

    /// Completes everything under way as `unreachable`. Waits for the I/O thread; on that thread itself it returns
    /// first, and they are completed soon after.
    ~Connections() {
        if (is_forked()) {  // neither the thread nor the parent's sockets are ours
            new (std::nothrow) std::shared_ptr<IoLoop>{std::move(loop_)};
            new (std::nothrow) std::thread{std::move(thread_)};
            return;
        }
        if (!thread_.joinable()) return;
        if (thread_.get_id() == std::this_thread::get_id()) {
            loop_->stop();
            thread_.detach();
        } else {
            loop_->mailbox().post([](Mailbox::Letters& letters) { letters.stop = true; });
            thread_.join();
        }
    }
    Connections(const Connections&) = delete;
    Connections& operator=(const Connections&) = delete;

    /// Sends the command together with those of other threads.
    void submit(Request request) {
        Command command{.bytes = {},
                        .script = request.script,
                        .done = std::move(request.done),
                        .deadline = SteadyClock{}.now() + loop_->options().command_timeout};
        const Reachable& reachable = loop_->reachable();
        const auto state = reachable.state();
        if (state == Reachable::State::down || !start()) return command.complete(Reply::Kind::unreachable);
        command.slot = request.key.empty() ? std::uint16_t{0} : slot_of(request.key);
        if (state == Reachable::State::up && reachable.is_cluster() && !reachable.has_slot(command.slot))
            return command.complete(Reply::Kind::unreachable);
        command.bytes = request.command.wire();
        loop_->submit(std::move(command));
    }

    /// Asks for what is published to the channel; more than once is the same as once.
    void subscribe(std::string channel) { want(std::move(channel), true); }
    void unsubscribe(std::string channel) { want(std::move(channel), false); }

    /// Has `Handler::on_timer` called at that time by `SteadyClock`, or at an earlier one set before.
    void wake_at(Instant time) {
        if (!start()) return;
        loop_->mailbox().post([&](Mailbox::Letters& letters) { letters.wake_at = std::min(letters.wake_at, time); });
    }

    /// Begins to connect, if nothing has yet. False where there can be no thread, and in the child of a fork.
    bool start() {
        if (is_forked()) return false;
        if (is_started_.load(std::memory_order_acquire)) return true;
        const std::lock_guard lock{mutex_};
        if (is_started_.load(std::memory_order_relaxed)) return true;
        BREAKWATER_TRY {
            const breakwater::detail::BlockedSignals blocked;
            thread_ = std::thread{[loop = loop_] {
                pthread_setname_np(pthread_self(), "breakwater-io");
                loop->run();
            }};
        }
        BREAKWATER_CATCH_ALL { return false; }
        is_started_.store(true, std::memory_order_release);
        return true;
    }

    /// Whether a server is up. One load.
    bool is_up() const noexcept { return loop_->reachable().state() == Reachable::State::up && !is_forked(); }
    /// Whether the server that keeps this key is up.
    bool is_up(std::string_view key) const noexcept {
        const Reachable& reachable = loop_->reachable();
        if (!reachable.is_cluster()) return is_up();
        return reachable.has_slot(slot_of(key)) && reachable.state() != Reachable::State::down && !is_forked();
    }
    /// Whether the caller is the I/O thread.
    bool is_own_thread() const noexcept {
        return is_started_.load(std::memory_order_acquire) && thread_.get_id() == std::this_thread::get_id();
    }
    /// Whether this object was inherited from the parent of a fork, and is of no use.
    bool is_forked() const noexcept { return fork_ != breakwater::detail::current_fork(); }

private:
    void want(std::string channel, bool is_wanted) {
        if (!start()) return;
        loop_->mailbox().post(
            [&](Mailbox::Letters& letters) { letters.channels.emplace_back(std::move(channel), is_wanted); });
    }

    const unsigned fork_ = breakwater::detail::current_fork();
    std::shared_ptr<IoLoop> loop_;
    std::atomic<bool> is_started_{false};
    std::mutex mutex_;  // of starting
    std::thread thread_;
};

}  // namespace breakwater::redis
