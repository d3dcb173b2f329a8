#pragma once

#include <breakwater/http/date.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/retry_after.hpp>
#include <breakwater/timeline.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace breakwater {

/// The directives of Cache-Control (RFC 9111 §5.2, RFC 5861) that matter to a private cache. `private`, `public` and
/// `s-maxage` do not.
struct CacheControl {
    bool no_store = false;
    bool no_cache = false;  ///< Also when it names fields: the rest is not worth keeping then.
    bool must_revalidate = false;
    std::optional<Duration> max_age{};         ///< 0 if it is there but cannot be read.
    std::optional<Duration> stale_if_error{};  ///< How long past its lifetime an answer may stand in for an error.

    friend bool operator==(const CacheControl&, const CacheControl&) = default;
};

/// The directives of all Cache-Control fields, of a request or a response. The first of two that contradict holds;
/// unknown ones are skipped.
CacheControl parse_cache_control(const Headers& headers);

/// Whether an answer may be kept at all: of GET or HEAD, with status 200, and without `no-store`, `Set-Cookie` and
/// `Vary: *`.
bool is_storable(const Method& method, const Response& response);

/// Whether an answer may be shown past its lifetime when the service cannot be asked (RFC 9111 §4.2.4).
constexpr bool may_be_stale(const CacheControl& directives) noexcept {
    return !directives.no_store && !directives.no_cache && !directives.must_revalidate;
}

/// How long from now an answer just received is fresh: `max-age`, else `Expires` − `Date`; less its `Age`. 0 if it must
/// not be used unasked; nullopt if it says nothing. The local clock counts only where there is no `Date`.
std::optional<Duration> freshness_lifetime(const Headers& headers, std::chrono::sys_seconds local_now);

/// The names in Vary: lower case, sorted, each once. "*" is among them if the answer suits no other request.
std::vector<std::string> vary_names(const Headers& response_headers);

/// The part of a cache key that tells apart requests which differ in the given headers. It holds their values, so it
/// is as secret as they are.
std::string vary_key(const std::vector<std::string>& names, const Headers& request_headers);

namespace detail {

/// Longer lifetimes count as this (RFC 9111 §1.2.2).
inline constexpr Duration longest_lifetime = std::chrono::seconds{std::int64_t{1} << 31};

/// Calls `use(item)` for each comma-separated item of a list; commas in quoted strings do not count.
template <class Use>
void for_each_item(std::string_view list, Use use) {
    std::size_t begin = 0;
    bool quoted = false;
    for (std::size_t i = 0; i <= list.size(); ++i) {
        if (i == list.size() || (list[i] == ',' && !quoted)) {
            if (const auto item = trim(list.substr(begin, i - begin)); !item.empty()) use(item);
            begin = i + 1;
        } else if (list[i] == '"') {
            quoted = !quoted;
        } else if (list[i] == '\\' && quoted) {
            ++i;
            if (i == list.size()) --i;  // a backslash at the very end
        }
    }
}

template <class Use>
void for_each_item(const Headers& headers, std::string_view name, Use use) {
    for (const Header& field : headers) {
        if (equals_ignoring_case(field.name, name)) for_each_item(std::string_view{field.value}, use);
    }
}

}  // namespace detail

inline CacheControl parse_cache_control(const Headers& headers) {
    CacheControl found;
    detail::for_each_item(headers, "Cache-Control", [&](std::string_view item) {
        const auto equals = item.find('=');
        const std::string_view name = detail::trim(item.substr(0, equals));
        std::string_view value = equals == item.npos ? std::string_view{} : detail::trim(item.substr(equals + 1));
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
        const auto is = [&](std::string_view directive) { return detail::equals_ignoring_case(name, directive); };
        const auto seconds = [&] { return parse_delta_seconds(value, detail::longest_lifetime).value_or(Duration{0}); };
        if (is("no-store")) found.no_store = true;
        if (is("no-cache")) found.no_cache = true;
        if (is("must-revalidate")) found.must_revalidate = true;
        if (is("max-age") && !found.max_age) found.max_age = seconds();
        if (is("stale-if-error") && !found.stale_if_error) found.stale_if_error = seconds();
    });
    return found;
}

inline bool is_storable(const Method& method, const Response& response) {
    if (method != Method::get && method != Method::head) return false;
    if (response.status != 200 || response.headers.contains("Set-Cookie")) return false;
    bool varies_on_all = false;
    detail::for_each_item(response.headers, "Vary", [&](std::string_view name) { varies_on_all |= name == "*"; });
    return !varies_on_all && !parse_cache_control(response.headers).no_store;
}

inline std::optional<Duration> freshness_lifetime(const Headers& headers, std::chrono::sys_seconds local_now) {
    const CacheControl directives = parse_cache_control(headers);
    if (directives.no_store || directives.no_cache) return Duration{0};
    std::optional<Duration> lifetime = directives.max_age;
    if (const auto expires = headers.get("Expires"); expires && !lifetime) {
        const auto now = time_of_answer(headers, local_now);
        const auto limit = std::chrono::floor<std::chrono::seconds>(detail::longest_lifetime);
        const auto at = parse_http_date(detail::trim(*expires), now).value_or(now);  // unreadable: expired already
        lifetime = std::clamp(at - now, std::chrono::seconds{0}, limit);
    }
    if (!lifetime) return std::nullopt;
    const std::string_view age = detail::trim(headers.get("Age").value_or(""));
    return std::max(*lifetime - parse_delta_seconds(age, detail::longest_lifetime).value_or(Duration{0}), Duration{0});
}

inline std::vector<std::string> vary_names(const Headers& response_headers) {
    std::vector<std::string> names;
    detail::for_each_item(response_headers, "Vary", [&](std::string_view name) {
        for (char& c : names.emplace_back(name)) c = detail::to_lower(c);
    });
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

inline std::string vary_key(const std::vector<std::string>& names, const Headers& request_headers) {
    std::string key;
    const auto append = [&](std::string_view text) {  // with its length, so that no two lists make one key
        key.append(std::to_string(text.size())).append(":").append(text);
    };
    for (const std::string& name : names) {
        append(name);
        const auto values = request_headers.get_all(name);
        key.append("=").append(std::to_string(values.size()));
        for (const std::string_view value : values) append(detail::trim(value));
    }
    return key;
}

}  // namespace breakwater
