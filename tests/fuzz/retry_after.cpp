// Retry-After: never negative, never beyond its bound, exact where it is a number, and independent of the local clock
// where the answer has a Date.
#include "input.hpp"

#include <breakwater/http/classify.hpp>
#include <breakwater/http/retry_after.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bw = breakwater;

namespace {

/// The number of seconds as a person would read it: by its digits, as text.
std::optional<bw::Duration> by_hand(std::string_view value) {
    while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
    while (value.ends_with(' ') || value.ends_with('\t')) value.remove_suffix(1);
    if (value.empty() || value.find_first_not_of("0123456789") != value.npos) return std::nullopt;
    value.remove_prefix(std::min(value.find_first_not_of('0'), value.size()));
    const std::string most = std::to_string(std::chrono::floor<std::chrono::seconds>(bw::longest_retry_after).count());
    if (value.size() > most.size() || (value.size() == most.size() && value >= most)) return bw::longest_retry_after;
    return std::chrono::seconds{value.empty() ? 0 : std::stoll(std::string{value})};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input{data, size};
    const std::string first{input.take_line()};
    bw::Headers headers{{"Retry-After", first}};
    for (const bw::Header& field : input.take_headers()) headers.add(field.name, field.value);
    constexpr std::chrono::sys_seconds now = std::chrono::sys_days{std::chrono::July / 1 / 2024};

    const auto wait = bw::parse_retry_after(headers, now);
    if (wait) fuzz::require(*wait >= bw::Duration{0} && *wait <= bw::longest_retry_after, "a wait lies in its bounds");
    if (const auto expected = by_hand(first)) fuzz::require(wait == expected, "digits are seconds");

    // A Date with a year of two digits is read by the local clock.
    const std::string_view date = bw::detail::trim(headers.get("Date").value_or(""));
    if (bw::parse_http_date(date, now) && date.find('-') == date.npos)
        fuzz::require(bw::parse_retry_after(headers, {}) == wait, "beside a Date the local clock plays no part");
    headers.add("X-Other", "1");
    fuzz::require(bw::parse_retry_after(headers, now) == wait, "other fields play no part");
    headers.add("Retry-After", "7");
    const auto with_another = bw::parse_retry_after(headers, now);
    fuzz::require(with_another == (wait ? wait : std::chrono::seconds{7}),
                  "of several the first that can be read holds");
    const bw::Response answer{.status = 429, .headers = headers};
    fuzz::require(bw::outcome_of(answer, now) == bw::Outcome::neutral, "a 429 that says when to come back is neutral");
    return 0;
}
