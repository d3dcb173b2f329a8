// Runs the example sqlite_store as a program and reads what it prints.
#include <catch_shim.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <string>

namespace {

#ifndef BREAKWATER_EXAMPLES_BIN
#define BREAKWATER_EXAMPLES_BIN ""
#endif

/// What the program prints, and then its exit status.
std::string output_of(const std::string& program) {
    std::FILE* pipe = ::popen((program + " 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    std::array<char, 512> part{};
    while (std::fgets(part.data(), part.size(), pipe) != nullptr) text += part.data();
    return text + "status " + std::to_string(::pclose(pipe));
}

}  // namespace

TEST_CASE("the example sqlite_store shares one limit and one circuit between processes and over their end") {
    const char* elsewhere = std::getenv("BREAKWATER_EXAMPLES_BIN");
    const std::string bin = elsewhere != nullptr ? elsewhere : BREAKWATER_EXAMPLES_BIN;
    const std::string text = output_of(bin + "/sqlite_store");
    INFO(text);
    const std::regex expected{
        "four processes want 100 permits each, of 100 a day:\n"
        "(    [0-9]+ permits\n){4}"
        "    100 all together\n"
        ".*opened the circuit.*\n"
        "(    refused\n){4}"
        ".* 0 permits left and the circuit open, for 60 minutes yet\n"
        "status 0"};
    CHECK(std::regex_match(text, expected));
}
