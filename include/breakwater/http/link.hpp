#pragma once

#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/headers.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// One link of a `Link` header (RFC 8288 §3). The target stands as it was sent: often relative, never checked.
struct Link {
    std::string target{};
    std::string rel{};              ///< As sent: relation types in any case, separated by blanks.
    bool is_about_another = false;  ///< It has an `anchor`: a link of something other than the answer it came with.

    /// Whether it is a link of this relation type.
    bool has_rel(std::string_view wanted) const noexcept {
        const std::string_view all{rel};
        for (std::size_t at = 0; at < all.size();) {
            const std::size_t end = std::min(all.find_first_of(" \t", at), all.size());
            if (end > at && detail::equals_ignoring_case(all.substr(at, end - at), wanted)) return true;
            at = end + 1;
        }
        return false;
    }
};

/// The links of one field value, in order, read as RFC 8288 appendix B.2 says; where that stops making sense the rest
/// is dropped. At most 1,000.
inline std::vector<Link> parse_links(std::string_view field) {
    std::vector<Link> links;
    const auto skip = [&field](std::string_view what) {
        field.remove_prefix(std::min(field.find_first_not_of(what), field.size()));
    };
    const auto take_until = [&field](std::string_view ends) {
        const std::string_view taken = field.substr(0, field.find_first_of(ends));
        field.remove_prefix(taken.size());
        return taken;
    };
    const auto take_quoted = [&field] {
        std::string text;
        std::size_t i = 1;
        for (; i < field.size() && field[i] != '"'; ++i) {
            if (field[i] == '\\' && i + 1 < field.size()) ++i;
            text += field[i];
        }
        field.remove_prefix(std::min(i + 1, field.size()));
        return text;
    };
    for (skip(" \t,"); field.starts_with('<') && links.size() < 1'000; skip(" \t,")) {
        const auto close = field.find('>');
        if (close == field.npos) break;
        Link link{.target = std::string{detail::trim(field.substr(1, close - 1))}};
        field.remove_prefix(close + 1);
        bool has_rel = false;  // only the first counts, §3.3
        for (skip(" \t"); field.starts_with(';'); skip(" \t")) {
            skip(" \t;");
            const std::string_view name = detail::trim(take_until("=;,"));
            std::string value;
            if (field.starts_with('=')) {
                field.remove_prefix(1);
                skip(" \t");
                value = field.starts_with('"') ? take_quoted() : std::string{detail::trim(take_until(";,"))};
            }
            if (detail::equals_ignoring_case(name, "anchor")) link.is_about_another = true;
            if (detail::equals_ignoring_case(name, "rel") && !std::exchange(has_rel, true)) link.rel = std::move(value);
        }
        links.push_back(std::move(link));
        if (!field.empty() && field.front() != ',') break;
    }
    return links;
}

/// The target of the first link of this relation type in any of the `Link` headers, if there is one.
inline std::optional<std::string> find_link(const Headers& headers, std::string_view rel) {
    for (const std::string_view field : headers.get_all("Link")) {
        for (Link& link : parse_links(field))
            if (!link.is_about_another && link.has_rel(rel)) return std::move(link.target);
    }
    return std::nullopt;
}

}  // namespace breakwater
