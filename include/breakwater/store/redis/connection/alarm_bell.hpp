#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <system_error>

namespace breakwater::redis {

/// Wakes a thread that polls `fd()`. Any thread may ring.
class AlarmBell {
public:
    /// Throws `std::system_error` where no descriptor is left.
    AlarmBell() : fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
        if (fd_ < 0) throw_system_error();
    }
    ~AlarmBell() { ::close(fd_); }
    AlarmBell(const AlarmBell&) = delete;
    AlarmBell& operator=(const AlarmBell&) = delete;

    int fd() const noexcept { return fd_; }
    void ring() const noexcept { ::eventfd_write(fd_, 1); }
    void silence() const noexcept {
        eventfd_t count;
        ::eventfd_read(fd_, &count);
    }

private:
    [[noreturn]] static void throw_system_error() {
#ifdef __cpp_exceptions
        throw std::system_error{errno, std::generic_category(), "eventfd"};
#else
        std::abort();
#endif
    }

    int fd_;
};

}  // namespace breakwater::redis
