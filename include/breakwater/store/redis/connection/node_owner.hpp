#pragma once

#include <breakwater/clock.hpp>
#include <breakwater/store/redis/connection/command.hpp>
#include <breakwater/store/redis/handler.hpp>
#include <breakwater/store/redis/words.hpp>

#include <hiredis/hiredis.h>

#include <optional>
#include <string>
#include <string_view>

namespace breakwater::redis {

class Node;

/// Who uses the nodes. Called in the middle of a node's work: it may not destroy one.
class NodeOwner {
public:
    virtual void node_is_up(Node&, const HandshakeInfo&, Instant now) = 0;
    /// It was not up, or is no longer. Its commands are completed after this.
    virtual void node_failed(Node&, std::string_view reason, Instant now) = 0;
    /// The server wants the command to be sent elsewhere or later: MOVED, ASK, TRYAGAIN.
    virtual void redirected(Node&, Command&&, std::string_view error, Instant now) = 0;
    /// A slot is not where it was thought to be.
    virtual void map_is_old(Instant now) = 0;
    virtual bool is_cluster() const = 0;
    virtual void found_cluster(Node&) = 0;
    virtual void slots_arrived(Node&, const redisReply&, Instant now) = 0;
    /// A hash tag for keys on this node: empty without a cluster, nothing if the node keeps no slots.
    virtual std::optional<std::string> tag(const Node&) const = 0;
    /// Whether slots are on their way to this node, which is of use before it keeps one.
    virtual bool is_importing(Node&) const = 0;
    virtual Words heartbeat(std::string_view tag) = 0;
    virtual void heartbeat_answered(Node&, Reply&&) = 0;

protected:
    ~NodeOwner() = default;
};

}  // namespace breakwater::redis
