#pragma once

#include <breakwater/errc.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace breakwater {

/// The unit of every time span in breakwater. Any finer `std::chrono` duration has to be rounded by its owner.
using Duration = std::chrono::microseconds;

/// The connection that an answer came over.
enum class ConnectionUse : std::uint8_t {
    unknown,  ///< The transport does not say.
    opened,   ///< Made for this exchange.
    reused,   ///< Kept alive from an earlier one.
};

constexpr std::string_view to_string(ConnectionUse use) noexcept {
    switch (use) {
        case ConnectionUse::unknown: return "unknown";
        case ConnectionUse::opened: return "opened";
        case ConnectionUse::reused: return "reused";
    }
    return "unknown";
}

/// One attempt of a call, as it is kept in `Response::timeline` and `Error::timeline()`.
struct Attempt {
    unsigned number = 1;          ///< 1 for the first attempt.
    Duration began{};             ///< Time from the start of the call to the start of this attempt.
    Duration took{};              ///< How long the attempt ran.
    std::optional<Errc> error{};  ///< Why it failed; empty if it succeeded.
    std::optional<int> status{};  ///< The HTTP status, if an answer arrived.
    ConnectionUse connection = ConnectionUse::unknown;  ///< Of the answer; after redirects, of the last one.
    bool hedge = false;                                 ///< It was made beside the one before it.
    std::optional<Duration> wait{};  ///< How long the call waited afterwards; empty if it went no further.

    friend bool operator==(const Attempt&, const Attempt&) = default;
};

using Timeline = std::vector<Attempt>;

}  // namespace breakwater
