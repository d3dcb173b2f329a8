#pragma once

#include <breakwater/detail/search.hpp>
#include <breakwater/http/detail/characters.hpp>
#include <breakwater/http/redact.hpp>
#include <breakwater/http/request.hpp>
#include <breakwater/http/url.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace breakwater {

/// "GET /orders/{}/items": the method and the path, without query, with each segment of digits folded.
inline std::string endpoint_of(const Request& request) {
    std::string_view path{request.url};
    path = detail::without_query(path);
    if (const auto authority = path.find("://"); authority != path.npos) path.remove_prefix(authority + 3);
    const auto slash = path.find('/');
    path = slash == path.npos ? std::string_view{"/"} : path.substr(slash);

    std::string endpoint{request.method.name()};
    endpoint += ' ';
    while (!path.empty()) {
        const auto end = path.find('/', 1);
        const std::string_view segment = path.substr(1, end == path.npos ? end : end - 1);
        const bool numeric = !segment.empty() && detail::all_of(segment, [](char c) { return c >= '0' && c <= '9'; });
        endpoint.append("/").append(numeric ? std::string_view{"{}"} : segment);
        path = end == path.npos ? std::string_view{} : path.substr(end);
    }
    return endpoint;
}

/// "https://api.example.com", with the port only if it is not the default one (the origin of RFC 6454); the URL itself
/// if it is none.
inline std::string host_of(const Request& request) {
    const auto url = Url::parse(request.url);
    return url ? url->root() : request.url;
}

/// Tells requests apart by the service they go to: `host_of`.
struct ByHost {
    std::string operator()(const Request& request) const { return host_of(request); }
};
/// By method and path: `endpoint_of`.
struct ByEndpoint {
    std::string operator()(const Request& request) const { return endpoint_of(request); }
};
/// Not at all.
struct ByClient {
    std::string operator()(const Request&) const { return {}; }
};
constexpr ByHost by_host() noexcept { return {}; }
constexpr ByEndpoint by_endpoint() noexcept { return {}; }
constexpr ByClient by_client() noexcept { return {}; }

/// What is kept apart: `by_host()`, `by_endpoint()`, `by_client()` or a function of one's own.
using RequestKey = std::function<std::string(const Request&)>;

/// The same key as it may be shown.
inline RequestKey without_secrets(RequestKey key, const Redaction& words) {
    if (key.target<ByHost>() != nullptr || key.target<ByClient>() != nullptr) return key;
    if (key.target<ByEndpoint>() != nullptr) {  // before folding, which could cut a secret in parts
        return [words](const Request& request) {
            const std::string path = request.url.substr(0, request.url.find('?'));
            if (!words.is_telling(path)) return endpoint_of(request);
            return endpoint_of(Request{.method = request.method, .url = words.text(path)});
        };
    }
    return [key = std::move(key), words](const Request& request) {
        std::string own = key(request);
        return words.is_telling(own) ? words.text(own) : own;
    };
}

/// The key; what `otherwise` says if there is no function, or it throws.
inline std::string key_of(const RequestKey& key, const Request& request, std::string (*otherwise)(const Request&)) {
    try {
        if (key) return key(request);
    } catch (...) {  // a function that throws knows no better key
    }
    return otherwise(request);
}

}  // namespace breakwater
