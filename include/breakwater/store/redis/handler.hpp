#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/redis/reply.hpp>
#include <breakwater/store/redis/words.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace breakwater::redis {

/// What a server has said of itself when a connection to it came up.
struct HandshakeInfo {
    std::string node{};            ///< Its address, for messages.
    std::string run_id{};          ///< Another one after each start. Empty where the ACL user may not ask (INFO).
    std::int64_t server_time = 0;  ///< Its clock, in microseconds since 1970 …
    Instant sent{};                ///< … read at some time after this,
    Instant received{};            ///< and before this, by `SteadyClock`.
    bool is_cluster = false;
};

/// Whether pushes arrive: after `stale` some may have been missed, until `fresh`.
enum class PushState : std::uint8_t { fresh, stale };

/// Told what happens to the connections, on the I/O thread with nothing held. It may use them, and destroy them.
///
/// It never blocks and never throws.
class Handler {
public:
    Handler() = default;
    virtual ~Handler() = default;

    /// A server (of a cluster: one of its masters) takes commands.
    virtual void on_up(const HandshakeInfo&) {}
    /// It does no longer, or did not at the first attempt. Not repeated for each attempt that fails after it.
    virtual void on_down(std::string_view /*node*/, std::string_view /*reason*/) {}

    virtual void on_push(std::string_view /*channel*/, std::string_view /*message*/) {}
    /// From now on what is published to the channel arrives. Again after each reconnection, before `fresh`.
    virtual void on_subscribed(std::string_view /*channel*/) {}
    /// Begins as `stale`, without being told.
    virtual void on_push_state(PushState, std::string_view /*reason*/) {}

    /// The time set with `Connections::wake_at` has come.
    virtual void on_timer() {}

    /// The write by which a server proves that it takes writes, sent when a connection is made and then every
    /// `heartbeat_interval`. Its key contains "{tag}" unless the tag is empty. By default a key with a TTL that says
    /// which process this is.
    virtual std::optional<Words> heartbeat(std::string_view /*tag*/) { return std::nullopt; }
    virtual void on_heartbeat(std::string_view /*node*/, Reply&&) {}

protected:
    Handler(const Handler&) = default;
    Handler& operator=(const Handler&) = default;
};

}  // namespace breakwater::redis
