#pragma once

#include <breakwater/client/duration.hpp>
#include <breakwater/client/size.hpp>
#include <breakwater/detail/search.hpp>
#include <breakwater/result.hpp>
#include <breakwater/timeline.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <optional>
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

/// "a string", "an object": what a value is, without showing it.
template <class Json>
std::string_view kind_of(const Json& value) {
    switch (value.type()) {
        case Json::value_t::null: return "null";
        case Json::value_t::object: return "an object";
        case Json::value_t::array: return "an array";
        case Json::value_t::string: return "a string";
        case Json::value_t::boolean: return "true or false";
        case Json::value_t::binary: return "binary data";
        case Json::value_t::discarded: return "nothing";
        default: return "a number";
    }
}

/// The start of a text that is not ours, fit for a message: no control characters, whole UTF-8 sequences.
inline std::string excerpt(std::string_view text) {
    constexpr std::size_t most = 60;
    const bool cut = text.size() > most;
    if (cut) {
        text = text.substr(0, most + 1);
        while (text.size() > 1 && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.remove_suffix(1);
        text.remove_suffix(1);
    }
    std::string shown{text};
    keep_on_one_line(shown, '?');
    return cut ? shown + "…" : shown;
}

/// A value for a message: a number or word as it stands, a structure by its kind (it may be deep, and is long).
template <class Json>
std::string shown(const Json& value) {
    if (value.is_string()) return "\"" + excerpt(value.template get_ref<const std::string&>()) + "\"";
    return value.is_number() || value.is_boolean() ? value.dump() : std::string{kind_of(value)};
}

/// A value in a configuration and the path to it. Mistakes are collected by path; a mistaken value is left out.
template <class Json>
class JsonReader {
public:
    JsonReader(const Json& value, std::string path, std::vector<std::string>& mistakes)
        : value_{value}, path_{std::move(path)}, mistakes_{mistakes} {}

    const Json& value() const noexcept { return value_; }
    const std::string& path() const noexcept { return path_; }
    void mistake(std::string_view what) const {
        mistakes_.push_back((path_.empty() ? "the configuration" : path_) + ": " + std::string{what});
    }

    void read(std::string& into) const {
        if (value_.is_string())
            into = value_.template get<std::string>();
        else
            wrong_type("a string");
    }
    template <std::integral T>
        requires(!std::same_as<T, bool>)
    bool read(T& into) const {
        if (!value_.is_number_integer()) {
            mistake("must be an integer, got " + (value_.is_number() ? shown(value_) : std::string{kind_of(value_)}));
            return false;
        }
        const bool negative = !value_.is_number_unsigned() && value_.template get<std::int64_t>() < 0;
        if (negative ? std::in_range<T>(value_.template get<std::int64_t>())
                     : std::in_range<T>(value_.template get<std::uint64_t>())) {
            into = negative ? static_cast<T>(value_.template get<std::int64_t>())
                            : static_cast<T>(value_.template get<std::uint64_t>());
            return true;
        }
        mistake("must be " + std::to_string(std::numeric_limits<T>::min()) + " to " +
                std::to_string(std::numeric_limits<T>::max()) + ", got " + shown(value_));
        return false;
    }
    void read(double& into) const {
        if (value_.is_number())
            into = value_.template get<double>();
        else
            wrong_type("a number");
    }
    void read(bool& into) const {
        if (value_.is_boolean())
            into = value_.template get<bool>();
        else
            wrong_type("true or false");
    }
    void read(Duration& into) const {
        if (value_.is_number())
            return mistake("must be a duration with its unit, such as \"250ms\" or \"2min\", got " + shown(value_));
        if (!value_.is_string()) return wrong_type("a duration such as \"250ms\" or \"2min\"");
        const auto& text = value_.template get_ref<const std::string&>();
        if (const auto parsed = parse_duration(text))
            into = *parsed;
        else
            mistake("must be a duration such as \"250ms\", \"1.5s\" or \"2min\", got " + shown(value_));
    }
    template <class T>
    void read(std::optional<T>& into) const {
        T own{};
        const std::size_t before = mistakes_.size();
        read(own);
        if (mistakes_.size() == before) into = std::move(own);
    }
    void read(std::vector<std::string>& into) const {
        if (!value_.is_array()) return wrong_type("a list of strings");
        into.clear();
        for (std::size_t i = 0; i < value_.size(); ++i) element(i).read(into.emplace_back());
    }
    /// A number of bytes: an integer, or a text with its unit.
    void read_size(std::size_t& into) const {
        if (!value_.is_string()) {
            read(into);
            return;
        }
        if (const auto parsed = parse_size(value_.template get_ref<const std::string&>()))
            into = *parsed;
        else
            mistake("must be a number of bytes such as 65536 or \"16MiB\", got " + shown(value_));
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
        mistake("must be one of " + names + ", got " + shown(value_));
    }

    /// An element of this list.
    JsonReader element(std::size_t i) const { return {value_[i], path_ + "[" + std::to_string(i) + "]", mistakes_}; }
    /// A member of this object.
    JsonReader at(const std::string& key, const Json& value) const {
        return {value, path_.empty() ? key : path_ + "." + key, mistakes_};
    }
    /// Reads an object's members: `object([&](auto& member) { member("name", options.name); … })`. Every key that no
    /// `member` call names is a mistake.
    /// True if it found no mistake.
    template <class F>
    bool object(F read_members) const {
        const std::size_t before = mistakes_.size();
        if (!value_.is_object()) {
            wrong_type("an object");
            return false;
        }
        std::vector<std::string_view> known;
        const auto member = [&](std::string_view key, auto&& into) {
            known.push_back(key);
            const auto found = value_.find(std::string{key});
            if (found == value_.end()) return;
            const JsonReader reader = this->member(key, *found);
            if constexpr (std::invocable<decltype(into), const JsonReader&>)
                into(reader);
            else
                reader.read(into);
        };
        read_members(member);
        for (const auto& [key, unused] : value_.items()) {
            if (detail::contains(known, key)) continue;
            this->member(key, unused).mistake("unknown key" + suggestion(key, known));
        }
        return mistakes_.size() == before;
    }

    JsonReader member(std::string_view key, const Json& value) const {
        return {value, (path_.empty() ? "" : path_ + ".") + (key.empty() ? "\"\"" : excerpt(key)), mistakes_};
    }

    /// Each of these members of an object has to be there.
    void require(std::initializer_list<std::string_view> keys) const {
        for (const std::string_view key : keys) {
            if (value_.is_object() && !value_.contains(std::string{key}))
                mistake("must have \"" + std::string{key} + "\"");
        }
    }

    /// Adds what `validate` finds wrong with the part that was read here.
    template <class T>
    void check(const T& part) const {
        auto ok = validate(part, path_);
        if (ok) return;
        std::string text{ok.error().detail()};
        // The size of a count window has the key "count", which tells it from a time window.
        constexpr std::string_view option = "window.size";
        for (auto at = text.find(option); at != text.npos; at = text.find(option)) {
            text.replace(at, option.size(), "window.count");
        }
        mistakes_.push_back(std::move(text));
    }

    void wrong_type(std::string_view wanted) const {
        mistake("must be " + std::string{wanted} + ", got " + std::string{kind_of(value_)});
    }

private:
    static std::string suggestion(std::string_view key, const std::vector<std::string_view>& known) {
        std::string_view nearest;
        std::size_t least = key.size();
        for (const std::string_view name : known) {
            const std::size_t distance = edit_distance(key.substr(0, 64), name);
            if (distance < least && distance <= (std::max(key.size(), name.size()) + 2) / 3) {
                least = distance;
                nearest = name;
            }
        }
        return nearest.empty() ? "" : "; did you mean \"" + std::string{nearest} + "\"?";
    }

    const Json& value_;
    std::string path_;
    std::vector<std::string>& mistakes_;
};

/// All mistakes in one error, up to twenty in words.
[[nodiscard]] inline std::unexpected<Error> mistaken(const std::vector<std::string>& mistakes) {
    constexpr std::size_t most = 20;
    std::string text;
    for (std::size_t i = 0; i < std::min(most, mistakes.size()); ++i)
        text.append(i > 0 ? "; " : "").append(mistakes[i]);
    if (mistakes.size() > most) text.append("; and ").append(std::to_string(mistakes.size() - most)).append(" more");
    return fail(Errc::invalid_options, std::move(text));
}

}  // namespace breakwater::detail
