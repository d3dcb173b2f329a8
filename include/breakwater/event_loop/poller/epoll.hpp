#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/detail/descriptor.hpp>
#include <breakwater/event_loop/watcher.hpp>

#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace breakwater {

/// A `Poller` by Linux's epoll.
///
/// The kernel is told as little as can be: before a wait, of a descriptor that is wanted for more than it is
/// registered for, and when one reports what nobody wants (level-triggered, so nothing that is wanted is ever missed).
/// A connection that is wanted and unwanted for every exchange so costs no system call beyond its first.
class EpollPoller {
public:
    /// Throws `std::system_error` where no descriptor is left.
    EpollPoller() : epoll_{::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"} {}

    void watch(int descriptor, Interest interest, Watcher& watcher) {
        const auto at = static_cast<std::size_t>(descriptor);
        if (at >= watched_.size()) watched_.resize(std::max(at + 1, 2 * watched_.size()));
        Watched& watched = watched_[at];
        watched.watcher = &watcher;
        watched.wanted = static_cast<std::uint8_t>(interest);
        if ((watched.wanted & ~watched.registered) == 0 || watched.is_listed) return;
        to_tell_.push_back(descriptor);
        watched.is_listed = true;
    }

    void forget(int descriptor) noexcept {
        const auto at = static_cast<std::size_t>(descriptor);
        if (at >= watched_.size()) return;
        Watched& watched = watched_[at];
        watched.wanted = 0;
        if (watched.registered != 0) tell(descriptor, watched);
        watched.watcher = nullptr;
        ++watched.generation;
    }

    void wait(std::optional<Instant> until) {
        const bool has_told = tell_all();
        ready_ = wait_for_events(has_told ? Instant{} : until);
    }
    void dispatch() noexcept {
        for (int i = 0; i < ready_; ++i) dispatch(events_[static_cast<std::size_t>(i)]);
        ready_ = 0;
    }

    std::uint64_t controls() const noexcept { return controls_; }

private:
    struct Watched {
        Watcher* watcher = nullptr;
        std::uint32_t generation = 0;  // of the number: tells a late event of its former owner
        std::uint8_t wanted = 0;
        std::uint8_t registered = 0;
        bool is_listed = false;
    };
    static constexpr std::uint8_t reading = static_cast<std::uint8_t>(Interest::read);
    static constexpr std::uint8_t writing = static_cast<std::uint8_t>(Interest::write);

    /// Makes the registration what is wanted.
    bool tell(int descriptor, Watched& watched) noexcept {
        epoll_event event{};
        event.events = (watched.wanted & reading ? EPOLLIN : 0u) | (watched.wanted & writing ? EPOLLOUT : 0u);
        event.data.u64 = std::uint64_t{watched.generation} << 32 | static_cast<std::uint32_t>(descriptor);
        const int how = watched.wanted == 0 ? EPOLL_CTL_DEL : watched.registered == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        watched.registered = watched.wanted;
        ++controls_;
        if (::epoll_ctl(epoll_.get(), how, descriptor, &event) == 0) return true;
        // Closed behind our back, and perhaps opened again: the kernel knows it as new.
        return how == EPOLL_CTL_MOD && ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
    }

    /// Whether a watcher was told that its descriptor cannot be waited for.
    bool tell_all() {
        bool has_told = false;
        telling_.swap(to_tell_);
        for (const int descriptor : telling_) watched_[static_cast<std::size_t>(descriptor)].is_listed = false;
        for (const int descriptor : telling_) {
            Watched& watched = watched_[static_cast<std::size_t>(descriptor)];
            if ((watched.wanted & ~watched.registered) == 0 || tell(descriptor, watched)) continue;
            const Ready ready{.to_read = (watched.wanted & reading) != 0,
                              .to_write = (watched.wanted & writing) != 0,
                              .is_broken = true};
            watched.wanted = watched.registered = 0;  // closed, or nothing that can be waited for
            watched.watcher->on_ready(descriptor, ready);
            has_told = true;
        }
        telling_.clear();
        return has_told;
    }

    int wait_for_events(std::optional<Instant> until) noexcept {
        const auto size = static_cast<int>(events_.size());
        if (!until) return ::epoll_wait(epoll_.get(), events_.data(), size, -1);
        const Duration left = *until - SteadyClock{}.now();
        if (left <= Duration::zero()) return ::epoll_wait(epoll_.get(), events_.data(), size, 0);
        const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
        const timespec span{.tv_sec = static_cast<time_t>(seconds.count()),
                            .tv_nsec = static_cast<long>(std::chrono::nanoseconds{left - seconds}.count())};
        if (const int count = wait_exactly(span, size); count >= 0 || errno != ENOSYS) return count;
        const auto rounded =
            std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(left, std::chrono::hours{1}));
        return ::epoll_wait(epoll_.get(), events_.data(), size, static_cast<int>(rounded.count()));
    }

    /// By Linux 5.11 and later: `epoll_wait` counts in milliseconds, and would come up to one too late.
    int wait_exactly([[maybe_unused]] const timespec& span, [[maybe_unused]] int size) noexcept {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
        return ::epoll_pwait2(epoll_.get(), events_.data(), size, &span, nullptr);
#else
        errno = ENOSYS;
        return -1;
#endif
    }

    void dispatch(const epoll_event& event) noexcept {
        const auto descriptor = static_cast<int>(static_cast<std::uint32_t>(event.data.u64));
        Watched& watched = watched_[static_cast<std::size_t>(descriptor)];
        if (static_cast<std::uint32_t>(event.data.u64 >> 32) != watched.generation) return;
        const bool is_broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
        const auto ready = static_cast<std::uint8_t>((event.events & EPOLLIN || is_broken ? reading : 0) |
                                                     (event.events & EPOLLOUT || is_broken ? writing : 0));
        if (watched.registered != watched.wanted && (watched.wanted == 0 || (ready & ~watched.wanted) != 0))
            tell(descriptor, watched);
        if ((ready & watched.wanted) == 0) return;
        watched.watcher->on_ready(descriptor, {.to_read = (ready & watched.wanted & reading) != 0,
                                               .to_write = (ready & watched.wanted & writing) != 0,
                                               .is_broken = (event.events & EPOLLERR) != 0});
    }

    detail::Descriptor epoll_;
    std::vector<Watched> watched_;  // by descriptor
    std::vector<int> to_tell_;      // those wanted for more than they are registered for
    std::vector<int> telling_;
    int ready_ = 0;
    std::array<epoll_event, 256> events_;
    std::uint64_t controls_ = 0;
};

}  // namespace breakwater
