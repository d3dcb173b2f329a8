#pragma once

#include <breakwater/store/fleet/link.hpp>
#include <breakwater/store/redis/reply.hpp>

#include <string>

namespace breakwater::redis {

/// Why a command has no answer, in a link's words.
inline fleet::LinkFailure failure_of(const Reply& reply) {
    using Kind = fleet::LinkFailure::Kind;
    switch (reply.kind) {
        case Reply::Kind::unreachable: return {Kind::unreachable, "the server cannot be reached"};
        case Reply::Kind::timed_out: return {Kind::lost, "no answer in time"};
        case Reply::Kind::disconnected: return {Kind::lost, "the connection broke"};
        case Reply::Kind::answer:
        case Reply::Kind::nothing:
        case Reply::Kind::error: break;
    }
    const bool is_unreadable =
        reply.text.find("BREAKWATER unreadable") != std::string::npos || reply.text.starts_with("WRONGTYPE");
    return {is_unreadable ? Kind::unreadable : Kind::refused, reply.text};
}

/// Of an answer that cannot be read.
inline fleet::LinkFailure garbled() {
    return {fleet::LinkFailure::Kind::unreadable, "the script's answer is not of this version"};
}

}  // namespace breakwater::redis
