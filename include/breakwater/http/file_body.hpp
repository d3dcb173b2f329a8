#pragma once

#include <breakwater/http/body.hpp>
#include <breakwater/result.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace breakwater {

namespace detail {

/// An open file, closed at the end.
class FileDescriptor {
public:
    FileDescriptor() = default;
    explicit FileDescriptor(int number) noexcept : number_{number} {}
    FileDescriptor(FileDescriptor&& other) noexcept : number_{std::exchange(other.number_, -1)} {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~FileDescriptor() {
        if (number_ >= 0) ::close(number_);
    }

    int get() const noexcept { return number_; }
    explicit operator bool() const noexcept { return number_ >= 0; }

private:
    int number_ = -1;
};

inline std::string system_message(int error) { return std::generic_category().message(error); }

}  // namespace detail

/// A file as a body: opened for every attempt, read while it is sent. It has to be a regular file, else the call ends
/// with `Errc::invalid_request` before anything is sent. Its length is taken when it is opened: one that has become
/// shorter meanwhile ends the call with `Errc::body_failed`, what is appended meanwhile is not sent.
inline Body from_file(std::filesystem::path path) {
    return Body::streamed([path = std::move(path)]() -> Result<OpenBody> {
        // Not to wait for the other end of a pipe.
        auto file = std::make_shared<detail::FileDescriptor>(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (!*file) {
            return fail(Errc::invalid_request,
                        "body: cannot open " + path.string() + ": " + detail::system_message(errno));
        }
        struct stat about{};
        if (::fstat(file->get(), &about) != 0 || !S_ISREG(about.st_mode)) {
            return fail(Errc::invalid_request, "body: not a regular file: " + path.string());
        }
        return OpenBody{.size = static_cast<std::uint64_t>(about.st_size),
                        .read = [file](std::span<char> to) -> Result<std::size_t> {
                            ssize_t count = 0;
                            do {
                                count = ::read(file->get(), to.data(), to.size());
                            } while (count < 0 && errno == EINTR);
                            if (count < 0) return fail(Errc::body_failed, detail::system_message(errno));
                            return static_cast<std::size_t>(count);
                        }};
    });
}

}  // namespace breakwater
