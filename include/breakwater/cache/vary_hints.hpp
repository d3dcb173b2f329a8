#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater::detail {

/// What the answers for a URL varied on when it was last looked up: what to look for at once the next time. Of the keys
/// seen last, and never relied upon. Thread-safe.
class VaryHints {
public:
    using Names = std::vector<std::string>;

    Names find(std::string_view key) const {
        const std::size_t hash = std::hash<std::string_view>{}(key);
        const std::scoped_lock lock{mutex_};
        const Hint& hint = hints_[hash % hints_.size()];
        return hint.key == hash ? hint.names : Names{};
    }
    void learn(std::string_view key, Names names) {
        const std::size_t hash = std::hash<std::string_view>{}(key);
        const std::scoped_lock lock{mutex_};
        hints_[hash % hints_.size()] = {hash, std::move(names)};
    }

private:
    struct Hint {
        std::size_t key = 0;  // its hash
        Names names{};
    };
    mutable std::mutex mutex_;
    std::array<Hint, 256> hints_{};
};

}  // namespace breakwater::detail
