#pragma once

#include <cstddef>
#include <string_view>

namespace breakwater {

/// What one key's policy is called in events and errors: "name key", or the key alone if there is no name. Made without
/// allocating; no longer than an error keeps.
class KeyedName {
public:
    KeyedName(std::string_view name, std::string_view key) noexcept {
        add(name);
        if (!name.empty()) add(" ");
        add(key);
    }
    std::string_view text() const noexcept { return {text_, size_}; }

private:
    void add(std::string_view part) noexcept { size_ += part.copy(text_ + size_, sizeof text_ - size_); }

    char text_[64];
    std::size_t size_ = 0;
};

}  // namespace breakwater
