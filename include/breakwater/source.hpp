#pragma once

#include <cstdint>
#include <string_view>

namespace breakwater {

/// Where an answer came from.
enum class Source : std::uint8_t {
    network,      ///< The service, for this call.
    cache,        ///< Fresh, from the cache.
    stale_cache,  ///< From the cache past its lifetime, because the service could not be asked.
    coalesced,    ///< Another call's answer to the same question.
    fallback,     ///< The call's fallback.
};

constexpr std::string_view to_string(Source source) noexcept {
    switch (source) {
        case Source::network: return "network";
        case Source::cache: return "cache";
        case Source::stale_cache: return "stale_cache";
        case Source::coalesced: return "coalesced";
        case Source::fallback: return "fallback";
    }
    return "unknown";
}

}  // namespace breakwater
