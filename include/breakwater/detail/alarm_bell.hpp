#pragma once

#include <breakwater/detail/descriptor.hpp>

#if defined(__linux__) && !defined(BREAKWATER_POLL)

#include <sys/eventfd.h>

namespace breakwater::detail {

/// Wakes a thread that polls `fd()`. Any thread may ring.
class AlarmBell {
public:
    /// Throws `std::system_error` where no descriptor is left.
    AlarmBell() : descriptor_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"} {}

    int fd() const noexcept { return descriptor_.get(); }
    void ring() const noexcept { ::eventfd_write(fd(), 1); }
    void silence() const noexcept {
        eventfd_t count;
        ::eventfd_read(fd(), &count);
    }

private:
    Descriptor descriptor_;
};

}  // namespace breakwater::detail

#else

#include <fcntl.h>
#include <unistd.h>

#include <array>

namespace breakwater::detail {

/// The same by a pipe. A full one rings all the same.
class AlarmBell {
public:
    AlarmBell() : AlarmBell{make()} {}

    int fd() const noexcept { return reader_.get(); }
    void ring() const noexcept { (void)!::write(writer_.get(), "", 1); }
    void silence() const noexcept {
        std::array<char, 64> rung;
        while (::read(fd(), rung.data(), rung.size()) > 0) {
        }
    }

private:
    explicit AlarmBell(const std::array<int, 2>& ends) : reader_{ends[0], "pipe"}, writer_{ends[1], "pipe"} {
        for (const int end : ends) {
            ::fcntl(end, F_SETFD, FD_CLOEXEC);
            ::fcntl(end, F_SETFL, O_NONBLOCK);
        }
    }
    static std::array<int, 2> make() noexcept {
        std::array<int, 2> ends{-1, -1};
        if (::pipe(ends.data()) != 0) ends = {-1, -1};
        return ends;
    }

    Descriptor reader_;
    Descriptor writer_;
};

}  // namespace breakwater::detail

#endif
