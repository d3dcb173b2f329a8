#include "../example_output.hpp"

#include <catch_shim.hpp>
#include <temporary_directory.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

/// What a quick run of the lab prints, without the line that names the folder, and the figures it writes.
struct Run {
    std::string text;
    std::string csv;
    friend bool operator==(const Run&, const Run&) = default;
};
Run run(const std::string& words, const std::string& name) {
    const breakwater::test::TemporaryDirectory folder;
    std::string text = test::output_of("outage_lab " + words + " --quick --out " + folder.path().string());
    if (const auto at = text.find("  " + folder.path().string()); at != text.npos)
        text.erase(at, text.find('\n', at) - at);
    return {text, folder.read(name + ".csv")};
}

/// The figures of the row that begins with these words, units left out.
std::vector<double> row(const std::string& text, const std::string& words) {
    const auto at = text.find("\n  " + words + "  ");
    INFO(words << "\n" << text);
    REQUIRE(at != text.npos);
    std::istringstream line{text.substr(at + words.size() + 3, text.find('\n', at + 1) - at - words.size() - 3)};
    std::vector<double> figures;
    for (std::string word; line >> word;) {
        if (word == "never") figures.push_back(1e9);
        char* end = nullptr;
        const double figure = std::strtod(word.c_str(), &end);
        if (end != word.c_str()) figures.push_back(figure);
    }
    return figures;
}

const std::string example = BREAKWATER_EXAMPLES_SOURCE "/outage_lab/example.json";

}  // namespace

TEST_CASE("the outage lab does the same for the same seed, byte for byte, and something else for another") {
    const std::map<std::string, std::string> scenarios{
        {"herd", "herd"}, {"storm", "storm"}, {"fleet", "fleet"}, {"tail", "tail"}, {"own " + example, "own"}};
    for (const auto& [words, name] : scenarios) {
        INFO(words);
        const Run first = run(words + " --seed 7", name);
        CHECK(first.csv.size() > 100);
        CHECK(first.text.ends_with("status 0\n"));
        CHECK(first == run(words + " --seed 7", name));
        CHECK(first.csv != run(words + " --seed 8", name).csv);
        CHECK(test::widest_line(first.text) <= 120);
    }
}

TEST_CASE("the outage lab's herd: jitter needs fewer writes than none, and full jitter ends before equal jitter") {
    const std::string text = run("herd", "herd").text;
    const auto none = row(text, "no backoff");
    const auto lockstep = row(text, "no jitter");
    const auto equal = row(text, "equal jitter");
    const auto decorrelated = row(text, "decorrelated");
    const auto full = row(text, "full jitter");
    CHECK(none[0] > 2 * full[0]);
    CHECK(lockstep[0] > 1.5 * full[0]);
    CHECK(equal[0] > 0.95 * full[0]);
    CHECK(decorrelated[0] < 1.3 * full[0]);
    CHECK(lockstep[1] > 5 * equal[1]);
    CHECK(equal[1] > full[1]);
}

TEST_CASE("the outage lab's storm: what limits retries recovers, what does not never does") {
    const std::string text = run("storm", "storm").text;
    constexpr double never = 1e9;
    CHECK(row(text, "no retries")[0] < 60);
    CHECK(row(text, "again each 500 ms")[0] == never);
    CHECK(row(text, "backoff")[0] == never);
    CHECK(row(text, "backoff + budget")[0] < 60);
    CHECK(row(text, "backoff + breaker")[0] <= 70);
    CHECK(row(text, "backoff + throttle")[0] < 300);
    // Attempts per call during the trouble.
    CHECK(row(text, "again each 500 ms")[3] > 10);
    CHECK(row(text, "backoff")[3] > 3.5);
    CHECK(row(text, "backoff + budget")[3] < 1.5);
    CHECK(row(text, "backoff + breaker")[3] < 0.3);
}

TEST_CASE("the outage lab's fleet: what is shared trips sooner, sends less, and needs more than one witness") {
    const std::string text = run("fleet", "fleet").text;
    const auto at = text.find("one has no network");
    REQUIRE(at != text.npos);
    const std::string outage = text.substr(0, at);
    const std::string poisoned = text.substr(at);
    const auto alone = row(outage, "each for itself");
    const auto shared = row(outage, "shared");
    CHECK(alone[0] > 5 * shared[0]);
    CHECK(alone[1] > 3 * shared[1]);
    CHECK(shared[2] <= alone[2]);
    CHECK(row(poisoned, "shared, min_reporters 1").back() > 90);
    CHECK(row(poisoned, "shared, min_reporters default").back() == 0);
}

TEST_CASE("the outage lab's tail: hedging at p95 cuts the tail for some percent more requests") {
    const std::string text = run("tail", "tail").text;
    const auto without = row(text, "no hedge");
    const auto with = row(text, "hedge at p95 (default)");
    CHECK(with[2] < without[2] / 4);
    CHECK(with[1] < without[1]);
    CHECK(without[3] == 1);
    CHECK(with[3] > 1.03);
    CHECK(with[3] < 1.07);
}

TEST_CASE("the outage lab draws pictures where gnuplot is, and says so where it is not") {
    const breakwater::test::TemporaryDirectory folder;
    const std::string words = "outage_lab herd --quick --out " + folder.path().string();
    const std::string without = test::output_of(words, "PATH=/nowhere");
    CHECK(without.find("herd.csv; no picture: gnuplot is missing (Debian: gnuplot-nox)\n") != without.npos);
    CHECK(without.ends_with("status 0\n"));
    CHECK(!fs::exists(folder.path() / "herd.png"));
    if (std::system("command -v gnuplot >/dev/null") != 0) return;
    CHECK(test::output_of(words).ends_with("status 0\n"));
    CHECK(folder.read("herd.svg").find("clients") != std::string::npos);
    CHECK(folder.read("herd.png").starts_with("\x89PNG"));
}

TEST_CASE("the outage lab sweeps an option of the user's file") {
    const Run swept = run("own " + example + " --sweep circuit_breaker.recovery_timeout=1s..60s", "own_sweep");
    CHECK(row(swept.text, "1000ms")[0] > 50);
    CHECK(row(swept.text, "60000ms")[0] > 50);
    CHECK(swept.csv.starts_with("value,good_per_s,requests_per_call\n1.000000,"));
}

TEST_CASE("the outage lab names what is wrong with its command line or file") {
    const auto said = [](const std::string& words) { return test::output_of("outage_lab " + words); };
    CHECK(said("hard") == "outage_lab: no scenario \"hard\": herd, storm, fleet, tail or own FILE.json\nstatus 2\n");
    CHECK(said("own") == "outage_lab: own: needs a file, own FILE.json\nstatus 2\n");
    CHECK(said("--seed x") == "outage_lab: --seed: must be a whole number, got \"x\"\nstatus 2\n");
    CHECK(said("herd --sweep a=1..2") == "outage_lab: --sweep: belongs to own FILE.json\nstatus 2\n");
    CHECK(said("own /nowhere.json") == "outage_lab: /nowhere.json: cannot be read\nstatus 2\n");
    CHECK(said("own " + example + " --sweep retry.max_retires=1..5") ==
          "outage_lab: --sweep: client: retry.max_retires: unknown key; did you mean \"max_retries\"?\nstatus 2\n");

    const breakwater::test::TemporaryDirectory folder;
    const fs::path file = folder.path() / "own.json";
    std::ofstream{file} << R"({"service": {"workers": 0, "outages": [{"at": "1s", "reach": "gone"}]},
                              "client": {"circuit_breaker": {"recovery_timeout": "0s"}}, "duratoin": "1min"})";
    CHECK(said("own " + file.string()) ==
          "outage_lab: " + file.string() +
              ": service.workers: must be 1 to 1000000; service.outages[0]: must have \"lasts\"; "
              "service.outages[0].reach: must be one of \"answers\", \"refuses\", \"hangs\", got \"gone\"; "
              "client: circuit_breaker.recovery_timeout: must be > 0s, got 0s; "
              "duratoin: unknown key; did you mean \"duration\"?\nstatus 2\n");
    std::ofstream{file} << "{";
    CHECK(said("own " + file.string()).find("parse error") != std::string::npos);
}
