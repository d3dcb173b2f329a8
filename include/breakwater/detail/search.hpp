#pragma once

namespace breakwater::detail {

// What <ranges> offers, without the concepts that cost whoever includes us up to 40 ms a use.

/// Whether one element is equal to the value.
template <class Range, class Value>
constexpr bool contains(const Range& range, const Value& value) {
    for (const auto& element : range)
        if (element == value) return true;
    return false;
}

template <class Range, class Predicate>
constexpr bool any_of(const Range& range, Predicate holds) {
    for (const auto& element : range)
        if (holds(element)) return true;
    return false;
}

template <class Range, class Predicate>
constexpr bool none_of(const Range& range, Predicate holds) {
    return !detail::any_of(range, holds);
}

template <class Range, class Predicate>
constexpr bool all_of(const Range& range, Predicate holds) {
    for (const auto& element : range)
        if (!holds(element)) return false;
    return true;
}

}  // namespace breakwater::detail
