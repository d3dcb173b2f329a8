#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/script.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace breakwater::redis {

/// A request on its way. `bytes` are kept until it is answered, so that it can be sent again.
struct Command {
    std::string bytes{};
    const Script* script = nullptr;
    std::move_only_function<void(Reply&&)> done{};
    Instant deadline{};
    std::uint16_t slot = 0;   ///< Of a cluster.
    std::uint8_t resent = 0;  ///< How often a server has asked for it to be sent again.

    void complete(Reply&& reply) {
        if (auto call = std::exchange(done, nullptr)) call(std::move(reply));
    }
    void complete(Reply::Kind kind) { complete(Reply{.kind = kind}); }
};

}  // namespace breakwater::redis
