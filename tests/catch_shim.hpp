#pragma once

/// Catch2 for the tests, whether version 2 or version 3 is installed (Debian 12 ships version 2). Tests spell names
/// version 3's way: `Catch::Approx`, `Catch::Matchers::ContainsSubstring`.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>

#include <string>

namespace Catch {
using Catch::Detail::Approx;
namespace Matchers {
inline StdString::ContainsMatcher ContainsSubstring(const std::string& part,
                                                    CaseSensitive::Choice cases = CaseSensitive::Yes) {
    return Contains(part, cases);
}
}  // namespace Matchers
}  // namespace Catch
#endif
