// Durations and sizes of a configuration: what is read lies in its bounds and, printed, reads back as itself.
#include "input.hpp"

#include <breakwater/client/duration.hpp>
#include <breakwater/client/size.hpp>
#include <breakwater/detail/invalid_option.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace bw = breakwater;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text{fuzz::Input{data, size}.rest()};
    if (const auto span = bw::parse_duration(text)) {
        constexpr bw::Duration most = std::chrono::days{10'000};
        fuzz::require(*span >= -most && *span <= most, "a duration is at most 10,000 days");
        fuzz::require(bw::parse_duration(bw::detail::option_text(*span)) == span, "what is printed reads back");
        fuzz::require(!bw::parse_duration(text + "x") && !bw::parse_duration(text + " "), "nothing may follow");
        fuzz::require(!bw::parse_size(text), "a duration is no size");
    }
    if (const auto bytes = bw::parse_size(text)) {
        fuzz::require(bw::parse_size(std::to_string(*bytes) + "B") == bytes, "in bytes it is the same");
        fuzz::require(!text.starts_with('-'), "a size is not negative");
    }

    // Any number of microseconds that may be written, in each unit that divides it.
    const auto us = fuzz::Input{data, size}.take<std::int64_t>() % 864'000'000'000'000;
    const bw::Duration span{us};
    fuzz::require(bw::parse_duration(bw::detail::option_text(span)) == span, "an option reads back");
    fuzz::require(bw::parse_duration(std::to_string(us) + " us") == span, "whole microseconds are exact");
    const std::string fraction = std::to_string(1'000'000 + (us < 0 ? -us : us) % 1'000'000).substr(1);
    const std::string seconds = (us < 0 ? "-" : "") + std::to_string((us < 0 ? -us : us) / 1'000'000);
    fuzz::require(bw::parse_duration(seconds + "." + fraction + "s") == span, "decimal fractions are exact");
    return 0;
}
