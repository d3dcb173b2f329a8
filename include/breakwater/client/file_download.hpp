#pragma once

#include <breakwater/client/part_file.hpp>
#include <breakwater/client/part_record.hpp>
#include <breakwater/client/resume.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/http/download_options.hpp>
#include <breakwater/http/file_check.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/sink.hpp>
#include <breakwater/result.hpp>

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// A file on its way through one call's attempts. Belongs to whoever makes the call.
///
/// Each attempt: `begin`, then `asking` completes each request, `head` and `take` are given the answer; `wants_whole`
/// may want another request; `complete` judges. (A template, so that only a source that makes calls pays for it.)
template <class Json>
class BasicFileDownload {
public:
    /// `sink` is a file and stays; `max_bytes` is of the whole file.
    BasicFileDownload(const Sink& sink, const Request& request, std::optional<std::uint64_t> max_bytes)
        : sink_{sink},
          resume_{is_resumable(request) ? sink.options().resume : Resume::off},
          source_{resume_ == Resume::across_calls ? fingerprint(request.url) : std::string{}},
          max_bytes_{max_bytes.value_or(std::numeric_limits<std::uint64_t>::max())} {}
    BasicFileDownload(const BasicFileDownload&) = delete;
    BasicFileDownload& operator=(const BasicFileDownload&) = delete;
    ~BasicFileDownload() {
        if (part_.name() == PartFile::Name::findable && part_.size() > 0 && validator_) part_.leave();
    }

    Result<void> open();

    /// An attempt begins.
    Result<void> begin() {
        const bool goes_on = part_.size() > 0 && validator_ && resumes();
        is_known_ = is_useless_ = false;
        end_.reset();
        asked_.reset();
        if (goes_on) asked_ = ResumePoint{.from = part_.size(), .validator = *validator_, .total = total_};
        return goes_on ? Result<void>{} : anew();
    }
    /// What to send for a request of the attempt: for what is missing. Valid until the next one.
    const Request* asking(const Request* request) {
        if (!resumes()) return request;
        request_ = *request;
        ask_for_rest(request_.headers, asked_);
        return &request_;
    }

    Result<void> head(const Response& answer);
    Result<void> take(std::string_view bytes);

    /// Whether the whole has to be asked for in place of what `answer` came to; the next request does. A 416 that says
    /// that nothing was missing becomes a 206.
    bool wants_whole(Result<Response>& answer);

    /// Of a 2xx answer: whether the file is whole, and what its check says. A mismatch forgets the file.
    Result<void> complete(const Response& answer);
    unsigned mismatches() const noexcept { return mismatches_; }

    Result<void> keep() { return part_.take_place(sink_.options().flush); }

private:
    bool resumes() const noexcept { return resume_ != Resume::off; }
    Result<void> anew() {
        validator_.reset();
        total_.reset();
        return part_.empty();
    }
    /// What the user's code throws is an error.
    template <class F>
    static Result<void> ask_check(F function) {
        try {
            return function();
        } catch (...) {
            Error error{Errc::sink_failed, "verify threw"};
            error.set_exception(std::current_exception());
            return fail(std::move(error));
        }
    }
    Result<void> begin_check(const Response& answer) {
        if (check_ == nullptr) return {};
        return ask_check(
            [&] { return check_->begin(answer, part_.size(), [this](const auto& use) { return part_.read(use); }); });
    }
    Result<void> end_check();
    void tell(bool at_once) noexcept;

    const Sink& sink_;
    const Resume resume_;
    const std::string source_;
    const std::uint64_t max_bytes_;
    PartFile part_;
    std::unique_ptr<FileCheck> check_;
    // Of the file.
    std::optional<Validator> validator_;
    std::optional<std::uint64_t> total_;
    // Of the exchange.
    Request request_{};
    std::optional<ResumePoint> asked_;
    std::optional<std::uint64_t> end_;
    bool is_known_ = false;  // the answer's head has come
    bool is_useless_ = false;
    unsigned mismatches_ = 0;
    Instant told_{};
};

using FileDownload = BasicFileDownload<nlohmann::json>;

template <class Json>
Result<void> BasicFileDownload<Json>::open() {
    const bool findable = resume_ == Resume::across_calls;
    auto opened = part_.open(*sink_.path(), findable ? PartFile::Name::findable : PartFile::Name::own);
    if (!opened) return opened;
    if (part_.size() > 0) {
        const auto record = parse_part_record<Json>(part_.read_record());
        if (record && record->source == source_ && record->total.value_or(part_.size()) >= part_.size()) {
            validator_ = record->validator;
            total_ = record->total;
        }
    }
    const MakeFileCheck& make = sink_.options().verify;
    if (!make) return {};
    auto made = ask_check([&] { return check_ = make(), Result<void>{}; });
    if (!made) made.error().set_sent(Sent::no);
    return made;
}

template <class Json>
Result<void> BasicFileDownload<Json>::head(const Response& answer) {
    using Kind = ContentPlace::Kind;
    const ContentPlace place =  // a range of one's own is the file
        resumes() || answer.status != 206 ? content_place(answer, asked_) : ContentPlace{Kind::whole, {}, {}};
    if (place.kind == Kind::unusable) {
        is_useless_ = asked_.has_value();
        return fail(Errc::protocol_error, asked_ ? "not the part that was asked for" : "a part that nobody asked for");
    }
    if (place.total.value_or(place.end.value_or(0)) > max_bytes_) return fail(Errc::too_large, "its body");
    if (place.kind == Kind::whole) {
        if (auto ok = anew(); !ok) return ok;
        asked_.reset();
        if (resumes() && answer.status == 200 && !is_encoded(answer.headers))
            validator_ = strong_validator(answer.headers);
    }
    total_ = place.total;
    end_ = place.end;
    is_known_ = true;
    if (part_.name() == PartFile::Name::findable) {
        part_.write_record(validator_ ? to_text<Json>(PartRecord{source_, *validator_, total_}) : std::string{});
    }
    tell(true);
    return begin_check(answer);
}

template <class Json>
Result<void> BasicFileDownload<Json>::take(std::string_view bytes) {
    if (!is_known_) {  // a transport that shows no heads: nothing is known of what comes
        if (asked_) {
            is_useless_ = true;
            return fail(Errc::protocol_error, "nobody knows which part");
        }
        if (auto ok = head(Response{.status = 200}); !ok) return ok;
    }
    const std::uint64_t room = end_.value_or(max_bytes_) - part_.size();
    if (bytes.size() > room) {
        is_useless_ = asked_.has_value();
        return fail(Errc::sink_failed, "more than was announced");
    }
    if (auto ok = part_.append(bytes); !ok) return ok;
    if (check_ != nullptr) check_->take(bytes);
    tell(false);
    return {};
}

template <class Json>
bool BasicFileDownload<Json>::wants_whole(Result<Response>& answer) {
    const bool is_useless = std::exchange(is_useless_, false);
    is_known_ = false;
    end_.reset();
    if (!asked_) return false;
    if (answer && answer->status == 416) {
        if (says_complete(*answer, *asked_)) {
            total_ = part_.size();
            answer->status = 206;
            answer->body.clear();
            if (auto ok = begin_check(Response{.status = 206}); !ok) answer = fail(std::move(ok.error()));
            return false;
        }
    } else if (!is_useless) {
        return false;
    }
    asked_.reset();
    return true;
}

template <class Json>
Result<void> BasicFileDownload<Json>::complete(const Response& answer) {
    if (total_ && part_.size() != *total_) {
        return fail(Errc::truncated,
                    std::to_string(part_.size()) + " of " + std::to_string(*total_) + " bytes are there");
    }
    if (resumes() && answer.status == 206 && !asked_) return fail(Errc::protocol_error, "a part that nobody asked for");
    tell(true);
    return end_check();
}

template <class Json>
Result<void> BasicFileDownload<Json>::end_check() {
    if (check_ == nullptr) return {};
    auto judged = ask_check([this] { return check_->end(); });
    if (judged) return judged;
    if (judged.error().code() == Errc::digest_mismatch) ++mismatches_;
    if (auto emptied = anew(); !emptied) return emptied;
    return judged;
}

template <class Json>
void BasicFileDownload<Json>::tell(bool at_once) noexcept {
    const OnDownload& listener = sink_.options().progress;
    if (!listener) return;
    const Instant now = SteadyClock{}.now();
    if (!at_once && now - told_ < std::chrono::milliseconds{100}) return;
    try {
        listener({.bytes = part_.size(), .total = total_});
    } catch (...) {  // a listener breaks nothing
    }
    told_ = SteadyClock{}.now();  // however long it took, some bytes come before it is told again
}

}  // namespace breakwater
