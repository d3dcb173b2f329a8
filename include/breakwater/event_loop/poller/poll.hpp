#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/event_loop/watcher.hpp>

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace breakwater {

/// A `Poller` by POSIX's poll, where there is nothing better. Each wait costs time for every descriptor, and may last
/// up to a millisecond too long.
class PollPoller {
public:
    void watch(int descriptor, Interest interest, Watcher& watcher) {
        const auto at = static_cast<std::size_t>(descriptor);
        if (at >= watched_.size()) watched_.resize(std::max(at + 1, 2 * watched_.size()));
        Watched& watched = watched_[at];
        watched.watcher = &watcher;
        watched.wanted = interest;
        if (watched.slot == none && interest != Interest::none) {
            watched.slot = polled_.size();
            polled_.push_back({.fd = descriptor, .events = 0, .revents = 0});
        }
        tell(watched);
    }
    void forget(int descriptor) noexcept {
        const auto at = static_cast<std::size_t>(descriptor);
        if (at >= watched_.size()) return;
        Watched& watched = watched_[at];
        watched.wanted = Interest::none;
        tell(watched);
        watched.watcher = nullptr;
        ++watched.generation;
    }

    void wait(std::optional<Instant> until) {
        int timeout = -1;
        if (until) {
            const Duration left =
                std::clamp<Duration>(*until - SteadyClock{}.now(), Duration{0}, std::chrono::hours{1});
            timeout = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
        }
        ready_.clear();
        if (::poll(polled_.data(), static_cast<nfds_t>(polled_.size()), timeout) <= 0) return;
        for (const pollfd& one : polled_)
            if (one.revents != 0) ready_.push_back({one.fd, one.revents, at(one.fd).generation});
    }
    void dispatch() noexcept {
        for (std::size_t i = 0; i < ready_.size(); ++i) dispatch(ready_[i]);
        ready_.clear();
    }

    std::uint64_t controls() const noexcept { return 0; }

private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    struct Watched {
        Watcher* watcher = nullptr;
        std::uint32_t generation = 0;  // of the number: tells a late event of its former owner
        Interest wanted = Interest::none;
        std::size_t slot = none;  // in `polled_`
    };
    struct Found {
        int descriptor;
        short events;
        std::uint32_t generation;
    };

    Watched& at(int descriptor) noexcept { return watched_[static_cast<std::size_t>(descriptor)]; }
    static bool wants(Interest interest, Interest what) noexcept {
        return (static_cast<unsigned>(interest) & static_cast<unsigned>(what)) != 0;
    }

    /// Makes the slot what is wanted.
    void tell(Watched& watched) noexcept {
        if (watched.slot == none) return;
        if (watched.wanted == Interest::none) {
            const std::size_t slot = std::exchange(watched.slot, none);
            polled_[slot] = polled_.back();
            polled_.pop_back();
            if (slot < polled_.size()) at(polled_[slot].fd).slot = slot;
            return;
        }
        polled_[watched.slot].events = static_cast<short>((wants(watched.wanted, Interest::read) ? POLLIN : 0) |
                                                          (wants(watched.wanted, Interest::write) ? POLLOUT : 0));
    }

    void dispatch(const Found& found) noexcept {
        Watched& watched = at(found.descriptor);
        if (found.generation != watched.generation) return;
        const bool is_gone = (found.events & POLLNVAL) != 0;  // closed, or nothing that can be waited for
        const bool is_broken = is_gone || (found.events & (POLLERR | POLLHUP)) != 0;
        const Ready ready{.to_read = wants(watched.wanted, Interest::read) && (is_broken || found.events & POLLIN),
                          .to_write = wants(watched.wanted, Interest::write) && (is_broken || found.events & POLLOUT),
                          .is_broken = is_gone || (found.events & POLLERR) != 0};
        if (is_gone) {
            watched.wanted = Interest::none;
            tell(watched);
        }
        if (ready.to_read || ready.to_write) watched.watcher->on_ready(found.descriptor, ready);
    }

    std::vector<Watched> watched_;  // by descriptor
    std::vector<pollfd> polled_;    // those that something is wanted of
    std::vector<Found> ready_;
};

}  // namespace breakwater
