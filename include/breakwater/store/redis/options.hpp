#pragma once

#include <breakwater/backoff.hpp>
#include <breakwater/detail/invalid_option.hpp>
#include <breakwater/events.hpp>
#include <breakwater/result.hpp>
#include <breakwater/store/fleet/options.hpp>
#include <breakwater/store/redis/tls.hpp>
#include <breakwater/store/redis/url.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace breakwater {

/// How a fleet shares state in Redis, Valkey or a Redis Cluster.
struct RedisStoreOptions {
    /// "redis://user:password@host:6379/0"; rediss:// for TLS, where hiredis was built with it; for a Unix socket
    /// "unix:///path?db=0". See `redis::Url`.
    std::string url = "redis://127.0.0.1:6379/0";
    /// A cluster's nodes to begin with, as URLs; the others are found. If there are any, `url` is not used. User and
    /// password of the first are used for the nodes found. At most 1,000; no Unix sockets; the database is 0.
    std::vector<std::string> nodes{};
    /// A PEM file with the authorities that rediss:// trusts instead of the system's.
    std::optional<std::string> ca_file{};
    /// What every key and channel begins with. 1 to 64 printable ASCII characters but "{", "}" and space.
    std::string prefix = "breakwater:";
    /// How long a command may take; after that the server is regarded as down. 1 ms to 10 s.
    Duration command_timeout = std::chrono::milliseconds{50};
    /// How long connecting (the name's resolution included) may take; nobody waits for it. 1 ms to 60 s.
    Duration connect_timeout = std::chrono::milliseconds{500};
    /// How long outcomes are gathered before they are sent. 1 ms to 10 s.
    Duration flush_interval = std::chrono::milliseconds{50};
    /// How often the connection for pushes is asked whether it is alive. What a process knows of the fleet is older
    /// than this and `command_timeout` together only where it says so. 10 ms to 1 h.
    Duration ping_interval = std::chrono::seconds{1};
    /// How often a process says that it lives; a hung server that nobody uses is noticed in that time. 10 ms to 1 h.
    Duration heartbeat_interval = std::chrono::seconds{1};
    /// The delays between attempts to connect again.
    Backoff<> reconnect{.base = std::chrono::milliseconds{50}, .cap = std::chrono::seconds{2}};
    /// How many permits of a limiter are fetched at a time, at most: 1 is exact, with one round trip for each permit.
    /// 1 to 8,000; never more than half of a fair share of the burst.
    std::uint32_t lease = 1;
    /// How many distinct processes must have seen failures before a circuit opens for all. 1 to 16. By default 2 as
    /// soon as three have been seen, else 1.
    std::optional<std::uint32_t> min_reporters{};
    /// What policies do while the store cannot be reached.
    OnStoreFailure on_store_failure = OnStoreFailure::local;
    /// Shared by the fleet; authenticates what the shared response cache holds, which is off without it. Empty, or at
    /// least 32 bytes. In no message.
    std::string secret{};
    /// The largest value the shared response cache stores or accepts. 1 KiB to 512 MiB.
    std::size_t max_blob_bytes = std::size_t{1} << 20;
    /// Told of what happens to the store, on a thread of its own; for up to `command_timeout` after the last handle has
    /// gone, too, so what it refers to must outlive that.
    Observer observer{};
};

/// The first mistake, as "path.field: legal range, value". Never repeats a URL or the secret.
inline Result<void> validate(const RedisStoreOptions& options, std::string_view path = "redis") {
    using std::chrono::hours, std::chrono::milliseconds, std::chrono::seconds;
    const auto wrong = [&](std::string_view field, std::string_view why) {
        std::string text{path};
        if (!path.empty()) text += '.';
        return fail(Errc::invalid_options, text.append(field).append(": ").append(why));
    };
    const auto check_url = [&](const std::string& text, const std::string& field, bool is_node) -> Result<void> {
        const Result<redis::Url> url = redis::Url::parse(text);
        if (!url) return wrong(field, url.error().detail());
        if (url->scheme == redis::Url::Scheme::rediss && !redis::has_tls)
            return wrong(field, "rediss:// needs hiredis with TLS, without which this program was built");
        if (is_node && url->scheme == redis::Url::Scheme::unix_socket)
            return wrong(field, "a cluster's node must be given by host and port");
        if (is_node && url->database != 0) return wrong(field, "must name database 0: a cluster has no other");
        return {};
    };
    if (options.nodes.empty()) {
        if (auto ok = check_url(options.url, "url", false); !ok) return ok;
    }
    if (options.nodes.size() > 1000) return detail::invalid_option(path, "nodes", "at most 1000", options.nodes.size());
    for (std::size_t i = 0; i < options.nodes.size(); ++i) {
        if (auto ok = check_url(options.nodes[i], "nodes[" + std::to_string(i) + "]", true); !ok) return ok;
    }
    if (options.ca_file && options.ca_file->empty()) return wrong("ca_file", "must be a path, got \"\"");
    const auto is_plain = [](char c) { return c > ' ' && c <= '~' && c != '{' && c != '}'; };
    if (options.prefix.empty() || options.prefix.size() > 64 || !std::ranges::all_of(options.prefix, is_plain))
        return wrong("prefix", "must be 1 to 64 printable ASCII characters but \"{\", \"}\" and space");

    struct Span {
        std::string_view field;
        Duration given, least, most;
        std::string_view range;
    };
    const Span spans[] = {
        {"command_timeout", options.command_timeout, milliseconds{1}, seconds{10}, "1ms to 10s"},
        {"connect_timeout", options.connect_timeout, milliseconds{1}, seconds{60}, "1ms to 1min"},
        {"flush_interval", options.flush_interval, milliseconds{1}, seconds{10}, "1ms to 10s"},
        {"ping_interval", options.ping_interval, milliseconds{10}, hours{1}, "10ms to 1h"},
        {"heartbeat_interval", options.heartbeat_interval, milliseconds{10}, hours{1}, "10ms to 1h"},
    };
    for (const Span& span : spans) {
        if (span.given < span.least || span.given > span.most)
            return detail::invalid_option(path, span.field, span.range, span.given);
    }
    std::string reconnect{path};
    if (auto ok = validate(options.reconnect, reconnect.append(path.empty() ? "" : ".").append("reconnect")); !ok)
        return ok;
    if (options.lease < 1 || options.lease > 8'000)
        return detail::invalid_option(path, "lease", "1 to 8000", options.lease);
    if (options.min_reporters && (*options.min_reporters < 1 || *options.min_reporters > 16))
        return detail::invalid_option(path, "min_reporters", "1 to 16", *options.min_reporters);
    if (!options.secret.empty() && options.secret.size() < 32)
        return wrong("secret", "must be empty or at least 32 bytes");
    if (options.max_blob_bytes < 1024 || options.max_blob_bytes > std::size_t{512} << 20)
        return detail::invalid_option(path, "max_blob_bytes", "1024 to 536870912", options.max_blob_bytes);
    return {};
}

}  // namespace breakwater
