#pragma once

namespace breakwater::redis {

/// Whether `rediss://` works: CMake found hiredis's part for TLS (since hiredis 1.0) when this program was built.
#ifdef BREAKWATER_REDIS_TLS
inline constexpr bool has_tls = true;
#else
inline constexpr bool has_tls = false;
#endif

}  // namespace breakwater::redis
