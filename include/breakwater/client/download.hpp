#pragma once

#include <breakwater/http/file_body.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/random.hpp>
#include <breakwater/result.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace breakwater {

/// The body of one call's answer on its way to a `Sink`, over all attempts. Belongs to the thread that makes the call.
class Download {
public:
    explicit Download(const Sink& sink) : sink_{sink}, take_{[this](std::string_view bytes) { return take(bytes); }} {}
    Download(const Download&) = delete;
    Download& operator=(const Download&) = delete;
    ~Download() {  // not kept: nothing is left behind
        if (!part_.empty()) ::unlink(part_.c_str());
    }

    /// Makes the file to write to; `Errc::invalid_request` if it cannot be made.
    Result<void> open();

    /// Before each attempt: forgets what an earlier one has written.
    Result<void> restart();

    /// For `SendOptions::sink`.
    const TakeBytes& sink() const noexcept { return take_; }

    /// Whether it has taken bytes that it cannot take back.
    bool is_spent() const noexcept { return taken_ > 0 && !sink_.path() && !sink_.reset(); }

    /// The call has succeeded: the file takes its place.
    Result<void> keep();

private:
    static Result<void> fail_with(Errc code, const std::filesystem::path& path, const std::string& why) {
        return fail(code, "save_to: " + path.string() + ": " + why);
    }

    Result<void> take(std::string_view bytes) {
        taken_ += bytes.size();
        return sink_.path() ? write(bytes) : sink_.take()(bytes);
    }

    Result<void> write(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t count = ::write(file_.get(), bytes.data(), bytes.size());
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return fail_with(Errc::sink_failed, target_, detail::system_message(errno));
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
        return {};
    }

    const Sink& sink_;
    const TakeBytes take_;
    std::uint64_t taken_ = 0;
    std::filesystem::path target_;
    std::string part_;  // the file being written; empty if there is none
    detail::FileDescriptor file_;
};

inline Result<void> Download::open() {
    if (!sink_.path()) return {};
    std::error_code error;
    const std::filesystem::path& given = *sink_.path();
    const auto refuse = [&](const std::string& why) { return fail_with(Errc::invalid_request, given, why); };
    if (given.filename().empty()) return refuse("must name a file");
    target_ = std::filesystem::exists(given, error) ? std::filesystem::canonical(given, error) : given;
    struct stat about{};
    const bool exists = ::stat(target_.c_str(), &about) == 0;
    if (exists && !S_ISREG(about.st_mode)) return refuse("not a regular file");
    if (exists && ::access(target_.c_str(), W_OK) != 0) return refuse(detail::system_message(errno));

    std::array<char, 24> suffix{};
    std::snprintf(suffix.data(), suffix.size(), ".%08x.part", static_cast<unsigned>(Random{}()));
    std::string part = target_.string() + suffix.data();
    file_ = detail::FileDescriptor{::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666)};
    if (!file_) return refuse(detail::system_message(errno));
    part_ = std::move(part);
    if (exists && ::fchmod(file_.get(), about.st_mode & 07777) != 0) return refuse(detail::system_message(errno));
    return {};
}

inline Result<void> Download::restart() {
    if (taken_ == 0) return {};
    taken_ = 0;
    if (sink_.path()) {
        if (::ftruncate(file_.get(), 0) == 0 && ::lseek(file_.get(), 0, SEEK_SET) == 0) return {};
        return fail_with(Errc::sink_failed, target_, detail::system_message(errno));
    }
    try {
        if (sink_.reset()) sink_.reset()();
        return {};
    } catch (...) {
        Error error{Errc::sink_failed, "reset() threw"};
        error.set_exception(std::current_exception());
        return fail(std::move(error.set_sent(Sent::no)));
    }
}

inline Result<void> Download::keep() {
    if (part_.empty()) return {};
    file_ = {};
    if (::rename(part_.c_str(), target_.c_str()) != 0)
        return fail_with(Errc::sink_failed, target_, detail::system_message(errno));
    part_.clear();
    return {};
}

}  // namespace breakwater
