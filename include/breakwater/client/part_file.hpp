#pragma once

#include <breakwater/http/download_options.hpp>
#include <breakwater/http/file_body.hpp>
#include <breakwater/random.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace breakwater {

/// The file beside its target that a download writes to, until it takes the target's place; gone with this unless it
/// does, or is left for a later call.
class PartFile {
public:
    /// Which name it has: one of its own, or one that a later call finds: `PATH.part`, with a record beside it.
    enum class Name : std::uint8_t { own, findable };

    PartFile() = default;
    PartFile(const PartFile&) = delete;
    PartFile& operator=(const PartFile&) = delete;
    ~PartFile() {
        if (!path_.empty()) remove();
    }

    /// Makes it, or finds it; `Errc::invalid_request` if it can be neither. Findable it is only while no other call has
    /// it.
    Result<void> open(const std::filesystem::path& given, Name name);

    Name name() const noexcept { return name_; }
    std::uint64_t size() const noexcept { return size_; }

    Result<void> append(std::string_view bytes);
    Result<void> empty();
    /// The first `size()` bytes, through a buffer of 64 KiB.
    Result<void> read(const std::function<void(std::string_view)>& use) const;

    /// The record beside a findable one; at most 64 KiB, empty if there is none.
    std::string read_record() const;
    /// An empty one is removed. That it cannot be written is no error: the part is not found again then.
    void write_record(std::string_view text) const;

    /// It becomes the target.
    Result<void> take_place(Flush flush);
    /// It stays where it is.
    void leave() noexcept { path_.clear(); }

private:
    std::unexpected<Error> failed(Errc code, const std::string& why) const {
        return fail(code, "save_to: " + target_.string() + ": " + why);
    }
    std::unexpected<Error> failed(Errc code = Errc::sink_failed) const {
        return failed(code, detail::system_message(errno));
    }
    std::string record_path() const { return target_.string() + ".part.json"; }
    bool open_findable();
    void remove() noexcept {
        ::unlink(path_.c_str());
        if (name_ == Name::findable) write_record({});
    }

    std::filesystem::path target_;
    std::string path_;  // empty if there is none
    Name name_ = Name::own;
    std::uint64_t size_ = 0;
    detail::FileDescriptor file_;
};

inline Result<void> PartFile::open(const std::filesystem::path& given, Name name) {
    std::error_code error;
    target_ = given;
    const auto refuse = [&](const std::string& why) { return failed(Errc::invalid_request, why); };
    if (given.filename().empty()) return refuse("must name a file");
    if (std::filesystem::exists(given, error)) target_ = std::filesystem::canonical(given, error);
    struct stat about{};
    const bool exists = ::stat(target_.c_str(), &about) == 0;
    if (exists && !S_ISREG(about.st_mode)) return refuse("not a regular file");
    if (exists && ::access(target_.c_str(), W_OK) != 0) return failed(Errc::invalid_request);

    if (name == Name::own || !open_findable()) {
        std::array<char, 24> suffix{};
        std::snprintf(suffix.data(), suffix.size(), ".%08x.part", static_cast<unsigned>(Random{}()));
        std::string path = target_.string() + suffix.data();
        file_ = detail::FileDescriptor{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666)};
        if (!file_) return failed(Errc::invalid_request);
        path_ = std::move(path);
    }
    if (exists && ::fchmod(file_.get(), about.st_mode & 07777) != 0) return failed(Errc::invalid_request);
    return {};
}

/// False if another call has it, or it is not ours: a link, somebody else's.
inline bool PartFile::open_findable() {
    std::string path = target_.string() + ".part";
    detail::FileDescriptor file{
        ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666)};  // wait for no pipe
    struct stat own{};
    struct stat named{};
    if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 || ::fstat(file.get(), &own) != 0) return false;
    if (!S_ISREG(own.st_mode) || own.st_uid != ::geteuid() || own.st_nlink != 1) return false;
    // Another call may have put it in its place since it was opened here.
    if (::lstat(path.c_str(), &named) != 0 || named.st_ino != own.st_ino || named.st_dev != own.st_dev) return false;
    file_ = std::move(file);
    path_ = std::move(path);
    size_ = static_cast<std::uint64_t>(own.st_size);
    name_ = Name::findable;
    return true;
}

inline Result<void> PartFile::append(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed();
        bytes.remove_prefix(static_cast<std::size_t>(count));
        size_ += static_cast<std::uint64_t>(count);
    }
    return {};
}

inline Result<void> PartFile::empty() {
    if (size_ == 0) return {};
    if (::ftruncate(file_.get(), 0) != 0) return failed();
    size_ = 0;
    return {};
}

inline Result<void> PartFile::read(const std::function<void(std::string_view)>& use) const {
    std::string buffer(std::size_t{64} << 10, '\0');
    for (std::uint64_t at = 0; at < size_;) {
        const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size_ - at));
        const ssize_t count = ::pread(file_.get(), buffer.data(), most, static_cast<off_t>(at));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed();
        if (count == 0) return failed(Errc::sink_failed, "somebody has cut it short");
        use({buffer.data(), static_cast<std::size_t>(count)});
        at += static_cast<std::uint64_t>(count);
    }
    return {};
}

inline std::string PartFile::read_record() const {
    std::string text(std::size_t{64} << 10, '\0');
    const detail::FileDescriptor file{::open(record_path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    struct stat about{};
    if (!file || ::fstat(file.get(), &about) != 0 || about.st_uid != ::geteuid()) return {};
    const ssize_t count = ::read(file.get(), text.data(), text.size());
    text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
    return text;
}

inline void PartFile::write_record(std::string_view text) const {
    ::unlink(record_path().c_str());
    if (text.empty()) return;
    const detail::FileDescriptor file{
        ::open(record_path().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!file) return;
    // Cut short it is no record.
    if (::write(file.get(), text.data(), text.size()) < 0) ::unlink(record_path().c_str());
}

inline Result<void> PartFile::take_place(Flush flush) {
    const bool flushes = flush == Flush::before_rename;
    if (flushes && ::fsync(file_.get()) != 0) return failed();
    if (::rename(path_.c_str(), target_.c_str()) != 0) return failed();  // locked until it is done
    path_.clear();
    if (name_ == Name::findable) write_record({});
    file_ = {};
    if (!flushes) return {};
    const std::filesystem::path directory = target_.has_parent_path() ? target_.parent_path() : ".";
    const detail::FileDescriptor opened{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    return opened && ::fsync(opened.get()) == 0 ? Result<void>{} : failed();
}

}  // namespace breakwater
