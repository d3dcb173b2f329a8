#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/http/content_range.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>
#include <breakwater/http/method.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/http/validator.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

/// Where a file's download may go on: so many bytes of this version are there.
struct ResumePoint {
    std::uint64_t from = 0;  ///< At least 1.
    Validator validator{};
    std::optional<std::uint64_t> total{};
};

/// Whether parts of the answer can be asked for: a GET that asks for the whole unconditionally.
inline bool is_resumable(const Request& request) {
    if (request.method != Method::get) return false;
    constexpr std::string_view own[] = {"Range",         "If-Range",          "If-Match",
                                        "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"};
    return detail::none_of(own, [&](std::string_view name) { return request.headers.contains(name); });
}

/// Adds what asks for the rest (RFC 9110 §13.1.5, §14.2); without a point, for the whole in a form that can be resumed.
inline void ask_for_rest(Headers& headers, const std::optional<ResumePoint>& point) {
    if (!headers.contains("Accept-Encoding")) headers.add("Accept-Encoding", "identity");
    if (!point) return;
    headers.set("Range", "bytes=" + std::to_string(point->from) + "-");
    headers.set("If-Range", point->validator.text);
}

/// Whether the body is in another form than the file: an offset in one means nothing in the other.
inline bool is_encoded(const Headers& headers) {
    const auto codings = headers.get_all("Content-Encoding");
    return detail::any_of(codings, [](std::string_view coding) {
        return !detail::equals_ignoring_case(detail::trim(coding), "identity");
    });
}

/// Where the content of a 2xx answer belongs.
struct ContentPlace {
    enum class Kind : std::uint8_t {
        whole,    ///< It is the file.
        rest,     ///< It goes on from the resume point.
        unusable  ///< It is neither: another part, or a part of something else.
    };
    Kind kind = Kind::unusable;
    std::optional<std::uint64_t> end{};    ///< Where it ends in the file, if that is known.
    std::optional<std::uint64_t> total{};  ///< How long the file is, if that is known.
};

/// Of an answer to a request for what is beyond `asked`, or for the whole.
inline ContentPlace content_place(const Response& answer, const std::optional<ResumePoint>& asked) {
    using Kind = ContentPlace::Kind;
    if (answer.status != 206) {
        ContentPlace place{.kind = Kind::whole};
        if (const auto length = answer.headers.get("Content-Length"); length && !is_encoded(answer.headers))
            place.end = place.total = detail::parse_decimal(*length);
        return place;
    }
    const auto ranges = answer.headers.get_all("Content-Range");
    if (!asked || ranges.size() != 1 || is_encoded(answer.headers) || contradicts(answer.headers, asked->validator))
        return {};
    const auto range = parse_content_range(ranges.front());
    if (!range || !range->bytes || range->bytes->first != asked->from) return {};
    if (asked->total && range->total.value_or(*asked->total) != *asked->total) return {};
    const auto total = asked->total ? asked->total : range->total;
    const std::uint64_t end = range->bytes->last + 1;
    if (total && end > *total) return {};
    return {.kind = Kind::rest, .end = end, .total = total};
}

/// Whether a 416 says that nothing is missing beyond `asked`.
inline bool says_complete(const Response& answer, const ResumePoint& asked) {
    const auto value = answer.headers.get("Content-Range");
    const auto range = value ? parse_content_range(*value) : std::nullopt;
    return answer.status == 416 && range && !range->bytes && range->total == asked.from &&
           asked.total.value_or(asked.from) == asked.from && !contradicts(answer.headers, asked.validator);
}

}  // namespace breakwater
