// Runs the examples of asynchronous calls as programs and reads what they print.
#include <catch_shim.hpp>

#include <example_output.hpp>

#include <regex>
#include <string>

namespace {

using test::output_of;
using test::widest_line;

bool has(const std::string& text, const std::string& pattern) { return std::regex_search(text, std::regex{pattern}); }

/// The number behind a name on a line of its own.
long figure(const std::string& text, const std::string& name) {
    std::smatch found;
    INFO(name);
    REQUIRE(std::regex_search(text, found, std::regex{"\n +" + name + " +([0-9]+)\n"}));
    return std::stol(found[1]);
}

}  // namespace

TEST_CASE("the example guarded_async_function shows retries, an open circuit and the fallback") {
    const std::string text = output_of("guarded_async_function");
    INFO(text);
    CHECK(has(text, "two failures on the way\n.* failed, again in 50 ms\n.* failed, again in 100 ms\n.* row 2, "));
    CHECK(has(text, " 200 rows in .*; asked 200 times\n"));
    CHECK(has(text, " connection lost, after 3 attempts; asked 3 times\n"));
    CHECK(has(text, " --- circuit open for 1 s ---\n"));
    CHECK(has(text, " 1000 times the fallback; not asked\n"));
    CHECK(has(text, " --- circuit half-open[^\n]*\n[^\n]* --- circuit closed ---\n[^\n]* row 5, "));
    CHECK(text.ends_with("\nstatus 0\n"));
    CHECK(widest_line(text) <= 100);
}

TEST_CASE("the example partner_api asks side by side, falls back, alerts, and shows why the breaker stands inside") {
    const std::string text = output_of("partner_api");
    INFO(text);
    CHECK(has(text, "\n  location +\\{\"location\":\\{\"lat\"[^\n]*\n  fraud score +\\{\"score\":0.07\\}\n"));
    CHECK(has(text, "\n  location +[^\n]*status 503[^\n]*, after 3 attempts\n"));
    CHECK(has(text,
              "\n  ALERT  circuit \"partner GET /partners/\\{\\}/location\" is open for 1 s[^\n]*\n"
              "  location +\\{\"location\": null, \"source\": \"fallback\"\\}\n"));
    CHECK(has(text, "\n  300 answered; "));
    CHECK(figure(text, "circuits opened") == 1);
    CHECK(figure(text, "circuits closed") == 1);
    CHECK(figure(text, "answered by a fallback") == 2);
    CHECK(has(text, "\n  Pipeline\\{breaker, retry\\} +20 [^\n]*\n  Pipeline\\{retry, breaker\\} +5 "));
    CHECK(text.ends_with("\nstatus 0\n"));
    CHECK(widest_line(text) <= 100);
}

TEST_CASE("the example crawl fetches every page on one thread and shows how long they took") {
    const std::string text = output_of("crawl --quick");
    INFO(text);
    CHECK(text.starts_with("1000 pages, 200 at a time\n"));
    CHECK(has(text, "\n  \\[#{40}\\]   1000 of 1000, 0 in flight\n"));
    CHECK(has(text, " ms +[0-9]+  #{50}\n"));
    CHECK(figure(text, "answered") + figure(text, "failed") == 1000);
    CHECK(figure(text, "answered") > 900);
    CHECK(figure(text, "retried") > 0);
    CHECK(figure(text, "threads") == 1);
    CHECK(has(text, " pages per second\n"));
    CHECK(text.ends_with("\nstatus 0\n"));
    CHECK(text.find('\x1b') == text.npos);
    CHECK(widest_line(text) <= 100);

    CHECK(output_of("crawl --all") == "usage: crawl [--quick]\nstatus 2\n");
}
