#pragma once

#include <breakwater/detail/descriptor.hpp>

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
