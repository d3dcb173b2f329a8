#pragma once

#include <breakwater/detail/blocked_signals.hpp>
#include <breakwater/detail/fork.hpp>
#include <breakwater/event_loop.hpp>

#include <atomic>
#include <concepts>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

namespace breakwater {

/// What lives on a `LoopThread`. It is made on the thread that first needs it and may be destroyed on any; all between
/// is on its own.
template <class T>
concept LoopGuest = requires(T& guest) {
    { guest.loop() } -> std::same_as<EventLoop&>;
    { guest.end() } noexcept;  // after the loop's last turn; what this posts is still run
};

/// A thread that runs an event loop: started on first use, ended and joined on destruction. When that happens on the
/// thread itself it ends by itself later, and the guest with it.
///
/// A forked process has neither the thread nor a right to the descriptors: it starts afresh on first use there, and
/// what it has inherited stays untouched and is never freed. Signals meant for the program, and SIGPIPE, are blocked in
/// the thread.
template <LoopGuest T>
class LoopThread {
public:
    explicit LoopThread(std::function<std::shared_ptr<T>()> make) : make_{std::move(make)} {}
    ~LoopThread() {
        if (Running* running = running_.load(); running != nullptr && running->is_own()) end(running);
    }
    LoopThread(const LoopThread&) = delete;
    LoopThread& operator=(const LoopThread&) = delete;

    /// Any thread. Throws what making the guest throws, and `std::system_error` where there can be no more threads.
    T& get() {
        Running* running = running_.load(std::memory_order_acquire);
        if (running != nullptr && running->is_own()) [[likely]]
            return *running->guest;
        return start(running);
    }

    /// Whether the caller runs on the thread. Does not start it.
    bool is_here() const noexcept {
        const Running* running = running_.load(std::memory_order_acquire);
        return running != nullptr && running->guest->loop().is_here() && running->is_own();
    }

private:
    struct Running {
        bool is_own() const noexcept { return fork == detail::current_fork(); }
        std::shared_ptr<T> guest;
        const unsigned fork = detail::current_fork();
        std::thread thread{};
    };

    T& start(Running* inherited) {
        auto own = std::make_unique<Running>(make_());
        {
            const detail::BlockedSignals blocked;
            own->thread = std::thread{[guest = own->guest] {
                guest->loop().run();
                guest->end();
                guest->loop().finish();
            }};
        }
        // Not under a lock, which a fork could leave locked for ever: who comes second gives up its own.
        if (running_.compare_exchange_strong(inherited, own.get(), std::memory_order_acq_rel))
            return *own.release()->guest;
        end(own.release());
        return *inherited->guest;
    }

    static void end(Running* running) noexcept {
        const std::unique_ptr<Running> own{running};
        own->guest->loop().stop();
        if (own->guest->loop().is_here()) {
            own->thread.detach();
        } else {
            own->thread.join();
        }
    }

    const std::function<std::shared_ptr<T>()> make_;
    std::atomic<Running*> running_{nullptr};
};

}  // namespace breakwater
