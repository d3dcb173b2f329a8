#pragma once

#include <breakwater/client/file_download.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/result.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

namespace breakwater {

/// The body of one call's answer on its way to a `Sink`, over all attempts. Belongs to whoever makes the call; stays
/// where it is.
template <class Json>
class BasicDownload {
public:
    BasicDownload(Sink sink, const Request& request, std::optional<std::uint64_t> max_bytes)
        : sink_{std::move(sink)},
          head_{[this](const Response& answer) { return file_ ? file_->head(answer) : Result<void>{}; }},
          take_{[this](std::string_view bytes) {
              taken_ = true;
              return file_ ? file_->take(bytes) : sink_.take()(bytes);
          }} {
        if (sink_.path()) file_.emplace(sink_, request, max_bytes);
    }
    BasicDownload(const BasicDownload&) = delete;
    BasicDownload& operator=(const BasicDownload&) = delete;

    /// Makes the file to write to; `Errc::invalid_request` if it cannot be made.
    Result<void> open() { return file_ ? file_->open() : Result<void>{}; }

    /// Before each attempt: makes ready to go on, or forgets what an earlier one has written.
    Result<void> begin() {
        if (file_) return file_->begin();
        return std::exchange(taken_, false) ? reset() : Result<void>{};
    }

    /// For `SendOptions`.
    const TakeHead& head() const noexcept { return head_; }
    const TakeBytes& sink() const noexcept { return take_; }

    /// What to send for a request of the attempt. Valid until the next one.
    const Request* asking(const Request* request) { return file_ ? file_->asking(request) : request; }
    /// Whether the same request has to be sent again in place of what `answer` came to: see `FileDownload`.
    bool wants_whole(Result<Response>& answer) { return file_ && file_->wants_whole(answer); }

    /// What a good answer has come to.
    Result<void> complete(const Response& answer) { return file_ ? file_->complete(answer) : Result<void>{}; }
    /// Whether it is of no use to fetch it once more.
    bool is_hopeless() const noexcept { return file_ && file_->mismatches() > 1; }

    /// Whether it has taken bytes that it cannot take back.
    bool is_spent() const noexcept { return taken_ && !file_ && !sink_.reset(); }

    /// The call has succeeded: the file takes its place.
    Result<void> keep() { return file_ ? file_->keep() : Result<void>{}; }

private:
    Result<void> reset() {
        try {
            if (sink_.reset()) sink_.reset()();
            return {};
        } catch (...) {
            Error error{Errc::sink_failed, "reset() threw"};
            error.set_exception(std::current_exception());
            return fail(std::move(error.set_sent(Sent::no)));
        }
    }

    const Sink sink_;
    const TakeHead head_;
    const TakeBytes take_;
    std::optional<BasicFileDownload<Json>> file_;
    bool taken_ = false;
};

using Download = BasicDownload<nlohmann::json>;

}  // namespace breakwater
