#pragma once

#include <breakwater/transport/curl/easy_handle.hpp>
#include <breakwater/transport/curl/last_told.hpp>
#include <breakwater/transport/curl/options.hpp>

namespace breakwater::curl {

/// An easy handle that goes from one operation to the next.
struct PooledHandle {
    PooledHandle(const CurlOptions& options, LastTold& last) : easy{options, last} {}
    EasyHandle easy;
    bool waits_for_multiplexing = false;
};

}  // namespace breakwater::curl
