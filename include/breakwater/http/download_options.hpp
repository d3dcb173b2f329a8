#pragma once

#include <breakwater/http/file_check.hpp>

#include <cstdint>
#include <functional>
#include <optional>

namespace breakwater {

/// What becomes of the bytes of a transfer that broke off.
///
/// Going on means `Range` with `If-Range`: where the service has another version by then, or does not know ranges, the
/// file begins anew. It needs a strong validator (`ETag`, or `Last-Modified` a minute before `Date`, RFC 9110 §13.1.5),
/// a GET without conditions and ranges of one's own, and an answer without content coding, so "identity" is asked for
/// unless the request has an `Accept-Encoding`.
enum class Resume : std::uint8_t {
    off,  ///< Every attempt begins anew.
    /// An attempt goes on where the one before broke off (the default).
    within_call,
    /// So does a later call for this file, of another process, too: a call that fails leaves `PATH.part`, and beside it
    /// `PATH.part.json`, which says what it is of. Nothing is left where nothing could go on. Two calls at a time for
    /// one file do not meet: the second goes by `within_call`. After a power failure the kept bytes may not be those
    /// that came: give a `verify`.
    across_calls,
};

/// Whether a file is on the disk before it takes its place.
enum class Flush : std::uint8_t {
    off,  ///< A power failure within seconds may leave the new name with less than the whole (the default).
    /// fsync of the file, rename, fsync of its directory. Takes as long as the disk does, for an asynchronous call on
    /// the transport's thread.
    before_rename,
};

/// How far a file is, over all attempts.
struct DownloadProgress {
    std::uint64_t bytes = 0;               ///< In the file.
    std::optional<std::uint64_t> total{};  ///< Empty if it is not known.
    friend bool operator==(const DownloadProgress&, const DownloadProgress&) = default;
};

/// Told when an answer begins, about ten times a second, and when the file is whole; it goes back where a file begins
/// anew. On the thread that takes the bytes, so it should not block long. What it throws is nobody's business.
using OnDownload = std::function<void(const DownloadProgress&)>;

/// How an answer becomes a file. The length is always checked, against `Content-Length` and `Content-Range`.
struct DownloadOptions {
    Resume resume = Resume::within_call;
    /// `sha256("9f86d0…")`, `server_digest()` (component `breakwater::digest`) or one of your own. Default: none. A
    /// mismatch is `Errc::digest_mismatch`; the retry policy may have the file fetched once more, from its beginning.
    MakeFileCheck verify{};
    OnDownload progress{};
    Flush flush = Flush::off;
};

}  // namespace breakwater
