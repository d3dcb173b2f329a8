#pragma once

#include <string_view>

namespace breakwater::redis::lua {

/// A part of a script. Parts stand in the order of their rank.
///
/// What holds in all of them: numbers are whole and below 2^53, as Lua has doubles only; they become text by `digits`,
/// never by `..`, which would print 1e+15; they are divided by `div`, as floor(a / b) is wrong near 2^53.
struct Fragment {
    int rank;
    std::string_view text;
};

}  // namespace breakwater::redis::lua
