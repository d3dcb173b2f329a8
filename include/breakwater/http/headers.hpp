#pragma once

#include <breakwater/http/detail/characters.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// One header field. Two are equal if the names differ in case only and the values not at all.
struct Header {
    Header() = default;
    // A template, so that a braced pair is never taken for one std::string (its iterator-pair constructor).
    template <class Name, class Value>
        requires std::convertible_to<Name, std::string_view> && std::convertible_to<Value, std::string_view>
    Header(Name&& n, Value&& v) : name{std::forward<Name>(n)}, value{std::forward<Value>(v)} {}

    std::string name;
    std::string value;

    friend bool operator==(const Header& a, const Header& b) noexcept {
        return detail::equals_ignoring_case(a.name, b.name) && a.value == b.value;
    }
};

/// Header fields in the order given; a name may occur more than once and is found in any (ASCII) case.
///
/// Looking up allocates nothing and is linear: messages have few fields. Nothing is checked here; `validate(request)`
/// does.
class Headers {
public:
    Headers() = default;
    /// `Headers{{"Accept", "text/html"}, {"X-Request-Id", id}}`
    Headers(std::initializer_list<Header> fields) : fields_(fields) {}

    /// The value of the first field of this name. Valid until the headers change.
    std::optional<std::string_view> get(std::string_view name) const noexcept {
        const auto at = find(name);
        return at != fields_.end() ? std::optional<std::string_view>{at->value} : std::nullopt;
    }

    /// The values of all fields of this name, in order.
    std::vector<std::string_view> get_all(std::string_view name) const {
        std::vector<std::string_view> values;
        for (const Header& field : fields_) {
            if (detail::equals_ignoring_case(field.name, name)) values.emplace_back(field.value);
        }
        return values;
    }

    bool contains(std::string_view name) const noexcept { return find(name) != fields_.end(); }

    /// Appends a field.
    template <class Name, class Value>
        requires std::constructible_from<Header, Name, Value>
    void add(Name&& name, Value&& value) {
        fields_.emplace_back(std::forward<Name>(name), std::forward<Value>(value));
    }

    /// Makes this the only field of its name; it takes the place of the first one there was.
    void set(std::string name, std::string value) {
        const auto first = fields_.begin() + (find(name) - fields_.cbegin());
        if (first == fields_.end()) return add(std::move(name), std::move(value));
        const auto same = [&](const Header& field) { return detail::equals_ignoring_case(field.name, name); };
        fields_.erase(std::remove_if(first + 1, fields_.end(), same), fields_.end());
        *first = Header{std::move(name), std::move(value)};
    }

    /// Removes all fields of this name and says how many there were.
    std::size_t remove(std::string_view name) {
        return std::erase_if(fields_, [&](const Header& f) { return detail::equals_ignoring_case(f.name, name); });
    }

    std::size_t size() const noexcept { return fields_.size(); }
    bool empty() const noexcept { return fields_.empty(); }
    void clear() noexcept { fields_.clear(); }
    void reserve(std::size_t count) { fields_.reserve(count); }

    auto begin() const noexcept { return fields_.begin(); }
    auto end() const noexcept { return fields_.end(); }

    friend bool operator==(const Headers&, const Headers&) = default;

private:
    std::vector<Header>::const_iterator find(std::string_view name) const noexcept {
        return std::find_if(fields_.begin(), fields_.end(),
                            [&](const Header& field) { return detail::equals_ignoring_case(field.name, name); });
    }

    std::vector<Header> fields_;
};

}  // namespace breakwater
