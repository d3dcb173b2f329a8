#pragma once

#include <breakwater/http/download_options.hpp>
#include <breakwater/result.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace breakwater {

/// Takes the next bytes of an answer's body; an error ends the exchange with `Errc::sink_failed`. Called on the thread
/// that sends, with nothing held; what it throws is in the error.
using TakeBytes = std::function<Result<void>(std::string_view)>;

/// Is shown an answer before its body is taken; an error ends the exchange with its own code. As `TakeBytes`.
using TakeHead = std::function<Result<void>(const Response&)>;

/// Where the body of a successful (2xx) answer goes piece by piece, instead of into `Response::body`: a file
/// (`to_file`) or a callable of a `std::string_view` that returns `Result<void>`, nothing, or whether to go on.
///
/// An attempt that has given bytes to a callable is not made again, unless the callable has a `reset()`, which is
/// called before each attempt but the first. Error answers are never given to it.
class Sink {
public:
    Sink() = default;
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, Sink> && std::invocable<F&, std::string_view>)
    Sink(F take) {
        auto shared = std::make_shared<F>(std::move(take));
        take_ = [shared](std::string_view bytes) -> Result<void> {
            using Answer = std::invoke_result_t<F&, std::string_view>;
            if constexpr (std::is_void_v<Answer>) {
                (*shared)(bytes);
                return {};
            } else if constexpr (std::is_same_v<Answer, bool>) {
                if ((*shared)(bytes)) return {};
                return fail(Errc::sink_failed, "the sink wants no more");
            } else {
                return (*shared)(bytes);
            }
        };
        if constexpr (requires { shared->reset(); }) reset_ = [shared] { shared->reset(); };
    }

    explicit operator bool() const noexcept { return take_ || path_; }
    const std::optional<std::filesystem::path>& path() const noexcept { return path_; }
    const TakeBytes& take() const noexcept { return take_; }
    const std::function<void()>& reset() const noexcept { return reset_; }
    /// Of a file.
    const DownloadOptions& options() const noexcept { return options_; }

    /// See `to_file`.
    static Sink file(std::filesystem::path path, DownloadOptions options = {}) {
        Sink sink;
        sink.path_ = std::move(path);
        sink.options_ = std::move(options);
        return sink;
    }

private:
    TakeBytes take_;
    std::function<void()> reset_;
    std::optional<std::filesystem::path> path_;
    DownloadOptions options_{};
};

/// A file as a sink. It appears, or is replaced, in one step when the whole answer is there and has been verified;
/// until then the bytes are in a neighbour called `PATH.XXXXXXXX.part`, which a call that fails takes away (see
/// `Resume`). What stood there keeps its permissions; a new file gets those of the umask. A path that is no regular
/// file, or whose directory cannot be written, is `Errc::invalid_request` before anything is sent.
inline Sink to_file(std::filesystem::path path, DownloadOptions options = {}) {
    return Sink::file(std::move(path), std::move(options));
}

/// Shows an answer to a sink, for transports: what throws is `Errc::sink_failed`.
inline Result<void> show(const TakeHead& sink, const Response& answer) {
    try {
        return sink(answer);
    } catch (...) {
        Error error{Errc::sink_failed, "the sink threw"};
        error.set_exception(std::current_exception());
        return fail(std::move(error));
    }
}

/// Gives bytes to a sink, for transports: whatever goes wrong is `Errc::sink_failed`.
inline Result<void> give(const TakeBytes& sink, std::string_view bytes) {
    try {
        auto taken = sink(bytes);
        if (!taken) taken.error().set_code(Errc::sink_failed).set_sent(Sent::maybe);
        return taken;
    } catch (...) {
        Error error{Errc::sink_failed, "the sink threw"};
        error.set_exception(std::current_exception());
        return fail(std::move(error));
    }
}

/// How far an exchange is. The bytes are those on the wire, so before decompression.
struct Progress {
    std::uint64_t sent = 0;
    std::optional<std::uint64_t> to_send{};  ///< Empty if it is not known.
    std::uint64_t received = 0;
    std::optional<std::uint64_t> to_receive{};  ///< Empty if it is not known.

    friend bool operator==(const Progress&, const Progress&) = default;
};

/// Told of an exchange's progress on the thread that sends; false cancels the call, and so does what it throws (which
/// is in the error). Each attempt begins at 0.
using OnProgress = std::function<bool(const Progress&)>;

/// Tells of the progress, for transports: what ends the exchange is `Errc::cancelled`.
inline Result<void> tell(const OnProgress& listener, const Progress& progress) {
    try {
        if (listener(progress)) return {};
        return fail(Errc::cancelled, "by the progress callback");
    } catch (...) {
        Error error{Errc::cancelled, "the progress callback threw"};
        error.set_exception(std::current_exception());
        return fail(std::move(error));
    }
}

}  // namespace breakwater
