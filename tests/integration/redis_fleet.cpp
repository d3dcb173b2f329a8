// Runs the example redis_fleet as a program and reads what it prints.
#include <catch_shim.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <string>

namespace {

#ifndef BREAKWATER_EXAMPLES_BIN
#define BREAKWATER_EXAMPLES_BIN ""
#endif

/// What a command prints, and then its exit status.
std::string output_of(const std::string& environment, const std::string& arguments) {
    const char* elsewhere = std::getenv("BREAKWATER_EXAMPLES_BIN");
    const std::string bin = elsewhere != nullptr ? elsewhere : BREAKWATER_EXAMPLES_BIN;
    std::FILE* pipe = ::popen((environment + " " + bin + "/redis_fleet " + arguments + " 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    std::array<char, 512> part{};
    while (std::fgets(part.data(), part.size(), pipe) != nullptr) text += part.data();
    const int status = ::pclose(pipe);
    return text + "status " + std::to_string(status / 256) + "\n";
}

/// The two columns of a line of the table.
std::array<double, 2> figures(const std::string& text, const std::string& name) {
    std::smatch found;
    INFO(name);
    REQUIRE(std::regex_search(text, found, std::regex{"\n" + name + "[^\n]*? +([0-9.]+|-)( s)? +([0-9.]+)( s)?\n"}));
    return {found[1] == "-" ? 0 : std::stod(found[1]), std::stod(found[3])};
}

}  // namespace

TEST_CASE("the example redis_fleet shows what sharing saves, and that nothing fails for want of Redis") {
    const std::string mode = GENERATE("--quick", "--quick --cluster");
    const std::string text = output_of("", mode);
    INFO(text);
    const std::string workers = "(  worker [1-8] [^\n]*\n){8}";
    CHECK(std::regex_search(text, std::regex{"\nwithout sharing\n" + workers + "\nwith sharing\n" + workers}));
    CHECK(std::regex_search(text, std::regex{" with sharing: worker [1-8] is killed while it probes\n"}));

    const auto dead = figures(text, "calls that reached the dead service");
    CHECK(dead[1] > 0);
    CHECK(dead[1] < dead[0]);
    CHECK(figures(text, "calls lost") == std::array{0.0, 0.0});
    CHECK(figures(text, "store commands per call")[1] > 0);
    CHECK(text.ends_with("\nstatus 0\n"));

    std::size_t widest = 0;
    for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != text.npos; begin = end + 1)
        widest = std::max(widest, end - begin);
    CHECK(widest <= 100);
}

TEST_CASE("the example redis_fleet says so where redis-server is missing") {
    const std::string text = output_of("PATH=/nowhere", "");
    CHECK(text.starts_with("redis_fleet: needs redis-server and redis-cli: apt-get install redis-server"));
    CHECK(text.ends_with("\nstatus 1\n"));
}
