#pragma once

#include <breakwater/http/detail/characters.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace breakwater {

/// An HTTP method: a name of at most 15 characters, kept as given (methods are case-sensitive). GET by default.
///
/// Any name is taken; `is_valid` tells whether it may be sent.
class Method {
public:
    static constexpr std::size_t max_length = 15;

    static const Method get;
    static const Method head;
    static const Method post;
    static const Method put;
    static const Method patch;
    static const Method del;  ///< DELETE, which is a keyword here.
    static const Method options;

    constexpr Method() noexcept : Method{"GET"} {}
    /// For example `Method{"PURGE"}`.
    explicit constexpr Method(std::string_view name) noexcept
        : length_{static_cast<std::uint8_t>(std::min(name.size(), max_length + 1))} {
        std::copy_n(name.begin(), std::min(name.size(), max_length), name_.begin());
    }

    /// The name; the first 15 characters of one that is too long.
    constexpr std::string_view name() const noexcept {
        return {name_.data(), std::min<std::size_t>(length_, max_length)};
    }

    /// A token of RFC 9110 of 1 to 15 characters.
    constexpr bool is_valid() const noexcept { return length_ <= max_length && detail::is_token(name()); }

    /// RFC 9110 §9.2.1: asks for nothing to change.
    constexpr bool is_safe() const noexcept { return is_any_of(get, head, options, Method{"TRACE"}); }

    /// RFC 9110 §9.2.2: sending it twice means the same as sending it once. False for every method not defined there.
    constexpr bool is_idempotent() const noexcept { return is_safe() || is_any_of(put, del); }

    friend constexpr bool operator==(const Method& a, const Method& b) noexcept {
        using Words = std::array<std::uint64_t, 2>;  // all of it, compared at once
        return std::bit_cast<Words>(a) == std::bit_cast<Words>(b);
    }

private:
    constexpr bool is_any_of(const auto&... methods) const noexcept { return (... || (*this == methods)); }

    std::array<char, max_length> name_{};
    std::uint8_t length_;  // max_length + 1 stands for "too long"
};

inline constexpr Method Method::get{"GET"};
inline constexpr Method Method::head{"HEAD"};
inline constexpr Method Method::post{"POST"};
inline constexpr Method Method::put{"PUT"};
inline constexpr Method Method::patch{"PATCH"};
inline constexpr Method Method::del{"DELETE"};
inline constexpr Method Method::options{"OPTIONS"};

}  // namespace breakwater
