#pragma once

#include <breakwater/http/percent_encoding.hpp>

#include <charconv>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace breakwater {

/// What a parameter's value may be: a string or an integer (no bool, no character: their spelling is the service's).
template <class T>
concept ParameterValue =
    std::convertible_to<T, std::string_view> ||
    (std::integral<std::remove_cvref_t<T>> && !std::same_as<std::remove_cvref_t<T>, bool> &&
     !std::same_as<std::remove_cvref_t<T>, char> && !std::same_as<std::remove_cvref_t<T>, wchar_t> &&
     !std::same_as<std::remove_cvref_t<T>, char8_t> && !std::same_as<std::remove_cvref_t<T>, char16_t> &&
     !std::same_as<std::remove_cvref_t<T>, char32_t>);

/// A name and a value, not encoded yet.
struct Parameter {
    // A template, so that a braced pair is never taken for one std::string (its iterator-pair constructor).
    template <class Name, ParameterValue Value>
        requires std::convertible_to<Name, std::string_view>
    Parameter(Name&& n, Value&& v) : name{std::forward<Name>(n)}, value{to_text(std::forward<Value>(v))} {}

    std::string name;
    std::string value;

    friend bool operator==(const Parameter&, const Parameter&) = default;

private:
    template <class Value>
    static std::string to_text(Value&& value) {
        if constexpr (std::convertible_to<Value, std::string_view>) {
            return std::string{std::forward<Value>(value)};
        } else {
            char digits[24];
            return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
        }
    }
};

/// Values for the `{name}` places of a target's path.
using PathParameters = std::vector<Parameter>;

/// The parameters of a query, in the order given; a name may occur more than once.
class Query {
public:
    Query() = default;
    /// `Query{{"page", 1}, {"q", "gelato & more"}}`
    Query(std::initializer_list<Parameter> parameters) : parameters_(parameters) {}

    template <ParameterValue Value>
    void add(std::string name, Value&& value) {
        parameters_.emplace_back(std::move(name), std::forward<Value>(value));
    }

    std::size_t size() const noexcept { return parameters_.size(); }
    bool empty() const noexcept { return parameters_.empty(); }
    auto begin() const noexcept { return parameters_.begin(); }
    auto end() const noexcept { return parameters_.end(); }

    /// "page=1&q=gelato%20%26%20more": each name and value encoded by `percent_encode`.
    std::string to_string() const {
        std::string out;
        append_to(out);
        return out;
    }

    /// Appends the same to `out`.
    void append_to(std::string& out) const {
        bool first = true;
        for (const Parameter& parameter : parameters_) {
            if (!first) out += '&';
            first = false;
            detail::append_component(out, parameter.name);
            out += '=';
            detail::append_component(out, parameter.value);
        }
    }

    friend bool operator==(const Query&, const Query&) = default;

private:
    std::vector<Parameter> parameters_;
};

}  // namespace breakwater
