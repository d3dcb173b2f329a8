#pragma once

#include <breakwater/client/duration.hpp>
#include <breakwater/timeline.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater::detail {

/// How many single-character edits make `a` of `b` (Levenshtein).
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t k = 1; k <= b.size(); ++k) {
            const std::size_t replaced = diagonal + (a[i - 1] != b[k - 1]);
            diagonal = std::exchange(row[k], std::min({replaced, row[k] + 1, row[k - 1] + 1}));
        }
    }
    return row.back();
}

/// A value in a configuration and the path to it. Mistakes are collected by path; a mistaken value is left out.
class JsonReader {
public:
    JsonReader(const nlohmann::json& value, std::string path, std::vector<std::string>& mistakes)
        : value_{value}, path_{std::move(path)}, mistakes_{mistakes} {}

    const nlohmann::json& value() const noexcept { return value_; }
    const std::string& path() const noexcept { return path_; }
    void mistake(std::string_view what) const {
        mistakes_.push_back((path_.empty() ? "the configuration" : path_) + ": " + std::string{what});
    }

    void read(std::string& into) const {
        if (value_.is_string())
            into = value_.get<std::string>();
        else
            wrong_type("a string");
    }
    template <std::integral T>
        requires(!std::same_as<T, bool>)
    void read(T& into) const {
        if (!value_.is_number_integer()) return wrong_type("an integer");
        const bool negative =
            value_.is_number_integer() && !value_.is_number_unsigned() && value_.get<std::int64_t>() < 0;
        if (negative ? std::in_range<T>(value_.get<std::int64_t>()) : std::in_range<T>(value_.get<std::uint64_t>())) {
            into = negative ? static_cast<T>(value_.get<std::int64_t>()) : static_cast<T>(value_.get<std::uint64_t>());
        } else {
            mistake("must be " + std::to_string(std::numeric_limits<T>::min()) + " to " +
                    std::to_string(std::numeric_limits<T>::max()) + ", got " + value_.dump());
        }
    }
    void read(double& into) const {
        if (value_.is_number())
            into = value_.get<double>();
        else
            wrong_type("a number");
    }
    void read(bool& into) const {
        if (value_.is_boolean())
            into = value_.get<bool>();
        else
            wrong_type("true or false");
    }
    void read(Duration& into) const {
        if (value_.is_number())
            return mistake("must be a duration with its unit, such as \"250ms\" or \"2min\", got " + value_.dump());
        if (!value_.is_string()) return wrong_type("a duration such as \"250ms\" or \"2min\"");
        const auto& text = value_.get_ref<const std::string&>();
        if (const auto parsed = parse_duration(text))
            into = *parsed;
        else
            mistake("must be a duration such as \"250ms\", \"1.5s\" or \"2min\", got " + value_.dump());
    }
    template <class T>
    void read(std::optional<T>& into) const {
        T own{};
        const std::size_t before = mistakes_.size();
        read(own);
        if (mistakes_.size() == before) into = std::move(own);
    }
    /// One of a few words.
    template <class T>
    void read_word(T& into, std::initializer_list<std::pair<std::string_view, T>> words) const {
        std::string names;
        for (const auto& [word, meaning] : words) {
            if (value_ == word) {
                into = meaning;
                return;
            }
            names.append(names.empty() ? "\"" : ", \"").append(word).append("\"");
        }
        mistake("must be one of " + names + ", got " + value_.dump());
    }

    /// Reads an object's members: `object([&](auto& member) { member("name", options.name); … })`. Every key that no
    /// `member` call names is a mistake.
    template <class F>
    void object(F read_members) const {
        if (!value_.is_object()) return wrong_type("an object");
        std::vector<std::string_view> known;
        const auto member = [&](std::string_view key, auto&& into) {
            known.push_back(key);
            const auto found = value_.find(std::string{key});
            if (found == value_.end()) return;
            const JsonReader reader{*found, path_.empty() ? std::string{key} : path_ + "." + std::string{key},
                                    mistakes_};
            if constexpr (std::invocable<decltype(into), const JsonReader&>)
                into(reader);
            else
                reader.read(into);
        };
        read_members(member);
        for (const auto& [key, unused] : value_.items()) {
            if (std::ranges::find(known, key) != known.end()) continue;
            const JsonReader reader{unused, path_.empty() ? key : path_ + "." + key, mistakes_};
            reader.mistake("unknown key" + suggestion(key, known));
        }
    }

    void wrong_type(std::string_view wanted) const {
        mistake("must be " + std::string{wanted} + ", got " +
                (value_.is_null() ? "null" : "a value of type " + std::string{value_.type_name()}));
    }

private:
    static std::string suggestion(std::string_view key, const std::vector<std::string_view>& known) {
        std::string_view nearest;
        std::size_t least = std::max<std::size_t>(2, key.size() / 3) + 1;
        for (const std::string_view name : known) {
            if (const std::size_t distance = edit_distance(key.substr(0, 64), name); distance < least) {
                least = distance;
                nearest = name;
            }
        }
        return nearest.empty() ? "" : "; did you mean \"" + std::string{nearest} + "\"?";
    }

    const nlohmann::json& value_;
    std::string path_;
    std::vector<std::string>& mistakes_;
};

}  // namespace breakwater::detail
