#pragma once

#include <breakwater/store/redis/options.hpp>
#include <breakwater/store/redis/words.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace breakwater::redis {

/// "prefix{tag}:instance:NAME" (without the braces if there is no tag) with the process's number, for ten heartbeats.
inline Words default_heartbeat(const RedisStoreOptions& options, std::string_view instance, std::string_view tag) {
    std::string key = options.prefix;
    if (!tag.empty()) key.append("{").append(tag).append("}:");
    key.append("instance:").append(instance);
    const auto lifetime = std::chrono::ceil<std::chrono::milliseconds>(10 * options.heartbeat_interval);
    return Words{}.add("SET").add(key).add(std::int64_t{::getpid()}).add("PX").add(std::int64_t{lifetime.count()});
}

}  // namespace breakwater::redis
