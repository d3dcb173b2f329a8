#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace breakwater::fleet {

/// Where the server keeps a cell. All cells of one name are kept together (a cluster's {hash tag}), those of keys under
/// it too; other layouts are other cells, so that what is deployed with another layout shares nothing with what was
/// there before.
struct Place {
    Place(std::string_view prefix, std::string_view kind, std::string_view name, std::string_view key_of_name,
          std::string_view layout_of_state)
        : stem{std::string{prefix} + "{" + escaped(name) + "}:" + escaped(kind) + ":" +
               (key_of_name.empty() ? "" : escaped(key_of_name) + ":")},
          layout{layout_of_state},
          key{stem + escaped(layout)} {}

    Place with(std::string other_layout) const {
        Place other{*this};
        other.key = other.stem + escaped(other_layout);
        other.layout = std::move(other_layout);
        return other;
    }

    std::string stem;
    std::string layout;
    std::string key;

private:
    /// Different words stay different, whatever they hold, and readable.
    static std::string escaped(std::string_view word) {
        std::string out;
        for (const char c : word) {
            const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                               c == '-' || c == '.' || c == '/' || c == '+' || c == '@';
            if (plain) {
                out += c;
            } else {
                out += '%';
                out += "0123456789ABCDEF"[static_cast<unsigned char>(c) >> 4];
                out += "0123456789ABCDEF"[static_cast<unsigned char>(c) & 15];
            }
        }
        return out;
    }
};

}  // namespace breakwater::fleet
