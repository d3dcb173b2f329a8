#pragma once

#include <breakwater/http/detail/uri_parts.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace breakwater {

/// A path without its "." and ".." segments (RFC 3986 §5.2.4).
inline std::string remove_dot_segments(std::string_view path) {
    std::string out;
    out.reserve(path.size());
    const auto drop_last_segment = [&out] { out.resize(out.rfind('/') == out.npos ? 0 : out.rfind('/')); };
    while (!path.empty()) {
        if (path.starts_with("../")) {
            path.remove_prefix(3);
        } else if (path.starts_with("./") || path.starts_with("/./")) {
            path.remove_prefix(2);
        } else if (path.starts_with("/../")) {
            path.remove_prefix(3);
            drop_last_segment();
        } else if (path == "/.") {
            path = "/";
        } else if (path == "/..") {
            path = "/";
            drop_last_segment();
        } else if (path == "." || path == "..") {
            path = {};
        } else {
            const auto segment = path.substr(0, path.find('/', 1));
            out += segment;
            path.remove_prefix(segment.size());
        }
    }
    return out;
}

/// The URI that `reference` means where it stands in the document `base` (RFC 3986 §5.2.2, strict, §5.3). `base` must
/// be absolute; neither is checked.
inline std::string resolve_reference(std::string_view base, std::string_view reference) {
    const detail::UriParts from = detail::split_uri(base);
    detail::UriParts to = detail::split_uri(reference);
    std::string path;
    if (to.scheme || to.authority) {
        path = remove_dot_segments(to.path);
    } else if (to.path.empty()) {
        path = from.path;
        if (!to.query) to.query = from.query;
    } else if (to.path.starts_with('/')) {
        path = remove_dot_segments(to.path);
    } else {  // §5.2.3: after the last "/" of the base
        const bool bare = from.authority && from.path.empty();
        std::string merged{bare ? "/" : from.path.substr(0, from.path.rfind('/') + 1)};
        path = remove_dot_segments(merged.append(to.path));
    }
    if (!to.scheme) {
        to.scheme = from.scheme;
        if (!to.authority) to.authority = from.authority;
    }
    std::string text;
    if (to.scheme) text.append(*to.scheme).append(":");
    if (to.authority) text.append("//").append(*to.authority);
    text.append(path);
    if (to.query) text.append("?").append(*to.query);
    if (to.fragment) text.append("#").append(*to.fragment);
    return text;
}

}  // namespace breakwater
