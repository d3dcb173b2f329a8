#pragma once

#include <catch_shim.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace test {

#ifndef BREAKWATER_EXAMPLES_BIN
#define BREAKWATER_EXAMPLES_BIN ""
#endif

/// What a built example prints, and then its exit status. `environment`: assignments for it.
inline std::string output_of(const std::string& example, const std::string& environment = "") {
    const char* elsewhere = std::getenv("BREAKWATER_EXAMPLES_BIN");
    const std::string bin = elsewhere != nullptr ? elsewhere : BREAKWATER_EXAMPLES_BIN;
    std::FILE* pipe = ::popen((environment + " " + bin + "/" + example + " 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    std::array<char, 512> part{};
    while (std::fgets(part.data(), part.size(), pipe) != nullptr) text += part.data();
    const int status = ::pclose(pipe);
    return text + "status " + std::to_string(status / 256) + "\n";
}

inline std::size_t widest_line(const std::string& text) {
    std::size_t widest = 0;
    for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != text.npos; begin = end + 1)
        widest = std::max(widest, end - begin);
    return widest;
}

}  // namespace test
