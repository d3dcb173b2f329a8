#pragma once

#include <breakwater/http/detail/characters.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace breakwater::detail {

/// A value of a structured field (RFC 9651 §3.3); views of the text. Strings keep their escapes, bytes their base64.
struct FieldItem {
    enum class Kind : std::uint8_t { integer, string, token, bytes, other };
    Kind kind = Kind::other;
    std::string_view text{};
    std::int64_t integer = 0;  ///< Of an integer.

    constexpr std::optional<std::int64_t> as_integer() const noexcept {
        return kind == Kind::integer ? std::optional{integer} : std::nullopt;
    }
};

/// A member of a list, or of a dictionary: then `item` is its key and `value` is there if it was written.
struct FieldMember {
    FieldItem item{};
    std::optional<FieldItem> value{};
    std::string_view parameters{};  ///< ";r=1;t=2"
};

/// Reads the part of RFC 9651 that quotas are written in: lists and dictionaries of items with parameters, no inner
/// lists, no display strings. Everything is read once, front to back; from the first mistake on every `take` fails.
class StructuredFieldReader {
public:
    explicit constexpr StructuredFieldReader(std::string_view text) noexcept : rest_{text} {}

    constexpr bool failed() const noexcept { return failed_; }

    /// The next member of a list or dictionary; nullopt at its end, or if it is none.
    constexpr std::optional<FieldMember> take_member() noexcept {
        skip(" \t");
        if (rest_.empty() && !after_comma_) return std::nullopt;
        FieldMember member{.item = take_item()};
        if (member.item.kind == FieldItem::Kind::token && try_take('=')) member.value = take_item();
        const std::string_view from = rest_;
        while (take_parameter()) {
        }
        member.parameters = from.substr(0, from.size() - rest_.size());
        skip(" \t");
        after_comma_ = try_take(',');
        if (!after_comma_ && !rest_.empty()) failed_ = true;
        return failed_ ? std::nullopt : std::optional{member};
    }

    struct Parameter {
        std::string_view key{};
        FieldItem value{};
    };
    /// The next parameter; without a value it is true.
    constexpr std::optional<Parameter> take_parameter() noexcept {
        if (failed_ || !try_take(';')) return std::nullopt;
        skip(" ");
        Parameter parameter{.key = take_while(is_key_character)};
        if (parameter.key.empty() || !(is_alpha(parameter.key.front()) || parameter.key.front() == '*')) failed_ = true;
        if (try_take('=')) parameter.value = take_item();
        return failed_ ? std::nullopt : std::optional{parameter};
    }

private:
    static constexpr bool is_key_character(char c) noexcept {
        return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
    }
    static constexpr bool is_token_character(char c) noexcept {
        return is_in_class(c, token_character) || c == ':' || c == '/';
    }

    constexpr void skip(std::string_view characters) noexcept {
        rest_.remove_prefix(std::min(rest_.find_first_not_of(characters), rest_.size()));
    }
    constexpr bool try_take(char c) noexcept {
        if (failed_ || !rest_.starts_with(c)) return false;
        rest_.remove_prefix(1);
        return true;
    }
    template <class Predicate>
    constexpr std::string_view take_while(Predicate is_part) noexcept {
        std::size_t end = 0;
        while (end < rest_.size() && is_part(rest_[end])) ++end;
        return take(end);
    }
    constexpr std::string_view take(std::size_t count) noexcept {
        const std::string_view taken = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return taken;
    }

    constexpr FieldItem take_item() noexcept {
        if (failed_ || rest_.empty()) return fail();
        const char first = rest_.front();
        if (is_digit(first) || first == '-') return take_number();
        if (is_alpha(first) || first == '*')
            return {.kind = FieldItem::Kind::token, .text = take_while(is_token_character)};
        if (first == '"') return take_string();
        if (first == ':') return take_bytes();
        rest_.remove_prefix(1);
        if (first == '@') return take_number().kind == FieldItem::Kind::integer ? FieldItem{} : fail();
        if (first == '?' && (try_take('0') || try_take('1'))) return {};
        return fail();
    }

    /// An integer has at most 15 digits; a decimal at most 12 and 1 to 3 behind the point.
    constexpr FieldItem take_number() noexcept {
        const bool negative = try_take('-');
        const std::string_view digits = take_while(is_digit);
        if (digits.empty() || digits.size() > 15) return fail();
        if (try_take('.')) {
            const std::size_t fraction = take_while(is_digit).size();
            return digits.size() <= 12 && fraction >= 1 && fraction <= 3 ? FieldItem{} : fail();
        }
        std::int64_t number = 0;
        for (const char c : digits) number = number * 10 + (c - '0');
        return {.kind = FieldItem::Kind::integer, .text = digits, .integer = negative ? -number : number};
    }

    constexpr FieldItem take_string() noexcept {
        for (std::size_t i = 1; i < rest_.size(); ++i) {
            const char c = rest_[i];
            if (c == '"') {
                const std::string_view whole = take(i + 1);
                return {.kind = FieldItem::Kind::string, .text = whole.substr(1, whole.size() - 2)};
            }
            if (is_control(c) || static_cast<unsigned char>(c) >= 0x80) break;
            if (c != '\\') continue;
            ++i;
            if (i == rest_.size() || (rest_[i] != '"' && rest_[i] != '\\')) break;
        }
        return fail();
    }

    constexpr FieldItem take_bytes() noexcept {
        const std::size_t end = rest_.find(':', 1);
        if (end == rest_.npos) return fail();
        return {.kind = FieldItem::Kind::bytes, .text = take(end + 1).substr(1, end - 1)};
    }

    constexpr FieldItem fail() noexcept {
        failed_ = true;
        return {};
    }

    std::string_view rest_;
    bool after_comma_ = false;
    bool failed_ = false;
};

/// The parameter of this key as an integer; of several the last holds (RFC 9651 §4.2.3.2).
constexpr std::optional<std::int64_t> integer_parameter(std::string_view parameters, std::string_view key) noexcept {
    StructuredFieldReader reader{parameters};
    std::optional<std::int64_t> found;
    while (const auto parameter = reader.take_parameter()) {
        if (parameter->key == key) found = parameter->value.as_integer();
    }
    return found;
}

}  // namespace breakwater::detail
