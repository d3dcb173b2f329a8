#pragma once

#include <breakwater/detail/search.hpp>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace breakwater {

/// A few kinds of calls, by their tags: `{"health", "warm-up"}`. (A class, as g++ 12 crashes on a vector in options
/// that initialise a member of the user's in place.)
class Tags {
public:
    Tags() noexcept {}
    Tags(std::initializer_list<std::string> tags) : tags_{tags} {}
    explicit Tags(std::vector<std::string> tags) noexcept : tags_{std::move(tags)} {}

    bool contains(std::string_view tag) const noexcept { return detail::contains(tags_, tag); }
    bool empty() const noexcept { return tags_.empty(); }

    friend bool operator==(const Tags&, const Tags&) = default;

private:
    std::vector<std::string> tags_;
};

}  // namespace breakwater
