#pragma once

#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/percent_encoding.hpp>
#include <breakwater/http/query.hpp>
#include <breakwater/http/url.hpp>
#include <breakwater/result.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// The URL that `target` means at `base`, with `query` added; `Errc::invalid_request` if it is not allowed.
///
/// A target begins with exactly one "/" and is appended to the path of `base`; `{name}` in it is replaced by the
/// encoded path parameter. An absolute URL is taken as it is, if its origin is that of `base` (a link to the next
/// page). Characters that may not stand in a URL are encoded; "%XX" is kept. The parts of a query follow each other: of
/// the base, of the target, `query`. Refused: "//" and dot segments in the path (also encoded ones), backslashes,
/// control characters, fragments, path parameters that are missing or not used.
Result<std::string> join_target(const Url& base, std::string_view target, const Query& query = {},
                                const PathParameters& path_parameters = {});

namespace detail {

/// True if a "." or ".." segment hides in an encoded path. Encoded dots, slashes and backslashes count as such, and so
/// does "..;x": some servers decode and cut before they look.
inline bool has_dot_segment(std::string_view path) noexcept {
    std::size_t dots = 0;
    bool only_dots = true;
    const auto is_dotted = [&] { return only_dots && (dots == 1 || dots == 2); };
    for (std::size_t i = 0; i < path.size(); ++i) {
        char c = path[i];
        if (is_percent_encoded(path, i)) {
            c = static_cast<char>(hex_value(path[i + 1]) * 16 + hex_value(path[i + 2]));
            i += 2;
        }
        if (c == '/' || c == '\\') {
            if (is_dotted()) return true;
            dots = 0;
            only_dots = true;
        } else if (c == '.') {
            ++dots;
        } else {
            if (c == ';' && is_dotted()) return true;
            only_dots = false;
        }
    }
    return is_dotted();
}

inline std::unexpected<Error> bad_target(std::string what) {
    return fail(Errc::invalid_request, "target: " + std::move(what));
}

/// Appends a target's path with its `{name}` places filled in.
inline Result<void> append_path(std::string& out, std::string_view path, const PathParameters& parameters) {
    std::vector<bool> used(parameters.size());
    for (auto open = path.find('{'); open != path.npos; open = path.find('{')) {
        const auto close = path.find('}', open);
        if (close == path.npos) return bad_target("'{' without '}'");
        const std::string_view name = path.substr(open + 1, close - open - 1);
        const auto at =
            std::find_if(parameters.begin(), parameters.end(), [&](const Parameter& p) { return p.name == name; });
        if (at == parameters.end()) return bad_target("path parameter \"" + percent_encode(name) + "\" is missing");
        if (at->value.empty()) return bad_target("path parameter \"" + percent_encode(name) + "\" is empty");
        append_legal(out, path.substr(0, open), is_path_character);
        append_component(out, at->value);
        used[static_cast<std::size_t>(at - parameters.begin())] = true;
        path.remove_prefix(close + 1);
    }
    append_legal(out, path, is_path_character);
    if (const auto unused = std::find(used.begin(), used.end(), false); unused != used.end()) {
        const Parameter& parameter = parameters[static_cast<std::size_t>(unused - used.begin())];
        return bad_target("has no place for path parameter \"" + percent_encode(parameter.name) + "\"");
    }
    return {};
}

}  // namespace detail

inline Result<std::string> join_target(const Url& base, std::string_view target, const Query& query,
                                       const PathParameters& path_parameters) {
    using detail::bad_target;
    for (const char c : target) {
        if (detail::is_control(c)) return bad_target("must not hold control characters");
        if (c == '\\') return bad_target("must not hold a backslash");
        if (c == '#') return bad_target("must not have a fragment");
    }
    std::string url = base.root();
    const std::size_t root = url.size();
    url.reserve(root + base.path().size() + target.size() + 64);
    std::string_view path = target.substr(0, target.find('?'));
    if (target.starts_with('/')) {
        const std::string_view prefix = base.path();
        url.append(prefix.substr(0, prefix.size() - (prefix.ends_with('/') ? 1 : 0)));
    } else {
        // Only the origin is taken from here; the rest is encoded below like any target.
        const auto authority = path.find("://");
        if (authority == path.npos) return bad_target("must begin with one '/'");
        const auto slash = path.find('/', authority + 3);
        const auto origin = Url::parse(path.substr(0, slash));
        if (!origin) return bad_target("not allowed: " + std::string{origin.error().detail()});
        if (!origin->same_origin(base)) return bad_target("is an absolute URL of another origin");
        path = slash == path.npos ? std::string_view{"/"} : path.substr(slash);
    }
    if (auto ok = detail::append_path(url, path, path_parameters); !ok) return fail(std::move(ok.error()));

    const std::string_view whole_path = std::string_view{url}.substr(root);
    if (path.find("//") != path.npos) return bad_target("must not hold \"//\" in its path");
    if (detail::has_dot_segment(whole_path)) return bad_target("must not hold \".\" or \"..\" as a path segment");

    char separator = '?';
    const auto begin_query = [&] { url += std::exchange(separator, '&'); };
    if (target.starts_with('/') && base.query() && !base.query()->empty()) {
        begin_query();
        url += *base.query();
    }
    if (const auto mark = target.find('?'); mark != target.npos && mark + 1 < target.size()) {
        begin_query();
        detail::append_legal(url, target.substr(mark + 1), detail::is_query_character);
    }
    if (!query.empty()) {
        begin_query();
        query.append_to(url);
    }
    return url;
}

}  // namespace breakwater
