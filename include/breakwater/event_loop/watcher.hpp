#pragma once

#include <cstdint>

namespace breakwater {

/// What a descriptor is watched for.
enum class Interest : std::uint8_t { none = 0, read = 1, write = 2, both = 3 };

/// What a descriptor is ready for. A closed or broken one is ready for all it is watched for.
struct Ready {
    bool to_read = false;
    bool to_write = false;
    bool is_broken = false;
};

/// Is told on an event loop's thread that a descriptor is ready, again and again for as long as it is.
class Watcher {
public:
    virtual void on_ready(int descriptor, Ready ready) noexcept = 0;

protected:
    ~Watcher() = default;
};

}  // namespace breakwater
