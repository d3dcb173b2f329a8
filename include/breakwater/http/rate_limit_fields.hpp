#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/http/date.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/detail/structured_field.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/retry_after.hpp>
#include <breakwater/timeline.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace breakwater {

/// What a service says it still allows.
struct ServerQuota {
    std::int64_t remaining = 0;  ///< How many calls, at least 0.
    Duration reset{};            ///< For how long; more than 0, at most 366 days.
    friend bool operator==(const ServerQuota&, const ServerQuota&) = default;
};

/// The tightest quota that an answer's headers tell, or nullopt. Never allocates. Of several the one with the fewest
/// calls left counts, of equal ones the longest. Read are, in this order, and the first that says something holds:
///
/// - `RateLimit` (draft-ietf-httpapi-ratelimit-headers-08 and later: `"default";r=50;t=30`; without `t` the window `w`
///   of that name in `RateLimit-Policy` stands in, which is never too short; -07: `limit=100, remaining=50, reset=30`);
/// - `RateLimit-Remaining` and `RateLimit-Reset` (the drafts before), then `X-RateLimit-Remaining` and
///   `X-RateLimit-Reset-After` or `X-RateLimit-Reset`, then the same as `X-Rate-Limit-…`. Lists of equal length are
///   read pair by pair.
///
/// A `…-Reset` is told apart by its size: up to 366 days it is seconds from now; from 10^9, 10^12 or 10^15 on a Unix
/// time in s, ms or µs, measured against the answer's own `Date` (else `local_now`), as an HTTP-date is. What is none
/// of these, contradicts itself, is negative, is over, or has more than 16 parts is skipped. An answer that a cache on
/// the way gave (`Age` above 0) says nothing about now.
inline std::optional<ServerQuota> parse_rate_limit(const Headers& headers, std::chrono::sys_seconds local_now) noexcept;

/// Whether there is any such header at all; most answers have none.
inline bool has_rate_limit(const Headers& headers) noexcept {
    return detail::any_of(headers, [](const Header& field) {
        const std::string_view name = field.name;
        return detail::starts_with_ignoring_case(name, "RateLimit") ||
               detail::starts_with_ignoring_case(name, "X-Rate");
    });
}

namespace detail {

inline constexpr std::chrono::seconds longest_quota = std::chrono::days{366};
inline constexpr std::size_t most_quotas = 16;

/// Keeps the tightest of the quotas it is told.
class TightestQuota {
public:
    constexpr void tell(std::optional<std::int64_t> remaining, std::optional<Duration> reset) noexcept {
        if (!remaining || *remaining < 0 || !reset || *reset <= Duration{0} || *reset > longest_quota) return;
        const bool tighter =
            !found_ || *remaining < found_->remaining || (*remaining == found_->remaining && *reset > found_->reset);
        if (tighter) found_ = ServerQuota{*remaining, *reset};
    }
    constexpr std::optional<ServerQuota> found() const noexcept { return found_; }

private:
    std::optional<ServerQuota> found_{};
};

constexpr std::optional<Duration> quota_seconds(std::optional<std::int64_t> seconds) noexcept {
    if (!seconds || *seconds > longest_quota.count()) return std::nullopt;
    return std::chrono::seconds{*seconds};
}

/// All members of a structured field, however many lines it has; false if any of it is wrong (RFC 9651 §4.2).
template <class Use>
bool for_each_member(const Headers& headers, std::string_view name, Use use) noexcept {
    std::size_t members = 0;
    for (const Header& field : headers) {
        if (!equals_ignoring_case(field.name, name)) continue;
        StructuredFieldReader reader{field.value};
        while (const auto member = reader.take_member()) {
            if (++members > most_quotas) return false;
            use(*member);
        }
        if (reader.failed()) return false;
    }
    return true;
}

/// The window of a policy, from RateLimit-Policy.
inline std::optional<std::int64_t> policy_window(const Headers& headers, const FieldItem& name) noexcept {
    std::optional<std::int64_t> window;
    const bool good = for_each_member(headers, "RateLimit-Policy", [&](const FieldMember& member) {
        if (member.item.kind == name.kind && member.item.text == name.text)
            window = integer_parameter(member.parameters, "w");
    });
    return good ? window : std::nullopt;
}

inline std::optional<ServerQuota> structured_quota(const Headers& headers) noexcept {
    TightestQuota tightest;
    std::optional<std::int64_t> remaining, reset;
    const bool good = for_each_member(headers, "RateLimit", [&](const FieldMember& member) {
        if (member.value) {  // a dictionary
            if (member.item.text == "remaining") remaining = member.value->as_integer();
            if (member.item.text == "reset") reset = member.value->as_integer();
            return;
        }
        const auto left = integer_parameter(member.parameters, "r");
        auto seconds = integer_parameter(member.parameters, "t");
        if (left && !seconds) seconds = policy_window(headers, member.item);
        tightest.tell(left, quota_seconds(seconds));
    });
    tightest.tell(remaining, quota_seconds(reset));
    return good ? tightest.found() : std::nullopt;
}

/// A number without sign; its fraction in millionths, rounded up. At most 16 digits before the point.
struct PlainNumber {
    std::int64_t whole = 0;
    std::int64_t micros = 0;
};
constexpr std::optional<PlainNumber> parse_plain_number(std::string_view text) noexcept {
    const std::size_t point = text.find('.');
    const std::string_view digits = text.substr(0, point);
    const std::string_view fraction = point == text.npos ? "0" : text.substr(point + 1);
    const auto are_digits = [](std::string_view part) { return !part.empty() && all_of(part, is_digit); };
    if (!are_digits(digits) || !are_digits(fraction) || digits.size() > 16) return std::nullopt;
    PlainNumber number;
    for (const char c : digits) number.whole = number.whole * 10 + (c - '0');
    for (std::size_t i = 0; i < 6; ++i)
        number.micros = number.micros * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
    number.micros += fraction.find_first_not_of('0', 6) != fraction.npos;
    return number;
}

/// How long until a `…-Reset`, however it is written.
constexpr std::optional<Duration> parse_reset(std::string_view text, std::chrono::sys_seconds now) noexcept {
    const auto number = parse_plain_number(text);
    if (!number) {
        const auto date = parse_http_date(text, now);
        return date ? std::optional<Duration>{*date - now} : std::nullopt;
    }
    const auto [whole, micros] = *number;
    if (whole <= longest_quota.count()) return std::chrono::seconds{whole} + Duration{micros};
    constexpr std::int64_t billion = 1'000'000'000;
    const Duration since_epoch = now.time_since_epoch();
    if (whole >= billion && whole < 10 * billion) return std::chrono::seconds{whole} + Duration{micros} - since_epoch;
    if (whole >= 1'000 * billion && whole < 10'000 * billion)
        return Duration{whole * 1'000 + (micros + 999) / 1'000} - since_epoch;
    if (whole >= 1'000'000 * billion && whole < 10'000'000 * billion)
        return Duration{whole + (micros > 0)} - since_epoch;
    return std::nullopt;
}

/// The parts of a header that lists values. None if there are too many.
class ValueList {
public:
    ValueList(const Headers& headers, std::string_view name) noexcept {
        for (const Header& field : headers) {
            if (!equals_ignoring_case(field.name, name)) continue;
            if (const std::string_view value = trim(field.value); value.size() > 4 && is_alpha(value.front())) {
                add(value);  // a date has a comma of its own
                continue;
            }
            for (std::string_view rest = field.value;;) {
                const std::size_t comma = rest.find(',');
                add(trim(rest.substr(0, comma)));
                if (comma == rest.npos || count_ > most_quotas) break;
                rest.remove_prefix(comma + 1);
            }
        }
    }
    constexpr std::size_t size() const noexcept { return count_ <= most_quotas ? count_ : 0; }
    constexpr std::string_view operator[](std::size_t i) const noexcept { return values_[i]; }

private:
    constexpr void add(std::string_view value) noexcept {
        if (count_ < most_quotas) values_[count_] = value;
        ++count_;
    }
    std::array<std::string_view, most_quotas> values_{};
    std::size_t count_ = 0;
};

inline std::optional<ServerQuota> paired_quota(const Headers& headers, std::string_view remaining_name,
                                               std::string_view reset_name, std::chrono::sys_seconds now) noexcept {
    const ValueList remaining{headers, remaining_name};
    const ValueList reset{headers, reset_name};
    TightestQuota tightest;
    if (remaining.size() != reset.size()) return std::nullopt;
    for (std::size_t i = 0; i < remaining.size(); ++i) {
        if (const auto left = parse_plain_number(remaining[i])) tightest.tell(left->whole, parse_reset(reset[i], now));
    }
    return tightest.found();
}

}  // namespace detail

inline std::optional<ServerQuota> parse_rate_limit(const Headers& headers,
                                                   std::chrono::sys_seconds local_now) noexcept {
    if (const auto age = headers.get("Age");
        age && parse_delta_seconds(detail::trim(*age)).value_or(Duration{0}) > Duration{0})
        return std::nullopt;
    if (const auto quota = detail::structured_quota(headers)) return quota;
    const std::chrono::sys_seconds now = time_of_answer(headers, local_now);
    struct Pair {
        std::string_view remaining;
        std::string_view reset;
    };
    for (const auto& [remaining, reset] :
         {Pair{"RateLimit-Remaining", "RateLimit-Reset"}, Pair{"X-RateLimit-Remaining", "X-RateLimit-Reset-After"},
          Pair{"X-RateLimit-Remaining", "X-RateLimit-Reset"},
          Pair{"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset-After"},
          Pair{"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"}}) {
        if (const auto quota = detail::paired_quota(headers, remaining, reset, now)) return quota;
    }
    return std::nullopt;
}

}  // namespace breakwater
