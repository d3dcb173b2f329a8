#pragma once

#include <breakwater/store/redis/connection/decode.hpp>
#include <breakwater/store/redis/url.hpp>

#include <hiredis/hiredis.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater::redis {

inline constexpr unsigned cluster_slots = 16'384;

namespace detail {

/// CRC-16/XMODEM (polynomial 0x1021, begins with 0), as the Redis Cluster specification has it.
inline constexpr std::array<std::uint16_t, 256> crc16_table = [] {
    std::array<std::uint16_t, 256> table{};
    for (unsigned byte = 0; byte < 256; ++byte) {
        unsigned crc = byte << 8;
        for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) != 0 ? (crc << 1) ^ 0x1021U : crc << 1;
        table[byte] = static_cast<std::uint16_t>(crc);
    }
    return table;
}();

constexpr std::uint16_t crc16(std::string_view text) noexcept {
    unsigned crc = 0;
    for (const char c : text)
        crc = ((crc << 8) ^ crc16_table[((crc >> 8) ^ static_cast<unsigned char>(c)) & 0xffU]) & 0xffffU;
    return static_cast<std::uint16_t>(crc);
}

}  // namespace detail

/// A key's slot: of what is between its first "{" and the next "}" if that is not empty, else of the whole.
constexpr std::uint16_t slot_of(std::string_view key) noexcept {
    if (const auto open = key.find('{'); open != key.npos) {
        if (const auto close = key.find('}', open + 1); close != key.npos && close > open + 1)
            key = key.substr(open + 1, close - open - 1);
    }
    return static_cast<std::uint16_t>(detail::crc16(key) % cluster_slots);
}
static_assert(slot_of("123456789") == 0x31c3 % cluster_slots);
static_assert(slot_of("{user1000}.following") == slot_of("{user1000}.followers"));

/// Slots of one master.
struct SlotRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    std::string host{};  ///< Empty: the one that was asked.
    std::uint16_t port = 0;
};

/// The answer to CLUSTER SLOTS; what is malformed in it is left out.
inline std::vector<SlotRange> slot_ranges(const redisReply& reply) {
    std::vector<SlotRange> ranges;
    if (reply.type != REDIS_REPLY_ARRAY) return ranges;
    for (std::size_t i = 0; i < reply.elements; ++i) {
        const redisReply& entry = *reply.element[i];
        if (entry.type != REDIS_REPLY_ARRAY || entry.elements < 3) continue;
        const redisReply& first = *entry.element[0];
        const redisReply& last = *entry.element[1];
        const redisReply& master = *entry.element[2];
        if (first.type != REDIS_REPLY_INTEGER || last.type != REDIS_REPLY_INTEGER || master.type != REDIS_REPLY_ARRAY ||
            master.elements < 2 || master.element[1]->type != REDIS_REPLY_INTEGER)
            continue;
        const long long port = master.element[1]->integer;
        if (first.integer < 0 || last.integer < first.integer || last.integer >= cluster_slots || port < 1 ||
            port > 65535)
            continue;
        std::string host{text_of(*master.element[0])};
        if (host == "?") continue;  // a node whose name nobody has set yet
        ranges.push_back({static_cast<std::uint16_t>(first.integer), static_cast<std::uint16_t>(last.integer),
                          std::move(host), static_cast<std::uint16_t>(port)});
    }
    return ranges;
}

/// "MOVED 3999 127.0.0.1:6381", "ASK …".
struct Redirection {
    std::uint16_t slot = 0;
    std::string host{};  ///< Empty: the one that was asked.
    std::uint16_t port = 0;
};

inline std::optional<Redirection> redirection(std::string_view error) {
    const auto [kind, rest] = detail::cut(error, ' ');
    const auto [slot, place] = detail::cut(rest.value_or(""), ' ');
    const auto number = detail::whole_number<std::uint16_t>(slot, 0, cluster_slots - 1);
    const auto colon = place ? place->rfind(':') : std::string_view::npos;
    if (!number || colon == std::string_view::npos) return std::nullopt;
    const auto port = detail::whole_number<std::uint16_t>(place->substr(colon + 1), 1, 65535);
    if (!port) return std::nullopt;
    return Redirection{*number, std::string{place->substr(0, colon)}, *port};
}

}  // namespace breakwater::redis
