#pragma once

#include <breakwater/detail/rare.hpp>
#include <breakwater/errc.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater::curl {

/// The answer as it arrives: libcurl's callbacks feed it header lines and decoded body bytes.
///
/// Interim answers (1xx) and trailers are read and dropped.
class Answer {
public:
    enum class Body : std::uint8_t { expected, none };  ///< `none`: an answer to HEAD, whatever it announces.

    /// The body of a 2xx answer goes to `sink`, if there is one, up to `max_sink_bytes`, after `head` has seen it.
    void begin(Body body, std::size_t max_header_bytes, std::size_t max_body_bytes, const TakeBytes* sink = nullptr,
               const TakeHead* head = nullptr, std::optional<std::uint64_t> max_sink_bytes = {}) {
        saving_.reset();
        if (sink != nullptr || head != nullptr)
            saving_.emplace(sink, head, max_sink_bytes.value_or(std::numeric_limits<std::uint64_t>::max()));
        failure_.reset();
        answer_.reset();
        header_bytes_left_ = max_header_bytes;
        max_body_bytes_ = max_body_bytes;
        awaits_ = Awaits::status;
        takes_sink_ = false;
        body_ = body;
        refusal_ = {};
    }

    /// Why a callback stopped the transfer, if one did, and in words.
    struct Refusal {
        Errc code{};
        const char* reason = nullptr;  ///< Null: none did.
    };
    const Refusal& refusal() const noexcept { return refusal_; }

    /// The sink's own error, if it has failed.
    detail::Rare<Error>& failure() noexcept { return failure_; }

    /// Whether the final answer's headers are complete.
    bool has_headers() const noexcept { return awaits_ == Awaits::body; }

    /// If it has. In its place, to be handed on as a whole.
    std::unique_ptr<Result<Response>> take() noexcept { return std::move(answer_); }

    /// CURLOPT_HEADERFUNCTION and CURLOPT_WRITEFUNCTION; the last argument is the `Answer`. What is not `size * count`
    /// stops the transfer.
    static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) noexcept {
        return static_cast<Answer*>(self)->feed(&Answer::header_line, {data, size * count});
    }
    static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) noexcept {
        return static_cast<Answer*>(self)->feed(&Answer::body_bytes, {data, size * count});
    }

private:
    enum class Awaits : std::uint8_t { status, fields, body };

    std::size_t feed(bool (Answer::*part)(std::string_view), std::string_view bytes) noexcept {
        try {
            if ((this->*part)(bytes)) return bytes.size();
        } catch (const std::exception&) {  // out of memory: must not travel through C
            refusal_ = {Errc::transport_failed, "out of memory"};
        }
        return bytes.size() + 1;
    }

    bool refuse(Errc code, const char* reason) noexcept {
        refusal_ = {code, reason};
        return false;
    }

    bool header_line(std::string_view line) {
        if (line.size() > header_bytes_left_) return refuse(Errc::too_large, "its headers");
        header_bytes_left_ -= line.size();
        while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
        switch (awaits_) {
            case Awaits::status: return status_line(line);
            case Awaits::fields: return line.empty() ? end_of_fields() : field(line);
            case Awaits::body: return true;  // a trailer
        }
        return true;
    }

    bool status_line(std::string_view line) {  // "HTTP/1.1 200 OK", "HTTP/2 200"
        constexpr std::string_view prefix = "HTTP/";
        const auto space = line.find(' ');
        if (!line.starts_with(prefix) || space == line.npos) return refuse(Errc::protocol_error, "bad status line");
        if (!answer_) answer_ = std::make_unique<Result<Response>>();
        Response& response = **answer_;
        const std::string_view code = line.substr(space + 1, 3);
        const auto read = std::from_chars(code.data(), code.data() + code.size(), response.status);
        if (read.ec != std::errc{} || read.ptr != code.data() + 3 || response.status < 100 || response.status > 599)
            return refuse(Errc::protocol_error, "bad status line");
        response.http_version = line.substr(prefix.size(), space - prefix.size());
        response.headers.clear();
        response.headers.reserve(8);
        announced_.reset();
        is_encoded_ = false;
        awaits_ = Awaits::fields;
        return true;
    }

    bool field(std::string_view line) {
        const auto colon = line.find(':');
        if (colon == line.npos || colon == 0) return true;  // not a field: skipped, as libcurl does
        const std::string_view name = line.substr(0, colon);
        const std::string_view value = detail::trim(line.substr(colon + 1));
        if (detail::equals_ignoring_case(name, "content-length")) {
            std::size_t length = 0;
            const auto read = std::from_chars(value.data(), value.data() + value.size(), length);
            if (read.ec == std::errc{}) announced_ = length;
        } else if (detail::equals_ignoring_case(name, "content-encoding")) {
            is_encoded_ = true;
        }
        (*answer_)->headers.add(name, value);
        return true;
    }

    bool end_of_fields() {
        Response& response = **answer_;
        if (response.status < 200) {
            awaits_ = Awaits::status;
            return true;
        }
        awaits_ = Awaits::body;
        if (response.status < 300) {
            takes_sink_ = saving_ && saving_->sink != nullptr;
            if (saving_ && saving_->head != nullptr && !show_head(response)) return false;
        }
        const bool has_no_body = body_ == Body::none || response.status == 204 || response.status == 304;
        if (!announced_ || is_encoded_ || has_no_body) return true;
        if (takes_sink_) return *announced_ <= saving_->bytes_left || refuse(Errc::too_large, "its body");
        if (*announced_ > max_body_bytes_) return refuse(Errc::too_large, "its body");
        // An announcement costs the server nothing, so what is set aside for it beforehand is bounded.
        response.body.reserve(std::min(*announced_, std::size_t{1} << 20));
        return true;
    }

    bool show_head(const Response& response) {
        auto seen = show(*saving_->head, response);
        if (!seen) failure_.emplace(std::move(seen.error()));
        return seen.has_value();
    }

    bool body_bytes(std::string_view bytes) {
        if (takes_sink_) return sink_bytes(bytes);
        if (!answer_) return refuse(Errc::protocol_error, "a body without headers");
        std::string& body = (*answer_)->body;
        if (bytes.size() > max_body_bytes_ - body.size()) return refuse(Errc::too_large, "its body");
        body.append(bytes);
        return true;
    }

    bool sink_bytes(std::string_view bytes) {
        if (bytes.size() > saving_->bytes_left) return refuse(Errc::too_large, "its body");
        saving_->bytes_left -= bytes.size();
        auto taken = give(*saving_->sink, bytes);
        if (!taken) failure_.emplace(std::move(taken.error()));
        return taken.has_value();
    }

    std::unique_ptr<Result<Response>> answer_;  // from its first line on
    struct Saving {
        const TakeBytes* sink;
        const TakeHead* head;
        std::uint64_t bytes_left;
    };
    detail::Rare<Saving> saving_;
    detail::Rare<Error> failure_;
    std::size_t header_bytes_left_ = 0;
    std::size_t max_body_bytes_ = 0;
    std::optional<std::size_t> announced_;
    Refusal refusal_;
    bool is_encoded_ = false;
    bool takes_sink_ = false;  // the answer is for it
    Awaits awaits_ = Awaits::status;
    Body body_ = Body::expected;
};

}  // namespace breakwater::curl
