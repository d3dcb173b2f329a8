#pragma once

#include <breakwater/store/redis/reply.hpp>

#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace breakwater::redis {

/// The text of a status, an error or a string.
inline std::string_view text_of(const redisReply& reply) noexcept {
    return reply.str != nullptr ? std::string_view{reply.str, reply.len} : std::string_view{};
}

inline bool is_error(const redisReply& reply) noexcept { return reply.type == REDIS_REPLY_ERROR; }

namespace detail {

inline void collect(const redisReply& from, Reply& into) {
    switch (from.type) {
        case REDIS_REPLY_INTEGER: into.numbers.push_back(from.integer); break;
        case REDIS_REPLY_ARRAY:
            for (std::size_t i = 0; i < from.elements; ++i) collect(*from.element[i], into);
            break;
        case REDIS_REPLY_NIL: break;
        default: into.text.assign(text_of(from));
    }
}

}  // namespace detail

inline Reply decode(const redisReply& from) {
    Reply reply{.kind = Reply::Kind::answer};
    if (from.type == REDIS_REPLY_NIL) reply.kind = Reply::Kind::nothing;
    if (is_error(from)) reply.kind = Reply::Kind::error;
    if (from.type == REDIS_REPLY_ARRAY) reply.numbers.reserve(from.elements);
    detail::collect(from, reply);
    return reply;
}

/// An error's first word: what kind it is.
constexpr std::string_view error_kind(std::string_view error) noexcept { return error.substr(0, error.find(' ')); }

/// Whether a server that answers so is of no use for now, whatever it is asked.
inline bool means_down(std::string_view error) noexcept {
    constexpr std::string_view kinds[] = {"LOADING",    "READONLY", "OOM",        "MISCONF", "CLUSTERDOWN",
                                          "MASTERDOWN", "BUSY",     "NOREPLICAS", "NOAUTH"};
    return std::ranges::find(kinds, error_kind(error)) != std::end(kinds);
}

}  // namespace breakwater::redis
