#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace breakwater::detail {

/// Owns a file descriptor.
class Descriptor {
public:
    /// Throws `std::system_error` if the call that made it has failed (ends the program where exceptions are off).
    Descriptor(int fd, [[maybe_unused]] const char* call) : fd_{fd} {
        if (fd >= 0) return;
#ifdef __cpp_exceptions
        throw std::system_error{errno, std::generic_category(), call};
#else
        std::abort();
#endif
    }
    ~Descriptor() { ::close(fd_); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    int get() const noexcept { return fd_; }

private:
    int fd_;
};

}  // namespace breakwater::detail
