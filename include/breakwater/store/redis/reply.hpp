#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace breakwater::redis {

/// What came back for one command, or why nothing did.
struct Reply {
    enum class Kind : std::uint8_t {
        answer,     ///< `numbers` (an integer, or the integers of an array) and `text` (its last string), as there are.
        nothing,    ///< The server has no such value.
        error,      ///< The server refused; `text` is its sentence.
        timed_out,  ///< No answer within `command_timeout`. The command may have run.
        disconnected,  ///< The connection was lost. The command may have run.
        unreachable,   ///< There is no connection; nothing was sent.
    };
    Kind kind = Kind::unreachable;
    std::vector<std::int64_t> numbers{};
    std::string text{};

    bool ok() const noexcept { return kind == Kind::answer || kind == Kind::nothing; }
};

/// Reads numbers one after another; past the end they are 0, and `is_short` says so.
class Numbers {
public:
    explicit Numbers(std::span<const std::int64_t> numbers) noexcept : numbers_{numbers} {}

    std::int64_t next() noexcept {
        if (at_ < numbers_.size()) return numbers_[at_++];
        is_short_ = true;
        return 0;
    }
    bool is_at_end() const noexcept { return at_ == numbers_.size(); }
    bool is_short() const noexcept { return is_short_; }

private:
    std::span<const std::int64_t> numbers_;
    std::size_t at_ = 0;
    bool is_short_ = false;
};

}  // namespace breakwater::redis
