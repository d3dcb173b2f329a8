#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

namespace breakwater::redis {

/// A command for the server, word by word, in the form it is sent in (RESP: an array of bulk strings).
class Words {
public:
    Words& add(std::string_view word) {
        append_number('$', word.size());
        body_.append(word).append("\r\n");
        ++count_;
        return *this;
    }
    template <std::integral Number>
        requires(!std::same_as<Number, bool>)
    Words& add(Number number) {
        char text[24];
        const auto end = std::to_chars(text, text + sizeof text, number).ptr;
        return add(std::string_view{text, end});
    }
    /// So that the server reads the very same double.
    Words& add(double number) {
        char text[32];
        const auto end = std::to_chars(text, text + sizeof text, number).ptr;
        return add(std::string_view{text, end});
    }
    Words& add(const Words& others) {
        body_ += others.body_;
        count_ += others.count_;
        return *this;
    }

    std::size_t count() const noexcept { return count_; }
    /// As it is sent.
    std::string wire() const {
        Words whole;
        whole.append_number('*', count_);
        return whole.body_ + body_;
    }

private:
    void append_number(char kind, std::size_t number) {
        char text[24];
        const auto end = std::to_chars(text, text + sizeof text, number).ptr;
        body_ += kind;
        body_.append(text, end).append("\r\n");
    }

    std::string body_;
    std::size_t count_ = 0;
};

}  // namespace breakwater::redis
