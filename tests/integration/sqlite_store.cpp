// Runs the example sqlite_store as a program and reads what it prints.
#include <catch_shim.hpp>

#include <example_output.hpp>

#include <regex>
#include <string>

TEST_CASE("the example sqlite_store shares one limit and one circuit between processes and over their end") {
    const std::string text = test::output_of("sqlite_store");
    INFO(text);
    const std::regex expected{
        "four processes want 100 permits each, of 100 a day:\n"
        "(    [0-9]+ permits\n){4}"
        "    100 all together\n"
        ".*opened the circuit.*\n"
        "(    refused\n){4}"
        ".* 0 permits left and the circuit open, for 60 minutes yet\n"
        "status 0\n"};
    CHECK(std::regex_match(text, expected));
}
