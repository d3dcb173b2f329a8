#pragma once

#include <breakwater/store/redis/connection/decode.hpp>
#include <breakwater/store/redis/handler.hpp>
#include <breakwater/store/redis/url.hpp>
#include <breakwater/store/redis/words.hpp>

#include <hiredis/hiredis.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace breakwater::redis {

/// What a reply is to.
enum class Purpose : std::uint8_t {
    auth,
    select,
    time,
    info,
    slots,      ///< CLUSTER SLOTS.
    heartbeat,  ///< A small write.
    script,     ///< SCRIPT LOAD, sent ahead of the command that needs it.
    asking,     ///< ASKING, sent ahead of a command for a slot on the move.
    command,    ///< Of a caller.
};

/// The words a server has to answer before it is used.
inline Words greeting_words(Purpose purpose, const Url& url) {
    switch (purpose) {
        case Purpose::auth:
            if (url.user.empty()) return Words{}.add("AUTH").add(url.password);
            return Words{}.add("AUTH").add(url.user).add(url.password);
        case Purpose::select: return Words{}.add("SELECT").add(std::int64_t{url.database});
        case Purpose::time: return Words{}.add("TIME");
        case Purpose::info: return Words{}.add("INFO").add("server");
        case Purpose::slots: return Words{}.add("CLUSTER").add("SLOTS");
        default: return Words{}.add("PING");
    }
}

/// "name:value\r\n" in an answer to INFO.
inline std::string_view info_field(std::string_view info, std::string_view name) noexcept {
    for (std::size_t at = info.find(name); at != info.npos; at = info.find(name, at + 1)) {
        if (at > 0 && info[at - 1] != '\n') continue;
        const std::string_view rest = info.substr(at + name.size());
        if (rest.starts_with(':')) return rest.substr(1, rest.find_first_of("\r\n") - 1);
    }
    return {};
}

/// What a user may be allowed with, where a server has refused for lack of permission: a sentence for the operator.
inline std::string permission_hint(std::string_view error, const Url& url, std::string_view rules) {
    if (error_kind(error) != "NOPERM") return {};
    std::string text = "; allow it with: ACL SETUSER ";
    return text.append(url.user.empty() ? "default" : url.user).append(" ").append(rules);
}

/// Takes one of the answers to the greeting into `info`. The result is the reason why the server cannot be used; empty
/// if it can.
inline std::string digest(Purpose purpose, const redisReply& reply, const Url& url, HandshakeInfo& info) {
    const std::string_view text = text_of(reply);
    const auto refused = [&](std::string_view what, std::string_view rules) {
        return std::string{what}.append(": ").append(text).append(permission_hint(text, url, rules));
    };
    if (purpose == Purpose::info) {
        if (is_error(reply)) return {};  // nice to have
        info.run_id = info_field(text, "run_id");
        info.is_cluster = info_field(text, "redis_mode") == "cluster";
        return {};
    }
    if (purpose == Purpose::auth && is_error(reply)) return refused("the server refuses the user or password", "");
    if (purpose == Purpose::select && is_error(reply)) return refused("the server refuses the database", "+select");
    if (purpose == Purpose::slots && is_error(reply))
        return refused("the server does not tell its cluster's slots", "+cluster|slots");
    if (purpose == Purpose::time) {
        if (is_error(reply)) return refused("the server does not tell the time", "+time");
        if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 2) return "the server answers TIME without a time";
        const auto seconds = detail::whole_number<std::int64_t>(text_of(*reply.element[0]), 0, 1LL << 33);
        const auto microseconds = detail::whole_number<std::int64_t>(text_of(*reply.element[1]), 0, 999'999);
        if (!seconds || !microseconds) return "the server answers TIME without a time";
        info.server_time = *seconds * 1'000'000 + *microseconds;
    }
    return {};
}

}  // namespace breakwater::redis
