// Runs the examples flaky_supplier, supplier_sync and first_request as programs and looks at what they leave behind.
//
// BREAKWATER_EXAMPLES_BIN is the folder of the built examples, BREAKWATER_EXAMPLES_SOURCE the folder examples/; each
// is a compile definition, or an environment variable of the same name.
#include <sqlite3.h>
#include <unistd.h>

#include <catch_shim.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <program.hpp>
#include <redis_server.hpp>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <temporary_directory.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using breakwater::test::Program;
using breakwater::test::TemporaryDirectory;
using Catch::Matchers::ContainsSubstring;
using SteadyClock = std::chrono::steady_clock;

#ifndef BREAKWATER_EXAMPLES_BIN
#define BREAKWATER_EXAMPLES_BIN ""
#endif
#ifndef BREAKWATER_EXAMPLES_SOURCE
#define BREAKWATER_EXAMPLES_SOURCE ""
#endif

std::string place(const char* variable, const char* otherwise) {
    const char* value = std::getenv(variable);
    return value ? value : otherwise;
}
const std::string bin = place("BREAKWATER_EXAMPLES_BIN", BREAKWATER_EXAMPLES_BIN);
const std::string source = place("BREAKWATER_EXAMPLES_SOURCE", BREAKWATER_EXAMPLES_SOURCE);

std::string read(const std::filesystem::path& file) {
    std::ifstream in{file};
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

/// A running flaky_supplier.
class Server {
public:
    explicit Server(const TemporaryDirectory& folder, const std::string& weather, const std::string& broken = "12")
        : port_file_{folder / "port"},
          program_{{bin + "/flaky_supplier", "--weather", weather, "--broken", broken, "--port-file", port_file_,
                    "--lifetime", "120"},
                   folder / "server.log"} {
        for (int tries = 0; !std::filesystem::exists(port_file_); ++tries) {
            if (tries == 2'000)
                throw std::runtime_error{"flaky_supplier does not start: " + read(folder / "server.log")};
            std::this_thread::sleep_for(5ms);
        }
    }

    std::string url() const {
        std::string port = read(port_file_);
        port.pop_back();
        return "http://127.0.0.1:" + port;
    }

private:
    std::string port_file_;
    Program program_;
};

struct Ended {
    std::optional<int> status;
    std::string output;
};

Ended run(const TemporaryDirectory& folder, std::vector<std::string> words, std::chrono::milliseconds limit = 60s) {
    Program program{std::move(words), folder / "output"};
    const auto status = program.wait(limit);
    return {status, read(folder / "output")};
}

/// show.json's settings with the limiter out of the way, so that one run can do everything.
void write_config(const std::string& file, const nlohmann::json& changes = nlohmann::json::object()) {
    nlohmann::json config = nlohmann::json::parse(read(source + "/supplier_sync/show.json"));
    config["client"].erase("rate_limit");
    config.merge_patch(changes);
    std::ofstream{file} << config;
}

std::vector<std::string> sync_words(const TemporaryDirectory& folder, const std::string& url) {
    return {bin + "/supplier_sync",
            folder / "config.json",
            "--base-url",
            url,
            "--database",
            folder / "stock.db",
            "--init",
            folder / "skus",
            "--report",
            folder / "report.json"};
}

void write_skus(const TemporaryDirectory& folder) {
    REQUIRE(run(folder, {bin + "/flaky_supplier", "--catalogue", folder / "skus"}).status == 0);
}

/// The first column of the first row.
std::int64_t ask(const std::string& database, const std::string& question) {
    sqlite3* opened = nullptr;
    REQUIRE(sqlite3_open_v2(database.c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK);
    const std::unique_ptr<sqlite3, decltype(&sqlite3_close)> handle{opened, sqlite3_close};
    sqlite3_stmt* prepared = nullptr;
    const int code = sqlite3_prepare_v2(opened, question.c_str(), -1, &prepared, nullptr);
    INFO(question << ": " << sqlite3_errmsg(opened));
    REQUIRE(code == SQLITE_OK);
    const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> statement{prepared, sqlite3_finalize};
    const int step = sqlite3_step(prepared);
    INFO(sqlite3_errmsg(opened));
    REQUIRE((step == SQLITE_ROW || step == SQLITE_DONE));
    return step == SQLITE_ROW ? sqlite3_column_int64(prepared, 0) : 0;
}

struct SetEnvironment {
    SetEnvironment() { ::setenv("SUPPLIER_API_KEY", "a-key-for-the-test", 1); }
};
const SetEnvironment environment;

constexpr const char* low_items = "SELECT count(*) FROM items WHERE stock < 50";
constexpr const char* open_alerts = "SELECT count(*) FROM alerts WHERE closed_at IS NULL";
constexpr const char* items_with_open_alert = "SELECT count(DISTINCT sku) FROM alerts WHERE closed_at IS NULL";

void check_inventory(const std::string& database) {
    CHECK(ask(database, "SELECT count(*) FROM items") == 4'950);
    CHECK(ask(database, "SELECT count(*) FROM items WHERE updated_at IS NULL") == 0);
    CHECK(ask(database, "SELECT count(*) FROM items WHERE stock < 0 OR price < 0 OR stock IS NULL") == 0);
    CHECK(ask(database, low_items) > 100);
    CHECK(ask(database, open_alerts) == ask(database, low_items));
    CHECK(ask(database, items_with_open_alert) == ask(database, low_items));
    CHECK(ask(database, "SELECT count(*) FROM alerts JOIN items USING (sku) WHERE items.stock >= 50") == 0);
    CHECK(ask(database, "SELECT count(*) FROM alerts WHERE text = '' OR assignee = '' OR priority = ''") == 0);
}

}  // namespace

TEST_CASE("the show gets every known item through a supplier that fails, throttles and recovers") {
    const TemporaryDirectory folder;
    const auto ended =
        run(folder,
            {source + "/supplier_sync/run", bin, "--database", folder / "stock.db", "--report", folder / "report.json"},
            90s);
    INFO(ended.output);
    REQUIRE(ended.status == 0);
    check_inventory(folder / "stock.db");

    const auto report = nlohmann::json::parse(read(folder / "report.json"));
    INFO(report.dump(2));
    CHECK(report["seconds"] < 60);
    CHECK(report["pages"] == 50);
    CHECK(report["items"] == 4'950);
    CHECK(report["updated_items"] == 4'950);
    CHECK(report["unknown"] == 50);
    CHECK(report["errors"] == 12);
    CHECK(report["alerts"] == ask(folder / "stock.db", low_items));
    CHECK(report["runs"] >= 4);
    CHECK(report["retries"] >= 8);
    CHECK(report["cache_hits"] >= 1);

    // Every kind of weather was met, and the circuit opened in the outage and closed after it.
    for (const char* outcome : {"200", "500", "429", "503", "slow", "reset"}) {
        INFO(outcome);
        CHECK(report["outcomes"].value(outcome, 0) >= 1);
    }
    std::vector<std::string> circuit;
    for (const auto& change : report["circuit"]) circuit.push_back(change["to"]);
    REQUIRE(circuit.size() >= 3);
    CHECK(circuit.front() == "open");
    CHECK(circuit.back() == "closed");

    // Both sides count the same. (On a busy machine an answer may come too late and a "200" of the server's be a "slow"
    // of the client's, so those two count together.)
    int answered_client = 0;
    int answered_server = 0;
    for (const char* outcome : {"200", "429", "500", "503", "slow", "reset"}) {
        INFO(outcome);
        std::smatch row;
        REQUIRE(std::regex_search(ended.output, row, std::regex{"\n +" + std::string{outcome} + " +(\\d+) +(\\d+)\n"}));
        const int client = std::stoi(row[1]);
        const int server = std::stoi(row[2]);
        CHECK(client == report["outcomes"][outcome].get<int>());
        if (outcome == std::string{"200"} || outcome == std::string{"slow"}) {
            answered_client += client;
            answered_server += server;
        } else {
            CHECK(client == server);
        }
    }
    CHECK(answered_client == answered_server);
    CHECK_THAT(ended.output, ContainsSubstring("the circuit is open"));
    CHECK_THAT(ended.output, ContainsSubstring("what the server saw"));
}

TEST_CASE("a second pass opens no second alert while the first is open, and a new one after it is closed") {
    const TemporaryDirectory folder;
    const Server server{folder, "fair"};
    write_skus(folder);
    write_config(folder / "config.json");
    const auto first = run(folder, sync_words(folder, server.url()));
    INFO(first.output);
    REQUIRE(first.status == 0);
    check_inventory(folder / "stock.db");
    const auto low = ask(folder / "stock.db", low_items);

    ask(folder / "stock.db", "UPDATE alerts SET closed_at = 'today' WHERE id IN (SELECT id FROM alerts LIMIT 3)");
    const auto second = run(folder, sync_words(folder, server.url()));
    INFO(second.output);
    REQUIRE(second.status == 0);
    check_inventory(folder / "stock.db");
    const auto report = nlohmann::json::parse(read(folder / "report.json"));
    CHECK(report["alerts"] == 3);
    CHECK(report["items"] == 4'950);
    CHECK(ask(folder / "stock.db", "SELECT count(*) FROM alerts") == low + 3);
}

TEST_CASE("rows in error are counted and at most 50 of them printed") {
    const TemporaryDirectory folder;
    const Server server{folder, "fair", "120"};
    write_skus(folder);
    write_config(folder / "config.json");
    const auto ended = run(folder, sync_words(folder, server.url()));
    INFO(ended.output);
    REQUIRE(ended.status == 0);
    check_inventory(folder / "stock.db");
    CHECK(nlohmann::json::parse(read(folder / "report.json"))["errors"] == 120);
    CHECK_THAT(ended.output, ContainsSubstring("and 70 more"));
    const std::regex message{"\n +page \\d+: "};
    const auto begin = std::sregex_iterator{ended.output.begin(), ended.output.end(), message};
    CHECK(std::distance(begin, std::sregex_iterator{}) == 50);
    CHECK(ended.output.find('\x1b') == std::string::npos);
}

TEST_CASE("a run that the rate limit stops is no failure, and the next resumes at its page") {
    const TemporaryDirectory folder;
    const Server server{folder, "fair"};
    write_skus(folder);
    write_config(
        folder / "config.json",
        {{"client", {{"rate_limit", {{"algorithm", {{"fixed_window", {{"permits", 30}, {"window", "1h"}}}}}}}}}});
    const auto first = run(folder, sync_words(folder, server.url()));
    INFO(first.output);
    REQUIRE(first.status == 0);
    CHECK_THAT(first.output, ContainsSubstring("the rate limit is reached"));
    const auto pages = nlohmann::json::parse(read(folder / "report.json"))["pages"].get<std::int64_t>();
    CHECK(pages == 29);  // and one permit for the summary
    CHECK(ask(folder / "stock.db", "SELECT next_page FROM sync_state") == pages + 1);

    const auto second = run(folder, sync_words(folder, server.url()));
    INFO(second.output);
    REQUIRE(second.status == 0);
    CHECK_THAT(second.output, ContainsSubstring("pages 30 to 50"));
    CHECK(ask(folder / "stock.db", "SELECT next_page FROM sync_state") == 1);
    check_inventory(folder / "stock.db");
}

TEST_CASE("the configuration for the real supplier is accepted, and its limit kept") {
    const TemporaryDirectory folder;
    const Server server{folder, "fair"};
    write_skus(folder);
    auto words = sync_words(folder, server.url());
    words[1] = source + "/supplier_sync/config.json";
    const auto ended = run(folder, words);
    INFO(ended.output);
    REQUIRE(ended.status == 0);
    const auto report = nlohmann::json::parse(read(folder / "report.json"));
    CHECK(report["pages"] >= 19);
    CHECK(report["attempts"] <= 40);  // 20, or more if a minute of the limiter's ended meanwhile
}

TEST_CASE("a supplier that is down is no failure of the job's") {
    const TemporaryDirectory folder;
    write_skus(folder);
    write_config(folder / "config.json");
    SECTION("it answers 503") {
        const Server server{folder, "down"};
        const auto ended = run(folder, sync_words(folder, server.url()));
        INFO(ended.output);
        CHECK(ended.status == 0);
        CHECK_THAT(ended.output, ContainsSubstring("stopped before page 1: GET /inventory: status 503"));
    }
    SECTION("nobody listens") {
        const auto ended = run(folder, sync_words(folder, "http://127.0.0.1:9"));
        INFO(ended.output);
        CHECK(ended.status == 0);
        CHECK_THAT(ended.output, ContainsSubstring("stopped before page 1: "));
    }
}

TEST_CASE("a job that cannot work says so and fails") {
    const TemporaryDirectory folder;
    const Server server{folder, "fair"};
    write_skus(folder);
    write_config(folder / "config.json");
    auto words = sync_words(folder, server.url());
    SECTION("the supplier refuses the key") {
        write_config(folder / "config.json", {{"client", {{"auth", nullptr}}}});
        const auto ended = run(folder, words);
        INFO(ended.output);
        CHECK(ended.status == 1);
        CHECK_THAT(ended.output, ContainsSubstring("status 401"));
    }
    SECTION("the database cannot be opened") {
        words[5] = "/nowhere/stock.db";
        const auto ended = run(folder, words);
        CHECK(ended.status == 1);
        CHECK_THAT(ended.output, ContainsSubstring("/nowhere/stock.db: unable to open database file"));
    }
    SECTION("the configuration has an unknown key") {
        write_config(folder / "config.json", {{"sync", {{"pages", 7}}}});
        const auto ended = run(folder, words);
        CHECK(ended.status == 2);
        CHECK_THAT(ended.output, ContainsSubstring("sync.pages: unknown"));
    }
    SECTION("the client's configuration has a bad value") {
        write_config(folder / "config.json", {{"client", {{"circuit_breaker", {{"recovery_timeout", "-5s"}}}}}});
        const auto ended = run(folder, words);
        CHECK(ended.status == 2);
        CHECK_THAT(ended.output, ContainsSubstring("circuit_breaker.recovery_timeout"));
    }
    SECTION("the key's environment variable is missing") {
        write_config(folder / "config.json", {{"client", {{"auth", {{"bearer", {{"env", "NO_SUCH_KEY"}}}}}}}});
        const auto ended = run(folder, words);
        CHECK(ended.status == 2);
        CHECK_THAT(ended.output, ContainsSubstring("NO_SUCH_KEY"));
    }
}

TEST_CASE("a signal ends the schedule at once, whether a run is on or the next is waited for") {
    const TemporaryDirectory folder;
    write_skus(folder);
    write_config(folder / "config.json",
                 {{"client",
                   {{"timeouts", {{"attempt", "20s"}, {"deadline", "60s"}}},
                    {"retry", {{"backoff", {{"base", "30s"}, {"cap", "30s"}, {"jitter", "none"}}}}}}}});
    const bool waiting = GENERATE(true, false);
    const int number = GENERATE(SIGTERM, SIGINT);
    const Server server{folder, waiting ? "fair" : "down"};
    auto words = sync_words(folder, server.url());
    words.insert(words.end(), {"--every", "1h"});
    Program job{words, folder / "job.log"};
    // With the supplier up, once the first run is over; with it down, while the first retry is waited for.
    const std::string sign = waiting ? "that was the last page" : "";
    for (int tries = 0; tries < 2'000 && read(folder / "job.log").find(sign) == std::string::npos; ++tries) {
        std::this_thread::sleep_for(5ms);
    }
    std::this_thread::sleep_for(300ms);
    job.signal(number);
    const auto status = job.wait(5s);
    INFO(read(folder / "job.log"));
    CHECK(status == 0);
    CHECK_THAT(read(folder / "job.log"), ContainsSubstring("supplier sync, "));
}

TEST_CASE("the first request of the README runs against a server") {
    const TemporaryDirectory folder;
    const Server server{folder, "fair", "0"};
    ::setenv("SUPPLIER_URL", server.url().c_str(), 1);
    const auto ended = run(folder, {bin + "/first_request"});
    INFO(ended.output);
    CHECK(ended.status == 0);
    CHECK(ended.output == "100 products\n");
}

namespace {

/// A job of the name's own that shares what it learns at `store`.
std::vector<std::string> sharing_words(const TemporaryDirectory& folder, const std::string& url,
                                       const std::string& name, const std::string& store) {
    auto words = sync_words(folder, url);
    words[5] = folder / (name + ".db");
    words[9] = folder / (name + ".json");
    words.insert(words.end(), {"--store", store});
    return words;
}

std::int64_t attempts_of(const TemporaryDirectory& folder, const std::string& name) {
    return nlohmann::json::parse(read(folder / (name + ".json")))["attempts"];
}

}  // namespace

TEST_CASE("two jobs at once with one store keep one limit") {
    const TemporaryDirectory folder;
    const Server server{folder, "fair"};
    write_skus(folder);
    write_config(
        folder / "config.json",
        {{"client", {{"rate_limit", {{"algorithm", {{"fixed_window", {{"permits", 30}, {"window", "10h"}}}}}}}}}});
    // On a busy machine the store may answer too late; then a job spends its share of the limit meanwhile.
    for (int tries = 0;; ++tries) {
        const breakwater::test::RedisServer store;
        const std::string place = "unix://" + store.socket();
        std::filesystem::remove(folder / "a.db");
        std::filesystem::remove(folder / "b.db");
        Program a{sharing_words(folder, server.url(), "a", place), folder / "a.out"};
        Program b{sharing_words(folder, server.url(), "b", place), folder / "b.out"};
        REQUIRE(a.wait(60s) == 0);
        REQUIRE(b.wait(60s) == 0);
        const std::string output = read(folder / "a.out") + read(folder / "b.out");
        INFO(output);
        if (output.find("going on alone") != output.npos && tries < 5) continue;
        CHECK_THAT(read(folder / "a.out"), ContainsSubstring("the rate limit is reached"));
        CHECK_THAT(read(folder / "b.out"), ContainsSubstring("the rate limit is reached"));
        CHECK(attempts_of(folder, "a") + attempts_of(folder, "b") <= 30);
        CHECK(attempts_of(folder, "a") + attempts_of(folder, "b") >= 25);
        break;
    }
}

TEST_CASE("a job does not ask a supplier that another job with its store has found down") {
    const TemporaryDirectory folder;
    const Server server{folder, "down"};
    const breakwater::test::RedisServer store;
    write_skus(folder);
    write_config(folder / "config.json",
                 {{"client", {{"circuit_breaker", {{"recovery_timeout", "1h"}}}, {"retry", {{"max_retries", 0}}}}}});
    auto words = sharing_words(folder, server.url(), "a", "unix://" + store.socket());
    words.insert(words.end(), {"--every", "100ms"});
    const Program a{words, folder / "a.out"};
    for (int tries = 0; read(folder / "a.out").find("the circuit is open") == std::string::npos; ++tries) {
        INFO(read(folder / "a.out"));
        REQUIRE(tries < 2'000);
        std::this_thread::sleep_for(5ms);
    }
    Program b{sharing_words(folder, server.url(), "b", "unix://" + store.socket()), folder / "b.out"};
    REQUIRE(b.wait(60s) == 0);
    INFO(read(folder / "b.out"));
    CHECK_THAT(read(folder / "b.out"), ContainsSubstring("the circuit is open"));
    CHECK(attempts_of(folder, "b") == 0);
}

TEST_CASE("a job goes on without its store, and refuses a store's wrong address") {
    const TemporaryDirectory folder;
    const Server server{folder, "fair"};
    write_skus(folder);
    write_config(folder / "config.json");
    SECTION("nobody listens") {
        const auto ended = run(folder, sharing_words(folder, server.url(), "a", "redis://127.0.0.1:9"));
        INFO(ended.output);
        CHECK(ended.status == 0);
        CHECK_THAT(ended.output, ContainsSubstring("going on alone, the store does not answer"));
        check_inventory(folder / "a.db");
    }
    SECTION("the address is wrong") {
        const auto ended = run(folder, sharing_words(folder, server.url(), "a", "http://127.0.0.1"));
        CHECK(ended.status == 2);
        CHECK_THAT(ended.output, ContainsSubstring("redis.url: "));
    }
}
