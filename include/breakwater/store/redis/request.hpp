#pragma once

#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/script.hpp>
#include <breakwater/store/redis/words.hpp>

#include <functional>
#include <string>

namespace breakwater::redis {

/// One command for the server that keeps `key`.
struct Request {
    /// A key that the command touches; in a cluster it chooses the node. All keys of a command have one `{hash-tag}`.
    std::string key{};
    Words command{};
    /// Of an EVALSHA: sent to a server that does not know it, and the command again. It must outlive the request.
    const Script* script = nullptr;
    /// Called exactly once: on the I/O thread, or at once on the caller's where there is no connection. Never blocks,
    /// never throws.
    std::move_only_function<void(Reply&&)> done{};
};

}  // namespace breakwater::redis
