// Runs the example redis_fleet as a program and reads what it prints.
#include <catch_shim.hpp>

#include <example_output.hpp>

#include <array>
#include <regex>
#include <string>

namespace {

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
    const std::string text = test::output_of("redis_fleet " + mode);
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
    CHECK(test::widest_line(text) <= 100);
}

TEST_CASE("the example redis_fleet says so where redis-server is missing") {
    const std::string text = test::output_of("redis_fleet", "PATH=/nowhere");
    CHECK(text.starts_with("redis_fleet: needs redis-server and redis-cli: apt-get install redis-server"));
    CHECK(text.ends_with("\nstatus 1\n"));
}
