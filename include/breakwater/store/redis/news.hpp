#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace breakwater::redis {

/// News that a script has published: `key machine number…`. Of a circuit the numbers are those of `circuit_view`, of a
/// pause the state's.
struct News {
    std::string key{};
    std::string machine{};
    std::vector<std::int64_t> numbers{};
};

/// Reads a message; empty if it is none of ours. (From its end, as a key may have spaces.)
inline std::optional<News> read_news(std::string_view message) {
    News news;
    while (true) {
        const std::size_t space = message.rfind(' ');
        if (space == std::string_view::npos || space == 0) return std::nullopt;
        const std::string_view word = message.substr(space + 1);
        message.remove_suffix(message.size() - space);
        std::int64_t number = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
        if (error == std::errc{} && end == word.data() + word.size()) {
            news.numbers.push_back(number);
            continue;
        }
        if (word.empty() || news.numbers.empty()) return std::nullopt;
        std::ranges::reverse(news.numbers);
        news.machine = word;
        news.key = message;
        return news;
    }
}

}  // namespace breakwater::redis
