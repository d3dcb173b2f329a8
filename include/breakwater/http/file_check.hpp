#pragma once

#include <breakwater/result.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace breakwater {

struct Response;  // http/response.hpp

/// Gives the bytes that a file has already, once more and piece by piece, to the function.
using ReadAgain = std::function<Result<void>(const std::function<void(std::string_view)>&)>;

/// Judges the content of a file while it is downloaded. One belongs to one call, and to one thread at a time; what a
/// function throws ends the call with `Errc::sink_failed`. Component `breakwater::digest` has some.
///
///     struct NotEmpty : bw::FileCheck {
///         bw::Result<void> begin(const bw::Response&, std::uint64_t from, const bw::ReadAgain&) override {
///             return size = from, bw::Result<void>{};
///         }
///         void take(std::string_view bytes) override { size += bytes.size(); }
///         bw::Result<void> end() override {
///             return size > 0 ? bw::Result<void>{} : bw::fail(bw::Errc::digest_mismatch, "it is empty");
///         }
///         std::uint64_t size = 0;
///     };
class FileCheck {
public:
    FileCheck() = default;
    FileCheck(const FileCheck&) = delete;
    FileCheck& operator=(const FileCheck&) = delete;
    virtual ~FileCheck() = default;

    /// An answer is here, without its body, which belongs into the file from byte `from` on: 0 for the whole, and for
    /// a file that begins anew. `earlier` gives the bytes before: a file may have been begun by another process.
    virtual Result<void> begin(const Response& answer, std::uint64_t from, const ReadAgain& earlier) = 0;

    /// The next bytes.
    virtual void take(std::string_view bytes) = 0;

    /// The file is whole. An error (`Errc::digest_mismatch`, expected and actual in its words) keeps it from its place.
    virtual Result<void> end() = 0;
};

/// Makes the check of one call.
using MakeFileCheck = std::function<std::unique_ptr<FileCheck>()>;

}  // namespace breakwater
