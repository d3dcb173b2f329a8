#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// Puts the next bytes of a body into the span and says how many; 0 is the end. Called on the thread that sends, with
/// nothing held. What it throws or returns as an error ends the call with `Errc::body_failed`.
using BodyReader = std::function<Result<std::size_t>(std::span<char>)>;

/// A body being sent: how long it is, if that is known, and what is left of it.
struct OpenBody {
    std::optional<std::uint64_t> size{};
    BodyReader read{};
};

/// What a request carries: bytes, or something read while it is sent (`from_file`, `replayable_body`,
/// `one_shot_body`), which is never in memory as a whole.
///
/// A value; copies share what is read. Every body can be sent as often as needed but a one-shot one: once a byte of it
/// has been asked for, no attempt, no redirect and no other call sends it again; see `Errc::not_replayable`.
class Body {
public:
    Body() = default;
    Body(std::string text) : text_{std::move(text)} {}
    Body(std::string_view text) : text_{text} {}
    Body(const char* text) : text_{text} {}

    /// Opened anew by `open` for every attempt.
    static Body streamed(std::function<Result<OpenBody>()> open) { return Body{Stream{.open = std::move(open)}}; }
    /// Read from `reader` once.
    static Body once(BodyReader reader, std::optional<std::uint64_t> size) {
        return Body{Stream{.one_shot = std::make_shared<OneShot>(std::move(reader), size)}};
    }
    /// One after the other; as replayable as all of them.
    static Body joined(std::vector<Body> parts) { return Body{Stream{.parts = std::move(parts)}}; }

    /// Whether it is plain bytes, and then which.
    bool is_text() const noexcept { return !stream_; }
    const std::string& text() const noexcept { return text_; }

    /// Whether it can be sent again after it has been sent.
    bool is_replayable() const noexcept {
        return !stream_ || (!stream_->one_shot &&
                            detail::all_of(stream_->parts, [](const Body& part) { return part.is_replayable(); }));
    }
    /// Whether it is one-shot and has been used.
    bool is_spent() const noexcept {
        return stream_ && ((stream_->one_shot && stream_->one_shot->is_read.load(std::memory_order_acquire)) ||
                           detail::any_of(stream_->parts, [](const Body& part) { return part.is_spent(); }));
    }

    /// From its beginning. `Errc::not_replayable` if it is spent, `Errc::invalid_request` if a file cannot be read.
    Result<OpenBody> open() const;

    /// Whether it is these bytes; never true for one that is read.
    friend bool operator==(const Body& body, std::string_view text) noexcept {
        return body.is_text() && body.text_ == text;
    }

private:
    struct OneShot {
        OneShot(BodyReader given, std::optional<std::uint64_t> length) : reader{std::move(given)}, size{length} {}
        const BodyReader reader;
        const std::optional<std::uint64_t> size;
        std::atomic<bool> is_read{false};
    };
    struct Stream {
        std::function<Result<OpenBody>()> open{};
        std::vector<Body> parts{};
        std::shared_ptr<OneShot> one_shot{};
    };
    explicit Body(Stream stream) : stream_{std::make_shared<const Stream>(std::move(stream))} {}

    static OpenBody open_text(std::shared_ptr<const std::string> text);
    static OpenBody open_once(std::shared_ptr<OneShot> one_shot);
    Result<OpenBody> open_parts() const;

    std::string text_;
    std::shared_ptr<const Stream> stream_;
};

/// A body that `make_reader()` gives a fresh reader for, as often as it has to be sent. Without a `size` it is sent in
/// chunks; with one, a body that ends early fails the call and what is beyond it is not read.
template <class F>
Body replayable_body(F make_reader, std::optional<std::uint64_t> size = {}) {
    return Body::streamed([make_reader = std::move(make_reader), size]() -> Result<OpenBody> {
        return OpenBody{.size = size, .read = make_reader()};
    });
}

/// A body that can be read a single time: it is sent at most once, so that its call is not retried and not redirected
/// after the first byte was asked for. `size` as in `replayable_body`.
inline Body one_shot_body(BodyReader reader, std::optional<std::uint64_t> size = {}) {
    return Body::once(std::move(reader), size);
}

inline Result<OpenBody> Body::open() const {
    if (is_spent()) return fail(Errc::not_replayable);
    if (!stream_) return open_text(std::make_shared<const std::string>(text_));
    if (stream_->one_shot) return open_once(stream_->one_shot);
    return stream_->open ? stream_->open() : open_parts();
}

inline OpenBody Body::open_text(std::shared_ptr<const std::string> text) {
    const auto size = text->size();
    return {.size = size, .read = [text = std::move(text), at = std::size_t{0}](std::span<char> to) mutable {
                const std::size_t count = text->copy(to.data(), to.size(), at);
                at += count;
                return count;
            }};
}

inline OpenBody Body::open_once(std::shared_ptr<OneShot> one_shot) {
    const auto size = one_shot->size;
    return {
        .size = size,
        .read = [one_shot = std::move(one_shot), is_mine = false](std::span<char> to) mutable -> Result<std::size_t> {
            // Of two that were opened before either was read, one gets the bytes.
            if (!is_mine && one_shot->is_read.exchange(true, std::memory_order_acq_rel))
                return fail(Errc::not_replayable);
            is_mine = true;
            return one_shot->reader(to);
        }};
}

inline Result<OpenBody> Body::open_parts() const {
    OpenBody whole{.size = 0};
    std::vector<OpenBody> opened;
    for (const Body& part : stream_->parts) {
        auto own = part.open();
        if (!own) return own;
        whole.size = whole.size && own->size ? std::optional{*whole.size + *own->size} : std::nullopt;
        opened.push_back(*std::move(own));
    }
    whole.read = [parts = std::make_shared<std::vector<OpenBody>>(std::move(opened)), at = std::size_t{0},
                  done = std::uint64_t{0}](std::span<char> to) mutable -> Result<std::size_t> {
        for (; at < parts->size(); ++at, done = 0) {
            OpenBody& part = (*parts)[at];
            std::size_t most = to.size();
            if (part.size) most = static_cast<std::size_t>(std::min<std::uint64_t>(most, *part.size - done));
            if (most > 0) {
                auto count = part.read(to.first(most));
                if (!count || *count > 0) {
                    if (count) done += std::min(*count, most);
                    return count;
                }
                if (part.size) return fail(Errc::body_failed, "a part ended before its announced length");
            }
            part.read = {};  // closes a file
        }
        return 0;
    };
    return whole;
}

/// A body on its way: asks the reader, and holds it to what was announced. For transports.
class BodyTransfer {
public:
    explicit BodyTransfer(OpenBody body) : body_{std::move(body)} {}

    const std::optional<std::uint64_t>& size() const noexcept { return body_.size; }

    /// The next bytes; 0 at the end. Does not throw but `std::bad_alloc` while it makes an error.
    Result<std::size_t> read(std::span<char> to) {
        if (body_.size) {
            to = to.first(static_cast<std::size_t>(std::min<std::uint64_t>(to.size(), *body_.size - done_)));
            if (to.empty()) return 0;
        }
        Result<std::size_t> count = ask(to);
        if (!count) {
            Error& error = count.error();
            if (error.code() != Errc::not_replayable) error.set_code(Errc::body_failed);
            return count;
        }
        if (*count > to.size()) return fail(Errc::body_failed, "its reader said more than there was room for");
        done_ += *count;
        if (*count == 0 && body_.size && done_ < *body_.size) {
            return fail(Errc::body_failed,
                        "it ended after " + std::to_string(done_) + " of " + std::to_string(*body_.size) + " bytes");
        }
        return count;
    }

private:
    Result<std::size_t> ask(std::span<char> to) {
        try {
            if (!body_.read) return 0;
            return body_.read(to);
        } catch (...) {
            Error error{Errc::body_failed, "its reader threw"};
            error.set_exception(std::current_exception());
            return fail(std::move(error));
        }
    }

    OpenBody body_;
    std::uint64_t done_ = 0;
};

}  // namespace breakwater
